"""The guard beside this process: what it is told, and what is done when it is killed."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from pyengine.containers.pump import KEEP
from pyengine.errors import EngineError
from pyengine.linux import native
from pyengine.linux import native_guard as words
from pyengine.linux.cgroup import Hierarchy
from pyengine.store.layout import Layout
from pyengine.store.owners import STAGED


class _Company(Protocol):
    def accompany(self, watched: Guard) -> None: ...
    def part(self, fd: int) -> None: ...


class Guard:
    """Ends and buries what this process leaves when it dies, in whatever way: see csrc/guard.c.

    It is told once what that is, and again when it was killed; a container costs it nothing.
    Nothing is raised where there can be no guard: containers are tied to this process besides,
    and whoever opens the root next finds the rest.
    """

    is_over = False

    def __init__(
        self,
        layout: Layout,
        hierarchy: Hierarchy,
        company: _Company,
        log: Callable[[str, object], object],
    ) -> None:
        self._layout = layout
        self._hierarchy = hierarchy
        self._company = company
        self._log = log
        self._lock = threading.Lock()
        self._process: words.GuardProcess | None = None
        self.owner = ""  # the name of our owner directory, once it has one
        self._told: list[tuple[int, str, str]] = []
        self._held: dict[int, int] = {}
        self._users = -1
        self._kept: dict[int, int] = {}
        self._door: socket.socket | None = None

    # --- its life ---

    def start(self, owner: str) -> None:
        """Have a guard for the owner directory *owner*, which is about to be made."""
        with self._lock:
            process, self._process = self._process, None
            if process is not None:  # of an owner directory that could not be made
                self._company.part(process.pidfd)
                process.dismiss()
            self.owner = owner
            self._told = [
                *((words.TREE, tree, path[1:]) for tree, path in self._hierarchy.levels(owner)),
                (words.LINKS, self._layout.names, ""),
                (words.FILE, self._layout.owners, f"{STAGED}{owner}"),  # killed while it is made
            ]
            self._start()

    def ensure(self) -> None:
        """Make another if it was killed; next to nothing if not."""
        process = self._process
        if self.owner and (process is None or process.has_ended()):
            self._restart()

    def close(self) -> None:
        """All is put right: let it go, and wait until it is gone."""
        with self._lock:
            process, self._process = self._process, None
            owner, self.owner = self.owner, ""
            held, self._held = self._held, {}
            users, self._users = self._users, -1
            kept, self._kept = self._kept, {}
            door, self._door = self._door, None
        for fd in (*held.values(), *kept.values(), *((users,) if users >= 0 else ())):
            os.close(fd)
        if process is not None:
            process.dismiss()
        if door is not None:
            from pyengine.containers import handover

            handover.close_door(self._layout, owner, door)

    @property
    def pid(self) -> int:
        """The pid of the guard; 0 where there is none."""
        process = self._process
        return 0 if process is None else process.pid

    # --- more to end ---

    def each_in(self, parent: str) -> None:
        """Our containers may have cgroups right below *parent*, ``/a/b``, in every tree."""
        trees = {self._hierarchy.v2, *self._hierarchy.v1.values()} - {None}
        self._add(*((words.EACH, str(tree), parent[1:]) for tree in trees))

    def bury(self, directory: str, name: str) -> None:
        """*name* in *directory* goes with us."""
        self._add((words.FILE, directory, name))

    def know_users(self, users: int) -> None:
        """Files of the users of *users*, a user namespace by its fd, are to be buried too."""
        with self._lock:
            if self._users >= 0:
                return
            self._users = os.dup(users)
            if self._process is not None:
                self._process.tell(words.USERS, fds=(users,))

    def hold(self, key: int, pidfd: int) -> None:
        """Kill a process that is in no cgroup, until `drop`. *key* is a number of its, not 0."""
        with self._lock:
            self._held[key] = os.dup(pidfd)
            if self._process is not None:
                self._process.tell(words.HOLD, fds=(pidfd,), key=key)

    def drop(self, key: int) -> None:
        """What was held has ended."""
        with self._lock:
            pidfd = self._held.pop(key, None)
            if pidfd is None:
                return
            os.close(pidfd)
            if self._process is not None:
                self._process.tell(words.DROP, key=key)

    # --- what outlives us ---

    def open_door(self) -> None:
        """Let who comes after us have, when we are dead, what was kept. Raises `OSError`."""
        from pyengine.containers import handover

        with self._lock:
            if self._door is None:
                self._door = handover.open_door(self._layout, self.owner)
                if self._process is not None:
                    self._tell_door(self._process, self._door)

    def keep(self, key: int, fd: int) -> None:
        """Keep *fd* open for who comes after us, until `unkeep`. *key* is not 0."""
        with self._lock:
            if key in self._kept or self._door is None:
                return
            self._kept[key] = os.dup(fd)
            if self._process is not None:
                self._process.tell(words.KEEP, fds=(fd,), key=key)

    def unkeep(self, key: int) -> None:
        """Nobody will need what is kept as *key*, if anything is."""
        with self._lock:
            fd = self._kept.pop(key, None)
            if fd is None:
                return
            os.close(fd)
            if self._process is not None:
                self._process.tell(words.UNKEEP, key=key)

    def _tell_door(self, process: words.GuardProcess, door: socket.socket) -> None:
        from pyengine.containers import handover

        place = _open(self._layout.desks)
        try:
            name = handover.door_of(self.owner)
            process.tell(words.DOOR, name, (door.fileno(), place))
        finally:
            os.close(place)

    def _add(self, *more: tuple[int, str, str]) -> None:
        with self._lock:
            for word in more:
                if word not in self._told:
                    self._told.append(word)
                    if self._process is not None:
                        self._tell(self._process, *word)

    # --- as the supervisor sees it ---

    def interests(self) -> Iterator[tuple[int, int]]:
        """Its pidfd, if it has one."""
        process = self._process
        if process is not None:
            yield process.pidfd, select.POLLIN

    def ready(self, fd: int) -> int:
        """It was killed."""
        self.ensure()
        return KEEP

    def is_paused(self, fd: int) -> bool:
        """Never."""
        return False

    def finish(self) -> None:
        """It is never over before its owner is."""

    # --- starting and telling ---

    def _restart(self) -> None:
        with self._lock:
            process = self._process
            if process is not None:
                if not process.has_ended():  # somebody else was quicker
                    return
                self._company.part(process.pidfd)
                process.let_go()
                self._process = None
            if self.owner:
                self._start()

    def _start(self) -> None:
        try:
            process = words.GuardProcess()
        except (EngineError, OSError) as error:
            self._log("no guard: %s", error)
            return
        try:
            self._tell_all(process)
        except OSError as error:
            self._log("no guard: %s", error)
            process.dismiss()
            return
        self._process = process
        self._company.accompany(self)

    def _tell_all(self, process: words.GuardProcess) -> None:
        owners = _open(self._layout.owners)
        try:
            process.tell(words.OWNER, self.owner, (native.own_pidfd(os.getpid()), owners))
        finally:
            os.close(owners)
        if self._users >= 0:
            process.tell(words.USERS, fds=(self._users,))
        for word in self._told:
            self._tell(process, *word)
        for key, pidfd in self._held.items():
            process.tell(words.HOLD, fds=(pidfd,), key=key)
        if self._door is not None:
            self._tell_door(process, self._door)
        for key, fd in self._kept.items():
            process.tell(words.KEEP, fds=(fd,), key=key)

    def _tell(self, process: words.GuardProcess, op: int, directory: str, text: str) -> None:
        try:
            fd = _open(directory)
        except FileNotFoundError:  # then there is nothing to bury there
            return
        try:
            process.tell(op, text, (fd,))
        finally:
            os.close(fd)


def _open(directory: str) -> int:
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
