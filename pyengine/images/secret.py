"""Texts that nobody is shown: passwords, tokens, headers that hold them."""

from __future__ import annotations


class Secret(str):
    """A `str` whose `repr` hides it, in tracebacks, logs of values and reprs of their holders.

    What is made of it is a plain `str` again: wrap that, too.

    >>> Secret("hunter2")
    '***'
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'" if self else "''"


class SecretBytes(bytes):
    """As `Secret`, ready to be sent."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "b'***'" if self else "b''"
