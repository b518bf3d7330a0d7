"""What another program of ours was refused, read from what it has said of it."""

from __future__ import annotations

import re

from pyengine import Unsupported

_WORDS = re.compile(r"^(?:[\w.]+: )*(.+?) is not supported: (.+?); (.+)$", re.MULTILINE)


def raise_refusal(text: str) -> None:
    """Raise the `Unsupported` that *text*, a traceback or words of the command line, tells of."""
    told = _WORDS.search(text)
    if told is not None:
        raise Unsupported(*told.groups())
