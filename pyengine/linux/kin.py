"""Ending a program with all that it has started, where no cgroup holds them.

Such a program has been given a cgroup namespace of its own, which is no other than the one it
would be in, but for its number. Whoever it starts is born into that one; to leave it takes
CAP_SYS_ADMIN over it, which a container has only if it was asked for. So neither a double fork
nor a session of its own hides anybody.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterable

from pyengine.linux import cgroup_files as files
from pyengine.linux.processes import namesakes

_ROUNDS = 64  # a fork bomb has to be outrun
_PATIENCE = 10.0  # seconds, for who is killed and still has memory to give back

Mark = tuple[str, str]
"""What tells one program's descendants from those of others: see `mark_of`."""


def end_kin(pid: int) -> bool:
    """Kill *pid* and its descendants, and wait until they are gone; whether it bore a mark.

    Without one nobody is killed: it is that of its container, or of this process.
    """
    mark = mark_of(pid)
    inside = namesakes(pid)
    first = _first(inside)
    if mark is None or first is None or mark in (mark_of(os.getpid()), mark_of(first)):
        return False
    killed: list[int] = []
    try:
        for _ in range(_ROUNDS):
            kin = [each for each in inside if mark_of(each) == mark]
            if not kin:
                break
            for each in kin:
                _kill(each, mark, killed)
            inside = namesakes(first)
        _await(killed)
    finally:
        for pidfd in killed:
            os.close(pidfd)
    return True


def mark_of(pid: int) -> Mark | None:
    """The cgroup namespace of *pid*, and the time namespace of its children; None: it has ended.

    The second is for containers that share the host's cgroup namespace.
    """
    try:
        return (
            os.readlink(f"/proc/{pid}/ns/cgroup"),
            os.readlink(f"/proc/{pid}/ns/time_for_children"),
        )
    except OSError:
        return None


def _first(pids: Iterable[int]) -> int | None:
    """Which of *pids* is process 1 in its pid namespace."""
    return next((pid for pid in pids if _number_inside(pid) == b"1"), None)


def _number_inside(pid: int) -> bytes:
    status = files.read_or_none(f"/proc/{pid}/status") or b""
    return status.partition(b"\nNSpid:")[2].partition(b"\n")[0].rpartition(b"\t")[2]


def _kill(pid: int, mark: Mark, killed: list[int]) -> None:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    killed.append(pidfd)
    if mark_of(pid) == mark:  # the number may have become somebody else's meanwhile
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        except ProcessLookupError:
            return


def _await(pidfds: Iterable[int]) -> None:
    deadline = time.monotonic() + _PATIENCE
    for pidfd in pidfds:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
