"""Blobs: content by its digest, in the form of an OCI image layout directory.

A blob has its name only once it is whole, verified and on disk, and is never written to again. On
its way it is a file of its own, locked by who fetches it: whoever else wants the same blob waits,
and if that process is killed goes on where it was.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import BinaryIO, Self

from pyengine.errors import DigestMismatch, InvalidContent, NoSpace, StoreError
from pyengine.model import digests
from pyengine.store import disk, locks, records
from pyengine.store.layout import Layout
from pyengine.store.locks import Waiting

PART = ".part"
"""What the name of a blob that is being fetched ends with."""

DRAFT = ".draft"
"""What the name of a blob ends with whose digest is not known yet."""

_VERSION = b'{"imageLayoutVersion":"1.0.0"}'
_INDEX = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
_CHUNK = 1 << 20
_WRITE_BACK = 8 << 20  # bytes after which the disk may begin: less is left to wait for at the end
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a fifo would have us wait


class BlobMissing(StoreError):
    """The store has no blob of that digest."""


class Blobs:
    """The blobs of one engine's root, for all its processes and threads.

    Every digest given is checked for its form first: `InvalidRequest`.

    >>> digest = blobs.put(b"{}")  # doctest: +SKIP
    >>> blobs.read(digest, most=100)  # doctest: +SKIP
    b'{}'
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._is_prepared = False

    def path(self, digest: str) -> str:
        """Where the blob is, or would be."""
        algorithm, _, name = digests.check(digest).partition(":")
        return f"{self.layout.blobs}/blobs/{algorithm}/{name}"

    def has(self, digest: str) -> bool:
        """Whether it is there, whole."""
        return os.path.exists(self.path(digest))

    def size(self, digest: str) -> int:
        """Its length in bytes. Raises `BlobMissing`, `StoreError`."""
        path = self.path(digest)
        try:
            return os.stat(path).st_size
        except FileNotFoundError:
            raise _missing(path, digest) from None
        except OSError as error:
            records.refuse(path, error)

    def open(self, digest: str) -> BinaryIO:
        """The blob, for reading; nobody verifies what is read. Raises `BlobMissing`, `StoreError`.

        It stays readable when it is removed meanwhile.
        """
        path = self.path(digest)
        try:
            return open(path, "rb", buffering=0, opener=lambda at, _: os.open(at, _READ))
        except FileNotFoundError:
            raise _missing(path, digest) from None
        except OSError as error:
            records.refuse(path, error)

    def read(self, digest: str, most: int) -> bytes:
        """The whole of it, verified; *most* bytes are what the caller can bear.

        Raises `BlobMissing`, `StoreError` where the bytes are not those of the digest, and
        `InvalidContent` where there are more than *most*.
        """
        with self.open(digest) as file:
            data = file.read(most + 1)
            while 0 < len(data) <= most and (more := file.read(most + 1 - len(data))):
                data += more
        if len(data) > most:
            raise InvalidContent("blob", f"it is longer than {most} bytes", digest)
        if not digests.verify(data, digest):
            raise StoreError(self.path(digest), "is damaged: its bytes are not those of its name")
        return data

    def put(self, data: bytes, digest: str | None = None) -> str:
        """Have *data* as a blob, on disk when this returns; answers its digest.

        A damaged one is replaced. Raises `DigestMismatch` where *data* is not that of *digest*,
        `NoSpace`, `StoreError`.
        """
        wanted = digest or digests.of(data)
        if digest is not None and not digests.verify(data, digest):
            raise DigestMismatch("", f"{len(data)} bytes are not those of {digest}")
        if not self._holds(wanted, data):
            with self.draft() as draft:
                draft.write(data)
                draft.publish(wanted)
        return wanted

    def _holds(self, digest: str, data: bytes) -> bool:
        try:
            with self.open(digest) as file:
                return file.read(len(data) + 1) == data
        except BlobMissing:
            return False

    def ingest(self, digest: str, size: int | None, waiting: Waiting | None = None) -> Ingest:
        """Fetch a blob of *size* bytes (`None`: nobody knows), as the only one who does.

        Waits as long as another process or thread does the same; *waiting* is called meanwhile.

        >>> with blobs.ingest(descriptor.digest, descriptor.size) as ingest:  # doctest: +SKIP
        ...     for data in ingest.resumed():    # what an earlier attempt left
        ...         sink.feed(data)
        ...     if not ingest.done:
        ...         for data in registry.get(digest, start=ingest.offset):
        ...             ingest.write(data)
        ...             sink.feed(data)
        ...         ingest.commit()
        """
        self.path(digest)
        return Ingest(self, digest, size, waiting)

    def draft(self) -> Draft:
        """Write a blob whose digest comes out at the end."""
        self.prepare()
        return Draft(self)

    def all(self) -> Iterator[tuple[str, int]]:
        """Digest and size in bytes of each. What has another form of name is passed over."""
        for algorithm in digests.LENGTHS:
            directory = f"{self.layout.blobs}/blobs/{algorithm}"
            for name in disk.names(directory):
                digest = f"{algorithm}:{name}"
                if not digests.why_not(digest):
                    try:
                        yield digest, os.lstat(f"{directory}/{name}").st_size
                    except FileNotFoundError:
                        continue

    def remove(self, digest: str) -> int:
        """Remove it; answers how many bytes that freed. Who may tell that nobody wants it calls.

        Raises `StoreError`.
        """
        path = self.path(digest)
        try:
            size = os.lstat(path).st_size
            os.unlink(path)
        except FileNotFoundError:
            return 0
        except OSError as error:
            records.refuse(path, error)
        return size

    def verify(self, digest: str) -> bool:
        """Whether its bytes are those of its name. Raises `BlobMissing`, `StoreError`."""
        hashed = digests.hasher(digest)
        buffer = memoryview(bytearray(_CHUNK))
        with self.open(digest) as file:
            while count := file.readinto(buffer):  # type: ignore[attr-defined]
                hashed.update(buffer[:count])
        return hashed.hexdigest() == digests.hex_of(digest)

    def drop_unfinished(self) -> int:
        """Remove what is not whole, and nobody fetches any more; answers how many bytes.

        Raises `StoreError`.
        """
        freed = 0
        for name in disk.names(self.layout.ingest):
            path = f"{self.layout.ingest}/{name}"
            fd = locks.try_acquire(path)
            if fd is None:
                continue
            try:
                freed += os.fstat(fd).st_size
                os.unlink(path)
            except OSError as error:
                records.refuse(path, error)
            finally:
                locks.release(fd)
        return freed

    def prepare(self) -> None:
        """Make the directories. Raises `StoreError`, `NoSpace`."""
        if self._is_prepared:
            return
        blobs = self.layout.blobs
        places = [f"{blobs}/blobs/{algorithm}" for algorithm in digests.LENGTHS]
        disk.make_directories(*places, self.layout.ingest)
        for name, data in (("oci-layout", _VERSION), ("index.json", _INDEX)):
            if not os.path.exists(f"{blobs}/{name}"):
                with Draft(self) as draft:
                    draft.write(data)
                    draft.place(f"{blobs}/{name}")
        self._is_prepared = True


def _missing(path: str, digest: str) -> BlobMissing:
    return BlobMissing(path, f"blob {digest} is missing", "pull or load its image again")


class _Writing:
    """A file that becomes a blob."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._started = 0  # bytes from here on are not on their way to the disk yet
        self.offset = 0

    def _append(self, data: bytes | memoryview) -> None:
        """Write all of *data*; begin with what is long enough. Raises `NoSpace`, `StoreError`."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            records.refuse(self._path, error)
        self.offset += len(data)
        if self.offset - self._started >= _WRITE_BACK:
            # of what nobody reads soon: Linux writes it back and forgets it, without waiting
            os.posix_fadvise(
                self._fd, self._started, self.offset - self._started, os.POSIX_FADV_DONTNEED
            )
            self._started = self.offset

    def _place(self, path: str) -> None:
        """Give the file, on disk now, its name *path*, which is on disk after that."""
        try:
            os.fsync(self._fd)
            os.rename(self._path, path)
        except OSError as error:
            records.refuse(path, error)
        disk.sync_directory(os.path.dirname(path))


class Draft(_Writing):
    """A blob of which nobody knows yet what its digest will be; use it in a ``with``."""

    def __init__(self, blobs: Blobs) -> None:
        super().__init__(f"{blobs.layout.ingest}/{os.urandom(12).hex()}{DRAFT}")
        self._blobs = blobs
        self._hash = hashlib.sha256()

    def __enter__(self) -> Self:
        self._fd = locks.acquire(self._path)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            os.unlink(self._path)
        except FileNotFoundError:  # it has another name now
            pass
        locks.release(self._fd)

    def write(self, data: bytes | memoryview) -> None:
        """Add *data*. Raises `NoSpace`, `StoreError`."""
        self._hash.update(data)
        self._append(data)

    @property
    def digest(self) -> str:
        """The sha256 digest of what was written so far."""
        return f"sha256:{self._hash.hexdigest()}"

    def commit(self) -> str:
        """Make it a blob, on disk when this returns; answers its digest."""
        self.publish(self.digest)
        return self.digest

    def publish(self, digest: str) -> None:
        """Make it the blob *digest*, which the caller has verified."""
        self._place(self._blobs.path(digest))

    def place(self, path: str) -> None:
        """Make it the file *path*."""
        self._place(path)


class Ingest(_Writing):
    """A blob that is being fetched, by nobody else; use it in a ``with``.

    *done*: it is there, somebody else was quicker. *offset*: how many bytes of it are there, of
    an earlier attempt too; ask for the rest only. A block that ends without `commit` keeps what
    came, for the next attempt, but for when the disk is full.
    """

    def __init__(
        self, blobs: Blobs, digest: str, size: int | None, waiting: Waiting | None
    ) -> None:
        super().__init__(f"{blobs.layout.ingest}/{digests.hex_of(digest)}{PART}")
        self.digest = digest
        self.size = size
        self.done = False
        self._blobs = blobs
        self._waiting = waiting
        self._hash = digests.hasher(digest)
        self._is_placed = False
        self._unread = 0  # where what an earlier attempt left is not hashed yet

    def __enter__(self) -> Self:
        if self._blobs.has(self.digest):
            self.done = True
            return self
        self._blobs.prepare()
        self._fd = locks.acquire(self._path, self._waiting)
        try:
            self.done = self._blobs.has(self.digest)
            self.offset = self._started = os.fstat(self._fd).st_size
            if self.size is not None and self.offset > self.size:
                self.restart()
            os.lseek(self._fd, 0, os.SEEK_END)
        except BaseException:
            self._leave(keep=True)
            raise
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        is_full = isinstance(kind, type) and issubclass(kind, NoSpace)
        self._leave(keep=not is_full)

    def _leave(self, *, keep: bool) -> None:
        if self._fd < 0:
            return
        if not self._is_placed and (not keep or self.done or not self.offset):
            try:
                os.unlink(self._path)
            except FileNotFoundError:
                pass
        locks.release(self._fd)
        self._fd = -1

    def resumed(self) -> Iterator[bytes]:
        """The bytes that an earlier attempt left, in pieces; `write` reads what nobody asked for.

        Raises `StoreError`.
        """
        while not self.done and self._unread < self.offset:
            piece = self._read_on()
            yield piece

    def _read_on(self) -> bytes:
        try:
            piece = os.pread(self._fd, min(_CHUNK, self.offset - self._unread), self._unread)
        except OSError as error:
            records.refuse(self._path, error)
        if not piece:
            raise StoreError(self._path, "became shorter while it was read")
        self._hash.update(piece)
        self._unread += len(piece)
        return piece

    def write(self, data: bytes | memoryview) -> None:
        """Add *data*, from `offset` on.

        Raises `DigestMismatch` for more than the size that was promised (nothing of it is kept),
        `NoSpace`, `StoreError`.
        """
        while self._unread < self.offset:
            self._read_on()
        if self.size is not None and self.offset + len(data) > self.size:
            self.restart()
            raise DigestMismatch("", f"blob {self.digest} is longer than {self.size} bytes")
        self._hash.update(data)
        self._append(data)
        self._unread = self.offset

    def restart(self) -> None:
        """Forget every byte of it: what comes next is its first. Raises `StoreError`."""
        try:
            os.ftruncate(self._fd, 0)
            os.lseek(self._fd, 0, os.SEEK_SET)
        except OSError as error:
            records.refuse(self._path, error)
        self._hash = digests.hasher(self.digest)
        self.offset = self._started = self._unread = 0

    def commit(self) -> None:
        """Verify it, and make it a blob, on disk when this returns.

        Raises `DigestMismatch` where it is not what its digest or size says (nothing of it is
        kept, so that the next attempt begins anew), `NoSpace`, `StoreError`.
        """
        if self.done:
            return
        while self._unread < self.offset:
            self._read_on()
        if self.size is not None and self.offset != self.size:
            came = self.offset
            if came > self.size:
                self.restart()
            raise DigestMismatch("", f"blob {self.digest} has {came} bytes instead of {self.size}")
        if self._hash.hexdigest() != digests.hex_of(self.digest):
            self.restart()
            raise DigestMismatch("", f"what came is not the blob {self.digest}")
        self._place(self._blobs.path(self.digest))
        self._is_placed = self.done = True
