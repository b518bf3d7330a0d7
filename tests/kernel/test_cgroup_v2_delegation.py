"""A user divides the cgroup that was delegated to him, and nobody else's."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager

import pytest
from support.nobody import NOBODY, as_nobody

from pyengine.errors import Unsupported
from pyengine.linux import cgroup_files, hierarchy
from pyengine.linux.cgroup import Cgroup, Hierarchy
from pyengine.linux.delegation import CONTROLLERS, LEAF
from pyengine.model.spec import Resources

pytestmark = [pytest.mark.kernel, pytest.mark.cgroup2]

LIMITED = Resources(memory=32 << 20, nano_cpus=500_000_000, pids=9)


@pytest.fixture
def delegated():
    """A cgroup as systemd delegates one, with every controller; nobody lives there yet."""
    host = Hierarchy.probe()
    hierarchy.enable(host.v2, host.v2_controllers)
    top = f"{host.v2}/pyengine-delegated-{os.getpid()}"
    os.makedirs(f"{top}/user")
    hierarchy.enable(top, host.v2_controllers)
    give(f"{top}/user")
    try:
        yield f"{top}/user"
    finally:
        cgroup_files.remove_tree(top, 5, top)


def give(directory):
    for file in ("", "/cgroup.procs", "/cgroup.subtree_control", "/cgroup.threads"):
        os.chown(directory + file, NOBODY, NOBODY)


@contextmanager
def somebody(directory):
    """A program that lives in *directory*, and is nothing of ours."""
    process = subprocess.Popen(["sleep", "100"])
    try:
        cgroup_files.write(f"{directory}/cgroup.procs", b"%d" % process.pid)
        yield process.pid
    finally:
        process.kill()
        process.wait(10)


def fresh() -> Hierarchy:
    return hierarchy._probe.__wrapped__()


def words(directory):
    return set(cgroup_files.read(f"{directory}/cgroup.subtree_control").decode().split())


def own_place():
    return cgroup_files.read("/proc/self/cgroup").decode().split("::")[1].strip()


def live_limited():
    """Make a limited cgroup, look around, and leave: what there was, before, then and after."""
    host = fresh()
    before = own_place()
    child = subprocess.Popen(["sleep", "100"])
    cgroup = Cgroup.create(host, "box", LIMITED)
    raw = cgroup.sample()
    seen = [own_place(), cgroup_files.read(f"/proc/{child.pid}/cgroup").decode().strip()[3:]]
    handed = sorted(words(host.v2))
    cgroup.remove()
    host.tidy()
    after = own_place()
    left = cgroup_files.children(host.v2), sorted(words(host.v2))
    child.kill()
    child.wait()
    return [before, raw.memory_limit, raw.pids_limit, seen, handed, after, left]


def test_limits_work_in_a_cgroup_that_is_ours_alone_and_it_is_left_as_it_was(delegated):
    before, memory, pids, seen, handed, after, left = as_nobody(live_limited, delegated)
    assert (memory, pids) == (32 << 20, 9)
    assert handed == sorted(CONTROLLERS)
    assert seen == [before + LEAF, before + LEAF]  # our children came along
    assert after == before
    assert left == [[], []]


def refusal():
    host = fresh()
    try:
        Cgroup.create(host, "box", LIMITED)
    except Unsupported as error:
        return [str(error), own_place(), sorted(words(host.v2))]
    return "it was made"


def test_another_program_there_is_named_and_not_moved(delegated):
    with somebody(delegated) as pid:
        told, place, handed = as_nobody(refusal, delegated)
        where = cgroup_files.read(f"/proc/{pid}/cgroup").decode()
    assert f"process {pid} (sleep)" in told
    assert "systemd-run --user --scope -p Delegate=yes" in told
    assert delegated.endswith(place)
    assert delegated.endswith(where.strip()[3:])
    assert handed == []


def test_programs_below_are_not_counted_otherwise_than_they_were(delegated):
    os.mkdir(f"{delegated}/app")
    with somebody(f"{delegated}/app") as pid:
        told, _, handed = as_nobody(refusal, delegated)
    assert f"process {pid} (sleep)" in told
    assert handed == []


def what_works():
    host = fresh()
    cgroup = Cgroup.create(host, "box", Resources(memory=32 << 20, best_effort=True))
    found = [cgroup.sample().memory_limit, cgroup.enforced.notes]
    cgroup.remove()
    host.tidy()
    try:
        Cgroup.create(host, "box", Resources(nano_cpus=500_000_000))
    except Unsupported as error:
        return [*found, error.feature, error.missing, own_place()]
    return "it was made"


def test_what_is_handed_down_already_is_used_where_others_live(delegated):
    hierarchy.enable(delegated, frozenset(("memory", "pids")))
    for name in ("app", "session"):
        os.mkdir(f"{delegated}/{name}")
        give(f"{delegated}/{name}")
    with somebody(f"{delegated}/app"):
        limit, notes, feature, missing, place = as_nobody(what_works, f"{delegated}/session")
    assert (limit, notes) == (32 << 20, [])
    assert feature == "cpus"
    assert "cpu controller" in missing
    assert place.endswith("/session")
    assert sorted(words(delegated)) == ["memory", "pids"]


def notes_of_best_effort():
    host = fresh()
    wanted = Resources(memory=32 << 20, best_effort=True)
    cgroup = Cgroup.create(host, "box", wanted)
    told = [one.option for one in cgroup.enforced.unenforced], cgroup.enforced.notes
    cgroup.remove()
    host.tidy()
    return told


def test_best_effort_says_what_is_not_in_force(delegated):
    with somebody(delegated):
        options, notes = as_nobody(notes_of_best_effort, delegated)
    assert options == ["memory"]
    assert any(note.startswith("memory is not enforced: ") for note in notes)
    assert any(note.startswith("no limit on pids: ") for note in notes)


def place_to_use():
    return fresh().v2


def test_the_nearest_cgroup_that_systemd_has_given_away_is_ours(delegated):
    scope = f"{delegated}/app.slice/run-1.scope"
    os.makedirs(scope)
    for directory in (f"{delegated}/app.slice", scope):
        give(directory)
    assert as_nobody(place_to_use, scope) == delegated
    os.setxattr(scope, "user.delegate", b"1")
    assert as_nobody(place_to_use, scope) == scope


def test_a_controller_that_was_not_delegated_is_named(delegated):
    above = os.path.dirname(delegated)
    cgroup_files.write(f"{above}/cgroup.subtree_control", b"-memory")
    told, _, _ = as_nobody(refusal, delegated)
    assert told.startswith("memory is not supported: cgroup ")
    assert "has no memory controller" in told


def test_a_container_in_another_scope_of_the_same_user_is_found_and_ended(delegated):
    for name in ("one.scope", "two.scope"):
        os.mkdir(f"{delegated}/{name}")
        give(f"{delegated}/{name}")
        os.setxattr(f"{delegated}/{name}", "user.delegate", b"1")
    box = f"{delegated}/one.scope/pyengine/default-x/box"
    as_nobody(lambda: os.makedirs(box))

    def end(pid):
        host = fresh()
        missed = Cgroup.open(host, "box").v2_path
        found = Cgroup.open(host, "box", pid=pid)
        found.kill()
        found.wait_empty()
        return [missed, found.v2_path, found.processes()]

    with somebody(box) as pid:
        told = as_nobody(lambda: end(pid), f"{delegated}/two.scope")
    assert told == [None, box, []]
