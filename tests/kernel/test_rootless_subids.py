"""Containers of a user without any right, to whom the host gives more ids than their own."""

from __future__ import annotations

import json
import os
import select
import shutil
from collections.abc import Callable, Iterator

import pytest
from support.users import USER, Stranger, somebody

pytestmark = pytest.mark.kernel

FIRST = 3_000_000


@pytest.fixture(scope="module")
def stranger(rootfs: str) -> Iterator[Stranger]:
    """Who they are; the image is theirs, and they have two ranges, one by name and one by id."""
    lines = f"nobody:1:5\nstranger:{FIRST}:1500\nbroken\n{USER}:{FIRST + 5000}:64000\n"
    with somebody(lines) as made:
        shutil.copytree(rootfs, made.home / "image", symlinks=True)
        made.give(made.home / "image")
        yield made


@pytest.fixture
def theirs(stranger: Stranger) -> Callable[..., object]:
    """Has them do something with an ``engine`` and an ``image``: what they ``answer``.

    An error is the text of its class and its message. At their engine's end nothing is left.
    """

    def run(code: str, before: str = "", **env: str) -> object:
        code = _FRAME.format(image=stranger.home / "image", code=code.strip())
        told = stranger.python(before + code, **env)
        assert told.returncode == 0, told.stderr
        left = os.listdir(stranger.home / "engine" / "owners")
        process, answer = json.loads(told.stdout)
        assert [name for name in left if name.startswith(f"{process}-")] == []
        return answer

    return run


_FRAME = """
import json, os, subprocess, sys, time, pyengine
image = "rootfs:{image}"
def refused(call):
    try:
        return repr(call())
    except pyengine.EngineError as error:
        return f"{{type(error).__name__}}: {{error}}"
with pyengine.Engine(root=os.path.expanduser("~/engine")) as engine:
    {code}
print(json.dumps([os.getpid(), answer]))
"""

_FILL = (
    "mkdir -m 700 /d /d/e; echo x > /d/e/f; chown -R 33:33 /d; chown 8:8 /root; chmod 700 /root; "
    "mkdir /root/made; chown 1000 /root/made; chmod 0 /root/made; echo done"
)
"""What no user but root, inside, can look into or remove."""


def test_root_inside_is_the_user_and_the_others_are_those_they_were_given(theirs):
    told = theirs('answer = engine.run(image, "cat /proc/self/uid_map /proc/self/gid_map").stdout')
    lines = [[0, USER, 1], [1, FIRST, 1500], [1501, FIRST + 5000, 64000]]
    assert [[*map(int, line.split())] for line in str(told).splitlines()] == lines * 2


def test_who_its_program_is_and_in_which_groups_is_up_to_the_image_and_its_caller(theirs):
    code = """
    answer = [
        engine.run(image, ["sh", "-c", "id -u; id -g; id -G"], **more).stdout.split()
        for more in ({}, {"user": "app"}, {"user": "8:5"}, {"group_add": ["video", "7"]})
    ]
    """
    app, eight = ["1000", "1000", "1000", "44"], ["8", "5", "5"]
    assert theirs(code) == [["0", "0", "0"], app, eight, ["0", "0", "0", "7", "44"]]


def test_an_exec_is_whom_it_asks_for_and_so_is_one_of_another_process(theirs):
    code = """
    container = engine.start(image, "sleep 100")
    ask = "import pyengine, sys; there = pyengine.Engine(root=sys.argv[1]);"
    ask += "print(there.containers.get(sys.argv[2]).exec('id -u', user='app').stdout)"
    words = sys.executable, "-c", ask, os.path.expanduser("~/engine"), container.id
    asked = subprocess.run(words, capture_output=True, text=True)
    answer = container.exec("id -u", user="mail").stdout.split(), asked.stdout.split(), asked.stderr
    """
    assert theirs(code) == [["8"], ["1000"], ""]


def test_an_id_beyond_those_they_have_is_no_user(theirs):
    told = str(theirs("answer = refused(lambda: engine.run(image, 'true', user='65501'))"))
    assert told.startswith("InvalidRequest: user '65501'")
    assert "not among the ids" in told


def test_files_can_be_given_away_and_are_the_others_on_disk(theirs):
    code = """
    container = engine.start(image, ["sh", "-c", "touch /f; chown 33:34 /f; echo; sleep 100"])
    next(iter(container.follow_logs()))
    owners = os.path.expanduser("~/engine/owners")
    found = [os.lstat(f"{at}/f") for at, _, names in os.walk(owners) if "f" in names]
    answer = [(one.st_uid, one.st_gid) for one in found]
    """
    assert theirs(code) == [[FIRST + 32, FIRST + 33]]


@pytest.mark.parametrize("volatile", ["process", "none"])
def test_what_is_others_goes_with_the_container(theirs, volatile):
    code = f"""
    container = engine.create(image, ["sh", "-c", {_FILL!r}], owner={volatile!r})
    container.start(); container.wait()
    answer = container.logs()
    container.remove(force=True)
    left = os.path.exists(os.path.expanduser("~/engine/owners/none/") + container.id)
    answer = answer, left
    """
    assert theirs(code) == ["done\n", False]


def test_what_is_others_is_seen_in_what_has_changed(theirs):
    code = f"""
    container = engine.create(image, ["sh", "-c", {_FILL!r}])
    container.start(); container.wait()
    answer = [f"{{change.kind.value}} {{change.path}}" for change in container.diff()]
    """
    assert theirs(code) == ["A /d", "A /d/e", "A /d/e/f", "C /root", "A /root/made"]


def test_the_guard_buries_what_is_others(stranger, survivors):
    code = f"""
    container = engine.start(image, ["sh", "-c", {_FILL!r} + "; exec sleep 47121"])
    next(iter(container.follow_logs()))
    os.kill(os.getpid(), 9)
    """
    frame = _FRAME.format(image=stranger.home / "image", code=code.strip())
    told = stranger.python(frame)
    assert told.returncode == -9, told.stderr
    _wait_for_the_guard(stranger)
    assert survivors("sleep 47121") == []
    assert not [name for name in os.listdir(stranger.home / "engine/owners") if "dead" in name]


def test_who_opens_the_root_next_buries_what_is_others(theirs, stranger, survivors):
    code = f"""
    container = engine.start(image, ["sh", "-c", {_FILL!r} + "; exec sleep 47122"])
    next(iter(container.follow_logs()))
    os.kill(engine._house.guard.pid, 9)
    os.kill(os.getpid(), 9)
    """
    frame = _FRAME.format(image=stranger.home / "image", code=code.strip())
    told = stranger.python(frame)
    assert told.returncode == -9, told.stderr
    assert theirs("engine.containers.list(); answer = 1") == 1
    assert survivors("sleep 47122") == []
    assert not [name for name in os.listdir(stranger.home / "engine/owners") if "dead" in name]


def _wait_for_the_guard(stranger: Stranger) -> None:
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{entry}").st_uid not in (0, USER):
                continue
            with open(f"/proc/{entry}/comm") as comm, open(f"/proc/{entry}/status") as status:
                is_theirs = f"Uid:\t{USER}\t" in status.read()
                if comm.read() != "pyengine-guard\n" or not is_theirs:
                    continue
            descriptor = os.pidfd_open(int(entry))
        except OSError:
            continue
        assert select.select([descriptor], [], [], 20)[0]
        os.close(descriptor)


# --- other ways to have users ---


def test_who_keeps_their_id_is_themselves_inside_and_owns_what_they_write(theirs, stranger):
    shared = stranger.home / "shared"
    shared.mkdir()
    stranger.give(shared)
    code = """
    shell = "id -u; id -g; touch /w/f; stat -c %u /w/f /bin/sh"
    mounts = [pyengine.bind(os.path.expanduser("~/shared"), "/w")]
    answer = engine.run(image, ["sh", "-c", shell], userns="keep-id", mounts=mounts).stdout.split()
    """
    assert theirs(code) == [str(USER)] * 4
    assert (shared / "f").stat().st_uid == USER


def test_who_keeps_their_id_may_be_root_inside_who_is_another(theirs):
    code = """
    shell = "id -u; chown 33 /tmp && stat -c %u /tmp; cat /proc/self/uid_map"
    told = engine.run(image, ["sh", "-c", shell], userns="keep-id", user="root")
    answer = told.stdout.split()
    """
    found = theirs(code)
    assert found[:2] == ["0", "33"]
    assert found[5:8] == ["0", str(FIRST), "1500"]


def test_ones_id_can_be_kept_as_another(theirs):
    code = 'answer = engine.run(image, "id -u", userns="keep-id:uid=200,gid=201").stdout'
    assert theirs(code) == "200\n"


def test_auto_is_what_they_have_anyway_and_the_host_s_users_are_root_s(theirs):
    code = """
    answer = [
        engine.run(image, "id -u", userns="auto").stdout,
        refused(lambda: engine.run(image, "id -u", userns="host")),
    ]
    """
    auto, host = theirs(code)
    assert auto == "0\n"
    assert host.startswith("Unsupported: userns='host'")


# --- what keeps the helpers from their work ---


def _single(theirs, before="", **env):
    code = """
    from pyengine.model import capabilities
    found = engine.capabilities()
    user = refused(lambda: engine.run(image, "true", user="app"))
    answer = found.tier, found["subids"].works, found["subids"].why, user
    """
    tier, works, why, user = theirs(code, before, **env)
    assert tier == "single"
    assert not works
    assert user.startswith("Unsupported: user 'app'")
    return why


def test_with_both_the_tier_says_so(theirs):
    code = 'found = engine.capabilities(); answer = found.tier, found["subids"].works'
    assert theirs(code) == ["subids", True]


def test_who_must_not_gain_rights_is_told_that(theirs):
    forbid = "import ctypes; assert ctypes.CDLL(None).prctl(38, 1, 0, 0, 0) == 0\n"
    assert "started with no_new_privs" in _single(theirs, forbid)


def test_a_helper_without_rights_is_named(theirs, stranger):
    place = stranger.home.parent / "bin"
    place.mkdir()
    for name in ("newuidmap", "newgidmap"):
        shutil.copy(f"/usr/bin/{name}", place / name)
        (place / name).chmod(0o755)
    why = _single(theirs, PATH=f"{place}:/usr/local/bin:/usr/bin:/bin")
    assert why == f"{place}/newuidmap has no rights: it is not set-user-id"


def test_a_helper_that_is_somebody_s_is_never_run(theirs, stranger):
    place = stranger.home / "bin"
    place.mkdir()
    (place / "newuidmap").write_text(f"#!/bin/sh\ntouch {stranger.home}/was-run\n")
    (place / "newuidmap").chmod(0o4755)
    stranger.give(place)
    why = _single(theirs, PATH=f"{place}:/usr/local/bin:/usr/bin:/bin")
    assert why == f"{place}/newuidmap is not root's alone"
    assert not (stranger.home / "was-run").exists()


def test_without_helpers_in_path_there_is_one_user(theirs, stranger):
    place = stranger.home.parent / "python"
    place.mkdir()
    for name in ("python3", "env"):
        (place / name).symlink_to(f"/usr/bin/{name}")
    assert _single(theirs, PATH=str(place)) == "newuidmap and newgidmap are not in PATH"


def test_what_a_helper_says_is_told(theirs):
    hide = (
        "import pyengine.linux.subids as subids\n"
        "real = subids.parse_subids\n"
        "subids.parse_subids = lambda *given: [(7, 5), *real(*given)]\n"
    )
    why = _single(theirs, hide)
    assert "newuidmap failed: " in why
    assert "not allowed" in why
