"""What lies where something else should: told by its path, left as it is, and in nobody's way."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator

import pytest
from refusals import assert_explained
from support.keepers import end_keeper, kill_keeper

from pyengine import Engine, StoreError

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("nothing_hangs")]

LONG_AGO = (0, 0)


def _file(path: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write("dear diary")


def _directory(path: str) -> None:
    os.makedirs(f"{path}/in")
    _file(f"{path}/in/it")


def _socket(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        place = os.open(os.path.dirname(path), os.O_PATH)
        made.bind(f"/proc/self/fd/{place}/{os.path.basename(path)}")
        os.close(place)


THINGS: dict[str, Callable[[str], None]] = {
    "a file": _file,
    "a directory": _directory,
    "a FIFO": os.mkfifo,
    "a socket": _socket,
    "a link to nothing": lambda path: os.symlink("/no/such/thing", path),
    "a link to itself": lambda path: os.symlink(path, path),
    "a link to a file": lambda path: os.symlink("/etc/passwd", path),
}


def look(place: str) -> dict[str, tuple[int, str]]:
    """Everything there: kind and content."""
    found = {}
    for above, directories, files in os.walk(place):
        for name in (*directories, *files):
            path = f"{above}/{name}"
            mode = os.lstat(path).st_mode
            text = ""
            if stat.S_ISREG(mode):
                with open(path, encoding="utf-8", errors="replace") as file:
                    text = file.read()
            found[path] = (
                stat.S_IFMT(mode),
                text or (os.readlink(path) if stat.S_ISLNK(mode) else ""),
            )
    return found


def only(place: str) -> dict[str, tuple[int, str]]:
    """The same of *place* itself and what is below it."""
    found = look(os.path.dirname(place))
    return {path: what for path, what in found.items() if f"{path}/".startswith(f"{place}/")}


def refused(call: Callable[[], object], path: str) -> StoreError:
    """What *call* raises, which names *path* and says what to do."""
    with pytest.raises(StoreError) as caught:
        call()
    assert_explained(caught.value)
    assert path in str(caught.value)
    assert caught.value.remedy
    return caught.value


# --- where directories of the root should be ---


@pytest.mark.parametrize("thing", [name for name in THINGS if name != "a directory"])
@pytest.mark.parametrize("where", ["owners", "names", "init", "mnt"])
def test_what_is_no_directory_of_the_root_is_named_and_left(tmp_path, image, where, thing):
    root = tmp_path / "engine"
    root.mkdir(0o700)
    THINGS[thing](f"{root}/{where}")
    before = look(str(root))
    with Engine(root=root) as engine:
        refused(lambda: engine.containers.list(), f"{root}/{where}")
        refused(lambda: engine.run(image, ["true"]), f"{root}/{where}")
    assert before.items() <= look(str(root)).items()


@pytest.mark.parametrize("thing", [name for name in THINGS if name != "a directory"])
@pytest.mark.parametrize("where", ["desk", "streams", "events", "owners/none"])
def test_what_is_no_directory_where_one_is_wanted_later_hinders_only_that(
    tmp_path, image, where, thing
):
    root = str(tmp_path / "engine")
    with Engine(root=root) as engine:
        engine.containers.list()
    THINGS[thing](f"{root}/{where}")
    before = only(f"{root}/{where}")
    with Engine(root=root) as engine:
        mine = engine.start(image, ["sleep", "1000"], name="mine")
        assert [one.name for one in engine.containers.list()] == ["mine"]
        assert mine.exec(["echo", "fine"]).stdout == "fine\n"
        if where != "events":  # whose trouble `info` tells
            refused(lambda: engine.start(image, ["true"], owner="none"), f"{root}/{where}")
        else:
            refused(lambda: engine.events(since=0, until=1), f"{root}/{where}")
            engine.events_written = engine._house.events.write()
            assert any(f"{root}/{where}" in warning for warning in engine.info().warnings)
    with Engine(root=root) as engine:
        assert engine.containers.list(all=True) == []
    assert only(f"{root}/{where}") == before
    end_keeper(root)


# --- what is nobody's in directories of ours ---

FOREIGN = [
    "letter",
    "owners/letter",
    "owners/.dead-letter",
    "owners/.new-letter",
    "owners/none/letter",
    "owners/none/" + "a" * 64,
    "owners/none/" + "z" * 64,
    "owners/" + "a" * 64,
    "names/letter",
    "init/letter.txt",
    "mnt/letter",
    "desk/letter.sock",
    "desk/letter.held",
    "desk/letter",
    "streams/letter",
    "streams/" + "a" * 64,
    "events/letter",
]


@pytest.mark.parametrize("thing", THINGS)
def test_what_recovery_does_not_understand_it_leaves_as_it_is(root, image, thing):
    with Engine(root=root) as engine:
        engine.start(image, ["sleep", "1000"], owner="none", name="good")
        engine.containers.get("good").stop(timeout=0)
    places = [f"{root}/{where}" for where in FOREIGN]
    if thing == "a directory":  # that is what a container that is being made looks like
        places.remove(f"{root}/owners/none/{'a' * 64}")
    for place in places:
        os.makedirs(os.path.dirname(place), 0o700, exist_ok=True)
        THINGS[thing](place)
        if not os.path.islink(place):
            os.utime(place, LONG_AGO)
    before = {place: only(place) for place in places}
    end_keeper(root)
    for _ in range(2):
        with Engine(root=root) as engine:
            assert [one.name for one in engine.containers.list(all=True)] == ["good"]
            assert engine.run(image, ["echo", "fine"]).stdout == "fine\n"
            good = engine.containers.get("good")
            good.start()
            assert good.exec(["echo", "fine"]).stdout == "fine\n"
            good.stop(timeout=0)
            kill_keeper(root, with_guard=True)
            engine.containers.prune({"label": "nobody=has"})
            refused(lambda: engine.create(image, name="letter"), f"{root}/names/letter")
    assert {place: only(place) for place in places} == before


@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize("where", ["log", "upper", "work", "leases", "health"])
def test_what_is_in_a_container_s_place_is_told_and_goes_with_it(root, image, engine, where, thing):
    good = engine.start(image, ["sleep", "1000"], owner="none", name="good")
    bad = engine.create(image, ["echo", "x"], owner="none", name="bad")
    path = getattr(engine._house.catalog.home(bad.id), where)
    if os.path.lexists(path):
        os.rmdir(path) if where in ("upper", "work") else os.unlink(path)
    THINGS[thing](path)
    try:
        bad.start()
        bad.wait(timeout=20)
        bad.logs()
    except Exception as error:  # noqa: BLE001 — that it is one of ours is what is tested
        assert_explained(error)
    assert {one.name for one in engine.containers.list(all=True)} == {"good", "bad"}
    assert good.exec(["echo", "fine"]).stdout == "fine\n"
    bad.remove(force=True)
    assert not os.path.lexists(os.path.dirname(path))
    with open("/etc/passwd", encoding="utf-8") as file:
        assert file.readline().startswith("root:")


@pytest.fixture
def engine(root: str) -> Iterator[Engine]:
    with Engine(root=root) as made:
        yield made
