"""Records: one JSON value a file, true at every moment because it is written by rename."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from attrs import frozen

from pyengine.errors import NoSpace, StoreError
from pyengine.model.codec import from_plain, to_plain

T = TypeVar("T")

VERSION = 1
_LARGEST = 16 << 20
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def write(
    path: str, value: object, place: str = "", staging: Callable[[str], None] | None = None
) -> None:
    """Write *value* to *path*: whoever reads sees the old one or the new one.

    *place*, ``OWNER/ID``, is written before all else for who gets at the file by another name:
    see `place_in`. *staging* is called with the path of the whole file before it gets its name;
    what it raises is raised. Raises `NoSpace` or `StoreError`.
    """
    head = {"version": VERSION, "place": place} if place else {"version": VERSION}
    data = _encode({**head, **to_plain(value)}).encode()
    staged = f"{path}.new"
    try:
        fd = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            if os.write(fd, data) != len(data):
                raise OSError(errno.ENOSPC, "short write")
        finally:
            os.close(fd)
        if staging is not None:
            staging(staged)
        os.rename(staged, path)
    except OSError as error:
        refuse(path, error)


def read(
    path: str, kind: type[T], remedy: str = "remove the container it belongs to, by force"
) -> T | None:
    """The value at *path*, or ``None`` if there is none.

    Raises `StoreError` where the file is damaged, with *remedy*, or from a newer version. A value
    that knows why it cannot be true (``fault()``) is asked.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        refuse(path, error)
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(path, "is not a regular file", "move it away")
        if found.st_size > _LARGEST:
            raise StoreError(path, f"is damaged: {found.st_size} bytes are no record", remedy)
        data = os.read(fd, found.st_size)  # it does not grow: see `write`
    except OSError as error:
        refuse(path, error)
    finally:
        os.close(fd)
    try:
        plain: Any = json.loads(data)
        version = plain.pop("version")
        plain.pop("place", None)
        if type(version) is not int or version < VERSION:
            raise ValueError("it does not say which version has written it")
        if version > VERSION:
            why = f"was written by a newer version ({_shown(version)} > {VERSION})"
            raise StoreError(path, why, "use that version, or another root")
        value = from_plain(kind, plain)
        if fault := getattr(value, "fault", str)():
            raise ValueError(fault)
        return value
    except KeyError as error:
        raise StoreError(path, f"is damaged: it has no {error}", remedy) from error
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(path, f"is damaged: {_shown(error)}", remedy) from error


def is_newer(path: str) -> bool:
    """Whether a version that is newer than this has written the record at *path*."""
    try:
        read(path, _Nothing)
    except StoreError as error:
        return error.why.startswith("was written by a newer")
    return False


@frozen
class _Nothing:
    """What a record is read as for its version alone."""


def _shown(what: object) -> str:
    """In one line, and not too long: what is damaged may say anything."""
    text = ascii(str(what))[1:-1]
    return text if len(text) <= 120 else f"{text[:119]}…"


_PLACE = re.compile(rb'\{"version":1,"place":"([^"/]+)/([0-9a-f]{64})",')


def place_in(path: str) -> tuple[str, str] | None:
    """Owner and id of the container whose record has *path* for another name.

    They stand at its beginning, where csrc/ward.c looks for them as well. Raises `OSError`.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = _PLACE.match(os.read(fd, 256))
    finally:
        os.close(fd)
    return (os.fsdecode(found[1]), found[2].decode()) if found is not None else None


def refuse(path: str, error: OSError) -> NoReturn:
    """Raise what *error* means for whoever wanted *path*."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise NoSpace(path, "no space left on the device", "free some, or use another root") from (
            error
        )
    raise StoreError(path, error.strerror or str(error), _REMEDIES.get(error.errno or 0, "")) from (
        error
    )


_REMEDIES = {
    errno.EROFS: "make it writable, or use another root",
    errno.EACCES: "see whose it is, or use another root",
    errno.EPERM: "see whose it is, or use another root",
    errno.ELOOP: "it is a symbolic link: move it away",
    errno.ENOTDIR: "move away what is there",
    errno.EISDIR: "move away what is there",
    errno.EEXIST: "move away what is there",
    errno.ENOTEMPTY: "move away what is there",
    errno.EIO: "see what the kernel says of the disk",
}
