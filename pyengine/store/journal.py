"""A file to which many processes append lines, and from which many read what the others wrote.

Nobody waits for anybody: a line is one write(2) to a file opened for appending, which the kernel
keeps apart from others'. Who finds the file full moves it aside; who is late with a line then
writes to the old one, so readers follow both.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterable, Iterator

from attrs import define

from pyengine.errors import NoSpace, StoreError
from pyengine.store import records

NAME = "log"
"""What every name in the directory begins with."""

FULL = 4 << 20
"""Bytes after which the file is moved aside: it and its predecessor are what is remembered."""

_OLD = f"{NAME}.1"
_CHUNK = 1 << 18
_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Journal:
    """The writing end, of the journal in *directory*."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._is_torn = False  # whether the last line lacks its end: the disk was full

    def append(self, lines: Iterable[bytes]) -> None:
        """Write *lines*, each with its newline. Raises `StoreError`; lines may be missing then."""
        path = f"{self.directory}/{NAME}"
        try:
            fd = self._open(path)
            try:
                for line in lines:
                    self._write(path, fd, line)
                is_full = os.fstat(fd).st_size > FULL
                if is_full:
                    self._move_aside(path, fd)
            finally:
                os.close(fd)
        except OSError as error:
            records.refuse(path, error)

    def _open(self, path: str) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _FLAGS
        try:
            fd = os.open(path, flags, 0o600)
        except FileNotFoundError:
            os.makedirs(self.directory, 0o700, exist_ok=True)
            fd = os.open(path, flags, 0o600)
        return _regular(path, fd)

    def _write(self, path: str, fd: int, line: bytes) -> None:
        if self._is_torn:  # what is not whole shall not spoil what comes after it
            line = b"\n" + line
        self._is_torn = os.write(fd, line) != len(line)
        if self._is_torn:
            raise NoSpace(path, "no space left on the device", "free some")

    def _move_aside(self, path: str, fd: int) -> None:
        """One does it; the others need not wait for that."""
        directory = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                os.rename(path, f"{self.directory}/{_OLD}")
        except (BlockingIOError, FileNotFoundError):
            return
        finally:
            os.close(directory)


@define(eq=False)
class _Part:
    """One of the files, held open: its number is nobody else's as long as it is."""

    fd: int
    at: int = 0

    def is_at(self, path: str) -> bool:
        try:
            return os.path.samestat(os.fstat(self.fd), os.lstat(path))
        except FileNotFoundError:
            return False

    def is_same(self, other: _Part) -> bool:
        return os.path.samestat(os.fstat(self.fd), os.fstat(other.fd))


class JournalReader:
    """The reading end: from the beginning of what is remembered, or from now on."""

    def __init__(self, directory: str, *, from_now: bool = False) -> None:
        self._directory = directory
        self._parts: list[_Part] = []
        try:
            self._look_for_parts()
        except BaseException:
            self.close()
            raise
        for part in self._parts if from_now else ():
            part.at = os.fstat(part.fd).st_size

    def read(self) -> list[bytes]:
        """The lines that have come since the last time. Raises `StoreError`."""
        gone = self._look_for_parts()
        try:
            return [line for part in (*gone, *self._parts) for line in _lines(part)]
        finally:
            for part in gone:
                os.close(part.fd)

    def close(self) -> None:
        """Read no more."""
        while self._parts:
            os.close(self._parts.pop().fd)

    def _look_for_parts(self) -> list[_Part]:
        """Open what is new; what has lost its name is answered, to be read to its end."""
        known, self._parts = self._parts, []
        for found in _open_parts(self._directory):
            part = next((one for one in known if one.is_same(found)), found)
            if part is not found:
                os.close(found.fd)
            self._parts.append(part)
        return [part for part in known if part not in self._parts]


def _open_parts(directory: str) -> list[_Part]:
    """The files there are, the older one first, as they were at one moment."""
    while True:
        newest = _open_part(f"{directory}/{NAME}")
        try:
            older = _open_part(f"{directory}/{_OLD}")
        except StoreError:
            if newest is not None:
                os.close(newest.fd)
            raise
        parts = [part for part in (older, newest) if part is not None]
        if newest is None or newest.is_at(f"{directory}/{NAME}"):
            return parts
        for part in parts:  # moved aside meanwhile
            os.close(part.fd)


def _open_part(path: str) -> _Part | None:
    try:
        return _Part(_regular(path, os.open(path, os.O_RDONLY | _FLAGS)))
    except FileNotFoundError:
        return None
    except OSError as error:
        records.refuse(path, error)


def _regular(path: str, fd: int) -> int:
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise StoreError(path, "is not a regular file", "move it away")


def _lines(part: _Part) -> Iterator[bytes]:
    """Whole lines only; of the last one the rest may be still to come."""
    while data := os.pread(part.fd, _CHUNK, part.at):
        whole = data.rfind(b"\n") + 1
        if not whole and len(data) < _CHUNK:
            return
        part.at += whole or len(data)  # so long a line is none of ours
        yield from data[:whole].splitlines()
