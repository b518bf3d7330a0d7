"""One-shot containers of nobody: the keeper runs them, who asked hears them, and may die."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from strangers import Stranger
from support.keepers import kill_keeper

import pyengine
from pyengine.errors import ExecutableNotFound, StoreError, TimedOut

pytestmark = pytest.mark.kernel


@pytest.fixture
def engine(root: str) -> Iterator[pyengine.Engine]:
    with pyengine.Engine(root=root) as made:
        yield made


@pytest.fixture
def stranger(root: str, image: str) -> Iterator[Stranger]:
    with Stranger(root, image) as one:
        yield one


def told(engine, name, action):
    """The first *action* of the container called *name*, once it is done."""
    wanted = {"container": [name], "event": [action]}
    with closing(engine.events(since=0, filters=wanted)) as events:
        return next(events)


def until_started(engine, name):
    """The container called *name*, once it runs."""
    told(engine, name, "start")
    return engine.containers.get(name)


def test_what_is_run_for_nobody_answers_as_any_other(root, image):
    with pyengine.Engine(root, owner="none") as engine:
        script = "cat; echo err >&2; exit 3"
        result = engine.run(image, ["sh", "-c", script], stdin=b"input")
        assert (result.exit_code, result.stdout, result.stderr) == (3, "input", "err\n")
        assert result.usage.peak_memory > 0
        assert result.duration > 0
        assert engine.containers.list(all=True) == []
        kept = engine.run(image, ["sh", "-c", "exit 7"], name="kept", keep=True)
        assert kept.exit_code == 7
        assert engine.containers.get("kept").inspect().state.exit_code == 7


def test_what_is_run_for_nobody_and_takes_too_long_is_removed(root, image):
    with pyengine.Engine(root, owner="none") as engine:
        with pytest.raises(TimedOut) as caught:
            engine.run(image, ["sh", "-c", "echo partial; exec sleep 600"], timeout=0.5)
        assert caught.value.stdout == "partial\n"
        assert engine.containers.list(all=True) == []
        with pytest.raises(ExecutableNotFound):
            engine.run(image, ["no-such-program"])
        assert engine.containers.list(all=True) == []


def test_what_is_run_for_nobody_goes_on_without_who_asked(stranger, engine):
    stranger.tell(
        "engine.run(image, ['sh', '-c', 'read x'], owner='none', name='on', stdin_open=True)"
    )
    container = until_started(engine, "on")
    stranger.kill()
    assert container.exec(["true"]).exit_code == 0
    process = container.attach(stdin=True)
    process.stdin.write(b"\n")
    assert told(engine, "on", "die").attributes["exitCode"] == "0"
    told(engine, "on", "destroy")
    assert container not in engine.containers
    process.close()


def test_who_hears_a_keeper_die_is_told_that_the_container_goes_on(root, image):
    with pyengine.Engine(root, owner="none") as engine:
        found = []

        def run():
            with pytest.raises(StoreError, match="goes on") as caught:
                engine.run(image, ["sleep", "600"], name="on")
            found.append(caught.value)

        thread = threading.Thread(target=run)
        thread.start()
        container = until_started(engine, "on")
        kill_keeper(root)
        thread.join(30)
        assert len(found) == 1
        assert container.exec(["true"]).exit_code == 0
