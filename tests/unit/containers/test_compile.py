"""The plan of a container: what makes it tight is the order of its steps."""

from __future__ import annotations

from struct import unpack

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.containers import compile as compiler
from pyengine.containers.compile import (
    DeviceNode,
    Root,
    Surroundings,
    compile_plan,
    has_home,
    namespaces_of,
    privileges,
    rlimits,
)
from pyengine.containers.identity import Identity
from pyengine.containers.joining import JoinOptions, compile_join, environment
from pyengine.containers.spec import MASKED_PATHS, READONLY_PATHS
from pyengine.linux import plan as p
from pyengine.linux.capabilities import DEFAULT, NAMES, mask
from pyengine.linux.plan import OPS, Block, Plan, Step, encode
from pyengine.linux.seccomp import Filter
from pyengine.model.mounts import Mount, MountKind, Recursion
from pyengine.model.spec import ContainerSpec, Namespaces, Security, Ulimit

FILTER = Filter(bytes(16), 4)
ROOT = Root(("/layers/top", "/image"), "/home/upper", "/home/work", "/mountpoint")
IDENTITY = Identity(0, 0, (0,), "/root")
OTHER = "f" * 64

USES_FD = frozenset(("setns", "cgroup", "borrow", "pdeathsig"))  # and a bind without a source
MOUNTS = frozenset(("mount", "overlay", "bind", "bind_at", "borrow", "mask", "readonly"))
IN_ROOT = frozenset(("bind", "bind_at", "borrow", "mask", "readonly"))  # their target is a path
IN_AT = frozenset(("mkdir", "mknod", "symlink", "write"))  # theirs is a name in a mount of ours
PRIVILEGES = (
    "bound own_stdio no_new_privs keepcaps groups ids caps pdeathsig seccomp caps".split()  # noqa: SIM905
)

targets = st.sampled_from(
    (
        *("/data", "/data/below", "/proc", "/proc/sys", "/dev", "/dev/shm", "/dev/pts"),
        *("/dev/mqueue", "/sys", "/sys/fs/cgroup", "/etc", "/etc/hosts", "/etc/resolv.conf"),
        *("/tmp", "/opt/a b", "/é\udcff"),
    )
)
mounts = st.builds(
    Mount,
    kind=st.sampled_from((MountKind.BIND, MountKind.TMPFS, MountKind.OVERLAY)),
    target=targets,
    source=st.sampled_from(("/srv", "/", "/dev/null", "/srv/\udcff")),
    read_only=st.booleans(),
    propagation=st.sampled_from("rprivate private rslave slave rshared shared".split()),  # noqa: SIM905
    recursive=st.sampled_from(list(Recursion)),
    options=st.lists(
        st.sampled_from(("ro", "rw", "nosuid", "exec", "noexec", "size=1m", "mode=700", "private")),
        max_size=4,
    ).map(tuple),
)
namespaces = st.builds(
    Namespaces,
    pid=st.sampled_from(("private", "host", f"container:{OTHER}")),
    ipc=st.sampled_from(("private", "shareable", "none", "host", f"container:{OTHER}")),
    uts=st.sampled_from(("private", "host")),
    cgroup=st.sampled_from(("private", "host")),
    network=st.sampled_from(("none", "host")),
)
securities = st.builds(
    Security,
    privileged=st.booleans(),
    capabilities=st.sampled_from((DEFAULT, (), NAMES, ("CAP_SYS_ADMIN",))),
    seccomp=st.sampled_from(("default", None)),
    no_new_privileges=st.booleans(),
    read_only=st.booleans(),
    masked_paths=st.sampled_from((MASKED_PATHS, (), ("/secret",))),
    readonly_paths=st.sampled_from((READONLY_PATHS, (), ("/etc",))),
    sysctls=st.sampled_from(((), (("net.core.somaxconn", "7"),), (("kernel.msgmax", "1"),))),
    writable_cgroups=st.booleans(),
)
ulimit_lists = st.lists(
    st.sampled_from((Ulimit("nofile", 5, 9), Ulimit("core", 0, -1), Ulimit("rttime", -1, -1))),
    max_size=3,
).map(tuple)
specs = st.builds(
    ContainerSpec,
    id=st.just("0" * 64),
    name=st.just("web"),
    image=st.just("host:"),
    argv=st.lists(st.sampled_from(("sh", "-c", "", "ü", "\udcff")), min_size=1).map(tuple),
    env=st.sampled_from(((), ("PATH=/bin", "HOME="), ("HOME=/there",), ("A=\udcff",))),
    workdir=st.sampled_from(("/", "/srv/app", "/proc/self/fd/7")),
    hostname=st.sampled_from(("", "web")),
    domainname=st.sampled_from(("", "example.org")),
    tty=st.booleans(),
    console_size=st.sampled_from(((0, 0), (24, 80), (65535, 65535))),
    open_stdin=st.booleans(),
    init=st.booleans(),
    security=securities,
    namespaces=namespaces,
    mounts=st.lists(mounts, max_size=4, unique_by=lambda mount: mount.target).map(
        lambda some: tuple(sorted(some, key=lambda mount: mount.target.count("/")))
    ),
    shm_size=st.sampled_from((64 << 20, 4096)),
    ulimits=ulimit_lists,
    oom_score_adj=st.sampled_from((0, -1000, 500)),
)
identities = st.builds(
    Identity,
    uid=st.sampled_from((0, 1, 1000, 2**32 - 2)),
    gid=st.sampled_from((0, 5, 2**32 - 2)),
    groups=st.lists(st.sampled_from((0, 5, 2**32 - 2)), unique=True).map(tuple),
    home=st.just("/root"),
)
nodes = st.lists(
    st.sampled_from(
        (
            DeviceNode("/dev/kvm", "/dev/kvm", 0o20660, 0x10AE8),
            DeviceNode("/dev/net/tun", "/dev/net/tun", 0o20666, 0xAC8),
            DeviceNode("/opt/disk", "/dev/vda", 0o60660, 0xFE00),
        )
    ),
    max_size=2,
    unique=True,
).map(tuple)


@st.composite
def situations(draw: st.DrawFn) -> tuple[ContainerSpec, Surroundings]:
    """A specification, and what the supervisor would have prepared for it."""
    spec = draw(specs)
    fds = [100, *range(101, 101 + draw(st.integers(0, 3)))]
    tasks = len(fds) - 1
    shared = []
    for mount in spec.mounts:
        if mount.kind is MountKind.BIND and mount.propagation.lstrip("r") != "private":
            shared.append((mount.target, len(fds)))
            fds.append(200 + len(fds))
    ipc_target = None
    if spec.namespaces.ipc.startswith("container:"):
        ipc_target = len(fds)
        fds.append(300)
    around = Surroundings(
        root=draw(st.sampled_from((ROOT, evolve(ROOT, nested=True), evolve(ROOT, volatile=False)))),
        identity=draw(identities),
        filter=None if spec.security.seccomp is None else FILTER,
        fds=tuple(fds),
        tasks=tasks,
        cgroup=draw(st.sampled_from((-1, 50))),
        hosts="127.0.0.1\tlocalhost\n",
        resolv=draw(st.sampled_from(("", "nameserver 1.1.1.1\n"))),
        nodes=draw(nodes),
        shared_binds=tuple(shared),
        overlays=tuple(
            (mount.target, f"/views/{number}", f"/work/{number}")
            for number, mount in enumerate(spec.mounts)
            if mount.kind is MountKind.OVERLAY
        ),
        pid_target=60 if spec.namespaces.pid.startswith("container:") else -1,
        ipc_target=ipc_target,
        time_namespace=draw(st.booleans()),
    )
    return spec, around


modest = settings(max_examples=30, deadline=None)


def each_situation(test):
    """Have *test* see what can be asked, in many ways."""
    return modest(given(situations())(test))


def places(plan: Plan, *ops: str) -> list[int]:
    """Where steps of these kinds stand in the plan."""
    return [number for number, step in enumerate(plan.steps) if step.op in ops]


def default_spec(**changes: object) -> ContainerSpec:
    """What a container gets that asked for nothing."""
    security = Security(
        capabilities=DEFAULT, masked_paths=MASKED_PATHS, readonly_paths=READONLY_PATHS
    )
    made = ContainerSpec("0" * 64, "web", "host:", ("true",), security=security, hostname="web")
    return evolve(made, **changes)


def default_plan(**changes: object) -> Plan:
    """The plan of `default_spec`."""
    return compile_plan(
        default_spec(**changes), Surroundings(ROOT, IDENTITY, filter=FILTER, fds=(100,))
    )


# --- order ---


@each_situation
def test_the_host_s_mounts_are_out_of_reach_before_anything_is_mounted(situation):
    plan = compile_plan(*situation)
    (slave,) = places(plan, "slave")
    assert slave < min(places(plan, *MOUNTS))
    assert all(number < slave for number in places(plan, "unshare", "setns", "cgroup"))
    assert plan.unshare & p.NEWNS or any(
        step.op == "unshare" and step.flags & p.NEWNS for step in plan.steps[:slave]
    )


@each_situation
def test_the_root_stands_before_anything_is_put_into_it(situation):
    plan = compile_plan(*situation)
    (root,) = places(plan, "root")
    for number, step in enumerate(plan.steps):
        inside = step.op in IN_ROOT or (step.op in ("mount", "overlay") and step.target)
        if inside or step.op in IN_AT:
            assert number > root


@each_situation
def test_masks_come_after_every_other_mount_so_that_nothing_covers_them(situation):
    plan = compile_plan(*situation)
    covers = places(plan, "mask", "readonly")
    if covers:
        assert min(covers) > max(places(plan, "mount", "overlay", "bind", "bind_at", "borrow"))
    masked = [step.target for step in plan.steps if step.op == "mask"]
    readonly = [step.target for step in plan.steps if step.op == "readonly"]
    assert masked == list(situation[0].security.masked_paths)
    assert readonly == list(situation[0].security.readonly_paths)
    if masked and readonly:  # a read-only clone taken later would bring what is masked back
        assert max(places(plan, "readonly")) < min(places(plan, "mask"))


@each_situation
def test_the_mask_is_taken_from_our_own_devices_before_the_user_s_mounts(situation):
    plan = compile_plan(*situation)
    (null,) = places(plan, "null")
    assert plan.steps[null].source == ""
    user = {mount.target for mount in situation[0].mounts}
    for number, step in enumerate(plan.steps):
        if step.target in user and step.op in ("bind", "overlay"):
            assert number > null


@each_situation
def test_nothing_is_mounted_once_the_host_s_root_is_left(situation):
    plan = compile_plan(*situation)
    (pivot,) = places(plan, "pivot")
    assert max(places(plan, *MOUNTS, *IN_AT, "tty", "root", "null", "null_stdin")) < pivot
    assert len(places(plan, "readonly_root")) == situation[0].security.read_only
    assert all(number > pivot for number in places(plan, "readonly_root"))


@each_situation
def test_the_working_directory_is_entered_from_inside_and_before_ids_change(situation):
    plan = compile_plan(*situation)
    (chdir,), (pivot,), (ids,) = places(plan, "chdir"), places(plan, "pivot"), places(plan, "ids")
    assert pivot < chdir < ids
    assert plan.steps[chdir].target == situation[0].workdir


@each_situation
def test_privileges_are_given_up_last_and_in_one_order(situation):
    spec, around = situation
    plan = compile_plan(spec, around)
    (bound,) = places(plan, "bound")
    order = iter(PRIVILEGES)
    assert all(step.op in order for step in plan.steps[bound:])  # each once, none before another
    assert all(number < bound for number in places(plan, "rlimit", "proc_write", "sysctl"))
    assert plan.steps[-1].op == "caps"


@each_situation
def test_the_filter_is_the_last_step_but_for_the_capabilities(situation):
    spec, around = situation
    plan = compile_plan(spec, around)
    filters = places(plan, "seccomp")
    assert len(filters) == (spec.security.seccomp is not None)
    for number in filters:
        assert [step.op for step in plan.steps[number + 1 :]] == ["caps"]
        step = plan.steps[number]
        assert (step.data, step.fd, step.flags) == (FILTER.program, 2, FILTER.flags)


@each_situation
def test_the_parent_death_signal_comes_after_the_ids_whose_change_would_clear_it(situation):
    plan = compile_plan(*situation)
    (deathsig,), (ids,) = places(plan, "pdeathsig"), places(plan, "ids")
    assert ids < deathsig
    assert plan.steps[deathsig].flags == 9


@each_situation
def test_a_terminal_is_made_in_the_container_s_own_devpts(situation):
    spec, around = situation
    plan = compile_plan(spec, around)
    made = places(plan, "tty")
    assert len(made) == spec.tty
    for number in made:
        step, before = plan.steps[number], plan.steps[number - 1]
        assert (before.op, before.kind) == ("mount", "devpts")
        assert step.flags == spec.console_size[0] << 16 | spec.console_size[1]
        own = "/dev" not in {mount.target for mount in spec.mounts}
        assert step.target == ("/dev/console" if own else "")


# --- who gets what ---


@each_situation
def test_every_descriptor_a_step_names_is_there(situation):
    spec, around = situation
    plan = compile_plan(spec, around)
    first = p.JOIN_FDS if plan.target >= 0 else 0
    for step in plan.steps:
        if step.op in USES_FD or (step.op == "bind" and not step.source):
            assert first <= step.fd < first + len(plan.fds)
        elif step.op == "bind":
            assert step.fd == -1
    tasks = [step.fd - first for step in plan.steps if step.op == "cgroup"]
    assert tasks == list(range(1, 1 + around.tasks))
    (deathsig,) = (step for step in plan.steps if step.op == "pdeathsig")
    assert deathsig.fd == first  # the owner's pidfd


@each_situation
def test_targets_are_absolute_and_names_are_plain(situation):
    plan = compile_plan(*situation)
    for step in plan.steps:
        if step.op in IN_ROOT:
            assert step.target.startswith("/")
        if step.op in IN_AT:
            parts = step.target.split("/")
            assert all(part not in ("", ".", "..") for part in parts)
        if step.op in ("sysctl", "proc_write"):
            assert ".." not in step.target
            assert not step.target.startswith("/")


@each_situation
def test_nobody_ends_with_more_than_was_asked_and_only_root_with_that(situation):
    spec, around = situation
    plan = compile_plan(spec, around)
    wanted = mask(spec.security.capabilities)
    (bound,) = (step for step in plan.steps if step.op == "bound")
    assert bound.flags == wanted
    *between, last = (step for step in plan.steps if step.op == "caps")
    assert last.flags == (wanted if around.identity.uid == 0 else 0)
    if between:  # a filter wants CAP_SYS_ADMIN of a user who is not root, and nothing else
        (kept,) = between
        assert kept.flags == mask(("CAP_SYS_ADMIN",))
        assert around.identity.uid != 0
        assert not spec.security.no_new_privileges
    assert len(places(plan, "no_new_privs")) == spec.security.no_new_privileges


@each_situation
def test_groups_and_ids_are_always_set(situation):
    spec, around = situation
    plan = compile_plan(spec, around)
    (groups,) = (step for step in plan.steps if step.op == "groups")
    assert unpack(f"={groups.flags}I", groups.data) == around.identity.groups
    (ids,) = (step for step in plan.steps if step.op == "ids")
    assert (ids.flags, ids.fd % 2**32) == (around.identity.uid, around.identity.gid)
    assert places(plan, "groups") < places(plan, "ids")


@each_situation
def test_home_is_the_account_s_unless_somebody_has_said_another(situation):
    spec, around = situation
    env = compile_plan(spec, around).env
    said = [entry for entry in env if entry.startswith("HOME=")]
    assert said[-1] == ("HOME=/there" if "HOME=/there" in spec.env else "HOME=/root")
    assert env[: len(spec.env)] == spec.env


@pytest.mark.parametrize(
    ("env", "expected"),
    [((), False), (("HOME=",), False), (("HOME=/x",), True), (("XHOME=/x", "HOMER=1"), False)],
)
def test_an_empty_home_says_nothing(env, expected):
    assert has_home(env) is expected


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
    assert plan.joined == (p.NEWPID if shares else 0)
    if shares:
        assert plan.unshare == 0  # the joiner's clone makes none
        assert not namespaces_of(spec, around) & p.NEWPID


@each_situation
def test_a_shared_ipc_namespace_is_entered_and_its_shm_borrowed(situation):
    spec, around = situation
    plan = compile_plan(spec, around)
    ipc = [step for step in plan.steps if step.op == "setns" and step.flags == p.NEWIPC]
    borrowed = [step for step in plan.steps if step.op == "borrow"]
    shares = spec.namespaces.ipc.startswith("container:")
    assert len(ipc) == shares
    own = {mount.target for mount in spec.mounts}.isdisjoint(("/dev", "/dev/shm"))
    assert len(borrowed) == (shares and own)
    if shares:
        wanted = (p.JOIN_FDS if plan.target >= 0 else 0) + around.ipc_target
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
    (proc,) = (n for n in places(plan, "mount") if plan.steps[n].kind == "proc")
    assert all(number > proc for number in places(plan, "sysctl"))  # written through our own procfs


def test_joining_a_network_makes_none():
    plan = compile_plan(default_spec(), Surroundings(ROOT, IDENTITY, fds=(100, 101), network=1))
    assert not plan.unshare & p.NEWNET
    assert [(s.fd, s.flags) for s in plan.steps if s.op == "setns"] == [(1, p.NEWNET)]
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


@pytest.mark.parametrize(
    ("mode", "shm", "mqueue"),
    [
        ("private", "mount", "mount"),
        ("shareable", "mount", "mount"),
        ("none", None, "mount"),
        ("host", "bind", "bind"),
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


# --- limits ---


@given(ulimit_lists)
def test_each_limit_is_one_step_and_minus_one_has_no_end(limits):
    steps = list(rlimits(limits))
    assert len(steps) == len(limits)
    for step, limit in zip(steps, limits, strict=True):
        soft, hard = unpack("=2Q", step.data)
        assert soft == limit.soft % 2**64
        assert hard == limit.hard % 2**64
        assert step.op == "rlimit"


def test_limits_have_the_kernel_s_numbers():
    import resource

    names = ("cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as")
    for name in names:
        (step,) = rlimits((Ulimit(name, 1, 2),))
        assert step.fd == getattr(resource, f"RLIMIT_{name.upper()}")


def test_the_oom_score_is_written_before_the_right_to_is_given_up():
    plan = default_plan(oom_score_adj=-500)
    (score,) = places(plan, "proc_write")
    assert plan.steps[score].data == b"-500"
    assert score < min(places(plan, "bound"))
    assert not places(default_plan(), "proc_write")


# --- what is shared between plans, and laid out for C ---


@each_situation
def test_steps_that_plans_share_are_those_each_would_have_had(situation):
    spec, around = situation
    first = p.JOIN_FDS if around.pid_target >= 0 else 0
    shared = compiler._mount_block(spec, around, first)
    assert shared.steps == tuple(compiler._mount_steps(spec, around, first))


@given(situations(), situations())
@modest
def test_a_plan_does_not_depend_on_those_made_before(one, other):
    first = compile_plan(*one)
    compile_plan(*other)
    assert compile_plan(*one).steps == first.steps


@each_situation
def test_every_plan_can_be_laid_out_and_reads_back_as_it_was(situation):
    plan = compile_plan(*situation)
    packed = encode(plan)
    head = p._HEAD.unpack_from(packed)
    abi, size, at, count, argv_at, n_argv, envp_at, n_envp = head
    assert (abi, size, count) == (p.ABI, len(packed), len(plan.steps))
    assert (n_argv, n_envp) == (len(plan.argv), len(plan.env))

    def text(offset: int) -> str:
        end = packed.index(b"\0", offset)
        return packed[offset:end].decode(errors="surrogateescape") if offset else ""

    for number, step in enumerate(plan.steps):
        op, fd, flags, source, target, kind, data = p._STEP.unpack_from(
            packed, at + number * p._STEP.size
        )
        assert (op, fd, flags) == (OPS[step.op], step.fd, step.flags)
        assert text(source) == step.source.split("\0")[0]
        assert text(target) == step.target
        assert text(kind) == step.kind
        assert data % 8 == 0
        assert packed[data : data + len(step.data)] == step.data or not step.data
    for words, offset in ((plan.argv, argv_at), (plan.env, envp_at)):
        for word in words:
            raw = word.encode(errors="surrogateescape") + b"\0"
            assert packed[offset : offset + len(raw)] == raw
            offset += len(raw)
    assert packed.endswith(b"\0")


def test_blocks_are_shared_by_containers_that_ask_for_nothing():
    one, other = default_plan(), default_plan(hostname="other")
    blocks = [[part for part in plan.parts if isinstance(part, Block)] for plan in (one, other)]
    assert all(a is b for a, b in zip(*blocks, strict=True))


# --- joining ---

join_options = st.builds(
    JoinOptions,
    argv=st.just(("sh",)),
    env=st.lists(
        st.tuples(st.sampled_from(("A", "PATH", "HOME")), st.sampled_from((None, "", "x"))),
        max_size=3,
    ).map(tuple),
    workdir=st.sampled_from(("", "/tmp", "/proc/self/fd/7")),
    tty=st.booleans(),
    open_stdin=st.booleans(),
    privileged=st.booleans(),
)


@given(specs, join_options, identities, st.integers(0, 3))
@modest
def test_who_joins_enters_first_and_gives_up_last(spec, options, identity, tasks):
    fds = tuple(range(100, 101 + tasks))
    plan = compile_join(
        spec, options, identity, target=60, fds=fds, cgroup=50, held=mask(NAMES[:30])
    )
    (enter,), (chdir,), (bound,) = (places(plan, op) for op in ("setns", "chdir", "bound"))
    # what is outside is reached for before the container is entered, and never again
    assert all(number < enter for number in places(plan, "cgroup", "proc_write"))
    assert enter < chdir < bound
    assert plan.steps[-1].op == "caps"
    assert not places(plan, *MOUNTS, "unshare", "pivot", "sysctl", "slave")
    step = plan.steps[enter]
    assert step.fd == p.JOIN_TARGET
    assert step.flags & p.NEWNS
    assert not step.flags & p.NEWPID
    assert bool(plan.joined & p.NEWPID) == (spec.namespaces.pid != "host")
    for one in plan.steps:
        if one.op in ("cgroup", "pdeathsig"):
            assert p.JOIN_FDS <= one.fd < p.JOIN_FDS + len(fds)
    # CVE-2024-21626: never make a working directory for who joins
    assert plan.steps[chdir].flags == 0
    assert plan.steps[chdir].target == (options.workdir or spec.workdir)


@given(specs, join_options, identities)
@modest
def test_who_joins_gets_no_more_than_the_container_has_unless_privileged(spec, options, identity):
    held = mask(NAMES[:30])
    plan = compile_join(spec, options, identity, target=60, fds=(100,), cgroup=-1, held=held)
    wanted = held if options.privileged else mask(spec.security.capabilities)
    (bound,) = (s for s in plan.steps if s.op == "bound")
    assert bound.flags == wanted
    assert plan.steps[-1].flags == (wanted if identity.uid == 0 else 0)
    assert len(places(plan, "seccomp")) == (spec.security.seccomp is not None)
    assert len(places(plan, "tty")) == options.tty
    assert len(places(plan, "null_stdin")) == (not options.tty and not options.open_stdin)


@given(specs, join_options)
@modest
def test_who_joins_sees_the_container_s_variables_and_what_was_asked(spec, options):
    env = environment(spec, options, IDENTITY)
    found = dict(entry.partition("=")[::2] for entry in env)
    asked = dict(options.env)
    for name, value in asked.items():
        if value is not None and (name, value) != ("HOME", ""):
            assert found[name] == value
        elif value is None and name != "HOME":
            assert name not in found
    assert found["HOME"]
    if options.tty:
        assert "TERM" in found


def test_privileges_are_remembered_apart_for_each_who():
    one = privileges(Security(), Identity(0), None, owner=0, own_stdio=True)
    other = privileges(Security(), Identity(1), None, owner=0, own_stdio=True)
    joined = privileges(Security(), Identity(0), None, owner=2, own_stdio=True, capabilities=0)
    assert len({one.steps, other.steps, joined.steps}) == 3
    assert Step("pdeathsig", flags=9, fd=2, doing="tie its life to its owner's") in joined.steps
