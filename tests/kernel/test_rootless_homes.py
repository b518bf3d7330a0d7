"""Where the home of a user without any right is odd: what works, and what is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest
from support.users import USER, Stranger, somebody

pytestmark = pytest.mark.kernel

NOEXEC = 0x8


@pytest.fixture
def stranger(rootfs: str) -> Iterator[Stranger]:
    """Who they are; the image is theirs, but not in their home."""
    with somebody() as made:
        shutil.copytree(rootfs, made.home.parent / "image", symlinks=True)
        made.give(made.home.parent / "image")
        yield made


def told(stranger: Stranger, code: str, **env: str) -> object:
    frame = f"""
import json, os, pyengine
image = "rootfs:{stranger.home.parent / "image"}"
with pyengine.Engine() as engine:
    {code.strip()}
print(json.dumps(answer))
"""
    found = stranger.python(frame, **env)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def test_programs_run_from_a_home_that_none_may_be_run_from(stranger):
    stranger.disks[str(stranger.home)] = ("tmpfs", NOEXEC)
    code = """
    shell = "mkdir /mine; cp /bin/busybox /mine; /mine/busybox echo from mine"
    found = engine.run(image, ["sh", "-c", shell]).stdout
    answer = found, engine.run(image, "true", init=True).exit_code
    """
    assert told(stranger, code) == ["from mine\n", 0]


def test_a_home_whose_files_cannot_be_marked_is_named_with_a_remedy(stranger):
    stranger.disks[str(stranger.home)] = ("ramfs", 0)
    code = """
    try:
        answer = repr(engine.run(image, "true"))
    except pyengine.StoreError as error:
        answer = str(error), engine.capabilities()["overlay"].why
    """
    error, why = told(stranger, code)
    assert error.startswith(f"{stranger.home}/.local/share/pyengine/owners: files on ramfs keep no")
    assert error.endswith("choose another place, on a disk of this host (root=, or PYENGINE_ROOT)")
    assert why in error


def test_the_remedy_helps(stranger):
    stranger.disks[str(stranger.home)] = ("ramfs", 0)
    place = stranger.home.parent / "elsewhere"
    place.mkdir()
    stranger.give(place)
    code = 'answer = engine.run(image, "id -u").stdout, engine.info().root'
    assert told(stranger, code, PYENGINE_ROOT=str(place)) == ["0\n", str(place)]


def test_a_runtime_directory_that_others_may_use_is_not_used(stranger):
    place = stranger.home.parent / "run"
    place.mkdir(mode=0o755)
    stranger.give(place)
    code = """
    answer = engine.run(image, "id -u").stdout, os.listdir(os.environ["XDG_RUNTIME_DIR"])
    """
    assert told(stranger, code, XDG_RUNTIME_DIR=str(place)) == ["0\n", []]
    place.chmod(0o700)
    assert told(stranger, code, XDG_RUNTIME_DIR=str(place)) == ["0\n", ["pyengine"]]
    assert place.stat().st_uid == USER
