"""Programs whose guard, keeper or recovery has work to do, with others' work left to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from strangers import Stranger
from support import faults
from support.keepers import kill_keeper
from tries import in_root

_OPENED = """
import os, sys
import pyengine
root, image = sys.argv[1:3]
engine = pyengine.Engine(root=root)
containers = engine.containers.get
"""

DIES = f"""{_OPENED}
for name in ("one", "two"):
    engine.start(image, ["sleep", "600"], name=name, pids=50)
engine.create(image, ["true"], name="other")
try:
    os.mkdir({faults.BEGIN!r})
except FileExistsError:
    os._exit(3)
"""
"""It ends with three containers."""

_ASKS = f"""
try:
    os.mkdir({faults.BEGIN!r})
except FileExistsError:
    try:
        exec(sys.argv[3])
    except pyengine.EngineError as error:
        print(type(error).__name__, error)
engine.close()
"""

OPENS = _OPENED + _ASKS
"""It does what it is asked, and says how that failed; the root is opened with it."""

ASKED = f"""{_OPENED}
if sys.argv[3]:
    engine.start(image, ["sleep", "600"], name="kept", owner="none")
    engine.start(image, ["sleep", "600"], name="again", owner="none", restart="always")
{_ASKS.replace("exec(sys.argv[3])", "exec(sys.argv[3] or 'engine.containers.list()')")}
"""
"""The same with two containers of nobody's, if there is something to do with them."""

KEEPERS = {
    "start": "engine.start(image, ['sleep', '600'], name='one', owner='none')",
    "end": "containers('kept').kill(); containers('kept').wait(timeout=20)",
    "restart": "containers('again').kill(); containers('again').restart(0)",
    "remove": "containers('kept').remove(force=True)",
    "adopt": "",
}
"""What a keeper is asked, which keeps ``kept``, and ``again`` that it shall start again.

Who shall adopt finds ``kept`` only; he is called by who opens the root.
"""


@contextmanager
def asks(
    root: str, image: str, code: str, program: str = OPENS, **how: Any
) -> Iterator[faults.Outcome]:
    """Have *program* do *code* in *root*, *how* being what `faults.watched` is told."""
    with faults.watched(program, root, image, code, interesting=in_root(root), **how) as outcome:
        yield outcome


def root_of_dead_keeper(root: str, image: str) -> None:
    """Make a root with a container that waits for another keeper."""
    with Stranger(root, image) as stranger:
        stranger.ask("engine.start(image, 'sleep 600', name='kept', owner='none').id")
        kill_keeper(root)


def dead_root_with_one_kept(root: str, image: str) -> None:
    """Make a root whose owner was killed with its guard, and a keeper with its guard, too."""
    with Stranger(root, image) as stranger:
        stranger.ask("engine.start(image, 'sleep 600', name='kept', owner='none').id")
        stranger.ask("engine.start(image, 'sleep 600', name='one', pids=50).id")
        stranger.ask("engine.create(image, 'true', name='two').id")
        kill_keeper(root, with_guard=True)
        stranger.kill_with_guard()
