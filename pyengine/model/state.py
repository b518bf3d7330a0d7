"""What a container is doing, as far as anyone has written down."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen


class Status(StrEnum):
    """Docker's words for where a container is in its life."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


ALIVE = (Status.RUNNING, Status.PAUSED)
LARGEST_PID = 1 << 22
"""PID_MAX_LIMIT, see proc_sys_kernel(5)."""

LIVELY = (*ALIVE, Status.RESTARTING)
"""With those that only wait to start again: what docker calls running."""


@frozen
class ContainerState:
    """The part of a container's record that changes. Times are seconds since 1970; 0: never.

    *uid* to *home* are who its program is. *watcher* is the owner directory of the process that
    watches it. *pid* is only good together with *start_time* (field 22 of proc_pid_stat(5)):
    pids are reused. *kept*: its program outlives its watcher, and is watched by the next one.
    *warnings* are its limits that are not in force.
    """

    status: Status = Status.CREATED
    pid: int = 0
    start_time: int = 0
    started: float = 0.0
    finished: float = 0.0
    exit_code: int = 0
    signal: int = 0
    oom_killed: bool = False
    error: str = ""
    restarts: int = 0
    stopped_by_hand: bool = False
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"
    watcher: str = ""
    kept: bool = False
    warnings: tuple[str, ...] = ()

    def fault(self) -> str:
        """Why this cannot be true of any container; empty if it can."""
        if not (0 <= self.pid <= LARGEST_PID and 0 <= self.start_time < 1 << 63):
            return f"no process has the number {self.pid}, or started at {self.start_time}"
        if not (0 <= self.started < 1e12 and 0 <= self.finished < 1e12):
            return f"{self.started} or {self.finished} is no time"
        if "/" in self.watcher or "\0" in self.watcher or self.watcher in (".", ".."):
            return f"no owner is called {self.watcher!r}"
        return ""


@frozen
class ExitStatus:
    """How a container's program ended.

    *exit_code* follows the shell: 128 + *signal* where a signal ended it.
    """

    exit_code: int
    signal: int | None = None
    oom_killed: bool = False
    error: str = ""

    def __int__(self) -> int:
        return self.exit_code
