"""What the owner of a desk does for who asks: one function a verb."""

from __future__ import annotations

import json
import os
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pyengine.containers import attaching, changing, joining, starting
from pyengine.containers.attaching import Attachment
from pyengine.containers.desk_protocol import (
    END,
    ERR,
    IN,
    LEAVE,
    OUT,
    PIECE,
    RESIZE,
    Request,
    frame,
    frames,
    read_size,
)
from pyengine.containers.house import House
from pyengine.containers.join_options import JoinOptions
from pyengine.errors import EngineError, InvalidRequest, Unsupported, WrongState
from pyengine.linux.terminal import set_window_size
from pyengine.model.codec import from_plain, to_plain
from pyengine.version import __version__

Answer = tuple[dict[str, object], tuple[int, ...]]
"""What is told, and descriptors that are given away."""


def run(house: House, request: Request, fds: list[int]) -> Answer:
    """Do what is asked. *fds* came with it; what an errand keeps of them it duplicates.

    Raises what its function raises, `InvalidRequest` and `Unsupported`.
    """
    errand = _ERRANDS.get(request.do)
    if errand is None:
        raise Unsupported(request.do, f"this owner is version {__version__}", "use that version")
    return errand(house, request, fds)


def _ping(house: House, _request: Request, _fds: list[int]) -> Answer:
    return {"pid": os.getpid(), "guard": house.guard.pid, "containers": len(house.running)}, ()


def _start(house: House, request: Request, fds: list[int]) -> Answer:
    if not house.keeps:
        raise InvalidRequest("start", "a process", expected="a keeper")
    running = starting.start(house, request.id, owner="none", stdin=fds[0] if fds else None)
    if running is None:
        return {"pid": 0}, ()
    unenforced = [one.args for one in running.cgroup.enforced.unenforced]
    return {"pid": running.born.pid, "unenforced": unenforced}, ()


def _restart(house: House, request: Request, _fds: list[int]) -> Answer:
    timeout, signal = request.fields.get("timeout"), request.fields.get("signal")
    if isinstance(timeout, bool) or not isinstance(timeout, int | float | None):
        raise InvalidRequest("timeout", timeout, expected="seconds")
    _require_ours(house, request.id, "restart")
    changing.restart(house, request.id, timeout, signal)
    return {}, ()


def _resize(house: House, request: Request, _fds: list[int]) -> Answer:
    _require_ours(house, request.id, "resize")
    rows, columns = (_number(request, name) for name in ("rows", "columns"))
    attaching.resize(house, request.id, rows, columns)
    return {}, ()


def _exec(house: House, request: Request, _fds: list[int]) -> Answer:
    """Put a program inside that nobody listens to."""
    _require_ours(house, request.id, "execute in")
    try:
        options = from_plain(JoinOptions, request.fields.get("options"))
    except ValueError as error:
        raise InvalidRequest("options", "these", why=str(error)) from error
    return {"pid": joining.join_unheard(house, request.id, options)}, ()


def _attach(house: House, request: Request, _fds: list[int]) -> Answer:
    wishes = {name: _flag(request, name) for name in ("stdout", "stderr", "logs")}
    running = house.running.get(request.id)
    attachment = attaching.attach(house, request.id, **wishes, asks=False)
    ours, theirs = socket.socketpair()
    _Visitor(attachment, ours)
    return {"pid": running.born.pid if running is not None else 0}, (theirs.detach(),)


def _watch(house: House, request: Request, _fds: list[int]) -> Answer:
    """See to what an owner shares with others when its process has ended."""
    if not house.keeps:
        raise InvalidRequest("watch", "a process", expected="a keeper")
    from pyengine.containers import sharing

    sharing.watch(house, str(request.fields.get("owner")))
    return {}, ()


_ERRANDS: dict[str, Callable[[House, Request, list[int]], Answer]] = {
    "ping": _ping,
    "start": _start,
    "restart": _restart,
    "resize": _resize,
    "exec": _exec,
    "attach": _attach,
    "watch": _watch,
}


def _require_ours(house: House, container_id: str, action: str) -> None:
    if container_id not in house.running:
        record = house.catalog.record(container_id)
        raise WrongState(record.spec.name, "not watched here", action, "ask again")


def _number(request: Request, name: str) -> int:
    value: Any = request.fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 31:
        raise InvalidRequest(name, value, expected="a number")
    return value


def _flag(request: Request, name: str) -> bool:
    value = request.fields.get(name, False)
    if not isinstance(value, bool):
        raise InvalidRequest(name, value, expected="true or false")
    return value


class _Visitor:
    """Somebody attached from another process: one thread speaks to him, one listens."""

    def __init__(self, attachment: Attachment, line: socket.socket) -> None:
        self._attachment = attachment
        self._line = line
        self._users = 2
        self._lock = threading.Lock()
        self._stdin = -1
        for work in (self._speak, self._listen):
            threading.Thread(
                target=self._run, args=(work,), name="pyengine-visitor", daemon=True
            ).start()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (OSError, EngineError):  # he has left, or does not know how to behave
            pass
        finally:
            self._attachment.detach()
            with self._lock:
                self._users -= 1
                if self._users:
                    with suppress(OSError):  # he has left
                        self._line.shutdown(socket.SHUT_RDWR)  # the other thread sees the end
                else:
                    self._line.close()

    def _speak(self) -> None:
        while (chunk := self._attachment.next()) is not None:
            kind = ERR if chunk.stream == "stderr" else OUT
            time_ns = round(chunk.time * 1e9)
            for at in range(0, len(chunk.data), PIECE):
                self._line.sendall(frame(kind, chunk.data[at : at + PIECE], time_ns))
        running = self._attachment.running
        if running is not None and running.done.wait(1.0):
            told = {**to_plain(running.exit), "usage": to_plain(running.usage)}
            self._line.sendall(frame(END, json.dumps(told).encode()))

    def _listen(self) -> None:
        buffer = bytearray()
        try:
            while data := self._line.recv(PIECE):
                buffer += data
                for kind, piece, _ in frames(buffer):
                    if kind == LEAVE:
                        return
                    self._take(kind, piece)
        finally:
            if self._stdin >= 0:
                os.close(self._stdin)

    def _take(self, kind: int, piece: bytes) -> None:
        running = self._attachment.running
        if running is None:
            return
        if kind == RESIZE and running.terminal >= 0:
            set_window_size(running.terminal, *read_size(piece))
        elif kind == IN and piece:
            if self._stdin < 0:
                self._stdin = running.open_stdin()
            if self._stdin >= 0:
                _write(self._stdin, piece)
        elif kind == IN:
            fd, self._stdin = self._stdin, -1
            if fd >= 0:
                os.close(fd)
            running.close_stdin()


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:  # somebody else who feeds it does not wait
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll()
