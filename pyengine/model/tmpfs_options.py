"""The words of a tmpfs: ``size=64m,mode=1777,exec`` (tmpfs(5), rows C93 and V10)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NoReturn

from attrs import frozen

from pyengine.errors import InvalidRequest
from pyengine.model.units import parse_size

# each flag's words by what they decide; of contrary ones the last counts
_FLAGS = {
    **dict.fromkeys(("noexec", "exec"), "noexec"),
    **dict.fromkeys(("nosuid", "suid"), "nosuid"),
    **dict.fromkeys(("nodev", "dev"), "nodev"),
    **dict.fromkeys(("noatime", "strictatime", "relatime", "atime"), "atime"),
    **dict.fromkeys(("ro", "rw"), "ro"),
}
_TAKERS_BACK = frozenset(("exec", "suid", "dev", "relatime", "atime"))  # the kernel's own defaults
_PROPAGATION = frozenset(("private", "rprivate", "shared", "rshared", "slave", "rslave"))
_ALWAYS = ("noexec", "nosuid", "nodev")

_KERNEL_SIZE = re.compile(r"\d{1,19}[kmgtpeKMGTPE]?|\d{1,3}%", re.ASCII)
_COUNT = re.compile(r"\d{1,19}[kmgKMG]?", re.ASCII)
_MODE = re.compile(r"[0-7]{1,5}", re.ASCII)
_ID = re.compile(r"\d{1,10}", re.ASCII)
_POLICY = re.compile(
    r"(?:default|local|(?:prefer|bind|interleave)(?:=(?:static|relative))?(?::[\d,-]+)?)", re.ASCII
)


@frozen
class TmpfsOptions:
    """*words* in the order given, without those that say ``ro``, ``rw`` or a propagation."""

    words: tuple[str, ...]
    read_only: bool = False
    propagation: str = ""


def parse_tmpfs_options(words: Iterable[str]) -> TmpfsOptions:
    """Check the *words*; of contrary ones, or of one with several values, the last counts.

    Raises `InvalidRequest`.

    >>> parse_tmpfs_options(["size=64m", "exec", "ro"])
    TmpfsOptions(words=('size=64m', 'exec'), read_only=True, propagation='')
    """
    found: dict[str, str] = {}
    propagation = ""
    for given in words:
        word = given.strip()
        name, equals, value = word.partition("=")
        if not word:
            continue
        if equals:
            if (check := _VALUES.get(name)) is None:
                _unknown(given)
            found[name] = f"{name}={check(given, value)}"
        elif word in _PROPAGATION:
            propagation = word
        elif word in _FLAGS:
            found[_FLAGS[word]] = word
        else:
            _unknown(given)
    access = found.pop("ro", "rw")
    return TmpfsOptions(tuple(found.values()), access == "ro", propagation)


def complete_tmpfs_options(words: tuple[str, ...]) -> tuple[str, ...]:
    """What to mount with, for the checked *words*: Docker's own first, takers-back resolved.

    >>> complete_tmpfs_options(("size=64m", "exec"))
    ('nosuid', 'nodev', 'size=64m')
    """
    flags = {name: name for name in _ALWAYS}
    values = []
    for word in words:
        if (decides := _FLAGS.get(word)) is None:
            values.append(word)
        else:
            flags[decides] = word
    return (*(word for word in flags.values() if word not in _TAKERS_BACK), *values)


def _unknown(given: str) -> NoReturn:
    known = ", ".join((*_VALUES, *_FLAGS))
    raise InvalidRequest("tmpfs option", given, why="tmpfs has no such word", expected=known)


def _size(given: str, value: str) -> str:
    # the kernel reads no fractions and no "mb"; what it can read stays as it was written
    return value if _KERNEL_SIZE.fullmatch(value) else str(parse_size(value, f"tmpfs {given}"))


def _matching(pattern: re.Pattern[str], expected: str) -> Callable[[str, str], str]:
    def check(given: str, value: str) -> str:
        if pattern.fullmatch(value) is None:
            raise InvalidRequest("tmpfs option", given, expected=expected)
        return value

    return check


_VALUES: dict[str, Callable[[str, str], str]] = {
    "size": _size,
    "mode": _matching(_MODE, "octal digits, such as mode=1777"),
    "uid": _matching(_ID, "a number"),
    "gid": _matching(_ID, "a number"),
    "nr_inodes": _matching(_COUNT, "a number, with k, m or g"),
    "nr_blocks": _matching(_COUNT, "a number, with k, m or g"),
    "mpol": _matching(_POLICY, "a memory policy of tmpfs(5)"),
}
