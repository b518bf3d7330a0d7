"""A tar written front to back, the same bytes for the same files."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable

_BLOCK = 512
_RECORD = 20 * _BLOCK  # what GNU tar fills up to


class TarWriter:
    """Writes files and directories of nobody, from 1970, in the form of GNU tar.

    >>> tar = TarWriter(out.write)  # doctest: +SKIP
    >>> tar.directory("blobs")  # doctest: +SKIP
    >>> tar.file("oci-layout", 2, [b"{}"])  # doctest: +SKIP
    >>> tar.end()  # doctest: +SKIP
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._written = 0

    def directory(self, name: str) -> None:
        """A directory, for everybody to read."""
        member = tarfile.TarInfo(f"{name}/")
        member.type = tarfile.DIRTYPE
        member.mode = 0o755
        self._put(_header(member))

    def file(self, name: str, size: int, pieces: Iterable[bytes]) -> None:
        """A file for everybody to read; *pieces* have *size* bytes together, or `ValueError`."""
        member = tarfile.TarInfo(name)
        member.size = size
        member.mode = 0o644
        self._put(_header(member))
        before = self._written
        for piece in pieces:
            self._put(piece)
        if self._written - before != size:
            raise ValueError(f"{name} has {self._written - before} bytes, not {size}")
        self._put(bytes(-size % _BLOCK))

    def end(self) -> None:
        """Nothing follows."""
        self._put(bytes(2 * _BLOCK))
        self._put(bytes(-self._written % _RECORD))

    def _put(self, data: bytes) -> None:
        self._write(data)
        self._written += len(data)


def _header(member: tarfile.TarInfo) -> bytes:
    return member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
