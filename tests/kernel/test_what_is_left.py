"""What a keeper, or who closes, can leave where it is killed or refused: each is found again."""

from __future__ import annotations

import errno
import os
import platform
import re
import signal

import pytest
from order import assert_order, cgroups
from strangers import Stranger
from support import faults
from support.keepers import awaited, end_keeper, keeper_of, kill_keeper
from test_failing_calls import TELLS, error_of
from test_faults import EPISODES, PROGRAM, needs_of
from tries import in_root, is_keeper
from undertakers import ASKED, KEEPERS, asks, root_of_dead_keeper

import pyengine
from pyengine.linux import freezer
from pyengine.linux.cgroup import Cgroup, Hierarchy
from pyengine.model.spec import Resources

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("victims_find_the_package")]

ON_X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the table of calls is x86-64's")


def leave_cgroup(container_id, parent=""):
    """Be a keeper that was killed when it had made the cgroups of a container."""
    level = "" if parent else "none"
    Cgroup.create(Hierarchy.probe(), container_id, Resources(), parent=parent, level=level)


def has_cgroup(container_id, parent=""):
    """Whether it has any."""
    found = Cgroup.open(Hierarchy.probe(), container_id, parent)
    return found.v2_path is not None or bool(found.v1_paths)


# --- cgroups ---


def test_a_cgroup_whose_container_never_started_is_removed_by_the_next_opener(root, image):
    with pyengine.Engine(root) as engine:
        one = engine.create(image, ["true"], owner="none").id
    leave_cgroup(one)
    assert has_cgroup(one)
    with pyengine.Engine(root) as engine:
        assert engine.containers.get(one).status == "created"
        assert not has_cgroup(one)


@pytest.mark.parametrize("parent", ["", "/pyengine-tests"])
def test_a_cgroup_that_was_left_keeps_no_container_from_starting_or_going(root, image, parent):
    with pyengine.Engine(root) as engine:
        one = engine.create(image, ["true"], owner="none", cgroup_parent=parent or None)
        leave_cgroup(one.id, parent)
        one.start()
        one.wait(timeout=20)
        assert one.inspect().state.exit_code == 0
        leave_cgroup(one.id, parent)
        one.remove()
        assert not has_cgroup(one.id, parent)


def grow_old(container_id):
    """Have its cgroups be an hour old."""
    found = Cgroup.open(Hierarchy.probe(), container_id)
    for path in {found.v2_path, *found.v1_paths.values()} - {None}:
        made = os.stat(path).st_mtime - 3600
        os.utime(path, (made, made))


def test_an_old_cgroup_whose_container_is_in_no_root_is_removed_by_any_opener(root):
    one = "0a" * 32
    leave_cgroup(one)
    with pyengine.Engine(root) as engine:
        engine.containers.list()
        assert has_cgroup(one)  # another root's may be starting just now
    grow_old(one)
    with pyengine.Engine(root) as engine:
        engine.containers.list()
        assert not has_cgroup(one)


def test_an_old_cgroup_in_which_a_program_of_another_root_runs_stays(tmp_path, image):
    with pyengine.Engine(f"{tmp_path}/one") as engine:
        one = engine.start(image, ["sleep", "600"], owner="none")
        grow_old(one.id)
        with pyengine.Engine(f"{tmp_path}/another") as another:
            another.containers.list()
        assert one.exec(["echo", "here"]).stdout == "here\n"
        one.remove(force=True)
    end_keeper(f"{tmp_path}/one")


@ON_X86
@pytest.mark.parametrize("episode", ["exit", "run", "stop"])
def test_a_cgroup_that_cannot_be_removed_at_first_goes_with_the_engine(tmp_path, image, episode):
    code = EPISODES[episode]
    before = cgroups()
    root = f"{tmp_path}/engine"

    def removes(call):
        return call.startswith("rmdir /sys/fs/cgroup/")

    given = TELLS, root, image, code, *needs_of(code)
    with faults.watched(
        *given, kill_at=removes, fail=error_of, interesting=in_root(root)
    ) as outcome:
        assert outcome.killed_at is not None
        assert (outcome.exit_code, outcome.said) == (0, "")
        left = cgroups() - before
        assert left == set()


# --- what a keeper could not write down ---


@ON_X86
@pytest.mark.parametrize(
    ("code", "refused"),
    [
        (KEEPERS["end"], r"rename .*/state.json"),
        (KEEPERS["end"], r"unlink .*/streams/.*/out"),
        (KEEPERS["remove"], r"rename .*/state.json"),
        (KEEPERS["restart"], r"rename .*/state.json"),
        (KEEPERS["adopt"], r"rename .*/state.json"),
        ("engine.run(image, ['true'], owner='none')", r"rename .*/owners/none/[0-9a-f]{64} "),
    ],
)
def test_what_a_keeper_cannot_write_down_at_first_it_writes_later(tmp_path, image, code, refused):
    before = cgroups()
    root = f"{tmp_path}/engine"
    if code == KEEPERS["adopt"]:
        root_of_dead_keeper(root, image)
    with asks(
        root,
        image,
        code,
        program=ASKED,
        kill_at=lambda call: re.match(refused, call) is not None,
        fail=error_of,
        who=is_keeper,
    ) as outcome:
        assert (outcome.exit_code, outcome.said) == (0, "")
        assert outcome.killed_at is not None
        assert_order(root, image, before, ("running", "exited", "restarting"))


def test_one_that_removes_itself_is_gone_though_nobody_watched_its_end(root, image):
    with Stranger(root, image) as stranger:
        asked = "engine.start(image, 'sleep 600', owner='none', auto_remove=True)"
        one, pid = stranger.ask(f"(lambda one: [one.id, one.inspect().state.pid])({asked})")
        kill_keeper(root, with_guard=True)
        with awaited(pid):
            os.kill(pid, signal.SIGKILL)
    with pyengine.Engine(root) as engine:
        assert engine.containers.list(all=True) == []
    end_keeper(root)
    assert os.listdir(f"{root}/owners/none") == []
    assert not has_cgroup(one)


# --- names of the keeper's ---


def test_the_name_of_a_dead_keeper_s_desk_is_taken_back(root):
    with pyengine.Engine(root) as engine:
        engine.containers.list()
    os.makedirs(f"{root}/desk", 0o700)
    with open(f"{root}/keeper.lock", "x", encoding="ascii"):
        pass
    for name in ("keeper", "keeper.new"):
        os.symlink("4711-0123456789ab.sock", f"{root}/desk/{name}")
    with pyengine.Engine(root) as engine:
        engine.containers.list()
    assert os.listdir(f"{root}/desk") == []


def test_the_name_of_a_keeper_that_lives_stays(root, image):
    with pyengine.Engine(root) as engine:
        engine.start(image, ["sleep", "600"], owner="none")
    with pyengine.Engine(root) as engine:
        engine.containers.list()
        assert keeper_of(root) != 0


def test_who_takes_on_the_containers_of_a_dead_keeper_takes_its_door_away(root, image):
    with Stranger(root, image) as stranger:
        stranger.ask("engine.start(image, 'sleep 600', owner='none').id")
        kill_keeper(root, with_guard=True)
        dead = {name for name in os.listdir(f"{root}/desk") if name.endswith(".held")}
        assert dead
    with pyengine.Engine(root) as engine:
        assert [one.status for one in engine.containers.list()] == ["running"]
    assert not dead & set(os.listdir(f"{root}/desk"))


# --- who leaves ---


@ON_X86
def test_a_desk_whose_name_cannot_be_taken_back_keeps_nobody_from_leaving(tmp_path, image):
    root = f"{tmp_path}/engine"
    with faults.watched(
        TELLS,
        root,
        image,
        EPISODES["close"],
        "two",
        kill_at=lambda call: re.match(r"unlinkat .*/desk .*\.sock", call) is not None,
        fail=error_of,
        interesting=in_root(root),
    ) as outcome:
        assert outcome.killed_at is not None
        assert (outcome.exit_code, outcome.said) == (0, "")
    assert_order(root, image, set())


@ON_X86
def test_who_leaves_says_so_first_and_everybody_may_go_on_with_it(tmp_path, image):
    root = f"{tmp_path}/engine"

    def is_about_owners(call):
        return any(path.startswith(f"{root}/owners/") for path in call.paths())

    said = []

    def comes_next(call):
        said.append(call)
        return len(said) > 1 and "/.dead-" in said[-2]

    killed = faults.run_until(
        PROGRAM,
        root,
        image,
        EPISODES["close"],
        "one",
        kill_at=comes_next,
        interesting=is_about_owners,
    )
    assert said[-2].startswith("rename ")
    assert killed.exit_code == -9
    assert_order(root, image, set())


@ON_X86
def test_a_name_whose_old_one_cannot_be_given_back_is_had_all_the_same(tmp_path, image):
    root = f"{tmp_path}/engine"
    code = EPISODES["rename"] + "; print(containers('other').id)"
    with faults.watched(
        TELLS,
        root,
        image,
        code,
        "one",
        kill_at=lambda call: call == f"unlink {root}/names/one",
        fail=error_of,
        interesting=in_root(root),
    ) as outcome:
        assert outcome.killed_at is not None
        assert outcome.exit_code == 0
        assert len(outcome.said.strip()) == 64


def test_a_cgroup_that_does_not_kill_is_emptied_one_by_one(engine, image, monkeypatch):
    write = freezer.files.write

    def refuse(path, data):
        if path.endswith("/cgroup.kill"):
            raise OSError(errno.EIO, "is broken")
        write(path, data)

    monkeypatch.setattr(freezer.files, "write", refuse)
    container = engine.start(image, ["sh", "-c", "sleep 4951 & sleep 4951"])
    container.remove(force=True)
    assert not has_cgroup(container.id)
