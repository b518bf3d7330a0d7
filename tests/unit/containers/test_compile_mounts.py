"""The plan of a container: which namespaces are made, and what is mounted."""

from __future__ import annotations

import pytest
from attrs import evolve
from situations import (
    IDENTITY,
    ROOT,
    default_plan,
    default_spec,
    each_situation,
    places,
)

from pyengine.containers.compile import compile_plan, namespaces_of
from pyengine.containers.surroundings import DeviceNode, Surroundings
from pyengine.linux import plan as p
from pyengine.model.mounts import Mount, MountKind, Recursion
from pyengine.model.spec import Namespaces, Security

# --- namespaces ---


@each_situation
def test_each_namespace_is_made_exactly_when_it_is_private(situation):
    spec, around = situation
    plan = compile_plan(spec, around)
    made = plan.unshare
    for step in plan.steps:
        if step.op == "unshare":
            assert not made & step.flags
            made |= step.flags
    modes = spec.namespaces
    assert bool(made & p.NEWPID) == (modes.pid == "private")
    assert bool(made & p.NEWIPC) == (modes.ipc in ("private", "shareable", "none"))
    assert bool(made & p.NEWUTS) == (modes.uts == "private")
    assert bool(made & p.NEWCGROUP) == (modes.cgroup == "private")
    assert bool(made & p.NEWNET) == (modes.network != "host")
    assert bool(made & p.NEWTIME) == around.time_namespace
    assert made & p.NEWNS
    assert not made & p.NEWUSER


@each_situation
def test_a_cgroup_namespace_is_made_after_its_cgroups_are_joined(situation):
    plan = compile_plan(*situation)
    assert not plan.unshare & p.NEWCGROUP
    made = [n for n in places(plan, "unshare") if plan.steps[n].flags & p.NEWCGROUP]
    joined = places(plan, "cgroup")
    if made and joined:
        assert max(joined) < made[0]


@each_situation
def test_who_shares_a_pid_namespace_is_born_next_to_its_first_process(situation):
    spec, around = situation
    plan = compile_plan(spec, around)
    shares = spec.namespaces.pid.startswith("container:")
    assert plan.target == (60 if shares else -1)
    joins = [step.fd for step in plan.steps if step.op == "setns" and step.flags == p.NEWPID]
    assert joins == [p.JOIN_TARGET] * shares
    assert plan.joined == 0  # no child of the joiner's: a grandchild, with nothing left to take
    if shares:
        assert not plan.unshare & ~p.NEWTIME  # that one is made by being born
        assert not namespaces_of(spec, around) & p.NEWPID


@each_situation
def test_a_shared_ipc_namespace_is_entered_and_its_shm_borrowed(situation):
    spec, around = situation
    plan = compile_plan(spec, around)
    ipc = [step for step in plan.steps if step.op == "setns" and step.flags == p.NEWIPC]
    borrowed = [s for s in plan.steps if s.op == "borrow" and s.target == "/dev/shm"]
    shares = spec.namespaces.ipc.startswith("container:")
    assert len(ipc) == shares
    own = {mount.target for mount in spec.mounts}.isdisjoint(("/dev", "/dev/shm"))
    assert len(borrowed) == (shares and own)
    if shares:
        wanted = p.JOIN_FDS + around.ipc_target
        assert {step.fd for step in (*ipc, *borrowed)} == {wanted}


@each_situation
def test_names_belong_to_a_uts_namespace_of_one_s_own(situation):
    spec, around = situation
    plan = compile_plan(spec, around)
    private = spec.namespaces.uts == "private"
    assert len(places(plan, "hostname")) == private
    assert len(places(plan, "domainname")) == (private and bool(spec.domainname))


@each_situation
def test_network_parameters_are_touched_only_where_they_are_one_s_own(situation):
    spec, around = situation
    plan = compile_plan(spec, around)
    own = spec.namespaces.network != "host"
    names = [step.target for step in plan.steps if step.op == "sysctl"]
    assert ("net/ipv4/ip_unprivileged_port_start" in names) == own
    assert len(places(plan, "loopback")) == own
    for name, _ in spec.security.sysctls:
        assert name.replace(".", "/") in names
    (proc,) = (n for n in places(plan, "mount", "borrow") if plan.steps[n].kind == "proc")
    assert all(number > proc for number in places(plan, "sysctl"))  # written through our own procfs


def test_joining_a_network_makes_none():
    plan = compile_plan(default_spec(), Surroundings(ROOT, IDENTITY, fds=(100, 101), network=1))
    assert not plan.unshare & p.NEWNET
    assert [(s.fd, s.flags) for s in plan.steps if s.op == "setns"] == [(p.JOIN_FDS + 1, p.NEWNET)]
    assert not places(plan, "loopback")


# --- what is mounted ---


@each_situation
def test_a_user_s_mount_replaces_ours(situation):
    spec, around = situation
    plan = compile_plan(spec, around)
    user = {mount.target for mount in spec.mounts}
    seen = [
        step.target
        for step in plan.steps
        if step.op in ("mount", "overlay", "bind", "bind_at", "borrow") and step.target
    ]
    for target in user:
        assert seen.count(target) == 1
        assert not [one for one in seen if one.startswith(target + "/") and one not in user], (
            "ours would cover what the user has put there"
        )


@each_situation
def test_parents_are_mounted_before_their_children(situation):
    plan = compile_plan(*situation)
    seen: list[str] = []
    for step in plan.steps:
        if step.op in ("mount", "overlay", "bind", "bind_at", "borrow") and step.target:
            assert not [one for one in seen if one.startswith(step.target + "/")]
            seen.append(step.target)


def test_sys_and_the_cgroups_are_writable_for_the_privileged_alone():
    for privileged in (False, True):
        security = Security(privileged=privileged, writable_cgroups=privileged)
        flags = {
            s.target: s.flags for s in default_plan(security=security).steps if s.op == "mount"
        }
        for target in ("/sys", "/sys/fs/cgroup"):
            assert bool(flags[target] & p.RDONLY) is not privileged
            assert flags[target] & (p.NOSUID | p.NODEV | p.NOEXEC) == 0xE


def test_a_read_only_container_has_read_only_name_files():
    for read_only in (False, True):
        security = Security(read_only=read_only)
        binds = [s for s in default_plan(security=security).steps if s.op == "bind_at"]
        assert [s.target for s in binds] == ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"]
        assert {s.flags for s in binds} == {p.RDONLY if read_only else 0}


@pytest.mark.parametrize(
    ("options", "flags", "rest"),
    [
        (("ro", "size=1m"), p.RDONLY, ["source=tmpfs", "size=1m"]),
        (("nosuid", "nodev", "suid"), p.NODEV, ["source=tmpfs"]),
        (("noexec", "exec", "shared", "mode=700"), 0, ["source=tmpfs", "mode=700"]),
        (("strictatime", "noatime"), p.STRICTATIME | p.NOATIME, ["source=tmpfs"]),
    ],
)
def test_a_tmpfs_tells_the_mount_s_flags_from_the_file_system_s_options(options, flags, rest):
    mount = Mount(MountKind.TMPFS, "/t", options=options)
    (step,) = (s for s in default_plan(mounts=(mount,)).steps if s.target == "/t")
    assert step.flags == flags
    assert step.data.decode().rstrip("\0").split("\0") == rest


@pytest.mark.parametrize(
    ("recursive", "read_only", "flags"),
    [
        (Recursion.READONLY_IF_POSSIBLE, False, p.BIND_RECURSIVE),
        (Recursion.READONLY, True, p.RDONLY | p.BIND_RECURSIVE | p.BIND_READONLY_BELOW),
        (Recursion.READONLY_IF_POSSIBLE, True, p.RDONLY | p.BIND_RECURSIVE | p.BIND_READONLY_BELOW),
        (Recursion.WRITABLE, True, p.RDONLY | p.BIND_RECURSIVE),
        (Recursion.DISABLED, True, p.RDONLY),
        (Recursion.DISABLED, False, 0),
    ],
)
def test_read_only_goes_down_as_far_as_was_asked(recursive, read_only, flags):
    mount = Mount(MountKind.BIND, "/data", "/srv", read_only=read_only, recursive=recursive)
    (step,) = (s for s in default_plan(mounts=(mount,)).steps if s.target == "/data")
    assert (step.op, step.source, step.flags) == ("bind", "/srv", flags)


def test_a_device_is_made_in_our_dev_and_bound_elsewhere():
    around = Surroundings(
        ROOT,
        IDENTITY,
        fds=(100,),
        nodes=(
            DeviceNode("/dev/a/b/c", "/dev/null", 0o20666, 0x103),
            DeviceNode("/opt/disk", "/dev/vda", 0o60660, 0xFE00),
        ),
    )
    steps = compile_plan(default_spec(), around).steps
    (made,) = (s for s in steps if s.target == "a/b/c")
    assert (made.op, made.flags) == ("mknod", 0o20666 << 32 | 0x103)
    at = steps.index(made)
    assert [s.target for s in steps[at - 2 : at]] == ["a", "a/b"]
    (bound,) = (s for s in steps if s.target == "/opt/disk")
    assert (bound.op, bound.source) == ("bind", "/dev/vda")


@pytest.mark.parametrize("kcore", [False, True])
def test_the_kernel_s_memory_has_a_link_where_there_is_such_a_file(kcore):
    around = Surroundings(ROOT, IDENTITY, fds=(100,), kcore=kcore)
    links = {s.target: s.source for s in compile_plan(default_spec(), around).steps}
    assert links.get("core") == ("/proc/kcore" if kcore else None)


@pytest.mark.parametrize(
    ("mode", "shm", "mqueue"),
    [
        ("private", "mount", "mount"),
        ("shareable", "mount", "mount"),
        ("none", None, "mount"),
        ("host", "bind", "mount"),
    ],
)
def test_shared_memory_follows_the_ipc_mode(mode, shm, mqueue):
    plan = default_plan(namespaces=Namespaces(ipc=mode))
    found = {s.target: s.op for s in plan.steps if s.target in ("/dev/shm", "/dev/mqueue")}
    assert found == {k: v for k, v in (("/dev/shm", shm), ("/dev/mqueue", mqueue)) if v}


def test_who_cannot_be_heard_reads_the_container_s_own_null_device():
    for tty in (False, True):
        for open_stdin in (False, True):
            plan = default_plan(tty=tty, open_stdin=open_stdin)
            assert bool(places(plan, "null_stdin")) is not (tty or open_stdin)


def test_layers_below_our_own_store_are_hidden_in_an_overlay_of_their_own():
    root = evolve(ROOT, nested=True)
    plan = compile_plan(default_spec(), Surroundings(root, IDENTITY, fds=(100,)))
    nothing, inner, outer = plan.steps[places(plan, "overlay")[0] - 1 :][:3]
    assert (nothing.kind, nothing.target, nothing.flags) == ("tmpfs", "", p.RDONLY)
    assert inner.source == "/image\0"
    assert inner.flags == p.OVERLAY_OVER_AT | p.OVERLAY_READONLY
    assert outer.source == "/layers/top\0"
    assert outer.flags == p.OVERLAY_OVER_AT | p.OVERLAY_VOLATILE
    assert (outer.data, outer.kind) == (b"/home/upper\0", "/home/work")


def test_only_what_is_gone_with_its_process_is_volatile():
    for volatile in (False, True):
        root = evolve(ROOT, volatile=volatile)
        plan = compile_plan(default_spec(), Surroundings(root, IDENTITY, fds=(100,)))
        (step,) = (s for s in plan.steps if s.op == "overlay")
        assert bool(step.flags & p.OVERLAY_VOLATILE) is volatile
