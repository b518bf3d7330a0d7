"""A process of a container, as seen from the host."""

from __future__ import annotations

from attrs import frozen


@frozen
class ProcessInfo:
    """One process; *pid* is its number on the host.

    *name* and *command* are the container's words, with control characters replaced by ``?``;
    *command* is *name* in brackets where there are no arguments. *cpu_seconds* is what it has
    used, *elapsed* how long it has been there, both seconds; *started* is seconds since 1970.
    *resident* and *virtual* are bytes. *terminal* is ``pts/0``, or ``?``. *state* is ps's
    letter, *flags* the letters after it.
    """

    pid: int
    ppid: int
    uid: int
    gid: int
    user: str
    name: str
    command: str
    state: str
    flags: str
    terminal: str
    started: float
    elapsed: float
    cpu_seconds: float
    resident: int
    virtual: int
    memory_percent: float
    nice: int
    threads: int
    process_group: int
    session: int

    @property
    def cpu_percent(self) -> float:
        """Processor time over life time, in hundredths, as ps has it."""
        return self.cpu_seconds / self.elapsed * 100.0 if self.elapsed > 0 else 0.0


@frozen
class ProcessTable:
    """What ``docker top`` answers: a line of *titles* and a row of texts for each process."""

    titles: tuple[str, ...]
    processes: tuple[tuple[str, ...], ...]

    def to_docker(self) -> dict[str, object]:
        """The message of Docker's ``/containers/{id}/top``."""
        return {"Titles": list(self.titles), "Processes": [list(row) for row in self.processes]}
