"""A process may be killed before any call that it makes: the next who opens its root finds order.

The calls are not listed here. Each episode runs once to see which calls it makes that change a
disk, a cgroup or another process, and is then killed at each of them.
"""

from __future__ import annotations

import os
import platform

import pytest
from order import assert_order, cgroups
from support import faults

import pyengine

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the table of calls is x86-64's"),
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


@pytest.fixture(autouse=True)
def victims_find_the_package(monkeypatch):
    home = os.path.dirname(os.path.dirname(os.path.abspath(pyengine.__file__)))
    monkeypatch.setenv("PYTHONPATH", home)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


def lived(root, image, code, kill_at=None):
    """One life of a process that does *code* in *root*, killed at a call if that is given."""
    given = [name for name in ("one", "two") if f"('{name}')" in code or code.endswith("prune()")]

    def interesting(call):
        return any(path.startswith((root, "/sys/fs/cgroup/")) for path in call.paths())

    return faults.run_until(
        PROGRAM, root, image, code, *given, kill_at=kill_at, interesting=interesting
    )


CONTAINED = ("create", "start", "start a created one")
"""Episodes whose calls are most of another's too: a minute that not every run has to spend."""


@pytest.mark.parametrize(
    "episode",
    [
        pytest.param(episode, marks=pytest.mark.soak if episode in CONTAINED else ())
        for episode in EPISODES
    ],
)
def test_whoever_is_killed_at_any_call_leaves_a_root_in_order(tmp_path, image, episode):
    before = cgroups()
    whole = lived(str(tmp_path / "whole"), image, EPISODES[episode])
    assert (whole.exit_code, whole.said) == (0, "")
    assert whole.calls
    for number, call in enumerate(whole.calls):
        root = str(tmp_path / f"at-{number}")
        outcome = lived(root, image, EPISODES[episode], kill_at=number)
        assert outcome.killed_at is None or outcome.exit_code == -9, outcome.said
        print(f"killed at call {number}: {outcome.killed_at or call}")  # shown where it fails
        assert_order(root, image, before)
