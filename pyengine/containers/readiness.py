"""Waiting until a container is ready, or has no chance to be any more."""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time
from contextlib import ExitStack
from types import TracebackType

from pyengine.containers import ending
from pyengine.containers.executing import execute
from pyengine.containers.house import House
from pyengine.containers.join_options import JoinOptions
from pyengine.containers.looking import health_of, state_of
from pyengine.containers.outputs import follow, last_words
from pyengine.containers.starting import create_and_start, start_in_time
from pyengine.errors import (
    ContainerNotFound,
    InvalidRequest,
    NotReady,
    TimedOut,
    WrongState,
)
from pyengine.linux import native
from pyengine.linux.process import has_ended, open_process
from pyengine.linux.watch import Watch
from pyengine.model.health import HealthStatus, is_checked
from pyengine.model.options import ContainerOptions
from pyengine.model.readiness import Condition, Exec, Healthy, Http, Log, Port, is_met, leaves
from pyengine.model.spec import ContainerSpec

_SHORTEST, _LONGEST = 0.005, 0.25
"""Seconds between two looks at what nobody tells of: first, and after many."""

_PATIENCE = 5.0
"""Seconds for one answer of a program inside."""


def require_condition(given: object) -> Condition:
    """Raise `InvalidRequest` for what is no condition."""
    if not isinstance(given, Condition):
        raise InvalidRequest("ready", given, expected="a condition of pyengine.ready")
    return given


def create_and_await(
    house: House, options: ContainerOptions, ready: object, timeout: float | None
) -> str:
    """`create_and_start`, and wait until it is *ready*; one that is not is removed."""
    condition = require_condition(ready)
    deadline = _deadline(timeout)
    container_id = create_and_start(house, options, timeout=timeout)
    try:
        await_ready(house, container_id, condition, deadline)
    except BaseException:
        ending.abandon(house, container_id)
        raise
    return container_id


def start_and_await(
    house: House, container_id: str, ready: object, timeout: float | None, owner: str | None
) -> None:
    """`start_in_time`, and wait until it is *ready*; one that is not is ended again."""
    condition = require_condition(ready)
    deadline = _deadline(timeout)
    start_in_time(house, container_id, timeout=timeout, owner=owner)
    try:
        await_ready(house, container_id, condition, deadline)
    except BaseException:
        try:
            ending.stop(house, container_id, 0)
        except ContainerNotFound:
            pass
        raise


def _deadline(timeout: float | None) -> float | None:
    return None if timeout is None else time.monotonic() + timeout


def await_ready(
    house: House, container_id: str, condition: Condition, deadline: float | None
) -> None:
    """Wait until *condition* is true of the container that runs.

    Raises `NotReady` with its last words as soon as it ends, and when the time *deadline* (of
    `time.monotonic`) has come; `InvalidRequest`, `Unsupported` and `ExecutableNotFound` for a
    condition that cannot come true.
    """
    try:
        with ExitStack() as held:
            _await(house, container_id, condition, deadline, held)
    except (ContainerNotFound, WrongState) as error:
        raise NotReady(str(condition), why="the container ended, and is removed") from error


def _await(
    house: House, container_id: str, condition: Condition, deadline: float | None, held: ExitStack
) -> None:
    state = state_of(house, container_id)
    pidfd = open_process(state.pid, state.start_time)
    if pidfd is None:
        raise _ended(house, container_id, condition)
    held.callback(os.close, pidfd)
    beside = _Beside(house, house.catalog.record(container_id).spec, pidfd, deadline)
    observers = {
        leaf: held.enter_context(_OBSERVERS[type(leaf)](beside, leaf))
        for leaf in dict.fromkeys(leaves(condition))
    }
    poll = select.poll()
    for fd in (pidfd, *(one.fd for one in observers.values() if one.fd >= 0)):
        poll.register(fd, select.POLLIN)
    must_look = any(one.fd < 0 for one in observers.values())
    interval = _SHORTEST
    while not is_met(condition, lambda leaf: observers[leaf].has_been()):
        left = beside.left()
        if left is not None and left <= 0:
            words = last_words(house, container_id)
            raise NotReady(str(condition), words, "it took too long")
        waits = [wait for wait in (left, interval if must_look else None) if wait is not None]
        poll.poll(min(waits) * 1000 if waits else None)
        if has_ended(pidfd, 0):
            raise _ended(house, container_id, condition)
        interval = min(interval * 1.5, _LONGEST)


def _ended(house: House, container_id: str, condition: Condition) -> NotReady:
    from pyengine.containers.waiting import wait_end

    wait_end(house, container_id, None)  # then its last words are in its log
    code = state_of(house, container_id).exit_code
    why = f"the container ended with exit code {code}"
    return NotReady(str(condition), last_words(house, container_id), why)


class _Beside:
    """The container that is looked at."""

    def __init__(
        self, house: House, spec: ContainerSpec, pidfd: int, deadline: float | None
    ) -> None:
        self.house = house
        self.spec = spec
        self.pidfd = pidfd
        self._deadline = deadline

    def left(self) -> float | None:
        """Seconds that are left, `None` for any number."""
        return None if self._deadline is None else self._deadline - time.monotonic()

    def patience(self) -> float:
        """Seconds for one answer."""
        left = self.left()
        return _PATIENCE if left is None else max(min(left, _PATIENCE), 0.001)


class _Observer:
    """Knows whether one condition has been true; *fd* is readable when it may be, if not -1."""

    fd: int = -1

    def __init__(self, beside: _Beside) -> None:
        self.beside = beside
        self._has_been = False

    def has_been(self) -> bool:
        self._has_been = self._has_been or self.look()
        return self._has_been

    def look(self) -> bool:
        """Whether it is true now."""
        raise NotImplementedError

    def close(self) -> None:
        """Observe no more."""

    def __enter__(self) -> _Observer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _LogObserver(_Observer):
    """Reads the log on a thread of its own: its lines come when they come."""

    def __init__(self, beside: _Beside, wanted: Log) -> None:
        super().__init__(beside)
        self._pattern, self._missing = wanted.pattern, wanted.times
        self._is_met = False
        self._lines = follow(beside.house, beside.spec.id)
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._read, name="pyengine-ready", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._lines:
            if self._pattern.search(line.text.rstrip("\r\n")) is not None:
                self._missing -= 1
                if not self._missing:
                    os.eventfd_write(self.fd, 1)
                    self._is_met = True
                    return

    def look(self) -> bool:
        if not self._is_met:
            return False
        os.eventfd_read(self.fd)  # asked once only: what has been true stays so
        return True

    def close(self) -> None:
        self._lines.close()
        self._thread.join()
        os.close(self.fd)


class _HealthObserver(_Observer):
    def __init__(self, beside: _Beside, wanted: Healthy) -> None:
        super().__init__(beside)
        if not is_checked(beside.spec.health):
            why = "the container has no health check"
            raise InvalidRequest("ready", str(wanted), why=why, expected="health= with it")
        home = beside.house.catalog.home(beside.spec.id).path
        self._watch = Watch(home, "health.json")
        self.fd = self._watch.fileno()

    def look(self) -> bool:
        self._watch.take()
        house, spec = self.beside.house, self.beside.spec
        health = health_of(house, spec, state_of(house, spec.id))
        return health is not None and health.status is HealthStatus.HEALTHY

    def close(self) -> None:
        self._watch.close()


class _ExecObserver(_Observer):
    def __init__(self, beside: _Beside, wanted: Exec) -> None:
        super().__init__(beside)
        self._options = JoinOptions(wanted.argv)

    def look(self) -> bool:
        house, container_id = self.beside.house, self.beside.spec.id
        try:
            result = execute(house, container_id, self._options, timeout=self.beside.left())
        except (TimedOut, WrongState):  # the caller sees why
            return False
        return result.exit_code == 0


class _PortObserver(_Observer):
    """Tries from inside: what is published, and how, does not matter."""

    def __init__(self, beside: _Beside, wanted: Port | Http) -> None:
        super().__init__(beside)
        self.port = wanted.number if isinstance(wanted, Port) else wanted.port

    def look(self) -> bool:
        return any(self._try(*place) for place in _LOOPBACKS)

    def _try(self, family: socket.AddressFamily, address: str) -> bool:
        try:
            with self._socket(family) as inside:
                inside.settimeout(self.beside.patience())
                inside.connect((address, self.port))
                return self.is_answered(inside)
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EACCES):
                raise  # it would be so the next time
            return False

    def _socket(self, family: socket.AddressFamily) -> socket.socket:
        if self.beside.spec.namespaces.network == "host":
            return socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        joiner = self.beside.house.joiner
        if joiner.ids is not None:
            return socket.socket(fileno=joiner.socket_beside(self.beside.pidfd, family))
        return socket.socket(fileno=native.socket_beside(self.beside.pidfd, family))

    def is_answered(self, inside: socket.socket) -> bool:
        """Whether who is there is whom we wait for."""
        return True


_LOOPBACKS = (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")


class _HttpObserver(_PortObserver):
    def __init__(self, beside: _Beside, wanted: Http) -> None:
        super().__init__(beside, wanted)
        lines = f"GET {wanted.path} HTTP/1.1", f"Host: localhost:{wanted.port}", "Accept: */*"
        self._request = "\r\n".join((*lines, "Connection: close", "", "")).encode("ascii")
        self._status = str(wanted.status).encode()

    def is_answered(self, inside: socket.socket) -> bool:
        patience = time.monotonic() + self.beside.patience()
        inside.sendall(self._request)
        heard = b""
        while b"\n" not in heard and len(heard) < 4096 and (data := inside.recv(4096)):
            heard += data
            # who says one letter at a time does not get the time of as many answers
            inside.settimeout(max(patience - time.monotonic(), 0.001))
        words = heard.split(None, 2)
        return len(words) > 1 and words[0].startswith(b"HTTP/") and words[1] == self._status


_OBSERVERS = {
    Log: _LogObserver,
    Port: _PortObserver,
    Http: _HttpObserver,
    Healthy: _HealthObserver,
    Exec: _ExecObserver,
}
