"""Processes: told apart by pid and start time, signalled by pidfd."""

from __future__ import annotations

import os
import select
import signal

from pyengine.errors import KernelError


def start_time(pid: int) -> int:
    """When *pid* started, in clock ticks since boot; 0 if there is no such process.

    It says who a process is, not whether it lives: one whose first thread has ended looks like
    a zombie here, and goes on. Field 22 of proc_pid_stat(5).
    """
    fields = _stat(pid)
    return int(fields[19]) if len(fields) > 19 else 0


def parent_of(pid: int) -> int | None:
    """The pid of its parent, 0 if that is outside our pid namespace; `None`: it is gone."""
    fields = _stat(pid)
    return int(fields[1]) if len(fields) > 1 else None


def _stat(pid: int) -> list[bytes]:
    """The fields after the name, which may hold anything, parentheses too."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return []
    try:
        data = os.read(fd, 1024)
    except ProcessLookupError:
        return []
    finally:
        os.close(fd)
    return data[data.rfind(b")") + 2 :].split()


def is_alive(pid: int, started: int) -> bool:
    """Whether *pid* is still the process that started then, and has not ended."""
    pidfd = open_process(pid, started)
    if pidfd is None:
        return False
    os.close(pidfd)
    return True


def open_process(pid: int, started: int) -> int | None:
    """A pidfd of the process that started then; ``None`` if it has ended."""
    if pid <= 0:
        return None
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        return None
    # looked at after the pidfd holds it: no reuse in between
    if start_time(pid) != started or has_ended(pidfd):
        os.close(pidfd)
        return None
    return pidfd


def send_signal(pidfd: int, number: int) -> bool:
    """Send signal *number*; whether there was anybody to send it to."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    except OSError as error:
        raise KernelError(error.errno or 0, f"send signal {number}") from error
    return True


def has_ended(pidfd: int, timeout: float | None = 0.0) -> bool:
    """Whether the process behind *pidfd* has ended, waiting at most *timeout* seconds."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(None if timeout is None else max(0.0, timeout) * 1000))


def pid_namespace() -> int:
    """The number of this process's pid namespace."""
    return os.stat("/proc/self/ns/pid").st_ino


def raise_limit(pid: int, number: int, hard: int) -> None:
    """Let *pid* have as much as *hard*, -1 for all, of the resource limit RLIMIT *number*.

    Who has no right to do that leaves it as it is: the process will be told, when it tries.
    """
    import resource

    try:
        soft, now = resource.prlimit(pid, number)
        if now != -1 and (hard == -1 or hard > now):
            resource.prlimit(pid, number, (soft, hard))
    except (PermissionError, ProcessLookupError):
        return


def set_oom_score(pid: int, score: int) -> None:
    """Say how soon *pid* is killed when memory is short (proc_pid_oom_score_adj(5))."""
    try:
        with open(f"/proc/{pid}/oom_score_adj", "w", encoding="ascii") as file:
            file.write(str(score))
    except OSError as error:
        raise KernelError(error.errno or 0, f"set oom_score_adj to {score}") from error
