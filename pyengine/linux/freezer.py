"""Freezing, and ending, all processes of one cgroup directory, in version 2 or version 1."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable

from pyengine.errors import KernelError
from pyengine.linux import cgroup_files as files


def set_frozen(v2: str | None, v1: str | None, frozen: bool) -> None:
    """Ask for it; the kernel takes a moment. A cgroup that is gone is no error."""
    if v2 is not None:
        path, content = v2 + "/cgroup.freeze", b"1" if frozen else b"0"
    elif v1 is not None:
        path, content = v1 + "/freezer.state", b"FROZEN" if frozen else b"THAWED"
    else:
        return
    try:
        files.write(path, content)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise KernelError(error.errno or errno.EIO, f"write {path}") from error


def is_frozen(v2: str | None, v1: str | None) -> bool:
    """Whether every process stands still."""
    if v2 is not None:
        return files.events(v2).get("frozen") == 1
    state = files.read_or_none(v1 and v1 + "/freezer.state")
    return state is not None and state.strip() == b"FROZEN"


def wait_frozen(v2: str | None, v1: str | None, timeout: float) -> bool:
    """Wait until all stand still, at most *timeout* seconds."""
    if v2 is not None:
        return files.wait_for_event(v2, "frozen", 1, timeout)
    return files.wait_until(lambda: is_frozen(None, v1), timeout)


def kill_all(v2: str) -> bool:
    """End everything in a version 2 cgroup at once; whether that could be done.

    Linux before 5.14 cannot: who is in there has to be ended one by one then.
    """
    try:
        files.write(v2 + "/cgroup.kill", b"1")
    except FileNotFoundError:
        return not os.path.isdir(v2)
    except OSError as error:
        return error.errno == errno.ENODEV  # it is gone, and who was in it
    return True


def kill_each(v2: str | None, v1: str | None, processes: Callable[[], list[int]]) -> None:
    """End the processes one by one, standing still so that none forks meanwhile."""
    if not processes():
        return
    if v2 is not None or v1 is not None:
        set_frozen(v2, v1, True)
        wait_frozen(v2, v1, 0.5)
    try:
        for _ in range(64):  # where nothing freezes, a fork bomb has to be outrun
            alive = processes()
            if not alive:
                return
            for process in alive:
                _kill(process, processes)
            set_frozen(v2, v1, False)
    finally:
        set_frozen(v2, v1, False)


def _kill(process: int, processes: Callable[[], list[int]]) -> None:
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        # the number may have become somebody else's between reading and opening it
        if process in processes():
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)
