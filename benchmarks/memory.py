"""How much memory our own processes take: PSS, where a shared page counts in parts.

A container's own processes are not ours. They are told apart by their pid namespace.
"""

from __future__ import annotations

import os
from collections.abc import Mapping


def parse_pss(smaps_rollup: str) -> int:
    """The KiB of the ``Pss:`` line of proc_pid_smaps(5)'s rollup; 0 without one.

    >>> parse_pss("Rss:   9000 kB\\nPss:   1234 kB\\nPss_Dirty: 5 kB\\n")
    1234
    """
    for line in smaps_rollup.splitlines():
        name, _, rest = line.partition(":")
        if name == "Pss":
            return int(rest.split()[0])
    return 0


def parse_parent(stat: str) -> int:
    """The parent's pid in the text of proc_pid_stat(5), whatever the name in it holds.

    >>> parse_parent("42 (a) b) S 7 42 42 0")
    7
    """
    return int(stat.rpartition(")")[2].split()[1])


def family(parents: Mapping[int, int], top: int) -> set[int]:
    """*top* and all below it, *parents* being each process's parent.

    >>> sorted(family({1: 0, 5: 1, 6: 5, 7: 1}, 5))
    [5, 6]
    """
    found = {top}
    grown = True
    while grown:
        below = {pid for pid, parent in parents.items() if parent in found} - found
        found |= below
        grown = bool(below)
    return found


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return ""


def _pid_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def own_processes() -> list[int]:
    """This process and those it has started, but for what runs in containers."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (stat := _read(f"/proc/{name}/stat")):
            parents[int(name)] = parse_parent(stat)
    ours = _pid_namespace(os.getpid())
    found = family(parents, os.getpid())
    return sorted(pid for pid in found if _pid_namespace(pid) == ours)


def own_pss() -> int:
    """The PSS of all `own_processes`, in KiB."""
    return sum(parse_pss(_read(f"/proc/{pid}/smaps_rollup")) for pid in own_processes())
