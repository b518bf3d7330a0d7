"""Places in a running container for programs that join it: a cgroup each, to end them as one."""

from __future__ import annotations

import os
import threading

from attrs import define

from pyengine.errors import KernelError
from pyengine.linux.cgroup import Cgroup

_MOST_SPARE = 8


@define(eq=False)
class Seat:
    """A cgroup below the container's, with the descriptors that a child joins it by."""

    cgroup: Cgroup
    tasks: tuple[int, ...]
    v2: int
    events: int  # its cgroup.events, where there is one

    @classmethod
    def make(cls, container: Cgroup) -> Seat:
        """A new one. Raises `KernelError`, and `FileNotFoundError` where the container is gone."""
        cgroup = container.child(f"exec-{os.urandom(6).hex()}")
        tasks = tuple(cgroup.join_fds())
        v2 = cgroup.v2_fd()
        if v2 is None:
            return cls(cgroup, tasks, -1, -1)
        events = os.open(f"{cgroup.v2_path}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        return cls(cgroup, tasks, v2, events)

    @property
    def is_nowhere(self) -> bool:
        """Whether no cgroup holds who sits here."""
        return self.v2 < 0 and not self.tasks

    def is_empty(self) -> bool:
        """Whether it is there, and nobody lives in it."""
        if self.events < 0:
            return not self.cgroup.is_populated()
        try:
            return b"populated 0" in os.pread(self.events, 128, 0)
        except OSError:  # ENODEV: the container has ended, and it went with that
            return False

    def let_go(self) -> None:
        """Close the descriptors; the cgroup stays."""
        for fd in (*self.tasks, self.v2, self.events):
            if fd >= 0:
                os.close(fd)
        self.tasks, self.v2, self.events = (), -1, -1

    def remove(self) -> None:
        """Close and remove it; one in which somebody still lives goes with the container."""
        self.let_go()
        try:
            self.cgroup.remove(timeout=0)
        except KernelError:
            return


class Seats:
    """The seats of one container: an empty one is used again, which saves making it anew."""

    def __init__(self, container: Cgroup) -> None:
        self._container = container
        self._lock = threading.Lock()
        self._spare: list[Seat] = []
        self._closed = False

    def take(self) -> Seat:
        """A seat for one program."""
        with self._lock:
            if self._spare:
                return self._spare.pop()
        return Seat.make(self._container)

    def give_back(self, seat: Seat) -> None:
        """It is empty, and nobody was killed in it: the next program may have it."""
        with self._lock:
            if not self._closed and len(self._spare) < _MOST_SPARE:
                self._spare.append(seat)
                return
        seat.remove()

    def close(self) -> None:
        """The container has ended: let go of all; their cgroups are removed with its own."""
        with self._lock:
            self._closed = True
            spare, self._spare = self._spare, []
        for seat in spare:
            seat.let_go()
