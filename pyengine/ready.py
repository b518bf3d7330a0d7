"""When is a container ready? Conditions for ``ready=`` of ``start``, combined with ``&`` and ``|``.

>>> from pyengine import ready
>>> print(ready.port(5432) & (ready.log("ready to accept", times=2) | ready.health()))
port(5432) & (log('ready to accept', times=2) | health())
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyengine.errors import InvalidRequest
from pyengine.model.options_program import command_words
from pyengine.model.options_words import integer
from pyengine.model.readiness import Condition, Exec, Healthy, Http, Log, Port

__all__ = ["Condition", "exec", "health", "http", "log", "port"]


def log(pattern: str | re.Pattern[str], *, times: int = 1) -> Condition:
    """At least *times* lines of its output match the regular expression *pattern* somewhere.

    Raises `InvalidRequest` for what is none.
    """
    if isinstance(pattern, str):
        try:
            pattern = re.compile(pattern)
        except re.error as error:
            raise InvalidRequest("ready.log", pattern, why=str(error)) from error
    if not isinstance(pattern, re.Pattern) or not isinstance(pattern.pattern, str):
        raise InvalidRequest("ready.log", pattern, expected="a regular expression for text")
    return Log(pattern, integer(times, "times", 1, 1 << 31))


def port(number: int) -> Condition:
    """A program inside accepts connections on TCP port *number*, published or not."""
    return Port(integer(number, "port", 1, 65_535))


def http(path: str = "/", *, port: int = 80, status: int = 200) -> Condition:
    """A GET of *path* from TCP port *port* inside is answered with *status*."""
    if not isinstance(path, str) or not path.startswith("/") or not _is_plain(path):
        raise InvalidRequest("ready.http", path, expected="a path such as '/healthz'")
    return Http(path, integer(port, "port", 1, 65_535), integer(status, "status", 100, 599))


def health() -> Condition:
    """Its health check (``health=``) says that it is well."""
    return Healthy()


def exec(argv: str | Sequence[str]) -> Condition:  # noqa: A001  (the word of the trade)
    """The program *argv*, run inside again and again, ends with exit code 0."""
    words = command_words(argv, "ready.exec")
    if not words:
        raise InvalidRequest("ready.exec", argv, expected="a program")
    return Exec(words)


def _is_plain(path: str) -> bool:
    return path.isascii() and path.isprintable() and " " not in path
