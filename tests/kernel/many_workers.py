"""A run of pytest with eight workers, who share one service in a fixture."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path

import pyengine

_FIXTURE = """
    import os, signal
    import pytest, pyengine

    @pytest.fixture(scope="session")
    def db():
        with pyengine.Engine({root!r}) as engine:
            with engine.shared("db", {image!r}, {script!r}, ready=pyengine.ready.log("up")) as db:
                yield db
"""


def suite(place: Path, tests: str, root: str, image: str, script: list[str]) -> dict[str, object]:
    """Write *tests*, which ask for ``db``, into *place*; what `subprocess` needs to run them."""
    place.mkdir()
    fixture = _FIXTURE.format(root=root, image=image, script=script)
    text = textwrap.dedent(fixture) + textwrap.dedent(tests)
    (place / "test_suite.py").write_text(text, encoding="utf-8")
    # how this run of pytest was asked for is none of theirs
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    env["PYTHONPATH"] = str(Path(pyengine.__file__).parents[1])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "8", "."]
    return {"args": command, "cwd": place, "env": env}
