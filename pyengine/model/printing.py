"""Text of others, made fit for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """*text* with ``?`` for all that a terminal might obey, or show as something else.

    >>> printable("red: \\x1b[31m")
    'red: ?[31m'
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else "?" for letter in text)
