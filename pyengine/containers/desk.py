"""One owner's desk: a socket where others ask it for what only the watcher can do.

Who comes is let in by the supervisor, and then served by a thread of his own, so that nobody
who is slow, and nothing that takes its time, keeps a program's output waiting.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import weakref
from collections.abc import Iterator
from contextlib import suppress

from pyengine.containers import desk_protocol as protocol
from pyengine.containers import errands, packets
from pyengine.containers.asking import identity_of
from pyengine.containers.desk_protocol import HELLO_TIME, REQUEST_TIME
from pyengine.containers.house import House
from pyengine.containers.pump import KEEP
from pyengine.errors import EngineError, InUse, InvalidRequest, KernelError

CONNECTIONS = 256
"""Who may stand at one desk at once."""


class Desk:
    """The desk of *house*; it is open once it is made. Raises `OSError`."""

    is_over = False

    def __init__(self, house: House) -> None:
        self.name = f"{house.catalog.owner}.sock"
        self.is_leaving = False
        self._house = house
        self._lines: set[socket.socket] = set()
        self._changed = threading.Condition()
        os.makedirs(house.layout.desks, 0o700, exist_ok=True)
        self._place = os.open(house.layout.desks, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        try:
            self._door.setblocking(False)
            self._door.bind(f"/proc/self/fd/{self._place}/{self.name}")
            self._door.listen(CONNECTIONS)
        except OSError:
            self._door.close()
            os.close(self._place)
            raise
        _open.add(self)

    # --- watched ---

    def interests(self) -> Iterator[tuple[int, int]]:
        """The door."""
        yield self._door.fileno(), select.POLLIN

    def ready(self, _fd: int) -> int:
        """Somebody is at the door."""
        self.admit()
        return KEEP

    def is_paused(self, _fd: int) -> bool:
        """It never is."""
        return False

    def finish(self) -> None:
        """It is never over: see `close`."""

    # --- who comes ---

    def admit(self) -> bool:
        """Let in whoever waits at the door; whether there is anybody then."""
        while True:
            try:
                line, _ = self._door.accept()
            except OSError:  # nobody (more), or he has left, or no room for his descriptor
                return bool(self._lines)
            with self._changed:
                if len(self._lines) >= CONNECTIONS:
                    line.close()
                    continue
                self._lines.add(line)
            threading.Thread(
                target=self._serve, args=(line,), name="pyengine-desk", daemon=True
            ).start()

    def _serve(self, line: socket.socket) -> None:
        try:
            if packets.peer_uid(line) in (0, os.geteuid()):
                self._greet(line)
                while self._answer(line):
                    pass
        except (OSError, EngineError):  # he has left, or does not know how to behave
            pass
        finally:
            line.close()
            with self._changed:
                self._lines.discard(line)
                self._changed.notify_all()

    def _greet(self, line: socket.socket) -> None:
        line.settimeout(HELLO_TIME)
        data, fds = packets.receive(line)
        packets.close(fds)
        kind = "keeper" if self._house.keeps else "process"
        packets.send(line, protocol.pack_hello(kind=kind))
        if protocol.unpack_hello(data).root != identity_of(self._house.layout):
            raise InvalidRequest("root", "another", expected="ours")

    def _answer(self, line: socket.socket) -> bool:
        """Serve one request; whether there may be more."""
        line.settimeout(REQUEST_TIME)
        data, fds = packets.receive(line)
        if not data:
            return False
        given: tuple[int, ...] = ()
        try:
            request = protocol.unpack(data)
            if request.do == "leave":
                self._leave(request.id)
                told: dict[str, object] = {}
            else:
                told, given = errands.run(self._house, request, fds)
            answer = protocol.pack_answer(told)
        except EngineError as error:
            answer = protocol.pack_error(error)
        except Exception as error:  # noqa: BLE001  (who asked is told, whatever it was)
            answer = protocol.pack_error(KernelError(0, f"serve it: {error!r}"))
        finally:
            packets.close(fds)
        try:
            packets.send(line, answer, given)
        finally:
            for fd in given:
                os.close(fd)
        return True

    # --- leaving ---

    def _leave(self, _container_id: str) -> None:
        if not self._house.keeps:
            raise InvalidRequest("leave", "a process", expected="a keeper")
        if any(not one.done.is_set() for one in list(self._house.running.values())):
            raise InUse("keeper", str(os.getpid()), tuple(self._house.running))
        with self._changed:
            self.is_leaving = True
            self._changed.notify_all()

    def wait_quiet(self, seconds: float) -> bool:
        """Wait until nobody has been here for so long, or it shall leave; whether that is so."""
        with self._changed:
            while not self.is_leaving or self._lines:
                if not self._changed.wait(None if self._lines else seconds):
                    return not self._lines
            return True

    def close(self) -> None:
        """Let nobody in any more, and send away who is there."""
        _open.discard(self)
        with suppress(OSError):  # it is gone, or our guard and the next opener try again
            os.unlink(self.name, dir_fd=self._place)
        self._door.close()
        os.close(self._place)
        with self._changed:
            for line in self._lines:
                with suppress(OSError):  # he is about to leave himself
                    line.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._lines, timeout=REQUEST_TIME)

    def close_in_fork(self) -> None:
        """In a fork: who asks after our end shall be refused, not wait for the child."""
        self._door.close()
        os.close(self._place)


_open: weakref.WeakSet[Desk] = weakref.WeakSet()


def _close_all_in_fork() -> None:
    for desk in list(_open):
        desk.close_in_fork()
    _open.clear()


os.register_at_fork(after_in_child=_close_all_in_fork)
