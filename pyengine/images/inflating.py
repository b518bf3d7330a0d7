"""Decompression of layers and archives, as a stream, whatever they are compressed with.

What it is tells the content, never a name or a media type. gzip goes through ISA-L where it is
installed (three times as fast as zlib), zstd through Python's own module, or its backport.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Protocol, TypeVar

from pyengine.errors import InvalidContent, Unsupported
from pyengine.images.limits import DEFAULT, Limits

PIECE = 512 << 10
"""Bytes that come out at once, at most."""

GZIP, ZSTD, XZ, BZIP2, NONE = "gzip", "zstd", "xz", "bzip2", "none"

Piece = TypeVar("Piece", bytes, memoryview)

_MAGIC = 10  # bytes of the longest that tells one from another
_FORMATS = (
    (GZIP, re.compile(rb"\x1f\x8b\x08")),
    (ZSTD, re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", re.DOTALL)),
    (XZ, re.compile(rb"\xfd7zXZ\0")),
    (BZIP2, re.compile(rb"BZh[1-9](1AY&SY|\x17\x72\x45\x38\x50\x90)")),
)
_SMALLEST, _LARGEST = 4 << 10, 256 << 10  # bytes given to a decompressor at once


class _Decompressor(Protocol):
    """What `bz2`, `lzma`, zstd and ISA-L have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes | memoryview, max_length: int = -1) -> bytes: ...


def format_of(start: bytes) -> str:
    """How something that begins with these 10 bytes, or with less if it is shorter, is compressed.

    >>> format_of(bytes.fromhex("1f8b0800"))
    'gzip'
    """
    return next((name for name, magic in _FORMATS if magic.match(start)), NONE)


class Inflater:
    """Compressed bytes in, plain bytes out, in pieces that are never large.

    *what* is being read, for errors: ``"layer"``. *format* is known once ten bytes came, *taken*
    and *given* are how many bytes went in and came out.

    >>> inflater = Inflater("layer")  # doctest: +SKIP
    >>> for data in source:  # doctest: +SKIP
    ...     for piece in inflater.feed(data):
    ...         sink.write(piece)
    >>> for piece in inflater.finish():  # doctest: +SKIP
    ...     sink.write(piece)
    """

    def __init__(self, what: str, digest: str = "", limits: Limits = DEFAULT) -> None:
        self.format = ""
        self.taken = 0
        self.given = 0
        self._what = what
        self._digest = digest
        self._limits = limits
        self._start = b""
        self._decompressor: _Decompressor | None = None
        self._before = 0  # bytes that came out of the members that have ended
        self._empty_members = 0
        self._error: type[Exception] = zlib.error
        self._members = 0
        self._step = _LARGEST
        self._is_padding = False  # zeros after the last member

    def feed(self, data: bytes | memoryview) -> Iterator[bytes | memoryview]:
        """What *data* unpacks to. Read all of it before the next call.

        Raises `InvalidContent` for what is damaged, or unpacks to more than the limits allow;
        `Unsupported` where the module for it is not installed.
        """
        self.taken += len(data)
        if not self.format:
            self._start += data
            if len(self._start) < _MAGIC:
                return
            data = self._begin()
        yield from self._unpack(data)

    def finish(self) -> Iterator[bytes | memoryview]:
        """The rest, when all has been fed. Raises as `feed`, and for what ends too early."""
        if not self.format:
            yield from self._unpack(self._begin())
        if self._decompressor is not None:
            raise self._invalid(f"the {self.format} data ends too early")

    def _begin(self) -> bytes:
        start, self._start = self._start, b""
        self.format = format_of(start)
        return start

    def _unpack(self, data: bytes | memoryview) -> Iterator[bytes | memoryview]:
        view, at = memoryview(data), 0
        while self.format == NONE and at < len(view):
            yield self._counted(view[at : at + PIECE])
            at += PIECE
        while at < len(view):
            if self._decompressor is None:
                at = self._begin_member(view, at)
                continue
            part = view[at : at + self._step]
            at += len(part)
            self._step = min(2 * self._step, _LARGEST)
            yield from self._pieces(self._decompressor, part)
            if self._decompressor.eof:
                at -= len(self._decompressor.unused_data)
                self._end_member()

    def _pieces(self, decompressor: _Decompressor, part: memoryview) -> Iterator[bytes]:
        given: bytes | memoryview = part
        while True:
            try:
                piece = decompressor.decompress(given, PIECE)
            except (zlib.error, OSError, ValueError, EOFError, self._error) as error:
                raise self._invalid(
                    f"the {self.format} data cannot be unpacked: {error}"
                ) from error
            if piece:
                yield self._counted(piece)
            if decompressor.eof or decompressor.needs_input:
                return
            given = b""

    def _begin_member(self, view: memoryview, at: int) -> int:
        """Where the next member begins, behind what another ended with; zeros may pad the last."""
        if self._is_padding or (self._members and not view[at]):
            self._is_padding = True
            if any(view[at:]):
                raise self._invalid(f"something follows the {self.format} data")
            return len(view)
        self._decompressor, self._error = _decompressor(self.format, self._limits)
        return at

    def _end_member(self) -> None:
        self._decompressor = None
        self._members += 1
        self._step = _SMALLEST  # of small members, what is given too much is copied each time
        self._empty_members += self.given == self._before
        self._before = self.given
        if self._empty_members > self._limits.empty_members:
            raise self._invalid(f"more than {self._limits.empty_members} of its members are empty")

    def _counted(self, piece: Piece) -> Piece:
        self.given += len(piece)
        limits = self._limits
        if self.given > limits.layer_bytes:
            raise self._invalid(f"it unpacks to more than the limit of {limits.layer_bytes} bytes")
        if self.given > limits.ratio_from and self.given > self.taken * limits.ratio:
            why = f"{self.taken} bytes unpack to {self.given} and more: beyond a ratio of "
            raise self._invalid(f"{why}{limits.ratio} it is taken for a bomb")
        return piece

    def _invalid(self, why: str) -> InvalidContent:
        return InvalidContent(self._what, why, digest=self._digest)


def _decompressor(kind: str, limits: Limits) -> tuple[_Decompressor, type[Exception]]:
    """One for the format *kind*, with what it raises for data that is damaged."""
    if kind == GZIP:
        return _gzip()
    if kind == ZSTD:
        return _zstd(limits)
    if kind == XZ:
        import lzma

        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=limits.xz_memory), lzma.LZMAError
    import bz2

    return bz2.BZ2Decompressor(), OSError


def _gzip() -> tuple[_Decompressor, type[Exception]]:
    try:
        from isal import igzip_lib
    except ImportError:
        return _Zlib(), zlib.error
    decompressor = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    return decompressor, igzip_lib.IsalError  # type: ignore[return-value]  # says isal's stub


def _zstd(limits: Limits) -> tuple[_Decompressor, type[Exception]]:
    try:
        from pyengine.images import zstandard
    except ImportError as error:
        remedy = "install Python 3.14, or the package backports.zstd"
        raise Unsupported("zstd", "Python has no module for it", remedy) from error
    return zstandard.decompressor(limits.zstd_window_log), zstandard.ZstdError


class _Zlib:
    """Python's own gzip, with the manners of the others."""

    def __init__(self) -> None:
        self._inside = zlib.decompressobj(wbits=31)
        self._is_full = False

    @property
    def eof(self) -> bool:
        return self._inside.eof

    @property
    def needs_input(self) -> bool:
        return not self._is_full and not self._inside.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inside.unused_data

    def decompress(self, data: bytes | memoryview, max_length: int = -1) -> bytes:
        given = self._inside.unconsumed_tail or data
        piece = self._inside.decompress(given, max_length)
        self._is_full = len(piece) == max_length  # there may be more, in zlib's own window
        return piece
