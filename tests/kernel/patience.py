"""Waiting for what a container comes to, and a clock that moves only when told."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable

from pyengine import Container, ContainerInfo, Engine
from pyengine.containers.alarms import Alarms
from pyengine.linux.watch import Watch


def until(container: Container, is_true: Callable[[ContainerInfo], bool]) -> ContainerInfo:
    """The container as soon as *is_true* of it; each change of it is a file beside its root."""
    home = os.path.dirname(container.inspect().root)
    with Watch(home, "") as watch:
        poll = select.poll()
        poll.register(watch, select.POLLIN)
        while not is_true(info := container.inspect()):
            assert poll.poll(10_000), info
            watch.take()
    return info


class Clock:
    """The time by which an engine restarts and checks its containers."""

    def __init__(self, engine: Engine) -> None:
        self.time = 0.0
        self._house = engine._house
        self._house.alarms = self.alarms = Alarms(lambda: self.time)

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.time += seconds
        self.alarms.look()

    def wait_idle(self) -> None:
        """Wait until everything that was due by now is done."""
        done = threading.Event()
        self.alarms.after(0, done.set)
        assert done.wait(10)

    def delay(self, container: Container) -> float:
        """How long the container waits to start again."""
        return self._house.delays[container.id].seconds
