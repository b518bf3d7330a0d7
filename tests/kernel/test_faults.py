"""A process may be killed before any call that it makes: the next who opens its root finds order.

The calls are not listed here. Each episode runs once to see which calls it makes that change a
disk, a cgroup or another process, and is then killed at some of them, or with ``-m soak`` at each.
"""

from __future__ import annotations

import platform

import pytest
from order import assert_order, cgroups
from support import faults
from tries import HOW_MANY, chosen

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the table of calls is x86-64's"),
    pytest.mark.usefixtures("victims_find_the_package"),
]

EPISODES = {
    "run": "engine.run(image, ['true'])",
    "create": "engine.create(image, ['true'], name='one')",
    "create one that stays": "engine.create(image, ['true'], name='one', owner='none')",
    "start": "engine.start(image, ['sleep', '600'], name='one')",
    "start a created one": "container = containers('one'); container.start()",
    "exit": "engine.start(image, ['true'], name='one').wait(timeout=30)",
    "exec": "containers('two').exec(['true'])",
    "stop": "containers('two').stop(timeout=0)",
    "rename": "containers('one').rename('other')",
    "update": "containers('two').update(pids=50)",
    "remove": "containers('one').remove()",
    "remove a running one": "containers('two').remove(force=True)",
    "prune": "engine.containers.prune()",
    "close": "engine.close()",
}
"""What is done between the marks. ``one`` was created, and ``two`` runs, where they are named."""

PROGRAM = f"""
import os, sys
import pyengine
root, image, code, *names = sys.argv[1:]
engine = pyengine.Engine(root=root)
containers = engine.containers.get
if "one" in names:
    engine.create(image, ["sleep", "600"], name="one")
if "two" in names:
    engine.start(image, ["sleep", "600"], name="two")
engine.containers.list()
for mark, code in (({faults.BEGIN!r}, code), ({faults.END!r}, "engine.close()")):
    try:
        os.mkdir(mark)
    except FileExistsError:
        exec(code)
"""


def needs_of(code):
    """The containers that an episode wants to be there."""
    is_for_all = code.endswith(("prune()", "close()"))
    return [name for name in ("one", "two") if is_for_all or f"('{name}')" in code]


def lived(root, image, code, kill_at=None):
    """One life of a process that does *code* in *root*, killed at a call if that is given."""

    def interesting(call):
        return any(path.startswith((root, "/sys/fs/cgroup/")) for path in call.paths())

    return faults.run_until(
        PROGRAM, root, image, code, *needs_of(code), kill_at=kill_at, interesting=interesting
    )


SMALL = (
    *("create", "create one that stays", "start", "start a created one"),
    *("stop", "prune", "update", "remove"),
)
"""Those that a sample can do without."""


def without(*contained):
    """The episodes; *contained* are those whose calls are most of another's too, soaked only."""
    return [
        pytest.param(episode, marks=pytest.mark.soak if episode in contained else ())
        for episode in EPISODES
    ]


@pytest.mark.parametrize("how_many", HOW_MANY)
@pytest.mark.parametrize("episode", without("create", "start", "start a created one"))
def test_whoever_is_killed_at_any_call_leaves_a_root_in_order(tmp_path, image, episode, how_many):
    before = cgroups()
    whole = lived(str(tmp_path / "whole"), image, EPISODES[episode])
    assert (whole.exit_code, whole.said) == (0, "")
    assert whole.calls
    for number in chosen(whole.calls, how_many, 16):
        root = str(tmp_path / f"at-{number}")
        outcome = lived(root, image, EPISODES[episode], kill_at=number)
        assert outcome.killed_at is None or outcome.exit_code == -9, outcome.said
        print(
            f"killed at call {number}: {outcome.killed_at or whole.calls[number]}"
        )  # shown where it fails
        assert_order(root, image, before)
