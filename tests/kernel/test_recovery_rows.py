"""Rows of the recovery table that nothing else comes by: what is told, what was half renamed, whose
streams stay, where a keeper lives.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from strangers import Stranger
from support.keepers import end_keeper, keeper_of, kill_keeper

from pyengine import Engine
from pyengine.store.layout import Layout

pytestmark = pytest.mark.kernel


# --- what is told ---


def ends_told(engine: Engine, since: float) -> list[tuple[str, str, str]]:
    """Who is told to have died or gone, and how, in order."""
    wanted = {"event": ["die", "destroy"]}
    with engine.events(since=since, until=time.time(), filters=wanted) as events:
        found = [(one.attributes, one.action) for one in events]
    return [(told["name"], action, told.get("exitCode", "")) for told, action in found]


def test_how_containers_of_the_killed_ended_is_told_by_who_recovers_them_and_once(root, image):
    since = time.time()
    with Stranger(root, image) as dying:
        dying.ask("engine.start(image, 'sleep 99', name='ran').id")
        dying.ask("engine.create(image, 'true', name='made').id")
        dying.kill_with_guard()
    for _ in range(2):
        with Engine(root=root) as engine:
            engine.containers.list()
            engine._house.events.write()
            told = ends_told(engine, since)
    assert sorted(told) == [("made", "destroy", ""), ("ran", "destroy", ""), ("ran", "die", "137")]
    assert told.index(("ran", "die", "137")) < told.index(("ran", "destroy", ""))


# --- what was half renamed ---


@pytest.mark.parametrize("dies_at", ["write_record", "release_name"])
def test_a_rename_that_was_killed_half_way_leaves_the_name_that_the_record_says(
    root, image, dies_at
):
    with Stranger(root, image) as dying:
        dying.ask("engine.create(image, 'true', name='old', owner='none').id")
        deadly = f"setattr(engine._house.catalog, {dies_at!r}, lambda *_, **__: os._exit(9))"
        dying.ask(deadly)
        dying.tell("engine.containers.get('old').rename('new')")
        assert dying.leave() == 9
    assert sorted(os.listdir(f"{root}/names")) == ["new", "old"]
    with Engine(root=root) as engine:
        (found,) = engine.containers.list(all=True)
        assert found.name == ("old" if dies_at == "write_record" else "new")
        assert os.listdir(f"{root}/names") == [found.name]
        free = "new" if found.name == "old" else "old"
        assert engine.create(image, name=free).name == free


def test_two_names_are_left_while_somebody_renames(root, image):
    with Engine(root=root) as engine:
        one = engine.create(image, "true", name="old", owner="none")
        with engine._house.catalog.locked(one.id) as home:
            os.link(home.record, f"{root}/names/new")
            with Engine(root=root) as another:
                another.containers.list()
            assert sorted(os.listdir(f"{root}/names")) == ["new", "old"]


# --- whose streams stay ---


def test_only_streams_of_what_runs_stay(root, image):
    layout = Layout(root, root)
    with Engine(root=root) as engine:
        runs = engine.start(image, ["sleep", "600"], owner="none", name="runs")
        ended = engine.create(image, "true", owner="none", name="ended")
        gone = "a" * 64
        for container_id in (ended.id, gone):
            os.makedirs(layout.streams(container_id))
            for name in ("out", "err", "in"):
                os.mkfifo(f"{layout.streams(container_id)}/{name}")
        kill_keeper(root, with_guard=True)
        with Engine(root=root) as another:
            another.containers.list()
        assert str(runs.status) == "running", runs.inspect().state
        assert os.listdir(f"{root}/streams") == [runs.id]
        runs.remove(force=True)
    end_keeper(root)
    assert os.listdir(f"{root}/streams") == []


# --- where a keeper lives ---


@contextmanager
def cgroup_of_its_own() -> Iterator[str]:
    """A cgroup for a caller, in any tree in which we may make one."""
    for tree in ("/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        place = f"{tree}/pyengine-caller-{os.getpid()}"
        try:
            os.mkdir(place)
        except OSError:
            continue
        if not os.path.exists(f"{place}/cgroup.procs"):
            os.rmdir(place)
            continue
        try:
            yield place
        finally:
            os.rmdir(place)
        return
    pytest.fail("this host has no cgroup tree for us: the test needs one")


def members(place: str) -> list[int]:
    with open(f"{place}/cgroup.procs", encoding="ascii") as file:
        return [int(pid) for pid in file.read().split()]


def test_a_keeper_stays_in_its_caller_s_cgroup_and_its_containers_do_not(root, image):
    with cgroup_of_its_own() as place, Engine(root=root) as engine:
        engine.containers.list()
        with Stranger(root, image) as caller:
            with open(f"{place}/cgroup.procs", "w", encoding="ascii") as file:
                file.write(str(caller.pid))
            caller.ask("engine.start(image, 'sleep 600', owner='none', name='kept').id")
            first, kept = keeper_of(root), engine.containers.get("kept")
            pid = kept.inspect().pid
            assert {caller.pid, first} <= set(members(place))
            assert pid not in members(place)
            ended = [os.pidfd_open(one) for one in members(place)]
            for pidfd in ended:  # as who stops a whole unit does
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            for pidfd in ended:
                os.close(pidfd)
            caller.kill()
        assert (str(kept.status), kept.inspect().pid) == ("running", pid)
        with Engine(root=root) as another:  # the next keeper takes it on
            another.containers.list()
            assert keeper_of(root) not in (0, first)
            assert another.containers.get("kept").exec(["echo", "fine"]).stdout == "fine\n"
            another.containers.get("kept").stop(timeout=0)
        while members(place):
            os.sched_yield()


# --- the umask ---


@pytest.mark.parametrize("mask", [0o000, 0o777])
def test_a_keeper_has_no_umask_of_its_caller_s(root, image, mask):
    before = os.umask(mask)
    try:
        with Engine(root=root) as engine:
            script = ["sh", "-c", "umask; > /tmp/new; stat -c %a /tmp/new; sleep 600"]
            kept = engine.start(image, script, owner="none")
            lines = kept.follow_logs(timeout=20)
            assert [next(lines).text.strip() for _ in range(2)] == ["0022", "644"]
            lines.close()
            modes = {
                f"{above}/{name}": os.lstat(f"{above}/{name}").st_mode & 0o077
                for part in ("owners", "desk", "streams", "events")
                for above, names, files in os.walk(f"{root}/{part}")
                for name in (*names, *files)
                if not os.path.islink(f"{above}/{name}")
                and "/upper" not in f"{above}/{name}"
                and "/work" not in f"{above}/{name}"
            }
            kept.remove(force=True)
    finally:
        assert os.umask(before) == mask
    assert modes
    assert [path for path, mode in modes.items() if mode & 0o007] == []
