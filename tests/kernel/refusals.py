"""What an error has to be for whoever meets it."""

from __future__ import annotations

import pickle

from pyengine import EngineError


def assert_explained(error: EngineError) -> None:
    """It says something, in one line, and survives the way to another process."""
    text = str(error)
    assert 15 < len(text) < 700
    assert "\n" not in text
    assert "\0" not in text
    assert not text.endswith(".")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (type(error), text)
