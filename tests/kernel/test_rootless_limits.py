"""Limits of a user to whom no cgroup was delegated: an error that says why, or a warning."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.users import Stranger

from pyengine.linux.cgroup_files import wait_until

pytestmark = pytest.mark.kernel

CAUSE = "no cgroup is delegated to this user"
REMEDY = "systemd-run --user --scope -p Delegate=yes"


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory, rootfs: str) -> Stranger:
    made = Stranger(tmp_path_factory.mktemp("stranger"))
    shutil.copytree(rootfs, made.home / "image", symlinks=True)
    made.give(made.home / "image")
    return made


@pytest.fixture
def theirs(stranger: Stranger) -> Callable[..., object]:
    """Has them do something with an ``engine`` and an ``image``: what they ``answer``.

    ``caught`` are the warnings until then. Their engine is made with *options*.
    """

    def run(code: str, options: str = "") -> object:
        frame = _FRAME.format(home=stranger.home, code=code, options=options)
        told = stranger.python(frame)
        assert told.returncode == 0, told.stderr
        return json.loads(told.stdout)

    yield run
    owners = Path(stranger.home, "engine/owners")
    assert wait_until(lambda: os.listdir(owners) in ([], ["none"]), 20)


_FRAME = """
import json, pyengine, warnings
image = "rootfs:{home}/image"
def refused(call):
    try:
        return repr(call())
    except (pyengine.EngineError, Warning) as error:
        return f"{{type(error).__name__}}: {{error}}"
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    with pyengine.Engine(root="{home}/engine", {options}) as engine:
        {code}
        print(json.dumps(answer))
"""


@pytest.mark.parametrize(
    "limit", ["memory='64m'", "cpus=0.5", "cpu_shares=512", "cpuset='0'", "pids=9"]
)
def test_a_limit_that_cannot_be_enforced_is_refused_with_cause_and_remedy(theirs, limit):
    told = theirs(f"answer = refused(lambda: engine.run(image, 'true', {limit}))")
    option = limit.partition("=")[0]
    assert str(told).startswith(f"Unsupported: {option} is not supported: {CAUSE}; ")
    assert REMEDY in str(told)


def test_as_a_best_effort_it_is_a_warning_and_is_written_down(theirs):
    code = """
        container = engine.start(image, "sleep 60", memory="64m", best_effort=True)
        state = container.inspect().state
        answer = state.status, state.warnings, [
            (one.category.__name__, one.message.option, one.filename) for one in caught
        ]
    """.strip()
    status, notes, heard = theirs(code)
    assert status == "running"
    assert heard == [["LimitNotEnforced", "memory", "<string>"]]  # at the caller's own line
    assert f"memory is not enforced: {CAUSE}" in notes[0]
    assert any(note.startswith("no limit on pids: ") for note in notes)


def test_our_own_default_is_written_down_without_a_warning(theirs):
    code = """
        container = engine.start(image, "sleep 60")
        answer = container.inspect().state.warnings, len(caught)
    """.strip()
    notes, heard = theirs(code)
    assert notes == [f"no limit on pids: {CAUSE}"]
    assert heard == 0


def test_an_engine_may_be_told_so_once_for_all(theirs):
    code = """
        engine.run(image, "true", cpus=0.5)
        other = refused(lambda: engine.run(image, "true", cpus=0.5, best_effort=False))
        answer = [one.message.option for one in caught], other
    """.strip()
    heard, refused = theirs(code, "best_effort=True")
    assert heard == ["cpus"]
    assert refused.startswith("Unsupported: cpus")


def test_a_warning_that_is_made_an_error_leaves_nothing(theirs):
    code = """
        warnings.simplefilter("error")
        answer = refused(lambda: engine.run(image, "true", memory="64m", best_effort=True)), [
            one.name for one in engine.containers.list(all=True)
        ]
    """.strip()
    told, left = theirs(code)
    assert told.startswith("LimitNotEnforced: memory is not enforced: ")
    assert left == []


def test_an_update_says_the_same(theirs):
    code = """
        container = engine.start(image, "sleep 60", best_effort=True)
        hard = engine.start(image, "sleep 60")
        notes = container.update(memory="64m")
        heard = [one.message.option for one in caught]
        written = container.inspect().state.warnings
        answer = notes, heard, written, refused(lambda: hard.update(memory="64m"))
    """.strip()
    notes, heard, written, refused = theirs(code)
    assert heard == ["memory"]
    assert notes == written
    assert "memory is not enforced" in notes[0]
    assert refused.startswith(f"Unsupported: memory is not supported: {CAUSE}")


def test_who_has_a_keeper_start_it_is_warned_himself(theirs):
    code = """
        container = engine.start(image, "sleep 60", memory="64m", best_effort=True, owner="none")
        answer = [one.message.option for one in caught], container.inspect().state.warnings
        container.remove(force=True)
        from pyengine.containers import keeper
        with keeper.ensure(engine._house.layout) as line:
            line.ask("leave")
    """.strip()
    heard, notes = theirs(code)
    assert heard == ["memory"]
    assert "memory is not enforced" in notes[0]


def test_the_doctor_names_the_same_cause(theirs):
    code = """
        found = {one.name: one for one in engine.capabilities().missing}
        answer = [found[name].why for name in ("memory", "cpu", "cpuset", "pids", "io")]
    """.strip()
    assert set(theirs(code)) == {CAUSE}
