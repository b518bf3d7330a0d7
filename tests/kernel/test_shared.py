"""One container for many processes: begun by the first, ended with the last, whatever ends that."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from many_workers import suite
from strangers import Stranger
from support.keepers import awaited, end_keeper, kill_keeper

import pyengine
from pyengine import AlreadyExists, ContainerNotFound, InvalidRequest, NotReady, TimedOut, ready

pytestmark = pytest.mark.kernel

SCRIPT = ["sh", "-c", "echo up; exec sleep 4951"]
SHARED = f"engine.shared('db', image, {SCRIPT!r}).container.id"


@pytest.fixture
def root(tmp_path: Path) -> Iterator[str]:
    """A root of its own; no shared container is left in it, and no keeper."""
    place = str(tmp_path / "engine")
    yield place
    try:
        with pyengine.Engine(place) as engine:
            left = engine.containers.list(all=True)
            for container in left:
                container.remove(force=True)
    finally:
        end_keeper(place)
    assert left == []


@pytest.fixture
def engine(root: str) -> Iterator[pyengine.Engine]:
    with pyengine.Engine(root) as made:
        yield made


@pytest.fixture
def strangers(root: str, image: str) -> Iterator[list[Stranger]]:
    with Stranger(root, image) as one, Stranger(root, image) as other:
        yield [one, other]


def until(engine, action):
    """Return when *action* has happened to the shared container."""
    wanted = {"container": ["db"], "event": [action]}
    with closing(engine.events(since=0, filters=wanted, timeout=60)) as events:
        next(events)


def times(engine, action):
    """How often *action* has happened to the shared container, once it has."""
    until(engine, action)  # other processes tell a little later
    wanted = {"container": ["db"], "event": [action]}
    return len(list(engine.events(since=0, until=time.time(), filters=wanted)))


def test_the_first_starts_it_and_the_last_ends_it(engine, image, strangers):
    lease = engine.shared("db", image, SCRIPT)
    one, other = strangers
    assert one.ask(SHARED) == other.ask(SHARED) == lease.container.id
    lease.release()
    lease.release()  # again: nothing happens
    assert lease.container.status == "running"
    one.leave()
    assert lease.container.status == "running"
    other.leave()
    with pytest.raises(ContainerNotFound):
        lease.container.inspect()
    assert times(engine, "start") == times(engine, "destroy") == 1


def test_in_a_with_it_is_the_container(engine, image):
    with engine.shared("db", image, SCRIPT) as db, engine.shared("db", image, SCRIPT) as again:
        assert db == again
        assert db.exec(["echo", "hi"]).stdout == "hi\n"
    assert db not in engine.containers
    with engine.shared("db", image, SCRIPT) as another:
        assert another != db


@pytest.mark.parametrize("also", ["nobody", "keeper"])
def test_who_is_killed_holds_nothing_any_more(root, engine, image, strangers, also):
    one, other = strangers
    assert one.ask(SHARED) == other.ask(SHARED)
    if also == "keeper":
        kill_keeper(root)
    one.kill()
    assert engine.containers.get("db").status == "running"  # which calls the next keeper
    other.kill()
    until(engine, "destroy")
    assert engine.containers.list(all=True) == []


def test_a_fork_of_a_holder_keeps_nothing_alive(engine, strangers):
    one, _ = strangers
    one.ask(SHARED)
    child = one.ask("os.fork() or __import__('signal').pause()")
    try:
        one.kill()
        until(engine, "destroy")
    finally:
        with awaited(child):
            os.kill(child, signal.SIGKILL)


def test_who_was_killed_before_it_ran_leaves_nothing(root, strangers):
    one, _ = strangers
    one.ask("exec('import signal; from pyengine.containers import sharing')")
    one.ask("setattr(sharing, '_start', lambda *_: signal.pause())")
    one.tell(SHARED)
    with pyengine.Engine(root) as engine:
        until(engine, "create")
        one.kill()
        until(engine, "destroy")
        assert engine.containers.list(all=True) == []


def test_who_asks_at_the_same_time_gets_the_same(root, engine, image):
    found: list[object] = []

    def ask():
        with pyengine.Engine(root) as mine, mine.shared("db", image, SCRIPT, ready=ready.log("up")):
            found.append(mine.containers.get("db").id)
            met.wait(60)

    met = threading.Barrier(6)
    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 6
    assert len(set(found)) == 1
    assert times(engine, "start") == 1


def test_one_that_has_ended_is_made_anew_for_who_asks_next(engine, image):
    first = engine.shared("db", image, SCRIPT)
    first.container.kill()
    with engine.shared("db", image, SCRIPT) as second:
        assert second != first.container
        assert second.status == "running"
        first.release()
        assert second.status == "running"


def test_what_does_not_get_ready_is_let_go(engine, image):
    with pytest.raises(NotReady):
        engine.shared("db", image, ["true"], ready=ready.log("up"))
    with pytest.raises(NotReady):
        engine.shared("db", image, SCRIPT, ready=ready.log("never"), timeout=0.3)
    with engine.shared("db", image, SCRIPT, ready=ready.log("up"), timeout=30):
        with pytest.raises(NotReady):
            engine.shared("db", image, SCRIPT, ready=ready.log("never"), timeout=0.3)
        assert engine.containers.get("db").status == "running"


def test_other_terms_are_refused_by_name(engine, image):
    with engine.shared("db", image, SCRIPT, env={"A": "1"}):
        with pytest.raises(InvalidRequest, match="with another env"):
            engine.shared("db", image, SCRIPT, env={"A": "2"})
        with pytest.raises(InvalidRequest, match="with another command and env"):
            engine.shared("db", image, ["sleep", "1"])
        with pytest.raises(AlreadyExists):
            engine.create(image, name="db")
    engine.create(image, name="db")
    with pytest.raises(AlreadyExists):
        engine.shared("db", image, SCRIPT)


@pytest.mark.parametrize(
    "options",
    [
        {"owner": "process"},
        {"restart": "always"},
        {"auto_remove": True},
        {"stdin": b"x"},
        {"name": "b"},
        {"ready": 5},
    ],
)
def test_what_cannot_be_shared_is_refused(engine, image, options):
    with pytest.raises((InvalidRequest, TypeError)):
        engine.shared("db", image, SCRIPT, **options)
    assert engine.containers.list(all=True) == []


def test_inspect_tells_who_holds_it(engine, image, strangers):
    one, other = strangers
    one.ask(SHARED)
    db = engine.containers.get("db")
    assert db.inspect().holders == (one.pid,)
    other.ask(SHARED)
    both = sorted((one.pid, other.pid))
    assert db.inspect().to_docker()["Holders"] == both
    one.kill()
    assert db.inspect().holders == (other.pid,)
    engine.create(image, "true", name="alone")
    alone = engine.containers.get("alone").inspect()
    assert alone.holders is None
    assert "Holders" not in alone.to_docker()


def test_who_waits_for_somebody_who_stands_still_waits_no_longer_than_asked(
    engine, image, strangers
):
    one, _ = strangers
    one.ask("exec('import signal; from pyengine.containers import making')")
    one.ask("setattr(making, 'publish', lambda *_: print('here', flush=True) or signal.pause())")
    one.tell(SHARED)
    assert one.hear() == "here"  # its name is claimed, and nobody can find it yet
    with pytest.raises(TimedOut, match="'db'"):
        engine.shared("db", image, SCRIPT, timeout=0.1)
    one.kill()
    with engine.shared("db", image, SCRIPT) as db:
        assert db.status == "running"


# --- pytest -n 8 ---

TESTS = """
    @pytest.mark.parametrize("number", range(32))
    def test_it(db, number):
        with open({seen!r}, "a") as file:
            file.write(db.id + "\\n")
        assert db.exec(["echo", str(number)]).stdout == f"{{number}}\\n"
        if number in {killed!r} and "PYTEST_XDIST_WORKER" in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("killed", [(), (3, 11, 20)])
def test_a_run_of_many_workers_has_one_service(root, engine, image, tmp_path, killed):
    engine.containers.list()
    seen = tmp_path / "seen"
    tests = TESTS.format(seen=str(seen), killed=killed)
    asked = suite(tmp_path / "suite", tests, root, image, SCRIPT)
    told = subprocess.run(**asked, capture_output=True, text=True, timeout=120)
    assert told.returncode == (1 if killed else 0), told.stdout + told.stderr
    if not killed:
        assert "32 passed" in told.stdout
    until(engine, "destroy")
    assert len(set(seen.read_text().split())) == 1
    assert times(engine, "start") == times(engine, "destroy") == 1
    assert engine.containers.list(all=True) == []
