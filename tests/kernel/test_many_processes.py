"""Many processes, one root: what one made, whoever watches it, every other may use."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator

import pytest
from strangers import Stranger
from support.keepers import PATIENCE

import pyengine
from pyengine import AlreadyExists, ContainerNotFound

pytestmark = pytest.mark.kernel

SERVICE = "trap 'echo bye; exit 6' TERM; echo up; while read x; do echo got $x; done"
OWNERS = ("process", "none")


@pytest.fixture
def engine(root: str) -> Iterator[pyengine.Engine]:
    with pyengine.Engine(root=root) as made:
        yield made


@pytest.fixture
def maker(root: str, image: str) -> Iterator[Stranger]:
    """The process that makes the containers."""
    with Stranger(root, image) as one:
        yield one


@pytest.fixture(params=OWNERS)
def theirs(request: pytest.FixtureRequest, maker, engine):
    """A container that `maker` has made, of its own or of nobody's, as this process sees it."""
    maker.ask(
        f"engine.start(image, ['sh', '-c', {SERVICE!r}], name='theirs', stdin_open=True, "
        f"labels={{'tier': 'db'}}, owner={request.param!r}).id"
    )
    return engine.containers.get("theirs")


# --- what may be asked from anywhere ---


def test_it_is_found_by_name_by_id_and_by_filter(theirs, engine):
    assert engine.containers.get(theirs.id) == theirs
    assert engine.containers.get(theirs.short_id) == theirs
    assert engine.containers.list(filters={"label": "tier=db"}) == [theirs]
    assert engine.containers.list(filters={"name": "theirs"}) == [theirs]


def test_it_is_attached_to_executed_in_followed_and_stopped(theirs):
    lines = theirs.follow_logs(timeout=PATIENCE)
    assert next(lines).data == b"up\n"
    attached = theirs.attach(stdin=True)
    attached.stdin.write(b"word\n")
    assert next(iter(attached)).data == b"got word\n"
    assert theirs.exec("echo inside").stdout == "inside\n"
    ends: list[int] = []
    waiting = threading.Thread(target=lambda: ends.append(theirs.wait(timeout=PATIENCE).exit_code))
    waiting.start()
    theirs.stop(timeout=PATIENCE)
    waiting.join(PATIENCE)
    assert ends == [6]
    assert attached.wait().exit_code == 6
    assert [line.data for line in lines] == [b"got word\n", b"bye\n"]


def test_it_is_killed_and_removed_and_its_maker_sees_that(theirs, maker):
    theirs.kill()
    assert theirs.wait(timeout=PATIENCE).exit_code == 137
    assert maker.ask("str(engine.containers.get('theirs').status)") == "exited"
    theirs.remove()
    assert "ContainerNotFound" in str(maker.ask("engine.containers.get('theirs')"))


def test_who_waits_for_its_removal_hears_of_it_from_a_third(theirs, root, image):
    found: list[object] = []

    def wait():
        try:
            found.append(theirs.wait("removed", timeout=PATIENCE).exit_code)
        except ContainerNotFound:  # it was quicker than we
            found.append(137)

    waiting = threading.Thread(target=wait)
    waiting.start()
    with Stranger(root, image) as third:
        third.ask("engine.containers.get('theirs').remove(force=True)")
    waiting.join(PATIENCE)
    assert found == [137]


# --- names ---


@pytest.mark.parametrize(("mine", "another"), [("none", "none"), ("none", "process")])
def test_of_two_who_want_a_name_for_nobodys_container_one_gets_it(
    maker, engine, image, mine, another
):
    for turn in range(20):
        maker.tell(f"engine.create(image, name='name{turn}', owner={another!r}).id")
        try:
            made = engine.create(image, name=f"name{turn}", owner=mine).id
        except AlreadyExists:
            made = ""
        answer = maker.hear().strip("'")
        assert ("AlreadyExists" in answer) == (made != "")
        assert engine.containers.get(f"name{turn}").id == (made or answer)
    assert len(engine.containers.list(all=True)) == 20


# --- events ---


LIFE = ["create", "start", "kill", "die"]


def in_time(events, number):
    """The next *number* of them, as they happened: each process tells its own a little later."""
    told = [next(events) for _ in range(number)]
    return [event.action for event in sorted(told, key=lambda event: event.time)]


def test_events_of_nobodys_container_reach_every_process_and_are_remembered(maker, engine):
    began = time.time()
    with engine.events(timeout=PATIENCE, filters={"container": "web"}) as events:
        maker.ask("engine.start(image, 'sleep 600', name='web', owner='none').kill()")
        assert in_time(events, 4) == LIFE
    maker.ask("engine.containers.get('web').remove()")
    with engine.events(since=began, timeout=PATIENCE) as events:
        assert in_time(events, 5) == [*LIFE, "destroy"]
    late = f"sorted(one.action for one in engine.events(since={began!r}, until=time.time()))"
    assert maker.ask(late) == sorted([*LIFE, "destroy"])


# --- threads, and other ways to be a process ---


def test_many_threads_start_and_end_nobodys_containers_at_once(engine, image):
    ends: list[int] = []

    def work(number: int) -> None:
        container = engine.start(image, "cat", stdin_open=True, name=f"cat{number}", owner="none")
        assert container.exec(["echo", "hi"]).stdout == "hi\n"
        container.attach(stdin=True).stdin.close()
        ends.append(container.wait(timeout=PATIENCE).exit_code)
        container.remove()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE * 2)
    assert ends == [0] * 8
    assert engine.containers.list(all=True) == []


def start_for_nobody(root, image, tell):
    """What a process of multiprocessing does."""
    with pyengine.Engine(root=root) as engine:
        engine.start(image, "sleep 600", name="left", owner="none")
        tell.send(engine.containers.get("kept").exec(["echo", "hi"]).stdout)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_nobodys_containers_outlive_processes_of_multiprocessing(engine, root, image, method):
    engine.start(image, "sleep 600", name="kept", owner="none")
    context = multiprocessing.get_context(method)
    hear, tell = context.Pipe(duplex=False)
    worker = context.Process(target=start_for_nobody, args=(root, image, tell))
    worker.start()
    assert hear.recv() == "hi\n"
    worker.join(PATIENCE)
    assert worker.exitcode == 0
    worker.close()
    hear.close()
    tell.close()
    _stop_tracker()
    assert {one.name for one in engine.containers.list()} == {"kept", "left"}


def _stop_tracker():
    """multiprocessing keeps a process of its own; it is no leak of ours."""
    from multiprocessing import resource_tracker

    resource_tracker._resource_tracker._stop()
