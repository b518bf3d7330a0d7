"""A root that cannot be written to, or is somebody else's; a foreign program where a keeper should
be: each is told as what it is, and what is intact goes on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from refusals import assert_explained
from strangers import Stranger
from support.keepers import end_keeper
from support.nobody import NOBODY

from pyengine import Engine, NoSpace, NotPermitted, StoreError
from pyengine.containers.asking import KEEPER

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("nothing_hangs")]


@contextmanager
def disk(path: Path, size: str = "4m") -> Iterator[Path]:
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "small", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def remount(path: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", path], check=True)


def fill(path: Path) -> None:
    """Leave no space on the disk at *path*."""
    with open(path / "filler", "wb", buffering=0) as file:
        for size in (1 << 16, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                continue


def explained(call: Callable[[], object], kind: type[StoreError], path: object) -> StoreError:
    """What *call* raises, which names *path* and says what to do."""
    with pytest.raises(kind) as caught:
        call()
    assert_explained(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.remedy
    return caught.value


def opened(**places: object) -> list[str]:
    """The names of the containers there."""
    with Engine(**places) as engine:
        return [one.name for one in engine.containers.list(all=True)]


# --- a disk that cannot be written to ---


def test_a_root_that_may_only_be_read_is_listed_and_says_so(tmp_path, image, survivors):
    with disk(tmp_path / "disk") as place:
        root, run = place / "root", tmp_path / "run"
        with Stranger(str(root), image) as making:
            making.ask("engine.create(image, 'true', name='kept', owner='none').id")
            making.ask("engine.start(image, 'sleep 4851', name='orphan').id")
            making.kill_with_guard()
        remount(place, "ro")
        with Engine(root=root, run_root=run) as engine:
            found = {one.name: str(one.status) for one in engine.containers.list(all=True)}
            assert found == {"kept": "created", "orphan": "exited"}
            assert survivors("sleep 4851") == []
            kept = engine.containers.get("kept")
            assert kept.inspect().spec.name == "kept"
            assert kept.logs() == ""
            for call in (
                lambda: engine.run(image, ["true"]),
                lambda: engine.create(image, ["true"]),
                lambda: engine.create(image, ["true"], owner="none"),
                lambda: kept.start(owner="process"),
                lambda: kept.rename("other"),
                kept.remove,
            ):
                explained(call, StoreError, place)
        remount(place, "rw")
        with Engine(root=root) as engine:  # now it is done
            assert [one.name for one in engine.containers.list(all=True)] == ["kept"]
            assert [name for name in os.listdir(root / "owners") if name.startswith(".")] == []
            engine.containers.get("kept").start(owner="process")
            engine.containers.get("kept").remove(force=True)


def test_a_root_that_cannot_be_made_names_it(tmp_path):
    with disk(tmp_path / "disk") as place:
        remount(place, "ro")
        explained(lambda: opened(root=place / "a" / "b"), StoreError, place / "a")
    (tmp_path / "file").write_text("dear diary")
    below = tmp_path / "file" / "root"
    explained(lambda: opened(root=below), StoreError, below)
    assert (tmp_path / "file").read_text() == "dear diary"


def test_a_full_disk_is_told_at_every_step_and_hinders_no_end(tmp_path, image):
    with disk(tmp_path / "disk", "1m") as place, Engine(root=place / "root") as engine:
        made = engine.create(image, ["echo", "said"], name="made")
        good = engine.start(image, ["sleep", "1000"], name="good")
        talks = engine.start(image, ["sh", "-c", "read x; seq 1 99"], stdin_open=True)
        talks_in = talks.attach(stdin=True, stdout=False, stderr=False)
        fill(place)
        for call in (
            lambda: [engine.create(image, ["true"]) for _ in range(20)],
            made.start,
            lambda: good.rename("x" * 200),
        ):
            explained(call, NoSpace, place)
        talks_in.close()
        good.kill()
        assert good.wait(timeout=20).exit_code == 137
        assert str(good.status) == "exited"
        good.remove()
        assert "good" not in [one.name for one in engine.containers.list(all=True)]
        (place / "filler").unlink()
        assert engine.run(image, ["echo", "fine"]).stdout == "fine\n"


def test_a_root_is_recovered_on_a_full_disk(tmp_path, image):
    with disk(tmp_path / "disk", "1m") as place:
        root = str(place / "root")
        with Stranger(root, image) as making:
            making.ask("engine.create(image, 'sleep 99', name='kept', owner='none').id")
            making.ask("engine.containers.get('kept').start(owner='process')")
            making.ask("engine.start(image, 'sleep 99', name='orphan').id")
            fill(place)
            making.kill_with_guard()
        with Engine(root=root) as engine:
            (kept,) = engine.containers.list(all=True)
            assert (str(kept.status), kept.name) == ("exited", "kept")
            fill(place)  # what was recovered has made some room
            for _ in range(3):
                explained(lambda: engine.create(image, ["true"]), NoSpace, place)
            assert os.listdir(f"{root}/owners") == ["none"]
            kept.remove(force=True)
            assert engine.containers.list(all=True) == []


# --- a root that is somebody else's ---


@pytest.mark.parametrize("which", ["root", "run_root"])
def test_a_directory_of_another_user_is_refused_and_not_touched(tmp_path, which):
    theirs = tmp_path / "theirs"
    theirs.mkdir(0o700)
    os.chown(theirs, NOBODY, NOBODY)
    places = {"root": tmp_path / "ours", which: theirs}
    with pytest.raises(NotPermitted) as caught:
        opened(**places)
    assert_explained(caught.value)
    assert str(theirs) in str(caught.value)
    assert which in str(caught.value)
    assert os.listdir(theirs) == []
    found = theirs.stat()
    assert (found.st_uid, found.st_mode & 0o7777) == (NOBODY, 0o700)


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o1777, 0o2775, 0o707, 0o750])
def test_a_root_that_others_may_use_is_closed_to_them_or_refused(tmp_path, image, mode):
    ours, shared = tmp_path / "ours", tmp_path / "shared"
    with Engine(root=ours) as engine:
        engine.containers.list()
    shared.mkdir()
    (shared / "letter").write_text("dear")
    for place in (ours, shared):
        place.chmod(mode)
    with Engine(root=ours) as engine:
        assert engine.run(image, ["echo", "fine"]).stdout == "fine\n"
    assert ours.stat().st_mode & 0o077 == 0
    explained(lambda: opened(root=shared), StoreError, shared)
    assert shared.stat().st_mode & 0o7777 == mode
    assert os.listdir(shared) == ["letter"]


# --- who sits where a keeper should ---

_FOREIGN = """
import os, socket, sys
place, kind, does, user = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
line = socket.socket(socket.AF_UNIX, getattr(socket, kind))
where = os.open(os.path.dirname(place), os.O_PATH)
line.bind(f"/proc/self/fd/{where}/{os.path.basename(place)}")
os.chmod(place, 0o777)
if user:
    os.setuid(user)
if kind != "SOCK_DGRAM":
    line.listen(0 if does == "never accepts" else 16)
print("ready", flush=True)
while does not in ("never accepts", "nothing"):
    asked, _ = line.accept()
    if does == "hangs up":
        asked.close()
        continue
    hello = asked.recv(65536)
    if does == "is silent":
        kept = asked
    elif does == "garbage":
        asked.send(bytes(range(256)))
    elif does == "no object":
        asked.send(b"[1]")
    elif does == "another protocol":
        asked.send(b'{"pyengine":99,"version":"9","kind":"keeper"}')
    elif does == "greets and hangs up":
        asked.send(b'{"pyengine":1,"version":"9","kind":"keeper"}')
        asked.close()
sys.stdin.read()
"""


@contextmanager
def foreign(root: str, kind: str, does: str, user: int = 0) -> Iterator[str]:
    """A program that listens at the keeper's name."""
    os.makedirs(f"{root}/desk", 0o700, exist_ok=True)
    place = f"{root}/desk/{KEEPER}"
    command = [sys.executable, "-c", _FOREIGN, place, kind, does, str(user)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == b"ready\n"
        try:
            yield place
        finally:
            program.kill()


@pytest.mark.parametrize(
    "does",
    [
        "hangs up",
        "is silent",
        "garbage",
        "no object",
        "another protocol",
        "greets and hangs up",
        "never accepts",
    ],
)
def test_a_foreign_program_at_the_keeper_s_socket_is_told_and_left(root, image, does):
    with Engine(root=root) as engine:
        mine = engine.start(image, ["sleep", "1000"], name="mine")
        made = engine.create(image, ["true"], name="made", owner="none")
        with foreign(root, "SOCK_SEQPACKET", does) as place:
            explained(made.start, StoreError, place)
            with Engine(root=root) as another:
                found = {one.name for one in another.containers.list(all=True)}
                assert found == {"mine", "made"}
                assert another.containers.get("mine").exec(["echo", "x"]).stdout == "x\n"
            assert os.path.exists(place)
        mine.stop(timeout=0)
        explained(made.start, StoreError, place)  # nobody listens there any more: it is no name
        os.unlink(place)
        made.start()
        assert made.wait(timeout=20).exit_code == 0


@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM"])
def test_a_socket_of_another_kind_is_told_and_left(root, image, kind):
    with Engine(root=root) as engine:
        made = engine.create(image, ["true"], name="made", owner="none")
        with foreign(root, kind, "nothing") as place:
            explained(made.start, StoreError, place)
        os.unlink(place)


def test_a_keeper_s_socket_of_another_user_is_refused(root, image):
    with Engine(root=root) as engine:
        made = engine.create(image, ["true"], name="made", owner="none")
        with foreign(root, "SOCK_SEQPACKET", "another protocol", NOBODY) as place:
            os.chown(place, NOBODY, NOBODY)
            with pytest.raises(NotPermitted) as caught:
                made.start()
            assert_explained(caught.value)
            assert place in str(caught.value)
            assert str(NOBODY) in str(caught.value)
            assert [one.name for one in engine.containers.list(all=True)] == ["made"]
        os.unlink(place)


@pytest.mark.parametrize("name", ["keeper", "keeper.new", "keeper.lock"])
@pytest.mark.parametrize("thing", ["file", "directory", "fifo"])
def test_what_has_a_keeper_s_name_and_is_none_is_named_and_left(root, image, name, thing):
    make = {"file": Path.touch, "directory": Path.mkdir, "fifo": os.mkfifo}[thing]
    with Engine(root=root) as engine:
        made = engine.create(image, ["true"], name="made", owner="none")
        os.makedirs(f"{root}/desk", 0o700, exist_ok=True)
        place = Path(root, name if name == "keeper.lock" else f"desk/{name}")
        make(place)
        before = place.lstat().st_ino
        if name == "keeper.lock" and thing != "directory":
            made.start()  # a lock can be had of anything
            assert made.wait(timeout=20).exit_code == 0
        else:
            explained(made.start, StoreError, place)
            assert engine.run(image, ["echo", "fine"]).stdout == "fine\n"
        assert place.lstat().st_ino == before
        end_keeper(root) if name == "keeper.lock" and thing != "directory" else None
        place.rmdir() if thing == "directory" else place.unlink()
        made.start()
        assert made.wait(timeout=20).exit_code == 0


@pytest.mark.parametrize("thing", ["file", "directory", "fifo"])
def test_who_opens_a_root_waits_for_no_lock_of_another_kind(root, image, thing):
    make = {"file": Path.touch, "directory": Path.mkdir, "fifo": os.mkfifo}[thing]
    with Engine(root=root) as engine:
        engine.containers.list()
    os.makedirs(f"{root}/desk", 0o700)
    os.symlink("gone.sock", f"{root}/desk/{KEEPER}")  # of a keeper that was killed
    make(Path(root, "keeper.lock"))
    with Engine(root=root) as engine:
        assert engine.run(image, ["echo", "fine"]).stdout == "fine\n"
