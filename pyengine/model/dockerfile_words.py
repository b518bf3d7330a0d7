"""The words of a Dockerfile's instructions: quotes, escapes, and variables put in (row D08)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pyengine.errors import InvalidRequest

LONGEST = 1 << 20
"""Characters that one word may become."""

_BLANK = " \t\r\n"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9@*#]", re.ASCII)


def split_words(text: str) -> list[str]:
    """The words of *text*, quotes and escapes left in them.

    >>> split_words("a='b c' d\\\\ e")
    ["a='b c'", 'd\\\\ e']
    """
    found: list[str] = []
    word, quote, escaped = "", "", False
    for sign in text:
        if escaped:
            word, escaped = word + sign, False
        elif sign == "\\" and quote != "'":
            word, escaped = word + sign, True
        elif quote:
            word += sign
            quote = "" if sign == quote else quote
        elif sign in _BLANK:
            if word:
                found.append(word)
            word = ""
        else:
            word += sign
            quote = sign if sign in "'\"" else ""
    if quote:
        raise InvalidRequest("words", text, why=f"a quote {quote} is not closed")
    return [*found, word] if word else found


def expand(word: str, variables: Mapping[str, str]) -> str:
    """*word* without its quotes and escapes, and with *variables* put in.

    ``$NAME``, ``${NAME}``, ``${NAME:-else}`` and ``${NAME:+then}`` are understood.

    >>> expand("'$a'\\"$a\\"${b:-none}", {"a": "1"})
    '$a1none'
    """
    reader = _Word(word, variables)
    text = reader.read("")
    if len(text) > LONGEST:
        raise InvalidRequest("word", word, why="it becomes too long")
    return text


class _Word:
    """One word on its way; *_at* is where we are in it."""

    def __init__(self, word: str, variables: Mapping[str, str]) -> None:
        self._word = word
        self._variables = variables
        self._at = 0

    def read(self, end: str) -> str:
        """What there is until *end*, which is passed over; ``""``: all."""
        found: list[str] = []
        while self._at < len(self._word):
            sign = self._next()
            if sign == end:
                return "".join(found)
            if sign == "'":
                found.append(self._literal())
            elif sign == '"':
                found.append(self._quoted())
            elif sign == "$":
                found.append(self._variable())
            elif sign == "\\":
                found.append(self._next() if self._at < len(self._word) else "\\")
            else:
                found.append(sign)
        if end:
            raise self._wrong(f"{end!r} is missing")
        return "".join(found)

    def _next(self) -> str:
        self._at += 1
        return self._word[self._at - 1]

    def _peek(self) -> str:
        return self._word[self._at : self._at + 1]

    def _literal(self) -> str:
        end = self._word.find("'", self._at)
        if end < 0:
            raise self._wrong("a quote ' is not closed")
        start, self._at = self._at, end + 1
        return self._word[start:end]

    def _quoted(self) -> str:
        found: list[str] = []
        while self._at < len(self._word):
            sign = self._next()
            if sign == '"':
                return "".join(found)
            if sign == "$":
                found.append(self._variable())
            elif sign == "\\" and self._peek() and self._peek() in '"$\\':
                found.append(self._next())
            else:
                found.append(sign)
        raise self._wrong('a quote " is not closed')

    def _variable(self) -> str:
        """What stands behind a ``$``."""
        if self._peek() != "{":
            name = self._name()
            return self._variables.get(name, "") if name else "$"
        self._at += 1
        name = self._name()
        if not name:
            raise self._wrong("'${' is not followed by a name")
        value = self._variables.get(name, "")
        rest = self._word[self._at : self._at + 2]
        if rest[:1] == "}":
            self._at += 1
            return value
        if rest not in (":-", ":+"):
            raise self._wrong(f"${{{name}{rest[:1]}…}} is not supported")
        self._at += 2
        other = self.read("}")
        return (value or other) if rest == ":-" else (other if value else "")

    def _name(self) -> str:
        match = _NAME.match(self._word, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match[0]

    def _wrong(self, why: str) -> InvalidRequest:
        return InvalidRequest("word", self._word, why=why)
