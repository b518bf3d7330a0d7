"""What containers can ask for, and what a supervisor would have prepared: to test plans with."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.containers.compile import compile_plan
from pyengine.containers.identity import Identity
from pyengine.containers.spec import MASKED_PATHS, READONLY_PATHS
from pyengine.containers.surroundings import DeviceNode, Root, Surroundings
from pyengine.linux.capabilities import DEFAULT, NAMES
from pyengine.linux.plan import Plan
from pyengine.linux.seccomp import Filter
from pyengine.model.mounts import Mount, MountKind, Recursion
from pyengine.model.spec import ContainerSpec, Namespaces, Security, Ulimit

FILTER = Filter(bytes(16), 4)
ROOT = Root(("/layers/top", "/image"), "/home/upper", "/home/work", "/mountpoint")
IDENTITY = Identity(0, 0, (0,), "/root")
OTHER = "f" * 64

MOUNTS = frozenset(("mount", "overlay", "bind", "bind_at", "borrow", "mask", "readonly"))
IN_ROOT = frozenset(("bind", "bind_at", "borrow", "mask", "readonly"))  # their target is a path
IN_AT = frozenset(("mkdir", "mknod", "symlink", "write"))  # theirs is a name in a mount of ours

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
        kcore=draw(st.booleans()),
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
