"""Compression of what leaves: gzip and zstd, in pieces, the same bytes for the same content."""

from __future__ import annotations

import zlib
from typing import Protocol

from pyengine.errors import InvalidRequest
from pyengine.model import media_types

MEDIA_TYPES = {
    "gzip": media_types.OCI_LAYER_GZIP,
    "zstd": media_types.OCI_LAYER_ZSTD,
    "none": media_types.OCI_LAYER,
}
"""What a layer is that was compressed so."""

_LEVELS = {"gzip": (1, 9, 6), "zstd": (1, 22, 3), "none": (0, 0, 0)}
_GZIP = 31  # zlib's window bits for a gzip header, which has no name and no time in it
_ISAL_LEVELS = {1: 0, 2: 1, 3: 2}


class Deflater(Protocol):
    """Takes content in pieces, and gives it back compressed."""

    def compress(self, data: bytes | memoryview, /) -> bytes:
        """What *data* adds."""

    def flush(self) -> bytes:
        """The end."""


def deflater(compression: str, level: int | None = None) -> Deflater:
    """One for ``gzip`` (*level* 1 to 9), ``zstd`` (1 to 22) or ``none``. Raises `InvalidRequest`.

    gzip up to level 3 is ISA-L's where it is installed, which is as much as ten times as fast.

    >>> made = deflater("none")
    >>> made.compress(b"abc") + made.flush()
    b'abc'
    """
    if compression not in _LEVELS:
        raise InvalidRequest("compression", compression, expected="gzip, zstd or none")
    lowest, highest, usual = _LEVELS[compression]
    chosen = usual if level is None else level
    if not lowest <= chosen <= highest:
        expected = f"{lowest} to {highest} for {compression}"
        raise InvalidRequest("level", level, expected=expected)
    if compression == "none":
        return _Plain()
    if compression == "zstd":
        from pyengine.images.zstandard import compressor

        return compressor(chosen)
    return _gzip(chosen)


def _gzip(level: int) -> Deflater:
    if level in _ISAL_LEVELS:
        try:
            from isal import isal_zlib
        except ImportError:  # it has no wheels for this machine
            pass
        else:
            made: Deflater = isal_zlib.compressobj(_ISAL_LEVELS[level], wbits=_GZIP)
            return made
    return zlib.compressobj(level, zlib.DEFLATED, _GZIP)


class _Plain:
    """No compression at all."""

    def compress(self, data: bytes | memoryview, /) -> bytes:
        return bytes(data)

    def flush(self) -> bytes:
        return b""
