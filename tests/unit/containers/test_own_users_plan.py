"""What is different for a container that has users of its own, and what must not be."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import assume
from situations import IDENTITY, ROOT, default_spec, each_situation

from pyengine.containers.compile import compile_plan
from pyengine.containers.join_options import JoinOptions
from pyengine.containers.join_plans import compile_join, join_plan
from pyengine.containers.own_users import ids_from, refuse_with_own_users
from pyengine.containers.preparing import _is_made_outside
from pyengine.containers.seats import Seat
from pyengine.containers.surroundings import Surroundings
from pyengine.errors import Unsupported
from pyengine.linux import plan as p
from pyengine.linux.cgroup import Cgroup, Hierarchy
from pyengine.linux.new_users import NewUsers
from pyengine.model.mounts import Mount, MountKind
from pyengine.model.record import ContainerRecord
from pyengine.model.spec import Namespaces, Resources, Ulimit

FIRST = 0x70010000
SEAT = Seat(Cgroup(Hierarchy(None, {}), "exec-1", ""), (), 3, -1)
JOINS = JoinOptions(("sh",))


def own(situation):
    """*situation*, and the same where what takes the host's root was done outside."""
    spec, around = situation
    fds = tuple(range(10, 10 + len(around.fds)))
    outside = [mount for mount in spec.mounts if _is_made_outside(mount, NewUsers(3, 4))]
    made = tuple((mount.target, len(fds) + number) for number, mount in enumerate(outside))
    root = evolve(around.root, made=len(fds) + len(made), nested=False, mountpoint="/")
    around = evolve(
        around,
        fds=(*fds, *range(100, 101 + len(made))),
        shared_binds=made,
        root=root,
        ids=ids_from(FIRST),
        outside=True,
        pid_target=-1,
        ipc_target=None,
    )
    return spec, around


@each_situation
def test_nothing_of_the_host_s_disk_is_named_for_who_could_not_go_there(situation):
    spec, around = own(situation)
    assume(not {"host"} & {spec.namespaces.pid, spec.namespaces.ipc})
    plan = compile_plan(spec, around)
    assert not any(step.op == "overlay" for step in plan.steps)
    sources = {step.source for step in plan.steps if step.op == "bind"} - {""}
    nodes = {node.host for node in around.nodes}
    assert sources <= nodes | {"/sys", "/sys/fs/cgroup"}


@each_situation
def test_its_root_is_what_was_made_outside_and_no_device_in_it_is_used(situation):
    spec, around = own(situation)
    plan = compile_plan(spec, around)
    number = next(n for n, step in enumerate(plan.steps) if step.op == "root")
    root, placed = plan.steps[number - 1 : number + 1]
    assert root.op == "bind"
    assert root.fd == p.JOIN_FDS + around.root.made
    assert root.flags == p.NODEV
    assert placed.target == "/"


@each_situation
def test_what_hides_and_what_is_given_up_is_the_same_as_for_the_host_s_users(situation):
    spec, around = own(situation)
    mine = compile_plan(spec, around).steps
    theirs = compile_plan(spec, evolve(around, ids=None, outside=False)).steps
    for kept in ("mask", "readonly", "bound", "groups", "ids", "caps", "seccomp", "pdeathsig"):
        assert [one for one in mine if one.op == kept] == [one for one in theirs if one.op == kept]


def test_plans_of_two_ranges_share_their_mounts():
    around = Surroundings(ROOT, IDENTITY, fds=(100,))
    one, other = (
        compile_plan(default_spec(), evolve(around, ids=ids_from(first))).parts
        for first in (FIRST, FIRST + 65536)
    )
    assert any(a is b for a in one for b in other if hasattr(a, "steps") and len(a.steps) > 10)


def test_who_joins_gives_its_streams_away_before_and_is_root_inside_after():
    for options, start in ((JOINS, 1), (evolve(JOINS, open_stdin=True), 0)):
        steps = compile_join(
            default_spec(),
            options,
            evolve(IDENTITY, uid=1000),
            tasks=0,
            held=0,
            ushered=False,
            entered=p.NEWUSER,
            first_id=FIRST,
        ).steps
        names = [step.op for step in steps]
        enters = names.index("setns")
        assert steps[enters].flags & p.NEWUSER
        (given,) = (step for step in steps[:enters] if step.op == "own_stdio")
        assert (given.flags, given.fd) == (FIRST + 1000, start)
        assert names[enters + 1 : enters + 3] == ["groups", "ids"]
        assert (steps[enters + 2].flags, steps[enters + 2].fd) == (0, 0)
        assert "own_stdio" not in names[enters:]


def test_who_joins_needs_no_usher_and_joins_nothing_of_the_host_s():
    modes = Namespaces(network="host", uts="host")
    spec = default_spec(namespaces=modes)
    record = ContainerRecord(spec, first_id=FIRST)
    plan = join_plan(record, JOINS, IDENTITY, SEAT, None)
    (enters,) = (step for step in plan.steps if step.op == "setns")
    assert enters.flags & p.NEWUSER
    assert not enters.flags & (p.NEWNET | p.NEWUTS)
    assert plan.joined & p.NEWPID
    assert not plan.joined & p.NEWUSER
    assert not any(step.op == "enter" for step in plan.steps)


def test_limits_are_raised_by_who_still_may():
    spec = default_spec(ulimits=(Ulimit("nofile", 10, 1 << 30), Ulimit("core", 0, 0)))
    plan = join_plan(ContainerRecord(spec, first_id=FIRST), JOINS, IDENTITY, SEAT, None)
    names = [step.op for step in plan.steps]
    assert names[: names.index("setns")].count("rlimit") == 1
    assert names[names.index("setns") :].count("rlimit") == 2


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"namespaces": Namespaces(pid="host")}, "host's processes"),
        ({"namespaces": Namespaces(pid="container:" + "f" * 64)}, "no rights"),
        ({"namespaces": Namespaces(ipc="container:" + "f" * 64)}, "no rights"),
        ({"mounts": (Mount(MountKind.BIND, "/a", "/b", propagation="rshared"),)}, "on the host"),
        ({"resources": Resources(pids=1)}, "a process too"),
    ],
)
def test_what_takes_the_host_s_users_is_refused_by_name(changes, missing):
    with pytest.raises(Unsupported, match=missing):
        refuse_with_own_users(default_spec(**changes), counts_births=True)


def test_all_else_is_not_refused():
    modes = Namespaces(network="host", ipc="host", uts="host", cgroup="host")
    mounts = (Mount(MountKind.BIND, "/a", "/b", propagation="rslave"),)
    refuse_with_own_users(default_spec(namespaces=modes, mounts=mounts), counts_births=True)
    refuse_with_own_users(default_spec(resources=Resources(pids=1)), counts_births=False)
