"""The calls into C for layers: an archive becomes an overlay's directory, or the other way round.

It stands beside `native`, the other modules that import `_native`, because whoever unpacks has
nothing to do with births and mounts.
"""

from __future__ import annotations

import errno
import os

from attrs import frozen

from pyengine._native import ffi, lib
from pyengine.errors import EngineError, InvalidContent, KernelError, NoSpace

MOST_ENTRIES = 10_000_000
"""Entries of one layer, where its caller says nothing else."""

MOST_BYTES = 1 << 40
"""Bytes of one layer's files, holes included, where its caller says nothing else."""

_WHY = {
    lib.PE_TAR_HEADER: "what should be a header is none: this is no tar archive, or a damaged one",
    lib.PE_TAR_TRUNCATED: "the archive ends in the middle of an entry",
    lib.PE_TAR_TRAILER: "it goes on for more than 64 MiB behind its end",
    lib.PE_TAR_PAX: "an extended header cannot be read",
    lib.PE_TAR_PAX_SIZE: "an extended header is larger than 1 MiB, or has more than 10000 records",
    lib.PE_TAR_CHARSET: "its texts are not in UTF-8",
    lib.PE_TAR_TYPE: "it is of a type that no layer can hold",
    lib.PE_TAR_NAME: "a name is longer than 4095 bytes, one part longer than 255, or has a NUL",
    lib.PE_TAR_OUTSIDE: "a name leads out of the layer",
    lib.PE_TAR_ROOT: "the root of a layer can only be a directory",
    lib.PE_TAR_WHITEOUT: "it is a whiteout that no layer can have",
    lib.PE_TAR_NOT_DIRECTORY: "it lies below something that is not a directory",
    lib.PE_TAR_LOOP: "it lies below symbolic links that lead nowhere",
    lib.PE_TAR_LINK: "it links to nothing, or to what is not a file of this layer",
    lib.PE_TAR_OWNER: "its owner is not among the ids there are",
    lib.PE_TAR_ATTRIBUTE: "the file system takes no such extended attribute",
    lib.PE_TAR_SPARSE: "the map of a sparse file cannot be true",
    lib.PE_TAR_MOST_BYTES: "its files are larger than the limit",
    lib.PE_TAR_MOST_ENTRIES: "it has more entries than the limit",
    lib.PE_TAR_CHANGED: "the file was changed while it was read",
    lib.PE_TAR_OVERLAY: "it bears a mark of an overlay that no archive can hold",
}


@frozen
class Unpacked:
    """What came out of an archive; *entries* and *whiteouts* are the archive's own."""

    entries: int
    bytes: int  # of its files, holes included
    whiteouts: int
    lost_attributes: int  # that this file system or this user cannot set, or an overlay would heed
    lost_devices: int  # that this user may not make
    hides_all: bool  # its root is opaque: nothing of the layers below is seen


def _error(number: int, name: bytes, doing: str) -> EngineError:
    entry = os.fsdecode(name)
    if number in _WHY:
        return InvalidContent(f"entry {entry!r}" if entry else "layer", _WHY[number])
    if number in (errno.ENOSPC, errno.EDQUOT):
        return NoSpace(entry or "the layer", os.strerror(number), "free some, or use another root")
    if number == errno.ENAMETOOLONG:
        return InvalidContent(f"entry {entry!r}", _WHY[lib.PE_TAR_NAME])
    return KernelError(number, f"{doing} {entry!r}" if entry else f"{doing} a layer")


class Unpacker:
    """Unpacks a tar archive, fed piece by piece, below *directory_fd*, which stays its owner's.

    The archive is docker's or OCI's form of a layer, the directory becomes an overlay's: whiteouts
    are devices 0:0, opaque directories are marked, with *user_xattrs* for an overlay mounted with
    ``userxattr``. With *single_id* files cannot be given away: all stay their unpacker's.
    *most_bytes* and *most_entries* bound what comes out. One thread at a time; the GIL is
    released. After an error what is in the directory is worth nothing.

    Its methods raise `InvalidContent` for what is wrong with the archive, with the entry's name,
    `NoSpace`, and `KernelError`.

    >>> with Unpacker(fd) as unpacker:                                      # doctest: +SKIP
    ...     unpacker.feed(archive)
    ...     unpacker.finish().entries
    3
    """

    def __init__(
        self,
        directory_fd: int,
        *,
        user_xattrs: bool = False,
        single_id: bool = False,
        most_bytes: int = MOST_BYTES,
        most_entries: int = MOST_ENTRIES,
    ) -> None:
        made = ffi.new("struct pe_untar **")
        flags = lib.PE_UNTAR_USER_XATTRS if user_xattrs else 0
        flags |= lib.PE_UNTAR_ONE_OWNER if single_id else 0
        answer = lib.pe_untar_new(directory_fd, flags, most_bytes, most_entries, made)
        if answer < 0:
            raise KernelError(-answer, "open the directory to unpack in")
        self._untar = made[0]

    def __enter__(self) -> Unpacker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Go on with *data*, of any length; the longer, the faster (256 KiB and more)."""
        self._check(lib.pe_untar_feed(self._open(), ffi.from_buffer("char[]", data), len(data)))

    def finish(self) -> Unpacked:
        """That was all: see that the archive is complete; directories get their modes and times."""
        result = ffi.new("struct pe_untarred *")
        self._check(lib.pe_untar_finish(self._open(), result))
        return Unpacked(
            result.entries,
            result.bytes,
            result.whiteouts,
            result.lost_attributes,
            result.lost_devices,
            bool(result.hides_all),
        )

    def close(self) -> None:
        """Let go of everything; what is unpacked stays as it is."""
        untar, self._untar = self._untar, ffi.NULL
        lib.pe_untar_free(untar)

    def _open(self) -> object:
        if self._untar == ffi.NULL:
            raise ValueError("the unpacker is closed")
        return self._untar

    def _check(self, answer: int) -> None:
        if answer < 0:
            raise _error(-answer, ffi.string(lib.pe_untar_name(self._untar)), "unpack")


@frozen
class Packed:
    """What went into an archive of *bytes*; it has no *lost_sockets*, since none can."""

    entries: int
    bytes: int
    lost_sockets: int


def pack(
    directory_fd: int,
    out_fd: int,
    *,
    overlay: bool = True,
    user_xattrs: bool = False,
    mtime: int | None = None,
    most_bytes: int = MOST_BYTES,
) -> Packed:
    """Write what lies below *directory_fd* as a tar archive to *out_fd*, a file or a pipe.

    The archive depends on nothing else: names are sorted, owners have no names, and with *mtime*,
    in seconds since 1970, all has that time. With *overlay* the whiteouts and opaque directories
    of an overlay, with *user_xattrs* one mounted with ``userxattr``, become docker's and OCI's.
    The GIL is released. Raises `InvalidContent` for what no archive can hold, `NoSpace`, and
    `KernelError`: EPIPE where nobody reads any more.

    >>> pack(fd, out).entries                                               # doctest: +SKIP
    3
    """
    flags = lib.PE_PACK_OVERLAY if overlay else 0
    flags |= lib.PE_PACK_USER_XATTRS if user_xattrs else 0
    flags |= lib.PE_PACK_ONE_TIME if mtime is not None else 0
    name = ffi.new("char[]", lib.PE_PACK_NAME_ROOM)
    result = ffi.new("struct pe_packed *")
    answer = lib.pe_pack(directory_fd, out_fd, flags, mtime or 0, most_bytes, name, result)
    if answer < 0:
        raise _error(-answer, ffi.string(name), "pack")
    return Packed(result.entries, result.bytes, result.lost_sockets)
