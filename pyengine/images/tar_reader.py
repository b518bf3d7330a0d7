"""The tar that an archive of images is, read from front to back: nothing of it is unpacked here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NoReturn, Protocol

from attrs import frozen

from pyengine.errors import InvalidContent
from pyengine.images.limits import DEFAULT, Limits

BLOCK = 512
PIECE = 1 << 20
"""Bytes that are read at once, at most."""

Kind = Literal["file", "link", "directory", "other"]

_ZEROS = bytes(BLOCK)
_OCTAL = re.compile(rb"[\0 ]*([0-7]*)[\0 ]*")
_RECORD = re.compile(rb"(\d{1,8}) ([^=\n]+)=")
_KINDS: dict[bytes, Kind] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",
    b"1": "link",
    b"2": "link",
    b"5": "directory",
}
_HARD_LINK = b"1"
_LONG_NAME, _LONG_TARGET, _OF_NEXT, _OF_ALL, _SPARSE = b"L", b"K", b"x", b"g", b"S"
_EXTENSIONS = _LONG_NAME + _LONG_TARGET + _OF_NEXT + _OF_ALL
_MOST_EXTENSION = 256 << 10  # bytes of what is said about one entry
_MOST_EXTENSIONS = 8
_LARGEST = (1 << 63) - 1
_MOST_TRAILING = 64 << 20  # bytes behind the end: what `tar -b` fills up


class Bytes(Protocol):
    """Where a tar comes from."""

    def read(self, size: int, /) -> bytes:
        """The next *size* bytes or less; none at the end."""

    def skip(self, size: int, /) -> None:
        """Pass over the next *size* bytes; what lacks of them shows at the next `read`."""


@frozen
class Member:
    """One entry: *name* as it stands there, *target* that of a link (of a symbolic one relative
    to where it is: *is_symbolic*)."""

    name: str
    kind: Kind
    size: int = 0
    target: str = ""
    is_symbolic: bool = False


class TarReader:
    """Iterates over the members of a tar; what is not read of one's data is skipped.

    It needs the memory of one header and one piece, whatever the archive says. Raises
    `InvalidContent` for what is no tar, or ends too early.

    >>> for member in reader:  # doctest: +SKIP
    ...     for piece in reader.data():
    ...         print(member.name, len(piece))
    """

    def __init__(self, source: Bytes, limits: Limits = DEFAULT) -> None:
        self._source = source
        self._limits = limits
        self._left = 0  # bytes of the current member's data that were not read
        self._padding = 0
        self._entries = 0
        self._name_bytes = 0

    def __iter__(self) -> Iterator[Member]:
        while (member := self._next()) is not None:
            yield member

    def data(self) -> Iterator[bytes]:
        """The data of the member that came last, in pieces."""
        while self._left:
            piece = self._source.read(min(PIECE, self._left))
            if not piece:
                _refuse("it ends in the middle of a file")
            self._left -= len(piece)
            yield piece

    def drain(self) -> None:
        """Read what follows the end, which makes whoever writes it, and its checksum, content."""
        trailing = 0
        while piece := self._source.read(PIECE):
            trailing += len(piece)
            if trailing > _MOST_TRAILING:
                _refuse(f"more than {_MOST_TRAILING} bytes follow its end")

    def _next(self) -> Member | None:
        extended: dict[str, str] = {}
        for _ in range(_MOST_EXTENSIONS + 1):
            header = self._header()
            if header is None:
                if extended:
                    _refuse("it ends after the long name of an entry")
                return None
            kind = header[156:157]
            if kind not in _EXTENSIONS:
                return self._member(header, kind, extended)
            extended |= self._extension(kind, header)
        why = f"more than {_MOST_EXTENSIONS} headers belong to one entry"
        raise InvalidContent("archive", why)

    def _header(self) -> bytes | None:
        self._source.skip(self._left + self._padding)
        self._left = self._padding = 0
        header = self._block()
        if not header or header == _ZEROS:
            if not header and not self._entries:
                _refuse("it is empty")
            return None
        self._entries += 1
        if self._entries > self._limits.archive_entries:
            _refuse(f"it has more than {self._limits.archive_entries} entries")
        stated = _number(header[148:156], "checksum")
        plain = header[:148] + b"        " + header[156:]
        if stated not in (sum(plain), sum(plain) - 256 * sum(byte > 127 for byte in plain)):
            _refuse("it is no tar" if self._entries == 1 else "the checksum of an entry is wrong")
        self._expect(_number(header[124:136], "size"))
        return header

    def _expect(self, size: int) -> None:
        self._left, self._padding = size, -size % BLOCK

    def _block(self) -> bytes:
        block = self._source.read(BLOCK)
        while 0 < len(block) < BLOCK and (more := self._source.read(BLOCK - len(block))):
            block += more
        if 0 < len(block) < BLOCK:
            _refuse("it ends in the middle of a header" if self._entries else "it is no tar")
        return block

    def _extension(self, kind: bytes, header: bytes) -> dict[str, str]:
        if self._left > _MOST_EXTENSION:
            _refuse(f"the header of an entry has more than {_MOST_EXTENSION} bytes")
        data = b"".join(self.data())
        if kind == _OF_ALL:
            return {}
        if kind == _OF_NEXT:
            return _records(data)
        return {"path" if kind == _LONG_NAME else "linkpath": _text(data.partition(b"\0")[0])}

    def _member(self, header: bytes, kind: bytes, extended: dict[str, str]) -> Member:
        if kind == _SPARSE or any(name.startswith("GNU.sparse") for name in extended):
            _refuse("it has a sparse file: make the archive again without")
        if "size" in extended:
            self._expect(_decimal(extended["size"]))
        name = extended.get("path")
        target = extended.get("linkpath", _text(header[157:257].partition(b"\0")[0]))
        meant = _KINDS.get(kind, "other")
        if name is None:
            name = _text(_short_name(header))
        if meant != "file":  # some writers state the size of what a link leads to
            self._expect(0 if meant in ("link", "directory") else self._left)
        self._name_bytes += len(name) + len(target)
        if self._name_bytes > self._limits.archive_name_bytes:
            _refuse(f"its names have more than {self._limits.archive_name_bytes} bytes")
        if meant == "file" and name.endswith("/"):
            meant = "directory"  # as before POSIX
        is_symbolic = meant == "link" and kind != _HARD_LINK
        return Member(name, meant, self._left, target if meant == "link" else "", is_symbolic)


def _short_name(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    if header[257:263] == b"ustar\0" and (prefix := header[345:500].partition(b"\0")[0]):
        return prefix + b"/" + name
    return name


def _records(data: bytes) -> dict[str, str]:
    """What a PAX header says, if it concerns us."""
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        match = _RECORD.match(data, at)
        if match is None:
            _refuse("a PAX header is damaged")
        end = at + int(match[1])
        if end > len(data) or end <= match.end() or data[end - 1] != 0x0A:
            _refuse("a PAX header is damaged")
        name = match[2].decode("utf-8", "replace")
        if name in ("path", "linkpath", "size") or name.startswith("GNU.sparse"):
            found[name] = _text(data[match.end() : end - 1])
        at = end
    return found


def _text(data: bytes) -> str:
    if b"\0" in data:
        _refuse("a name has a NUL byte")
    return data.decode("utf-8", "surrogateescape")


def _number(field: bytes, what: str) -> int:
    """Octal, or with the first bit set the bytes of it."""
    if field[0] & 0x80:
        value = int.from_bytes(bytes((field[0] & 0x7F,)) + field[1:], "big")
    else:
        match = _OCTAL.fullmatch(field)
        if match is None:
            _refuse(f"it is no tar: the {what} of an entry is no number")
        value = int(match[1] or b"0", 8)
    if value > _LARGEST:
        _refuse(f"the {what} of an entry is no number of bytes")
    return value


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20) or int(text) > _LARGEST:
        _refuse("the size of an entry is no number of bytes")
    return int(text)


def _refuse(why: str) -> NoReturn:
    raise InvalidContent("archive", why)
