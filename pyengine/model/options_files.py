"""Files that a request names: read once at its door, so that only values walk on from here."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pyengine.errors import InvalidRequest
from pyengine.model.options_words import several, text

LARGEST_FILE = 1 << 20
"""No environment that execve(2) takes, and no seccomp profile, comes near a mebibyte."""


def read_env_files(given: object) -> tuple[tuple[str, str | None], ...]:
    """The variables of one or several files of ``NAME=value`` lines (row C04).

    A line with a name alone hands on this process's own variable, if it has one.
    """
    found: list[tuple[str, str | None]] = []
    for name, value in _read_pairs(given, "env_file"):
        if value is None:
            value = os.environ.get(name)
            if value is None:
                continue
        found.append((name, value))
    return tuple(found)


def read_label_files(given: object) -> tuple[tuple[str, str], ...]:
    """The labels of one or several files of ``name=value`` lines (row C14)."""
    return tuple((name, value or "") for name, value in _read_pairs(given, "label_file"))


def read_text(path: object, what: str) -> str:
    """The text of the file at *path*; `InvalidRequest` if it cannot be read, is large or binary."""
    name = os.path.expanduser(text(path, what))
    try:
        with open(name, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise InvalidRequest(what, path, why=f"cannot read it: {error.strerror}") from error
    if len(content) > LARGEST_FILE:
        raise InvalidRequest(what, path, why=f"larger than {LARGEST_FILE} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(what, path, why="it is not UTF-8") from error


def parse_lines(content: str, what: str, path: object) -> Iterator[tuple[str, str | None]]:
    """The pairs in *content*: blank lines and ``#`` comments are none, values are as they stand.

    >>> list(parse_lines("# a comment\\nA=1 \\nB\\n", "env_file", "x"))
    [('A', '1 '), ('B', None)]
    """
    for number, line in enumerate(content.split("\n"), 1):
        stripped = line.removesuffix("\r").lstrip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.partition("=")
        name = name if equals else name.rstrip()
        if not name:
            raise InvalidRequest(what, path, why=f"line {number} has no name before '='")
        if any(character.isspace() for character in name):
            raise InvalidRequest(what, path, why=f"line {number}: {name!r} contains white space")
        if "\0" in stripped:
            raise InvalidRequest(what, path, why=f"line {number} contains a NUL byte")
        yield name, (value if equals else None)


def _read_pairs(given: object, what: str) -> Iterator[tuple[str, str | None]]:
    for path in several(given, what, "a path, or a list of paths"):
        yield from parse_lines(read_text(path, what), what, path)
