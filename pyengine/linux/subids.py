"""Which ids of the host are a user's besides their own: /etc/subuid and /etc/subgid (subuid(5))."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterator

from pyengine.model.id_layouts import Span
from pyengine.model.options_program import LARGEST_ID

SUBUID, SUBGID = "/etc/subuid", "/etc/subgid"

_LARGEST = 1 << 20
_LONGEST_LINE = 1023  # what shadow reads
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*", re.ASCII)


def parse_subids(text: str, owners: Container[str]) -> Iterator[Span]:
    """The ranges in *text* that are one of *owners*'s, by name or by id, in their order.

    A line is ``owner:first:count``. Lines that are not well formed do not exist, and numbers may
    be decimal, octal or hexadecimal: both as shadow has it, whose newuidmap looks there too.

    >>> list(parse_subids("ann:100000:65536\\n# none\\n1000:300000:10\\n", {"ann", "1000"}))
    [(100000, 65536), (300000, 10)]
    """
    for line in text.split("\n"):
        fields = line.split(":")
        if len(line) > _LONGEST_LINE or len(fields) < 3 or fields[0] not in owners:
            continue
        first, count = _number(fields[1]), _number(fields[2])
        if fields[0] and first is not None and count and first + count - 1 <= LARGEST_ID:
            yield first, count


def _number(text: str) -> int | None:
    if len(text) > 32 or not _NUMBER.fullmatch(text):
        return None
    if text[:2] in ("0x", "0X"):
        return int(text, 16)
    return int(text, 8 if text.startswith("0") else 10)


def subids_of(user: int) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """The users and the groups that are *user*'s; nothing where a file cannot be read."""
    texts = _read(SUBUID), _read(SUBGID)
    if not any(texts):
        return (), ()
    owners = {str(user), *_names_of(user)}
    users, groups = (tuple(parse_subids(text, owners)) for text in texts)
    return users, groups


def _names_of(user: int) -> Iterator[str]:
    import pwd

    try:
        yield pwd.getpwuid(user).pw_name
    except KeyError:
        return


def _read(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        content = b""
        while len(content) < _LARGEST and (more := os.read(fd, _LARGEST)):
            content += more
    except OSError:
        return ""
    finally:
        os.close(fd)
    return content.decode(errors="surrogateescape")
