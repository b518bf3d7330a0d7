"""The plan of a container whose engine is not root: what differs, and what never does."""

from __future__ import annotations

import pytest
from attrs import evolve
from situations import each_situation

from pyengine.containers.compile import compile_plan
from pyengine.containers.identity import Identity
from pyengine.containers.rootless import mapped, refuse_unmet
from pyengine.errors import InvalidRequest, Unsupported
from pyengine.linux import plan as p
from pyengine.linux.seccomp_pretend import pretend_filter
from pyengine.model.ids import IdMaps, IdRange
from pyengine.model.spec import ContainerSpec, Device, DeviceRule, Namespaces, Security

ONE = IdMaps.single(1000, 1000)
MANY = IdMaps(
    (IdRange(0, 1000), IdRange(1, 100000, 65536)), (IdRange(0, 1000), IdRange(1, 100000, 65536))
)
SPEC = ContainerSpec(id="0" * 64, name="web", image="rootfs:/x", argv=("true",))


def plans(situation, ids):
    spec, around = situation
    return compile_plan(spec, around), compile_plan(spec, evolve(around, ids=ids))


@each_situation
def test_no_device_is_made_and_none_is_missing(situation):
    root, user = plans(situation, ONE)
    made = {step.target for step in root.steps if step.op == "mknod"}
    assert not any(step.op == "mknod" for step in user.steps)
    bound = {
        step.source.removeprefix("/dev/") if step.op == "device" else step.target[len("/dev/") :]
        for step in user.steps
        if step.op in ("bind", "device")
    }
    if all(mount.target != "/dev" for mount in situation[0].mounts):
        assert made <= bound


@each_situation
def test_overlays_carry_the_marks_that_a_user_may_write(situation):
    root, user = plans(situation, ONE)
    assert all(step.flags & p.OVERLAY_USERXATTR for step in user.steps if step.op == "overlay")
    assert not any(step.flags & p.OVERLAY_USERXATTR for step in root.steps if step.op == "overlay")


@each_situation
def test_groups_are_changed_only_by_who_may(situation):
    _, one = plans(situation, ONE)
    _, many = plans(situation, MANY)
    assert not any(step.op == "groups" for step in one.steps)
    assert any(step.op == "groups" for step in many.steps)


@each_situation
def test_the_group_of_terminals_is_named_only_where_it_exists(situation):
    for ids, there in ((ONE, False), (MANY, True)):
        _, plan = plans(situation, ids)
        (pts,) = (step for step in plan.steps if step.kind == "devpts")
        assert (b"gid=5" in pts.data) == there


@each_situation
def test_what_hides_and_what_is_given_up_is_the_same_as_for_root(situation):
    root, user = plans(situation, ONE)
    pretends = pretend_filter().program
    for kept in ("mask", "readonly", "bound", "caps", "seccomp", "pdeathsig", "no_new_privs"):
        assert [step for step in user.steps if step.op == kept and step.data != pretends] == [
            step for step in root.steps if step.op == kept
        ]


@each_situation
def test_files_are_given_away_seemingly_only_where_root_is_alone(situation):
    pretends = pretend_filter().program
    kept = IdMaps((IdRange(1000, 1000),), (IdRange(1000, 1000),))
    for ids, seemingly in ((ONE, True), (MANY, False), (kept, False), (None, False)):
        _, plan = plans(situation, ids)
        assert any(step.data == pretends for step in plan.steps) == seemingly


@each_situation
def test_the_mask_is_the_host_s_null_device_and_comes_before_anything_of_the_user(situation):
    _, plan = plans(situation, ONE)
    (null,) = (number for number, step in enumerate(plan.steps) if step.op == "null")
    assert plan.steps[null].source == "/dev/null"
    user = {mount.target for mount in situation[0].mounts}
    for number, step in enumerate(plan.steps):
        if step.target in user and step.op in ("bind", "overlay"):
            assert number > null


@each_situation
def test_no_group_is_asked_for_that_the_kernel_does_not_know_there(situation):
    spec = situation[0]
    for ids, last in ((ONE, 0), (MANY, 65536)):
        _, plan = plans(situation, ids)
        asked = [step.data for step in plan.steps if step.target == "net/ipv4/ping_group_range"]
        if spec.namespaces.network != "host":
            assert asked == [f"0 {last}".encode()]


@each_situation
def test_what_belongs_to_the_host_s_root_is_never_mounted_anew(situation):
    spec = situation[0]
    _, plan = plans(situation, ONE)
    mounted = {step.kind for step in plan.steps if step.op == "mount"}
    if spec.namespaces.network == "host":
        assert "sysfs" not in mounted
    if spec.namespaces.cgroup == "host":
        assert "cgroup2" not in mounted
    for step in plan.steps:
        if step.op == "bind" and step.source in ("/sys", "/sys/fs/cgroup"):
            assert step.flags & p.RDONLY
            assert step.flags & p.BIND_READONLY_BELOW


@pytest.mark.parametrize(
    "spec",
    [
        evolve(SPEC, namespaces=Namespaces(pid="host")),
        evolve(SPEC, namespaces=Namespaces(pid=f"container:{'1' * 64}")),
        evolve(SPEC, cgroup_parent="/x"),
        evolve(SPEC, oom_score_adj=1),
        evolve(SPEC, security=Security(device_rules=(DeviceRule("c", 1, 3, "r"),))),
        evolve(SPEC, security=Security(devices=(Device("/dev/null", "/dev/x", "rw"),))),
    ],
)
def test_what_takes_root_is_refused_and_never_left_out(spec):
    with pytest.raises(Unsupported, match="run as root"):
        refuse_unmet(spec, has_cgroup=False)


def test_with_a_cgroup_others_pid_namespace_can_be_shared():
    refuse_unmet(evolve(SPEC, namespaces=Namespaces(pid=f"container:{'1' * 64}")), has_cgroup=True)
    refuse_unmet(SPEC, has_cgroup=False)


def test_root_has_every_id():
    identity = Identity(4711, 4711, (4711, 5))
    assert mapped(identity, "app", ("tty",), None) is identity


def test_with_one_id_there_is_root_alone_and_the_image_s_groups_are_none_of_it():
    assert mapped(Identity(0, 0, (0, 1, 10)), "", (), ONE) == Identity(0, 0, (0,))
    for identity in (Identity(1, 0, (0,)), Identity(0, 1, (1,))):
        with pytest.raises(Unsupported, match="one id only"):
            mapped(identity, "app", (), ONE)
    with pytest.raises(Unsupported, match="one id only"):
        mapped(Identity(0, 0, (0, 44)), "", ("video",), ONE)


def test_with_many_ids_those_that_are_not_mapped_are_nobody():
    assert mapped(Identity(33, 33, (33, 5)), "www", (), MANY) == Identity(33, 33, (33, 5))
    with pytest.raises(InvalidRequest, match="not among the ids"):
        mapped(Identity(70000, 0, (0,)), "far", (), MANY)
    with pytest.raises(InvalidRequest, match="not among the groups"):
        mapped(Identity(0, 0, (0, 70000)), "", ("far",), MANY)
