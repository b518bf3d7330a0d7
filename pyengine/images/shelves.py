"""What an archive of images holds, by name: a file, a stream, or a directory, all in one form."""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator
from typing import IO, NoReturn, Protocol

from pyengine.errors import InvalidContent
from pyengine.images.inflating import NONE, Inflater, format_of
from pyengine.images.taking import Taken, Taker
from pyengine.images.tar_reader import PIECE, Member, TarReader
from pyengine.model import digests

INDEX, LAYOUT, DOCKER = "index.json", "oci-layout", "manifest.json"
DOCUMENTS = frozenset((INDEX, LAYOUT, DOCKER))
"""What says what the rest is; it is held in memory, and never a blob."""

MOST_DOCUMENT = 4 << 20
_IGNORED = frozenset(("repositories", "VERSION", "json"))  # Docker's of long ago: never needed
_DEEPEST_LINK = 8
_START = 10


class Shelf(Protocol):
    """An archive of images, whatever form it has."""

    def document(self, name: str) -> bytes | None:
        """One of `DOCUMENTS`; `None` if there is none. Raises `InvalidContent` for a long one."""

    def has(self, name: str) -> bool:
        """Whether *name* is a file of it, or leads to one within it."""

    def take(self, name: str) -> Taken:
        """Have the file *name* as a blob; one that is called by its digest is verified.

        Raises `InvalidContent`, `NoSpace`, `StoreError`.
        """


def blob_name(digest: str) -> str:
    """What the blob *digest* is called in an OCI layout."""
    algorithm, _, name = digest.partition(":")
    return f"blobs/{algorithm}/{name}"


def digest_in(name: str) -> str:
    """The digest that the blob *name* of an OCI layout must have; empty for other names."""
    words = name.split("/")
    if len(words) != 3 or words[0] != "blobs":
        return ""
    digest = f"{words[1]}:{words[2]}"
    return "" if digests.why_not(digest) else digest


def plain_name(name: str) -> str:
    """*name* without ``./``; empty for one that leads out of where it is, or to nothing."""
    path = posixpath.normpath(name) if name else ""
    return "" if path in ("", ".", "..") or path.startswith(("/", "../")) else path


class _Names:
    """The names of a tar: each a file once, or a link to another."""

    def __init__(self) -> None:
        self.links: dict[str, str] = {}
        self._seen: set[str] = set()

    def note(self, member: Member) -> str:
        """What *member* is called, if it is a file that can be asked for."""
        name = plain_name(member.name)
        if not name or member.kind not in ("file", "link"):
            return ""
        if name in self._seen:  # one reader takes the first, another the last
            _refuse(f"it has {name!r} twice")
        self._seen.add(name)
        if member.kind == "file":
            return name
        target = member.target
        if member.is_symbolic and not target.startswith("/"):
            target = f"{posixpath.dirname(name)}/{target}" if "/" in name else target
        if target := plain_name(target):  # what leads out of the archive leads nowhere
            self.links[name] = target
        return ""

    def resolve(self, name: str) -> str:
        """Where *name* leads, within the archive."""
        found = plain_name(name)
        for _ in range(_DEEPEST_LINK):
            if found not in self.links:
                return found
            found = self.links[found]
        return ""


class StreamShelf:
    """An archive that can be read but once: what may be of an image becomes blobs at once."""

    def __init__(self, reader: TarReader, taker: Taker) -> None:
        self._documents: dict[str, bytes] = {}
        self._taken: dict[str, Taken] = {}
        self._names = _Names()
        for member in reader:
            if name := self._names.note(member):
                self._put(name, member.size, reader.data(), taker)
        reader.drain()

    def _put(self, name: str, size: int, pieces: Iterator[bytes], taker: Taker) -> None:
        if name in DOCUMENTS:
            _check_document(name, size)
            self._documents[name] = b"".join(pieces)
        elif digest := digest_in(name):
            self._taken[name] = taker.take_known(digest, size, pieces)
        elif posixpath.basename(name) not in _IGNORED:
            self._taken[name] = taker.take_unknown(pieces)

    def document(self, name: str) -> bytes | None:
        """As `Shelf.document`."""
        return self._documents.get(name)

    def has(self, name: str) -> bool:
        """As `Shelf.has`."""
        return self._names.resolve(name) in self._taken

    def take(self, name: str) -> Taken:
        """As `Shelf.take`; it is one already."""
        found = self._taken.get(self._names.resolve(name))
        if found is None:
            _lacks(name)
        return found


class FileShelf:
    """An archive in which one can seek: nothing is copied but what is asked for."""

    def __init__(self, file: IO[bytes], taker: Taker) -> None:
        self._file = file
        self._taker = taker
        self._names = _Names()
        self._files: dict[str, tuple[int, int]] = {}  # where it begins, and its length
        self._taken: dict[str, Taken] = {}
        source = SeekableSource(file)
        for member in TarReader(source, taker.content.limits):
            if name := self._names.note(member):
                self._files[name] = source.position(), member.size

    def document(self, name: str) -> bytes | None:
        """As `Shelf.document`."""
        found = self._files.get(name)
        if found is None:
            return None
        _check_document(name, found[1])
        return b"".join(self._pieces(*found))

    def has(self, name: str) -> bool:
        """As `Shelf.has`."""
        return self._names.resolve(name) in self._files

    def take(self, name: str) -> Taken:
        """As `Shelf.take`."""
        where = self._names.resolve(name)
        if where not in self._files:
            _lacks(name)
        if where not in self._taken:
            start, size = self._files[where]
            pieces = self._pieces(start, size)
            digest = digest_in(where)
            self._taken[where] = (
                self._taker.take_known(digest, size, pieces)
                if digest
                else self._taker.take_unknown(pieces)
            )
        return self._taken[where]

    def _pieces(self, start: int, size: int) -> Iterator[bytes]:
        self._file.seek(start)
        while size:
            piece = self._file.read(min(PIECE, size))
            if not piece:
                _refuse("it ends in the middle of a file")
            size -= len(piece)
            yield piece


class DirectoryShelf:
    """An OCI image layout as a directory: its blobs are what their names say, or are refused."""

    def __init__(self, path: str, taker: Taker) -> None:
        self._path = path
        self._taker = taker

    def document(self, name: str) -> bytes | None:
        """As `Shelf.document`."""
        if name == DOCKER:  # no directory is a docker-archive: its files have no names of their own
            return None
        opened = self._open(name, os.O_NOFOLLOW)
        if opened is None:
            return None
        with opened as file:
            _check_document(name, os.fstat(file.fileno()).st_size)
            return file.read(MOST_DOCUMENT)

    def has(self, name: str) -> bool:
        """As `Shelf.has`."""
        return bool(digest_in(name)) and os.path.isfile(f"{self._path}/{name}")

    def take(self, name: str) -> Taken:
        """As `Shelf.take`."""
        digest = digest_in(name)
        opened = self._open(name) if digest else None
        if opened is None:
            _lacks(name)
        with opened as file:  # blobs are links in some builds; what they are is verified
            size = os.fstat(file.fileno()).st_size
            return self._taker.take_known(digest, size, iter(lambda: file.read(PIECE), b""))

    def _open(self, name: str, flags: int = 0) -> IO[bytes] | None:
        path = f"{self._path}/{name}"
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | flags)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InvalidContent("archive", f"{name} cannot be read: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            _refuse(f"{name} is no file")
        return open(fd, "rb", buffering=0)


class SeekableSource:
    """A file that a tar is read from, in which what is not wanted is not read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def read(self, size: int, /) -> bytes:
        """As `tar_reader.Bytes.read`."""
        return self._file.read(size)

    def skip(self, size: int, /) -> None:
        """As `tar_reader.Bytes.skip`."""
        if size:
            self._file.seek(size, os.SEEK_CUR)

    def position(self) -> int:
        """Where the next byte is, from the beginning."""
        return self._file.tell()


class PieceSource:
    """Pieces that come one after the other, of which a tar is read."""

    def __init__(self, pieces: Iterator[bytes | memoryview]) -> None:
        self._pieces = pieces
        self._piece = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        """As `tar_reader.Bytes.read`."""
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._piece = memoryview(piece)
        taken, self._piece = self._piece[:size], self._piece[size:]
        return bytes(taken)

    def skip(self, size: int, /) -> None:
        """As `tar_reader.Bytes.skip`."""
        while size and (piece := self.read(min(size, PIECE))):
            size -= len(piece)


def inflated(
    file: IO[bytes], inflater: Inflater, start: bytes = b""
) -> Iterator[bytes | memoryview]:
    """What *start* and the rest of *file* unpack to. Raises as `Inflater.feed`."""
    data = start or file.read(PIECE)
    while data:
        yield from inflater.feed(data)
        data = file.read(PIECE)
    yield from inflater.finish()


def shelf_of(file: IO[bytes], taker: Taker) -> Shelf:
    """The archive that *file* holds from here on, whatever it is compressed with."""
    if file.seekable():
        at = file.tell()
        start = start_of(file)
        file.seek(at)
        if format_of(start) == NONE:
            return FileShelf(file, taker)
        start = b""
    else:
        start = start_of(file)
    limits = taker.content.limits
    source = PieceSource(inflated(file, Inflater("archive", limits=limits), start))
    return StreamShelf(TarReader(source, limits), taker)


def start_of(file: IO[bytes]) -> bytes:
    """The next bytes of *file*: enough for `inflating.format_of`, or all there are."""
    start = b""
    while len(start) < _START and (more := file.read(_START - len(start))):
        start += more
    return start


def _check_document(name: str, size: int) -> None:
    if size > MOST_DOCUMENT:
        _refuse(f"its {name} has {size} bytes, more than {MOST_DOCUMENT}")


def _lacks(name: str) -> NoReturn:
    _refuse(f"it has no file {name!r}")


def _refuse(why: str) -> NoReturn:
    raise InvalidContent("archive", why)
