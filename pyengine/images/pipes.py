"""Pipes between threads: bounded by bytes, and broken at both ends by an error at either."""

from __future__ import annotations

import threading
from collections import deque


class Broken(Exception):
    """Who was at the other end is there no more; why, that end knows."""


class Pipe:
    """Bytes from one thread to another, *room* of them at most, but for one piece."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._pieces: deque[bytes | memoryview] = deque()
        self._size = 0
        self._is_ended = False
        self._is_broken = False
        self._changed = threading.Condition()

    def put(self, piece: bytes | memoryview) -> None:
        """Give *piece* on, which nobody changes any more; waits for room. Raises `Broken`."""
        with self._changed:
            self._changed.wait_for(lambda: self._size < self._room or self._is_broken)
            if self._is_broken:
                raise Broken
            self._pieces.append(piece)
            self._size += len(piece)
            self._changed.notify_all()

    def get(self) -> bytes | memoryview | None:
        """The next piece, or `None` at the end; waits for it. Raises `Broken`."""
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self._is_ended or self._is_broken)
            if self._is_broken:
                raise Broken
            if not self._pieces:
                return None
            piece = self._pieces.popleft()
            self._size -= len(piece)
            self._changed.notify_all()
            return piece

    def end(self) -> None:
        """Nothing follows."""
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()

    def break_off(self) -> None:
        """Nobody goes on, at either end; what is in it is forgotten."""
        with self._changed:
            self._is_broken = True
            self._pieces.clear()
            self._changed.notify_all()
