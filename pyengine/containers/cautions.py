"""Warning the caller of limits that are not enforced, at his own line."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable

from pyengine.model.warning import LimitNotEnforced

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def warn(unenforced: Iterable[LimitNotEnforced]) -> None:
    """Warn of each. Raises it where the caller's filters make an error of it."""
    level = _callers_level()
    for one in unenforced:
        warnings.warn(one, stacklevel=level)


def received(told: object) -> list[LimitNotEnforced]:
    """What the keeper has told of, as lists of three texts."""
    listed = told if isinstance(told, list) else []
    return [LimitNotEnforced(*map(str, one)) for one in listed if isinstance(one, list)]


def _callers_level() -> int:
    """How far `warn` is from the first frame outside this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    return level
