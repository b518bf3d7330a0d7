"""Digests: the names that content gives itself, such as ``sha256:`` with 64 hexadecimal digits."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from pyengine.errors import InvalidRequest

if TYPE_CHECKING:
    from hashlib import _Hash

LENGTHS = {"sha256": 64, "sha512": 128}
"""The algorithms that are understood, and how many hexadecimal digits each has."""

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""The digest of no bytes at all."""

_EXPECTED = "'sha256:' with 64 lower-case hexadecimal digits, or 'sha512:' with 128"
_HEX = re.compile(r"[0-9a-f]*", re.ASCII)


def check(text: object, what: str = "digest") -> str:
    """*text*, if it is a digest; *what* names it in the `InvalidRequest` raised for all else.

    >>> check(EMPTY) == EMPTY
    True
    """
    if why := why_not(text):
        raise InvalidRequest(what, text, expected=_EXPECTED, why=why)
    return str(text)


def why_not(text: object) -> str:
    """Why *text* is no digest; ``""`` if it is one.

    >>> why_not("md5:d41d8cd98f00b204e9800998ecf8427e")
    "the algorithm 'md5' is not supported"
    """
    if not isinstance(text, str):
        return "it is no text"
    algorithm, colon, digits = text.partition(":")
    if not colon:
        return "it names no algorithm"
    if (length := LENGTHS.get(algorithm)) is None:
        return f"the algorithm {algorithm[:40]!r} is not supported"
    if len(digits) != length:
        return f"{algorithm} has {length} digits, not {len(digits)}"
    if _HEX.fullmatch(digits) is None:
        return "its digits are not lower-case hexadecimal"
    return ""


def of(data: bytes | bytearray | memoryview) -> str:
    """The sha256 digest of *data*.

    >>> of(b"") == EMPTY
    True
    """
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def hex_of(digest: str) -> str:
    """The digits of *digest*, without the algorithm."""
    return digest.partition(":")[2]


def algorithm_of(digest: str) -> str:
    """The algorithm of *digest*: ``sha256`` or ``sha512``."""
    return digest.partition(":")[0]


def hasher(digest: str) -> _Hash:
    """What computes the digest of content that claims to be *digest*: ``update``, ``hexdigest``."""
    return hashlib.new(algorithm_of(check(digest)), usedforsecurity=False)


def verify(data: bytes | bytearray | memoryview, digest: str) -> bool:
    """Whether *data* is what *digest* names."""
    found = hasher(digest)
    found.update(data)
    return found.hexdigest() == hex_of(digest)
