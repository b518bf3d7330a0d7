"""Who a program runs as: ids, groups and home, from the container's own passwd and group files.

The files are an image's, so they are hostile: lines that are not well formed do not exist, and
reading takes time in proportion to the bytes whatever is in them (passwd(5), group(5)).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache

from attrs import frozen

from pyengine.errors import InvalidRequest
from pyengine.model.options_program import LARGEST_ID

LARGEST_CACHED = 64 << 10
"""Files beyond 64 KiB are read anew each time: hostile ones shall not fill the memory."""

MOST_GROUPS = 65536
"""NGROUPS_MAX of limits.h: setgroups(2) takes no more."""


@frozen
class Identity:
    """The ids of a program, its groups (its own first, none twice), and its home directory."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = (0,)
    home: str = "/"


@frozen
class _Account:
    name: bytes
    uid: int
    gid: int
    home: str


def resolve_identity(
    user: str,
    group_add: tuple[str, ...] = (),
    passwd: bytes | None = None,
    group: bytes | None = None,
) -> Identity:
    """Whom *user*, ``[name|uid][:group|gid]``, means in a container with these two files.

    Digits are an id and never a name (CVE-2016-3697). Without a group of its own in *user* the
    account's memberships count too; *group_add* always does (rows C05, C20).
    Raises `InvalidRequest` for names that are not in the files and ids beyond 2^32 - 2.

    >>> resolve_identity("app", (), b"app:x:1000:50::/srv:/bin/sh\\n", b"video:x:44:app\\n")
    Identity(uid=1000, gid=50, groups=(50, 44), home='/srv')
    """
    if len(passwd or b"") > LARGEST_CACHED or len(group or b"") > LARGEST_CACHED:
        return _resolve.__wrapped__(user, group_add, passwd, group)
    return _resolve(user, group_add, passwd, group)


@lru_cache(maxsize=32)
def _resolve(
    user: str, group_add: tuple[str, ...], passwd: bytes | None, group: bytes | None
) -> Identity:
    name, _, group_name = user.partition(":")
    accounts, known = passwd or b"", group or b""
    account = _account(user, name, accounts)
    groups: dict[int, None] = {}
    if group_name:
        gid = _gid(user, group_name, known)
        groups[gid] = None
    else:
        gid = account.gid
        groups[gid] = None
        for membership in _memberships(account.name, known):
            groups[membership] = None
            if len(groups) > MOST_GROUPS:
                raise InvalidRequest("user", user, why=f"it has more than {MOST_GROUPS} groups")
    for extra in group_add:
        groups[_gid(extra, extra, known)] = None
    return Identity(account.uid, gid, tuple(groups), account.home)


def _account(user: str, name: str, passwd: bytes) -> _Account:
    """The account that *name* means; a number needs no entry in the file."""
    uid = _number(user, name) if name else 0
    if uid is not None:
        field = b"%d" % uid
        for account in _entries(passwd, b":" + field + b":"):
            if account.uid == uid:
                return account
        return _Account(b"", uid, 0, "/")
    wanted = os.fsencode(name)
    for account in _entries(passwd, wanted + b":"):
        if account.name == wanted:
            return account
    why = f"unable to find user {name}: no matching entries in passwd file"
    raise InvalidRequest("user", user, why=why)


def _entries(passwd: bytes, hint: bytes) -> Iterator[_Account]:
    """The well-formed lines with *hint* in them."""
    for line in _lines_with(passwd, hint):
        fields = line.split(b":", 7)
        if len(fields) < 4:
            continue
        uid, gid = _id(fields[2]), _id(fields[3])
        if uid is None or gid is None or not fields[0]:
            continue
        home = fields[5] if len(fields) > 5 and b"\0" not in fields[5] else b""
        yield _Account(fields[0], uid, gid, os.fsdecode(home) or "/")


def _gid(asked: str, name: str, group: bytes) -> int:
    number = _number(asked, name)
    if number is not None:
        return number
    wanted = os.fsencode(name)
    for line in _lines_with(group, wanted + b":"):
        fields = line.split(b":", 3)
        if len(fields) >= 3 and fields[0] == wanted and (gid := _id(fields[2])) is not None:
            return gid
    why = f"unable to find group {name}: no matching entries in group file"
    raise InvalidRequest("group", asked, why=why)


def _memberships(name: bytes, group: bytes) -> Iterator[int]:
    """The groups that have *name* among their members."""
    if not name or b"," in name:
        return
    needle = b"," + name + b","
    for line in _lines_with(group, name):
        fields = line.split(b":", 4)
        # never split by commas: one hostile line may have millions of members
        if len(fields) >= 4 and fields[0] and needle in b"," + fields[3] + b",":
            gid = _id(fields[2])
            if gid is not None:
                yield gid


def _lines_with(content: bytes, hint: bytes) -> Iterator[bytes]:
    """The lines that contain *hint*, each once: C searches, so other lines cost nothing."""
    position = 0
    while (at := content.find(hint, position)) >= 0:
        start = content.rfind(b"\n", position, at) + 1 or position
        end = content.find(b"\n", at)
        end = len(content) if end < 0 else end
        yield content[start:end].strip()
        position = end + 1


def _id(field: bytes) -> int | None:
    # int() would take '+1', ' 1', '1_0' and digits of other scripts
    if not field.isdigit() or len(field) > 10 or (number := int(field)) > LARGEST_ID:
        return None
    return number


def _number(asked: str, part: str) -> int | None:
    """The id that *part* is; `None` if it is a name."""
    if not (part.isascii() and part.isdigit()):
        return None
    if len(part) > 32 or (number := int(part)) > LARGEST_ID:
        expected = f"a name, or an id from 0 to {LARGEST_ID}"
        raise InvalidRequest("user", asked, expected=expected)
    return number
