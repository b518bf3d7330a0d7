"""Asking the root of a user's other ids to look at what belongs to these."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyengine.containers.interpreter import command, environment
from pyengine.errors import StoreError

if TYPE_CHECKING:
    from pyengine.linux.native_joiner import Joiner

_LARGEST = 64 << 20  # bytes of an answer


def ask(joiner: Joiner, module: str, *words: str) -> str:
    """What the ``main`` of *module* prints, given *words*, as root of the users of *joiner*.

    Raises `StoreError` where it fails, and `Unsupported` where there are no such users.
    """
    told = joiner.run(command(module, *words), environment(), _LARGEST)
    if told.code != 0:
        raise StoreError(words[0], f"it could not be looked into ({told.words[-200:]!r})")
    return told.words
