"""Options about the program: what runs, as whom, where, under which name, with what environment."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pyengine.errors import InvalidRequest
from pyengine.model.options_words import (
    absolute_path,
    integer,
    pairs,
    several,
    text,
    word,
)
from pyengine.model.units import parse_duration

LARGEST_ID = (1 << 32) - 2
"""The largest user or group id: (uid_t)-1 means "leave it" to chown(2) and setresuid(2)."""

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,254}")  # 255: it becomes the name of a file
_HOSTNAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}")  # 64: __NEW_UTS_LEN
_PLATFORM = re.compile(r"[a-z0-9_]+(?:/[a-zA-Z0-9_]+){0,2}")


def container_name(given: object) -> str:
    """*given* without a leading slash, if a container may be called so (row C23)."""
    name = text(given, "container name").removeprefix("/")
    if _NAME.fullmatch(name) is None:
        expected = "[a-zA-Z0-9][a-zA-Z0-9_.-]+, 2 to 255 characters"
        raise InvalidRequest("container name", given, expected=expected)
    return name


def hostname(given: object, what: str = "hostname") -> str:
    """A name for sethostname(2): anything else could smuggle lines into /etc/hosts."""
    name = text(given, what)
    if name and _HOSTNAME.fullmatch(name) is None:
        raise InvalidRequest(what, given, expected="[a-zA-Z0-9][a-zA-Z0-9_.-]*, up to 64 bytes")
    return name


def domainname(given: object) -> str:
    """A name for setdomainname(2)."""
    return hostname(given, "domainname")


def command_words(given: object, what: str = "command") -> tuple[str, ...]:
    """The words of a command: a list as it is, a text split as a shell would split it.

    >>> command_words("echo 'hello world'")
    ('echo', 'hello world')
    """
    if not isinstance(given, str):
        return tuple(text(one, what) for one in several(given, what, "a list of texts, or a text"))
    text(given, what)
    if not ("'" in given or '"' in given or "\\" in given) and given.isascii():
        return tuple(given.split())
    import shlex

    try:
        return tuple(shlex.split(given))
    except ValueError as error:
        why = str(error).lower().removesuffix(".")  # "no closing quotation"
        raise InvalidRequest(what, given, why=why) from error


def entrypoint(given: object) -> tuple[str, ...]:
    """As `command_words`; an empty text is ``[""]``: no entrypoint and no command of the image."""
    return command_words(given, "entrypoint") or (("",) if isinstance(given, str) else ())


def environment(given: object) -> tuple[tuple[str, str | None], ...]:
    """Names and values; `None`, or a text without ``=``, takes the variable away (row C04)."""
    found = []
    for name, value in pairs(given, "env"):
        # in a list such a name cannot come up; in a mapping it would become another variable
        if "=" in name or "\n" in name:
            raise InvalidRequest("env", name, why="a variable's name has no '=' or line break")
        found.append((name, None if value is None else word(value, f"env {name}")))
    return tuple(found)


def labels(given: object, what: str = "labels") -> tuple[tuple[str, str], ...]:
    """Names and values; a name alone has an empty value."""
    return tuple(
        (name, "" if value is None else word(value, f"{what} {name}"))
        for name, value in pairs(given, what)
    )


def annotation_pairs(given: object) -> tuple[tuple[str, str], ...]:
    """As `labels`."""
    return labels(given, "annotations")


def workdir(given: object) -> str:
    """An absolute, clean path; nothing means the image's."""
    return absolute_path(given, "workdir") if given != "" else ""


def user(given: object) -> str:
    """``name|uid[:group|gid]``; what the names mean is known when a program starts (row C05)."""
    if isinstance(given, int) and not isinstance(given, bool):
        given = str(given)
    asked = text(given, "user")
    if "\n" in asked or asked.count(":") > 1:
        raise InvalidRequest("user", given, expected="'name', 'uid', 'name:group' or 'uid:gid'")
    for part in asked.split(":"):
        check_id("user", part)
    return asked


def check_id(what: str, part: str) -> None:
    """`InvalidRequest` if *part* is a number that is no id, such as -1 or 4294967295."""
    digits = part.removeprefix("-").removeprefix("+")
    if digits.isdecimal() and not (
        part == digits and part.isascii() and len(part) <= 32 and int(part) <= LARGEST_ID
    ):
        raise InvalidRequest(what, part, expected=f"a name, or an id from 0 to {LARGEST_ID}")


def group_add(given: object) -> tuple[str, ...]:
    """Groups by name or id."""
    if isinstance(given, int):
        given = (given,)
    found = []
    for one in several(given, "group_add", "a list of names and ids"):
        number = isinstance(one, int) and not isinstance(one, bool)
        group = str(one) if number else text(one, "group_add")
        if not group or "\n" in group or ":" in group:
            raise InvalidRequest("group_add", one, expected="a group's name or id")
        check_id("group_add", group)
        found.append(group)
    return tuple(found)


def console_size(given: object) -> tuple[int, int]:
    """Rows and columns, as winsize of ioctl_tty(2) has them."""
    items = several(given, "console_size", "(rows, columns)")
    if len(items) != 2:
        raise InvalidRequest("console_size", given, expected="(rows, columns)")
    rows, columns = (integer(one, "console_size", 0, 65535) for one in items)
    return rows, columns


def standard_input(given: object) -> object:
    """What the program reads: bytes, a text (as UTF-8), a file, or a file descriptor."""
    if isinstance(given, str):
        return given.encode("utf-8", "surrogateescape")
    if isinstance(given, bytes | bytearray | memoryview):
        return bytes(given)
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return given
    if hasattr(given, "fileno") or hasattr(given, "read"):
        return given
    raise InvalidRequest("stdin", given, expected="bytes, a text, or an open file")


def stop_timeout(given: object) -> float:
    """Seconds; below zero is for ever (row C17)."""
    seconds = parse_duration(given, "stop_timeout")
    return seconds if seconds >= 0 else -1.0


def platform(given: object) -> str:
    """``os[/arch[/variant]]``; whether the host is one is seen when it is resolved (row C24)."""
    asked = text(given, "platform")
    if asked and _PLATFORM.fullmatch(asked) is None:
        raise InvalidRequest("platform", given, expected="'linux/amd64', 'linux/arm64/v8', …")
    return asked


def one_of(what: str, *words: str) -> _Choice:
    """A reader that takes one of *words*."""
    return _Choice(what, words)


def progress(given: object) -> str | Callable[[Any], object]:
    """Who is told of a pull: a function, or a word for a display."""
    if callable(given):
        return given
    return one_of("progress", "auto", "plain", "none")(given)


class _Choice:
    """See `one_of`."""

    def __init__(self, what: str, words: tuple[str, ...]) -> None:
        self._what = what
        self._words = words

    def __call__(self, given: object) -> str:
        if given not in self._words:
            raise InvalidRequest(self._what, given, expected=" or ".join(map(repr, self._words)))
        return str(given)


def image_name(given: object) -> str:
    """What names the image; `Reference` reads it further on."""
    name = text(given, "image")
    if not name or name != name.strip():
        raise InvalidRequest("image", given, expected="an image's name, 'host:' or 'rootfs:/dir'")
    return name
