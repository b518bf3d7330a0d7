"""The files of one log as its readers see them: open ones, which are found again as they move."""

from __future__ import annotations

import os
import stat
import zlib
from typing import Protocol

from pyengine.containers.log_rotation import BLOCK, name_of, stamp_of
from pyengine.store.records import refuse

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_HOLES = 4  # while files are renamed, or after a crash in the midst of it, numbers may be missing
_HEADER = 256  # bytes of a compressed file that hold its name, which is a stamp


class Piece(Protocol):
    """One file of a log, open for reading."""

    fd: int
    number: int
    """How many rotations old it is, when somebody last looked."""
    offset: int
    """Where the next read begins."""

    def seek(self, offset: int) -> None:
        """Read from there."""

    def read(self, size: int) -> bytes:
        """The next bytes, *size* at most; none at what is the end for now."""

    def is_at(self, path: str, number: int) -> bool:
        """Whether it is the file of the log at *path* that is *number* rotations old."""


class PlainPiece:
    """A file as it was written."""

    def __init__(self, fd: int, number: int) -> None:
        self.fd = fd
        self.number = number
        self.offset = 0
        self.size = os.fstat(fd).st_size
        """How large it was when it was opened."""

    def seek(self, offset: int) -> None:
        """Read from there."""
        self.offset = offset

    def read(self, size: int) -> bytes:
        """The next bytes, *size* at most; none at what is the end for now."""
        data = os.pread(self.fd, size, self.offset)
        self.offset += len(data)
        return data

    def is_at(self, path: str, number: int) -> bool:
        """Whether it is that file, or was until it was compressed."""
        name = name_of(path, number)
        return _is_same(self.fd, name) or bool(number and self._was(f"{name}.gz"))

    def _was(self, name: str) -> bool:
        fd = _open(name)
        try:
            return fd is not None and _is_copy(fd, self.fd)
        finally:
            if fd is not None:
                os.close(fd)


class PackedPiece:
    """A compressed file; where it is damaged, it ends."""

    def __init__(self, fd: int, number: int) -> None:
        self.fd = fd
        self.number = number
        self.seek(0)

    def seek(self, offset: int) -> None:
        """Read from there, as if it were not compressed."""
        self.offset = 0
        self._packed = b""
        self._packed_offset = 0
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 16)
        while self.offset < offset and self.read(min(offset - self.offset, BLOCK)):
            pass

    def read(self, size: int) -> bytes:
        """The next bytes, *size* at most; none at the end."""
        data = b""
        while not data and not self._inflater.eof:
            if not self._packed:
                self._packed = os.pread(self.fd, BLOCK, self._packed_offset)
                self._packed_offset += len(self._packed)
                if not self._packed:
                    break
            try:
                data = self._inflater.decompress(self._packed, size)
            except zlib.error:
                break
            self._packed = self._inflater.unconsumed_tail
        self.offset += len(data)
        return data

    def is_at(self, path: str, number: int) -> bool:
        """Whether it is that file."""
        return _is_same(self.fd, f"{name_of(path, number)}.gz")


def _is_same(fd: int, name: str) -> bool:
    try:
        found = os.lstat(name)
    except OSError:
        return False
    return found.st_ino == os.fstat(fd).st_ino  # nobody else can have it: we hold it


def _is_copy(packed: int, plain: int) -> bool:
    """Whether one fd's file is the other's, compressed."""
    stamp, end, _ = os.pread(packed, _HEADER, 0)[10:].partition(b"\0")  # RFC 1952: the name
    return bool(end) and stamp == stamp_of(plain).encode()


def is_same(piece: Piece, other: Piece) -> bool:
    """Whether both are the same part of the log."""
    return (
        os.fstat(piece.fd).st_ino == os.fstat(other.fd).st_ino
        or _is_copy(piece.fd, other.fd)
        or _is_copy(other.fd, piece.fd)
    )


def _open(name: str) -> int | None:
    """An fd of the file *name*; none if there is no such file, or it is something else."""
    try:
        fd = os.open(name, _FLAGS)
    except FileNotFoundError:
        return None
    except OSError as error:
        refuse(name, error)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    return None


class Pieces:
    """All files of the log at *path*.

    Whoever holds one finds its neighbours, though files are renamed, compressed and removed at
    any moment: it is looked up where it is now, the neighbour opened, and then it has to be
    there still. A file only ever moves to higher numbers, so looking upwards finds it.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def newest(self) -> Piece | None:
        """The file that is being written; ``None`` if there is none at all."""
        return self._first(range(_HOLES))

    def oldest(self) -> Piece | None:
        """The file that everything begins with; ``None`` if there is none at all."""
        piece = self.newest()
        try:
            while piece is not None and (older := self.before(piece)) is not None:
                close(piece)
                piece = older
        except BaseException:
            close(piece)
            raise
        return piece

    def before(self, piece: Piece) -> Piece | None:
        """The file that ends where *piece* begins; ``None`` if it was the oldest, or is gone."""
        return self._neighbour(piece, upwards=True)[1]

    def after(self, piece: Piece) -> Piece | None:
        """The file that begins where *piece* ends; ``None`` while there is none.

        If *piece* was removed, what followed it may be too: then it is the oldest there is.
        """
        is_there, found = self._neighbour(piece, upwards=False)
        return found if is_there else self.oldest()

    def is_before(self, piece: Piece, other: Piece) -> bool:
        """Whether *piece* is older than *other*, or no longer there."""
        number, against = self._find(piece), self._find(other)
        return number is None or (against is not None and number > against)

    def _neighbour(self, piece: Piece, *, upwards: bool) -> tuple[bool, Piece | None]:
        """Whether *piece* is still there, and the next file that is."""
        while (number := self._find(piece)) is not None:
            up, down = range(number + 1, number + 1 + _HOLES), range(number - 1, -1, -1)
            passed = up if upwards else down
            found = self._first(passed)
            if found is not None:
                passed = passed[: passed.index(found.number)]
            if piece.is_at(self._path, number) and not any(map(self._exists, passed)):
                return True, found  # nothing has moved meanwhile
            close(found)
        return False, None

    def _first(self, numbers: range) -> Piece | None:
        for number in numbers:
            piece = self._open(number)
            if piece is not None:
                return piece
        return None

    def _open(self, number: int) -> Piece | None:
        name = name_of(self._path, number)
        if (fd := _open(name)) is not None:
            return PlainPiece(fd, number)
        if number and (fd := _open(f"{name}.gz")) is not None:
            return PackedPiece(fd, number)
        return None

    def _find(self, piece: Piece) -> int | None:
        number, missing = piece.number, 0
        while not piece.is_at(self._path, number):
            missing = 0 if self._exists(number) else missing + 1
            if missing == _HOLES:
                return None
            number += 1
        piece.number = number
        return number

    def _exists(self, number: int) -> bool:
        name = name_of(self._path, number)
        return os.path.lexists(name) or bool(number and os.path.lexists(f"{name}.gz"))


def close(piece: Piece | None) -> None:
    """Let go of *piece*, if it is one."""
    if piece is not None:
        os.close(piece.fd)
