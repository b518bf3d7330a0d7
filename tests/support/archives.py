"""Archives made entry by entry, also such as no program would make; and unpacking them."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

from pyengine.linux import native
from pyengine.linux.native_layers import Unpacked, Unpacker

DIRECTORY, FILE, LINK = tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.LNKTYPE
SYMLINK, DEVICE, BLOCK, FIFO = tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE

END = b"\0" * 1024


def entry(name: str, content: bytes = b"", /, kind: bytes = FILE, **more: object) -> bytes:
    """One entry, with all the headers it needs; it belongs to whoever runs the test."""
    info = tarfile.TarInfo(name)
    info.uid, info.gid = os.geteuid(), os.getegid()
    info.type, info.size = kind, len(content)
    info.mode = 0o755 if kind == DIRECTORY else 0o644
    for key, value in more.items():
        assert hasattr(info, key), key
        setattr(info, key, value)
    pieces = [info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"), content]
    return b"".join(pieces) + b"\0" * (-len(content) % 512)


def directory(name: str, **more: object) -> bytes:
    """A directory."""
    return entry(name, kind=DIRECTORY, **more)


def symlink(name: str, target: str, **more: object) -> bytes:
    """A symbolic link."""
    return entry(name, kind=SYMLINK, linkname=target, **more)


def link(name: str, target: str, **more: object) -> bytes:
    """A hard link."""
    return entry(name, kind=LINK, linkname=target, **more)


def record(key: bytes, value: bytes) -> bytes:
    """One record of an extended header."""
    length = len(key) + len(value) + 3
    size = length + len(str(length))
    size = length + len(str(size))
    return b"%d %s=%s\n" % (size, key, value)


def extended(*records: bytes, kind: bytes = b"x") -> bytes:
    """An extended header of these records, whatever they are."""
    return entry("header", b"".join(records), kind=kind)


def block(name: bytes, /, kind: bytes = b"0", **fields: bytes) -> bytes:
    """A bare header: *fields* as they stand in it, with the right checksum."""
    places = {
        "mode": (100, 8),
        "uid": (108, 8),
        "gid": (116, 8),
        "size": (124, 12),
        "mtime": (136, 12),
        "linkname": (157, 100),
        "magic": (257, 8),
        "major": (329, 8),
        "minor": (337, 8),
        "prefix": (345, 155),
    }
    header = bytearray(512)
    header[0 : len(name)] = name
    header[156:157] = kind
    given = {"mode": b"0000644", "size": b"00000000000", "magic": b"ustar\x0000", **fields}
    for key, value in given.items():
        at, room = places[key]
        assert len(value) <= room
        header[at : at + len(value)] = value
    return summed(bytes(header))


def summed(header: bytes) -> bytes:
    """*header*, with the right checksum."""
    bare = header[:148] + b" " * 8 + header[156:]
    return bare[:148] + b"%06o\0 " % sum(bare) + bare[156:]


def unpack(to: Path, data: bytes, *, piece: int = 1 << 20, **options: bool | int) -> Unpacked:
    """Unpack *data* into the directory *to*; whoever is not root keeps what it makes."""
    nobody = os.geteuid() != 0
    options = {"single_id": nobody, "user_xattrs": nobody, **options}
    fd = os.open(to, os.O_RDONLY)
    try:
        with Unpacker(fd, **options) as unpacker:  # type: ignore[arg-type]
            for at in range(0, len(data), piece):
                unpacker.feed(memoryview(data)[at : at + piece])
            return unpacker.finish()
    finally:
        os.close(fd)


def tar_of(*entries: tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    """An archive of Python's own module."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for one in entries:
            tar.addfile(one, io.BytesIO(b"x" * one.size))
    return out.getvalue()


def remove_all(top: Path) -> None:
    """Remove *top* and all below it, however deep."""
    above = os.open(top.parent, os.O_RDONLY)
    native.remove_tree(above, top.name)
    os.close(above)
