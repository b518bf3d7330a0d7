"""What is damaged on disk is named, and removed if that is asked for; what is intact goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator

import pytest
from refusals import assert_explained
from strangers import Stranger
from support.keepers import keeper_of, kill_keeper

from pyengine import Engine, HealthCheck, StoreError
from pyengine.containers import recovery
from pyengine.linux.process import has_ended

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("nothing_hangs")]


# --- how a file is damaged ---


def _write(text: str | bytes) -> Callable[[str, bytes], None]:
    def write(path: str, was: bytes) -> None:
        with open(path, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())

    return write


def _truncated(path: str, was: bytes) -> None:
    _write(was[: len(was) // 2])(path, was)


def _huge(path: str, was: bytes) -> None:
    _write(was)(path, was)
    os.truncate(path, 1 << 40)


def _wrong_types(path: str, was: bytes) -> None:
    _write(json.dumps({**json.loads(was), "spec": 7, "status": 7, "pid": "x"}))(path, was)


def _newer(path: str, was: bytes) -> None:
    _write(json.dumps({**json.loads(was), "version": 2}))(path, was)


DAMAGES: dict[str, Callable[[str, bytes], None]] = {
    "empty": _write(""),
    "truncated": _truncated,
    "binary": _write(bytes(range(256))),
    "wrong types": _wrong_types,
    "no object": _write("[1]"),
    "without a version": _write("{}"),
    "newer": _newer,
    "huge": _huge,
    "deep": _write('{"version":1,"spec":' + "[" * 99_999),
    "a link": lambda path, was: os.symlink("/etc/passwd", path),
    "a link to itself": lambda path, was: os.symlink(path, path),
    "a link to nothing": lambda path, was: os.symlink("nothing", path),
    "a FIFO": lambda path, was: os.mkfifo(path),
    "a directory": lambda path, was: os.makedirs(f"{path}/in/it"),
    "a device": lambda path, was: os.mknod(path, 0o020600, os.makedev(1, 11)),
}


def damage(path: str, how: str) -> None:
    """Damage the record at *path*; other names that it has keep what was in it."""
    with open(path, "rb") as file:
        was = file.read()
    os.unlink(path)
    DAMAGES[how](path, was)


@pytest.fixture
def engine(root: str) -> Iterator[Engine]:
    with Engine(root=root) as made:
        yield made


def intact_goes_on(engine: Engine, image: str) -> None:
    """The container called *good*, and new ones, do all that they did."""
    assert "good" in [one.name for one in engine.containers.list(all=True)]
    good = engine.containers.get("good")
    assert good.exec(["echo", "fine"]).stdout == "fine\n"
    assert engine.run(image, ["echo", "fine"]).stdout == "fine\n"
    engine.containers.prune()
    good.stop(timeout=0)
    good.start()


def refused(call: Callable[[], object], path: str) -> StoreError:
    """What *call* raises, which names *path* and says what to do."""
    with pytest.raises(StoreError) as caught:
        call()
    assert_explained(caught.value)
    assert caught.value.path == path
    assert caught.value.remedy
    return caught.value


def some(ways):
    """A few of them in every run, all with ``-m soak``: one reader reads all these files."""
    return [
        way if number % 4 == 0 else pytest.param(way, marks=pytest.mark.soak)
        for number, way in enumerate(ways)
    ]


@pytest.mark.parametrize("owner", ["none", pytest.param("process", marks=pytest.mark.soak)])
@pytest.mark.parametrize("file", ["record", "state"])
@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_file_is_named_the_rest_goes_on_and_by_force_it_goes(
    engine, root, image, owner, file, how
):
    engine.start(image, ["sleep", "1000"], owner=owner, name="good")
    bad = engine.create(image, ["sleep", "1000"], owner=owner, name="bad")
    bad.start()
    pidfd = os.pidfd_open(bad.inspect().pid)
    path = getattr(engine._house.catalog.home(bad.id), file)
    with open(path, "rb") as f:
        was = f.read()
    damage(path, how)
    with Engine(root=root) as another:  # recovers what it can
        for one in (engine, another):
            intact_goes_on(one, image)
            assert bad.id not in [each.id for each in one.containers.list(all=True)]
            handle = one.containers.get(bad.id)
            for call in (handle.inspect, handle.stop, handle.kill, handle.remove):
                refused(call, path)
            assert any(path in warning for warning in one.info().warnings)
        if how == "newer":  # nobody knows what it is
            refused(lambda: another.containers.get("bad").remove(force=True), path)
            assert not has_ended(pidfd)
            os.unlink(path)
            _write(was)(path, was)
        assert not has_ended(pidfd)
        another.containers.get("bad").remove(force=True)
        assert has_ended(pidfd)
        os.close(pidfd)
        assert not os.path.lexists(os.path.dirname(path))
    assert engine.create(image, name="bad").name == "bad"


@pytest.mark.parametrize("how", some(DAMAGES))
def test_what_a_health_check_has_said_may_be_lost(root, image, engine, how):
    check = HealthCheck(test=("CMD", "true"), interval=0.05)
    container = engine.start(image, ["sleep", "1000"], owner="none", health=check)
    container.wait("healthy", timeout=30)
    path = engine._house.catalog.home(container.id).health
    kill_keeper(root)  # it would write it anew
    damage(path, how)
    assert [one.id for one in engine.containers.list()] == [container.id]
    assert container.inspect().health is not None
    container.remove(force=True)


@pytest.mark.parametrize("how", some(DAMAGES))
def test_terms_of_a_shared_container_that_are_damaged_are_named(root, image, engine, how):
    with engine.shared("shared", image, ["sleep", "1000"]) as held:
        path = f"{engine._house.catalog.home(held.id).leases}/.terms.json"
        engine.start(image, ["sleep", "1000"], owner="none", name="good")
        damage(path, how)
        intact_goes_on(engine, image)
        with Stranger(root, image) as stranger:
            told = stranger.ask("engine.shared('shared', image, ['sleep', '1000'])")
        assert path in str(told)


@pytest.mark.parametrize("how", ["missing", *some(DAMAGES)])
def test_a_keeper_that_does_not_say_who_it_is_keeps_what_it_has(root, image, engine, how):
    good = engine.start(image, ["sleep", "1000"], owner="none", name="good")
    first, pid = keeper_of(root), good.inspect().pid
    watcher = good.inspect().state.watcher
    path = f"{root}/owners/{watcher}/owner.json"
    if how == "missing":
        os.unlink(path)
    else:
        damage(path, how)
    with Engine(root=root) as another:
        assert another.containers.get("good").exec(["echo", "x"]).stdout == "x\n"
        assert keeper_of(root) == first
        assert recovery.watcher_lives(another._house.layout, watcher)
        assert another.containers.get("good").inspect().pid == pid
    kill_keeper(root, with_guard=True)  # who would hold it a moment longer: it is known to be dead
    with Engine(root=root) as another:
        assert not recovery.watcher_lives(another._house.layout, watcher)
        assert another.containers.get("good").exec(["echo", "x"]).stdout == "x\n"
        another.containers.get("good").stop(timeout=0)
        assert keeper_of(root) not in (0, first)
