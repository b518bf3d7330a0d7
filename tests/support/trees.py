"""What lies below a directory, in every respect that an archive can keep."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

Row = tuple[object, ...]


def tree(top: Path | str) -> dict[bytes, Row]:
    """Path: type and mode, owners, time, size, device, names that are the same file, attributes,
    content.
    """
    root = os.fsencode(top)
    rows: dict[bytes, Row] = {}
    first: dict[tuple[int, int], bytes] = {}
    for path in _all(root):
        found = os.lstat(path)
        name = os.path.relpath(path, root)
        is_directory = stat.S_ISDIR(found.st_mode)
        same = b"" if is_directory else first.setdefault((found.st_dev, found.st_ino), name)
        rows[name] = (
            oct(found.st_mode),
            found.st_uid,
            found.st_gid,
            found.st_mtime_ns,
            0 if is_directory else found.st_size,
            found.st_rdev,
            same,
            _attributes(path),
            _content(path, found.st_mode),
        )
    return rows


def _all(root: bytes) -> list[bytes]:
    paths = [root]
    for directory, names, files in os.walk(root):
        paths += [os.path.join(directory, name) for name in (*names, *files)]
    return sorted(paths)


def _attributes(path: bytes) -> list[tuple[str, bytes]]:
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return [(name, os.getxattr(path, name, follow_symlinks=False)) for name in names]


def _content(path: bytes, mode: int) -> bytes | str:
    if stat.S_ISLNK(mode):
        return os.readlink(path)
    if not stat.S_ISREG(mode):
        return b""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
