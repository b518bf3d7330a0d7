"""The words of a template: what stands outside ``{{`` and ``}}``, and the tokens inside."""

from __future__ import annotations

import re
from collections.abc import Iterator

from attrs import frozen

from pyengine.cli.usage import TemplateError

LONGEST = 1 << 16
"""Nobody writes a longer template, and nothing here shall take long to say no."""

_SPACE = " \t\r\n"
_BLANK = frozenset(_SPACE)
_COMMENT_END = re.compile(r"\*/(?:[ \t\r\n]-)?\}\}")
_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n]+)
  | (?P<string>"(?:[^"\\\n]|\\.)*" | `[^`]*`)
  | (?P<char>'(?:[^'\\\n]|\\.[0-9a-fA-F]*)')
  | (?P<field>\.[^\W\d]\w*)
  | (?P<number>[+-]?(?:0[xX][0-9a-fA-F]+
        | (?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)(?!\w))
  | (?P<dot>\.)
  | (?P<variable>\$\w*)
  | (?P<word>[^\W\d]\w*)
  | (?P<mark>:=|[=,|()])
    """,
    re.VERBOSE,
)
_ESCAPES = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))")


@frozen
class Token:
    """One word inside an action; *kind* is ``string``, ``field``, ``number``, …"""

    kind: str
    text: str
    value: object = None


@frozen
class Action:
    """What stands between ``{{`` and ``}}``."""

    tokens: tuple[Token, ...]


def words_of(template: str) -> Iterator[str | Action]:
    """The texts and actions of *template* in order; `TemplateError` where it is malformed.

    ``{{-`` eats the white space before it, ``-}}`` what follows it.
    """
    if len(template) > LONGEST:
        raise TemplateError(template, f"longer than {LONGEST} characters")
    position, trim = 0, False
    while (start := template.find("{{", position)) >= 0:
        eats = template[start + 2 : start + 3] == "-" and template[start + 3 : start + 4] in _BLANK
        yield _text(template[position:start], trim, eats)
        inside = start + (4 if eats else 2)
        if template.startswith("/*", inside):
            position, trim = _comment(template, inside)
        else:
            tokens, position, trim = _action(template, inside)
            yield Action(tokens)
    yield _text(template[position:], trim, False)


def _text(text: str, trim_left: bool, trim_right: bool) -> str:
    if trim_left:
        text = text.lstrip(_SPACE)
    return text.rstrip(_SPACE) if trim_right else text


def _action(template: str, position: int) -> tuple[tuple[Token, ...], int, bool]:
    """The tokens from *position*, where the action ends, and whether it eats what follows."""
    tokens: list[Token] = []
    while True:
        if template.startswith("}}", position):
            return tuple(tokens), position + 2, False
        if template.startswith("-}}", position) and tokens and tokens[-1].kind == "space":
            return tuple(tokens), position + 3, True
        if (match := _TOKEN.match(template, position)) is None:
            raise TemplateError(template, _complaint(template[position : position + 1]))
        kind = match.lastgroup or ""
        tokens.append(Token(kind, match[0], _value(template, kind, match[0])))
        position = match.end()


def _comment(template: str, start: int) -> tuple[int, bool]:
    """Where the comment at *start* ends, and whether it eats what follows."""
    end = template.find("*/", start + 2)
    if end < 0:
        raise TemplateError(template, "unclosed comment")
    if (match := _COMMENT_END.match(template, end)) is None:
        raise TemplateError(template, "comment ends before closing delimiter")
    return match.end(), match.end() - end > 4


def _complaint(character: str) -> str:
    if not character:
        return "unclosed action"
    if character in "\"`'":
        return "unterminated quoted string"
    return f"unexpected {character!r} in an action"


def _value(template: str, kind: str, text: str) -> object:
    if kind == "string":
        return text[1:-1] if text[0] == "`" else _unescape(template, text[1:-1])
    if kind == "char":
        content = _unescape(template, text[1:-1])
        if len(content) != 1:
            raise TemplateError(template, f"malformed character constant: {text}")
        return ord(content)
    if kind == "number":
        return _number(template, text)
    return None


def _unescape(template: str, text: str) -> str:
    def one(match: re.Match[str]) -> str:
        byte, short, long, octal, letter = match.groups()
        code = byte or short or long
        if code is not None:
            return _character(template, int(code, 16))
        if octal is not None:
            return _character(template, int(octal, 8))
        if letter not in _ESCAPES:
            raise TemplateError(template, f"unknown escape \\{letter}")
        return _ESCAPES[letter]

    return _ESCAPE.sub(one, text) if "\\" in text else text


def _character(template: str, code: int) -> str:
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise TemplateError(template, f"there is no character {code:#x}")
    return chr(code)


def _number(template: str, text: str) -> int | float:
    digits = text.lstrip("+-")
    sign = -1 if text.startswith("-") else 1
    if len(text) > 400:  # no number needs them, and the time to read them grows with their square
        raise TemplateError(template, "a number is too long")
    if digits[:2] not in ("0x", "0X") and not digits.isdigit():
        return sign * _finite(template, float(digits), text)
    octal = len(digits) > 1 and digits[0] == "0" and digits.isdigit()  # as in C
    try:
        number = sign * int(digits, 8 if octal else 0)
    except ValueError as error:
        raise TemplateError(template, f"bad number syntax: {text}") from error
    if not -(1 << 63) <= number < 1 << 63:
        raise TemplateError(template, f"integer overflow: {text}")
    return number


def _finite(template: str, number: float, text: str) -> float:
    if number == float("inf"):
        raise TemplateError(template, f"illegal number syntax: {text}")
    return number
