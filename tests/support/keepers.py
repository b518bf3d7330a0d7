"""The keeper of a root, as its tests meet it."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from pyengine.containers.asking import KEEPER, connect
from pyengine.store.layout import Layout

PATIENCE = 20.0


def keeper_of(root: str) -> int:
    """The pid of the keeper; 0 where there is none."""
    line = connect(Layout(root, root), KEEPER)
    if line is None:
        return 0
    with line:
        told, _ = line.ask("ping")
    return int(told["pid"])


def end_keeper(root: str) -> None:
    """Have it leave, if there is one, and wait until it is gone; it has nothing to keep."""
    pid = keeper_of(root)
    if pid == 0:
        return
    with awaited(pid):
        line = connect(Layout(root, root), KEEPER)
        assert line is not None
        with line:
            line.ask("leave")


def kill_keeper(root: str, *, with_guard: bool = False) -> None:
    """SIGKILL, of its guard before it if that is asked for."""
    line = connect(Layout(root, root), KEEPER)
    assert line is not None
    with line:
        told, _ = line.ask("ping")
    pid, guard = int(told["pid"]), int(told["guard"])
    if not with_guard:
        with awaited(pid):
            os.kill(pid, signal.SIGKILL)
        return
    with awaited(pid), awaited(guard):
        os.kill(pid, signal.SIGSTOP)  # or it would make another
        os.kill(guard, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)


@contextmanager
def awaited(pid: int) -> Iterator[None]:
    """What is done inside ends *pid*; returns when it is gone."""
    pidfd = os.pidfd_open(pid)
    try:
        yield
        assert select.select([pidfd], [], [], PATIENCE)[0]
    finally:
        os.close(pidfd)
