"""A container's own program that another process watches, at the end of a line."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from typing import Protocol

from pyengine.containers.desk_protocol import (
    END,
    IN,
    LEAVE,
    PIECE,
    STREAMS,
    frame,
    frames,
    size_frame,
)
from pyengine.errors import InvalidRequest
from pyengine.model.codec import from_plain
from pyengine.model.state import ExitStatus
from pyengine.model.usage import Usage


class Hearer(Protocol):
    """Who hears what the program says: an `Inbox`."""

    def hear(self, stream: str, data: bytes, time_ns: int) -> bool:
        """Take it; False: that is all for now."""

    def end(self) -> None:
        """There will be no more."""


class RemoteProgram:
    """The streams of such a program; `done` is set when they are at their end.

    *exit* is how it ended and *usage* what it used, where its watcher has told.
    """

    def __init__(self, line: socket.socket, pid: int) -> None:
        self.pid = pid
        self.done = threading.Event()
        self.exit: ExitStatus | None = None
        self.usage = Usage()
        self._line = line
        self._lock = threading.Lock()
        self._room = threading.Event()
        self._is_closed = False
        line.setblocking(True)

    def bind(self, hearer: Hearer) -> None:
        """Let *hearer* hear it, from a thread that ends with the program."""
        threading.Thread(
            target=self._listen, args=(hearer,), name="pyengine-attached", daemon=True
        ).start()

    def unpause(self) -> None:
        """The hearer has room again."""
        self._room.set()

    def _listen(self, hearer: Hearer) -> None:
        buffer = bytearray()
        try:
            while data := self._line.recv(PIECE):
                buffer += data
                for kind, piece, time_ns in frames(buffer):
                    self._take(hearer, kind, piece, time_ns)
        except (OSError, InvalidRequest):
            pass
        finally:
            self._close()
            hearer.end()
            self.done.set()

    def _take(self, hearer: Hearer, kind: int, piece: bytes, time_ns: int) -> None:
        if kind in STREAMS:
            self._room.clear()
            if not hearer.hear(STREAMS[kind], piece, time_ns) and not self._is_closed:
                self._room.wait()
        elif kind == END:
            try:
                told = json.loads(piece)
                self.usage = from_plain(Usage, told.pop("usage"))
                self.exit = from_plain(ExitStatus, told)
            except (ValueError, AttributeError, KeyError):
                return

    def write(self, data: bytes) -> None:
        """Hand *data* to the program. Raises `BrokenPipeError` once it has ended."""
        for at in range(0, len(data), PIECE):
            self._send(frame(IN, data[at : at + PIECE]))

    def close_stdin(self) -> None:
        """Let the program see the end of its input."""
        try:
            self._send(frame(IN))
        except BrokenPipeError:
            return

    def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal how large it is."""
        self._send(size_frame(rows, columns))

    def leave(self) -> None:
        """Hear no more; the program goes on."""
        try:
            self._send(frame(LEAVE))
        except BrokenPipeError:
            pass
        with self._lock:
            if not self._is_closed:
                with suppress(OSError):  # its watcher has left
                    self._line.shutdown(socket.SHUT_RDWR)
        self._room.set()

    def _send(self, data: bytes) -> None:
        with self._lock:
            if self._is_closed:
                raise BrokenPipeError("the program has ended, or its watcher")
            try:
                self._line.sendall(data)
            except OSError as error:
                raise BrokenPipeError("the program has ended, or its watcher") from error

    def _close(self) -> None:
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._line.close()
