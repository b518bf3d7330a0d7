"""Reading a container's own passwd and group files, which hostile hands may have written.

A fifo there would hang who opens it, a link could lead out, a giant would fill the memory: they
are opened without waiting, inside the container's root, and read up to a limit.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from functools import partial

from pyengine.containers.identity import Identity, resolve_identity
from pyengine.errors import InvalidRequest, KernelError
from pyengine.linux import native

LARGEST = 8 << 20
"""Bytes of /etc/passwd or /etc/group that are read at most."""


def identity_in(root: int, user: str, group_add: tuple[str, ...]) -> Identity:
    """Whom *user* means in the container whose root directory is the fd *root*.

    Raises `InvalidRequest` for unknown names, and for files that are not what they should be
    where their content is needed; `PermissionError` for those that are closed to us, as all here.
    """
    return identity_by(partial(_read, root), user, group_add)


def identity_in_layers(
    directories: tuple[str, ...], user: str, group_add: tuple[str, ...], opaque: str
) -> Identity:
    """As `identity_in` for a root that nobody can mount now: its layers, the topmost first.

    *opaque* is the mark of a directory that hides what is below it.
    """
    return identity_by(partial(read_in_layers, directories, opaque), user, group_add)


def identity_by(
    read: Callable[[str, bool], bytes | None], user: str, group_add: tuple[str, ...]
) -> Identity:
    """As `identity_in`, of files that *read* reads: by path, and whether they are needed."""
    name, _, group = user.partition(":")
    passwd = read("etc/passwd", not name.isdigit() and name != "")
    named = [group, *group_add]
    needed = any(word and not word.isdigit() for word in named)
    if group and not needed:  # ids only: the file has nothing to say
        return resolve_identity(user, group_add, passwd, None)
    return resolve_identity(user, group_add, passwd, read("etc/group", needed))


def identity_in_layer(directory: str, user: str, group_add: tuple[str, ...]) -> Identity:
    """As `identity_in` for a root directory of the host, looked up again when it has changed."""
    version = _version(directory)
    key = directory, user, group_add
    known = _known.get(key)
    if version and known is not None and known[0] == version:
        return known[1]
    root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        identity = identity_in(root, user, group_add)
    finally:
        os.close(root)
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    _known[key] = version, identity
    return identity


_MOST_KNOWN = 64
_known: dict[tuple[str, str, tuple[str, ...]], tuple[tuple[int, ...], Identity]] = {}


def _version(directory: str) -> tuple[int, ...]:
    """What changes when the files do; empty where a link makes that uncertain."""
    found: list[int] = []
    for path, kind in (("/etc", stat.S_IFDIR), ("/etc/passwd", stat.S_IFREG), ("/etc/group", 0)):
        try:
            status = os.lstat(directory + path)
        except OSError:
            return ()
        if (kind and stat.S_IFMT(status.st_mode) != kind) or stat.S_ISLNK(status.st_mode):
            return ()
        found += (status.st_ino, status.st_ctime_ns, status.st_size)
    return tuple(found)


def read_in_layers(
    directories: tuple[str, ...], opaque: str, path: str, needed: bool
) -> bytes | None:
    """From the topmost layer that has it, unless one above that says it is gone."""
    for directory in directories:
        if _is_gone(directory, path):
            return None
        if _look(f"{directory}/{path}") is not None:
            root = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                return _read(root, path, needed)
            finally:
                os.close(root)
        if _hides(f"{directory}/{os.path.dirname(path)}", opaque):
            return None
    return None


def _is_gone(directory: str, path: str) -> bool:
    """Whether it, or what it is in, is a whiteout, or is in something else than a directory."""
    for part in (os.path.dirname(path), path):
        found = _look(f"{directory}/{part}")
        if found is None:
            return False
        if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
            return True
    return False


def _look(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except PermissionError:
        raise
    except OSError:
        return None


def _hides(directory: str, opaque: str) -> bool:
    try:
        return os.getxattr(directory, opaque, follow_symlinks=False) == b"y"
    except OSError:
        return False


def _read(root: int, path: str, needed: bool) -> bytes | None:
    """The file's content; `None` where there is none, or no sane one and it is not *needed*."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
    try:
        fd = native.open_in_root(root, path, flags)
    except KernelError as error:
        if error.errno == errno.EACCES:
            raise PermissionError(error.errno, f"read /{path}") from error
        return None
    try:
        found = os.fstat(fd)
        if stat.S_ISREG(found.st_mode) and found.st_size <= LARGEST:
            return _read_all(fd, found.st_size)
    finally:
        os.close(fd)
    if not needed:
        return None
    kind = f"larger than {LARGEST >> 20} MiB" if stat.S_ISREG(found.st_mode) else "no regular file"
    raise InvalidRequest(
        "user", f"/{path}", why=f"it is {kind}", expected="a uid:gid, which needs no such file"
    )


def _read_all(fd: int, size: int) -> bytes:
    content = os.read(fd, size + 1)
    while len(content) < size and (more := os.read(fd, size - len(content))):
        content += more
    return content
