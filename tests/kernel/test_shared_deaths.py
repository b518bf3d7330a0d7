"""However those end who share a container, all at once or at any call, it does not outlive them."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from many_workers import suite
from order import assert_order, cgroups
from strangers import Stranger
from support import faults
from support.keepers import PATIENCE, end_keeper, kill_keeper
from tries import HOW_MANY, chosen

import pyengine
from pyengine import ContainerNotFound
from pyengine.containers import keeper
from pyengine.store.layout import Layout

pytestmark = pytest.mark.kernel

SCRIPT = ["sh", "-c", "echo up; exec sleep 4952"]
SHARED = f"engine.shared('one', image, {SCRIPT!r}).container.id"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[str]:
    """A root of its own; its keeper has left at the end."""
    place = str(tmp_path / "engine")
    yield place
    end_keeper(place)


def gone(engine: pyengine.Engine) -> None:
    """Return when no container is left."""
    for container in engine.containers.list(all=True):
        try:
            container.wait("removed", timeout=PATIENCE)
        except ContainerNotFound:
            continue
    assert engine.containers.list(all=True) == []


# --- all at once ---

TESTS = """
    @pytest.mark.parametrize("number", range(8))
    def test_it(db, number):
        fd = os.open({seen!r}, os.O_WRONLY)
        os.write(fd, f"{{os.getpid()}} {{db.id}}\\n".encode())
        os.close(fd)
        db.exec(["sleep", "600"])
"""


def test_a_run_of_which_nobody_is_left_leaves_no_service(root, image, tmp_path):
    seen = tmp_path / "seen"
    os.mkfifo(seen)
    asked = suite(tmp_path / "suite", TESTS.format(seen=str(seen)), root, image, SCRIPT)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    run = subprocess.Popen(**asked, **quiet)
    with closing(os.fdopen(os.open(seen, os.O_RDWR), encoding="ascii")) as told:
        lines = [told.readline().split() for _ in range(8)]
    workers = {int(pid) for pid, _ in lines}
    assert len(workers) == 8
    assert len({container_id for _, container_id in lines}) == 1
    with pyengine.Engine(root) as engine:
        assert engine.containers.get("db").status == "running"
        for pid in (*workers, run.pid):
            os.kill(pid, signal.SIGSTOP)  # or who is left would let go, or start another
        for pid in (*workers, run.pid):
            os.kill(pid, signal.SIGKILL)
        run.wait(PATIENCE)
        gone(engine)


def test_who_opens_the_root_when_all_and_the_keeper_were_killed_finds_none(root, image):
    with Stranger(root, image) as one, Stranger(root, image) as other:
        assert one.ask(SHARED) == other.ask(SHARED)
        kill_keeper(root)
        one.kill()
        other.kill()
    with pyengine.Engine(root) as engine:
        gone(engine)


def test_one_that_ended_by_itself_does_not_outlast_its_killed_holder(root, image):
    with Stranger(root, image) as one:
        one.ask("engine.shared('one', image, 'true').container.id")
        with pyengine.Engine(root) as engine:
            engine.containers.get("one").wait(timeout=PATIENCE)
            one.kill()
            gone(engine)


# --- at any call ---

EPISODES = {
    "take": ("", SHARED),
    "let go": (f"lease = {SHARED.removesuffix('.container.id')}", "lease.release()"),
    "close": (SHARED, "engine.close()"),
}
"""What is there before, and what is done between the marks."""

PROGRAM = f"""
import os, sys
import pyengine
root, image, before, code = sys.argv[1:]
engine = pyengine.Engine(root=root)
engine.containers.list()
exec(before)
for mark, code in (({faults.BEGIN!r}, code), ({faults.END!r}, "engine.close()")):
    try:
        os.mkdir(mark)
    except FileExistsError:
        exec(code)
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the table of calls is x86-64's")
@pytest.mark.parametrize("how_many", HOW_MANY)
@pytest.mark.parametrize("episode", EPISODES)
def test_who_is_killed_at_any_call_of_a_lease_leaves_nothing(
    tmp_path, image, episode, how_many, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(Path(pyengine.__file__).parents[1]))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    known = cgroups()

    def lived(root, kill_at=None):
        def interesting(call):
            return any(path.startswith((root, "/sys/fs/cgroup/")) for path in call.paths())

        with pyengine.Engine(root) as engine:
            engine.containers.list()
            keeper.ensure(Layout(root, root)).close()  # one that is not under the filter
        return faults.run_until(
            PROGRAM, root, image, *EPISODES[episode], kill_at=kill_at, interesting=interesting
        )

    def settled(root):
        with pyengine.Engine(root) as engine:
            gone(engine)
        assert_order(root, image, known, kept=())

    whole = lived(str(tmp_path / "whole"))
    assert (whole.exit_code, whole.said) == (0, "")
    assert whole.calls
    settled(str(tmp_path / "whole"))
    for number in chosen(whole.calls, how_many, 12):
        root = str(tmp_path / f"at-{number}")
        outcome = lived(root, kill_at=number)
        assert outcome.killed_at is None or outcome.exit_code == -9, outcome.said
        print(
            f"killed at call {number}: {outcome.killed_at or whole.calls[number]}"
        )  # shown where it fails
        settled(root)
