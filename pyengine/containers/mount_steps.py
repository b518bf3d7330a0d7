"""The steps that fill a container's root: what is mounted where, made how, covered by what."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from attrs import evolve

from pyengine.containers.surroundings import DeviceNode, Surroundings
from pyengine.linux import plan as p
from pyengine.linux.plan import Block, Step, texts
from pyengine.model.mounts import Mount, MountKind, Recursion
from pyengine.model.spec import ContainerSpec

if TYPE_CHECKING:
    from pyengine.model.ids import IdMaps

_QUIET = p.NOSUID | p.NODEV | p.NOEXEC
_DEVICES = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)
_LINKS = (
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
)
_TMPFS_FLAGS = {
    "ro": p.RDONLY,
    "nosuid": p.NOSUID,
    "nodev": p.NODEV,
    "noexec": p.NOEXEC,
    "noatime": p.NOATIME,
    "strictatime": p.STRICTATIME,
}
_TMPFS_UNSET = {"rw": "ro", "suid": "nosuid", "dev": "nodev", "exec": "noexec"}


def root_steps(around: Surroundings, first: int) -> Iterator[Step]:
    """The container's root directory: its layers, and what it writes on top of them."""
    root = around.root
    doing = f"mount the container's root over {root.lowers[-1]}"
    if root.made is not None:  # no device in it is for somebody who could not make it
        yield Step("bind", fd=first + root.made, kind="private", flags=p.NODEV, doing=doing)
        yield Step("root", target=root.mountpoint, doing="put its root in place")
        return
    own = _own_marks(around)
    if root.farm is not None:
        from pyengine.containers.farm import farm_steps

        yield from farm_steps(root, root.farm, own)
        return
    lowers, flags = root.lowers, own | (p.OVERLAY_VOLATILE if root.volatile else 0)
    if root.nested:
        *above, last = lowers
        lowers = tuple(above)
        inner = p.OVERLAY_OVER_AT | p.OVERLAY_READONLY | own
        yield _NOTHING
        yield Step("overlay", source=texts((last,)), flags=inner, doing=doing)
        flags |= p.OVERLAY_OVER_AT
    yield Step(
        "overlay",
        source=texts(lowers),
        data=root.upper.encode(errors="surrogateescape") + b"\0",
        kind=root.work,
        flags=flags,
        doing=doing,
    )
    yield Step("root", target=root.mountpoint, doing=f"put its root on {root.mountpoint}")


def _own_marks(around: Surroundings) -> int:
    """Who is not the host's root cannot mark files as it does: ``trusted.`` becomes ``user.``."""
    return 0 if around.ids is None else p.OVERLAY_USERXATTR


def _filesystem(target: str, kind: str, flags: int, *options: str, source: str = "") -> Step:
    data = texts((f"source={source or kind}", *options)).encode(errors="surrogateescape") + b"\0"
    where = f" on {target}" if target else ""
    return Step("mount", target, kind=kind, flags=flags, data=data, doing=f"mount {kind}{where}")


def _covered(spec: ContainerSpec, target: str) -> bool:
    return any(
        target == mount.target or target.startswith(mount.target + "/") for mount in spec.mounts
    )


def mount_block(spec: ContainerSpec, around: Surroundings, first: int) -> Block:
    """`_mount_steps`; containers that ask for nothing of their own share them."""
    if spec.mounts or around.nodes or around.ipc_target is not None or around.pid_target >= 0:
        return Block(tuple(_mount_steps(spec, around, first)))
    security = spec.security
    key = (
        *(security.privileged, security.writable_cgroups, security.sysctls, spec.namespaces),
        *(spec.shm_size, spec.tty, spec.console_size, spec.open_stdin, around.kcore),
        None if around.ids is None else _seen_inside(around.ids),
    )
    block = _blocks.get(key)
    if block is None:
        if len(_blocks) >= _MOST_BLOCKS:
            _blocks.clear()
        block = _blocks[key] = Block(tuple(_mount_steps(spec, around, first)))
    return block


@lru_cache(maxsize=64)
def _seen_inside(ids: IdMaps) -> tuple[tuple[int, int], bool]:
    """All that steps depend on of *ids*: who they are outside is the same to them."""
    return ids.first_groups(), ids.has_group(_TTY_GROUP)


_blocks: dict[tuple[object, ...], Block] = {}
_MOST_BLOCKS = 16


def _mount_steps(spec: ContainerSpec, around: Surroundings, first: int) -> Iterator[Step]:
    """Docker's own mounts, then the user's, parents first; a user's replaces ours (row C73)."""
    yield from _proc_steps(spec, around)
    if spec.mounts:
        dev = not _covered(spec, "/dev")
        sys = not _covered(spec, "/sys")
    else:
        dev = sys = True
    yield from _dev_steps(spec, around, first, attached=dev)
    if sys:
        yield from _sys_steps(spec, around)
    if spec.mounts:
        for mount in spec.mounts:
            yield _user_mount(mount, around, first)


def _proc_steps(spec: ContainerSpec, around: Surroundings) -> Iterator[Step]:
    """The container's own procfs, even where the user covers it: sysctls are written through it.

    One that is mounted tells of the processes its mounter is among. Who will be born into
    another container's pid namespace is not, yet: it takes a clone of that one's.
    """
    covered = bool(spec.mounts) and _covered(spec, "/proc")
    if around.pid_target >= 0:
        yield _PROC_BORROWED_DETACHED if covered else _PROC_BORROWED
    else:
        yield _PROC_DETACHED if covered else _PROC
    sysctls = dict(_NETWORK_SYSCTLS) if spec.namespaces.network != "host" else {}
    if sysctls and around.ids is not None:  # no more than there are, or the kernel refuses
        sysctls["net.ipv4.ping_group_range"] = " ".join(map(str, around.ids.first_groups()))
    sysctls.update(spec.security.sysctls)
    for name, value in sysctls.items():
        data = value.encode()
        path = name.replace(".", "/")
        yield Step(
            "sysctl", path, data=data, flags=len(data), doing=f"set sysctl {name} to {value!r}"
        )


_NOTHING = _filesystem("", "tmpfs", p.RDONLY, "size=0")
_PROC = _filesystem("/proc", "proc", _QUIET)
_PROC_DETACHED = _filesystem("", "proc", _QUIET)
_PROC_BORROWED = Step(
    "borrow", "/proc", source="/proc", kind="proc", fd=p.JOIN_TARGET, doing="share its /proc"
)
_PROC_BORROWED_DETACHED = evolve(_PROC_BORROWED, target="")
_NETWORK_SYSCTLS = (
    ("net.ipv4.ip_unprivileged_port_start", "0"),
    ("net.ipv4.ping_group_range", "0 2147483647"),
)


def _makedev(major: int, minor: int) -> int:
    return (minor & 0xFF) | (major & 0xFFF) << 8 | (minor >> 8) << 20


@lru_cache(maxsize=4)
def _dev_basics(attached: bool, kcore: bool, bound: bool) -> tuple[Step, ...]:
    """/dev with the six devices of every container (row C72).

    *bound*: they are the host's own, for who may make none.
    """
    nodes = (
        Step("mknod", name, flags=(0o20666 << 32) | _makedev(major, minor))
        for name, major, minor in _DEVICES
    )
    return (
        _filesystem(
            "/dev" if attached else "",
            "tmpfs",
            p.NOSUID | p.STRICTATIME,
            "mode=755",
            "size=65536k",
        ),
        *(() if bound else nodes),
        *(Step("symlink", name, source=points_to) for name, points_to in _LINKS),
        *((Step("symlink", "core", source="/proc/kcore"),) if kcore else ()),
        *(Step("mkdir", name, flags=0o755) for name in ("pts", "mqueue", "shm")),
        *(_bound_devices(attached) if bound else (_NULL,)),
    )


def _bound_devices(attached: bool) -> Iterator[Step]:
    if attached:
        for name, _, _ in _DEVICES:
            doing = f"bring in device /dev/{name}"
            flags = p.NOSUID | p.NOEXEC
            yield Step("device", name, source=f"/dev/{name}", flags=flags, doing=doing)
    yield _HOST_NULL


_NULL = Step("null", "null", doing="find the null device")
_HOST_NULL = Step("null", source="/dev/null", doing="find the null device")


def _dev_steps(
    spec: ContainerSpec, around: Surroundings, first: int, *, attached: bool
) -> Iterator[Step]:
    bound = around.ids is not None
    yield from _dev_basics(attached, around.kcore, bound)
    if not spec.open_stdin and not spec.tty:
        yield _HOST_NULL_STDIN if bound and not attached else _NULL_STDIN
    if attached:
        for node in around.nodes:
            if bound:
                yield _bound_device(node.host, node.path)
            else:
                yield from _node_steps(node)
    yield from _pts_steps(spec, around, attached and not _covered(spec, "/dev/pts"), attached)
    if not attached:
        return
    mode = spec.namespaces.ipc
    if not _covered(spec, "/dev/mqueue") and not (bound and mode == "host"):
        yield _MQUEUE  # it shows the queues of the ipc namespace, the host's too, to its root
    if mode == "none" or _covered(spec, "/dev/shm"):
        return
    if around.ipc_target is not None:
        yield Step(
            "borrow",
            "/dev/shm",
            source="/dev/shm",
            fd=first + around.ipc_target,
            doing="share its /dev/shm",
        )
    elif mode == "host":
        yield _bind("/dev/shm", "/dev/shm")
    else:
        yield _shm(spec.shm_size)


_NULL_STDIN = Step("null_stdin", "null", doing="give it an empty input")
_HOST_NULL_STDIN = Step("null_stdin", flags=1, doing="give it an empty input")
_MQUEUE = _filesystem("/dev/mqueue", "mqueue", _QUIET)


@lru_cache(maxsize=8)
def _shm(size: int) -> Step:
    return _filesystem("/dev/shm", "tmpfs", _QUIET, "mode=1777", f"size={size}", source="shm")


def _bind(source: str, target: str) -> Step:
    return Step("bind", target, source=source, kind="rprivate", flags=p.BIND_RECURSIVE)


_TTY_GROUP = 5


@lru_cache(maxsize=4)
def _devpts(target: str, has_group: bool) -> Step:
    options = ("newinstance", "ptmxmode=0666", "mode=0620")
    group = (f"gid={_TTY_GROUP}",) if has_group else ()
    return _filesystem(target, "devpts", p.NOSUID | p.NOEXEC, *options, *group)


def _pts_steps(
    spec: ContainerSpec, around: Surroundings, attached: bool, console: bool
) -> Iterator[Step]:
    has_group = around.ids is None or around.ids.has_group(_TTY_GROUP)
    yield _devpts("/dev/pts" if attached else "", has_group)
    if spec.tty:
        rows, columns = spec.console_size
        yield Step(
            "tty",
            "/dev/console" if console else "",
            flags=rows << 16 | columns,
            doing="make its terminal",
        )


def _node_steps(node: DeviceNode) -> Iterator[Step]:
    """A node in the container's /dev, the mount made last; elsewhere, the host's is bound."""
    name = node.path.removeprefix("/dev/")
    if name == node.path:
        yield _bind(node.host, node.path)
        return
    above = name.split("/")[:-1]
    for depth in range(len(above)):
        yield Step("mkdir", "/".join(above[: depth + 1]), flags=0o755)
    yield Step(
        "mknod",
        name,
        flags=(node.mode << 32) | node.number,
        doing=f"make device {node.path}",
    )


def _bound_device(host: str, path: str) -> Step:
    flags = p.NOSUID | p.NOEXEC
    doing = f"bring in device {host}"
    return Step("bind", path, source=host, kind="private", flags=flags, doing=doing)


def _sys_steps(spec: ContainerSpec, around: Surroundings) -> Iterator[Step]:
    """The host's own where the network, or the cgroups, are: who is not its root cannot mount
    those anew.
    """
    security, modes = spec.security, spec.namespaces
    bound = around.ids is not None
    if bound and modes.network == "host":
        yield _SYS_BOUND
    else:
        yield _SYS_WRITABLE if security.privileged else _SYS
    if not spec.mounts or not _covered(spec, "/sys/fs/cgroup"):
        writable = security.privileged or security.writable_cgroups
        if bound and modes.cgroup == "host":
            yield _CGROUP_BOUND
        else:
            yield _CGROUP_WRITABLE if writable else _CGROUP


def _host_directory(path: str) -> Step:
    flags = p.BIND_RECURSIVE | p.BIND_READONLY_BELOW | _QUIET | p.RDONLY
    return Step("bind", path, source=path, kind="rprivate", flags=flags, doing=f"bind {path}")


_SYS_BOUND = _host_directory("/sys")
_CGROUP_BOUND = _host_directory("/sys/fs/cgroup")


_SYS = _filesystem("/sys", "sysfs", _QUIET | p.RDONLY, "ro")
_SYS_WRITABLE = _filesystem("/sys", "sysfs", _QUIET)
_CGROUP = _filesystem("/sys/fs/cgroup", "cgroup2", _QUIET | p.RDONLY, source="cgroup")
_CGROUP_WRITABLE = _filesystem("/sys/fs/cgroup", "cgroup2", _QUIET, source="cgroup")


def _user_mount(mount: Mount, around: Surroundings, first: int) -> Step:
    if mount.kind is MountKind.TMPFS:
        return _tmpfs(mount)
    index = dict(around.shared_binds).get(mount.target)
    if mount.kind is MountKind.OVERLAY and index is None:
        upper, work = next(o[1:] for o in around.overlays if o[0] == mount.target)
        return Step(
            "overlay",
            mount.target,
            source=texts((mount.source,)),
            data=upper.encode(errors="surrogateescape") + b"\0",
            kind=work,
            flags=p.OVERLAY_VOLATILE | _own_marks(around),
            doing=f"mount a throw-away view of {mount.source} on {mount.target}",
        )
    flags = 0 if mount.recursive is Recursion.DISABLED else p.BIND_RECURSIVE
    if mount.read_only:
        flags |= p.RDONLY
        if mount.recursive in (Recursion.READONLY_IF_POSSIBLE, Recursion.READONLY):
            flags |= p.BIND_READONLY_BELOW
    return Step(
        "bind",
        mount.target,
        source="" if index is not None else mount.source,
        fd=-1 if index is None else first + index,
        kind=mount.propagation,
        flags=flags,
        doing=f"mount {mount.source} on {mount.target}",
    )


def _tmpfs(mount: Mount) -> Step:
    """Flags of a mount and options of a file system, told apart (mount(8))."""
    flags = p.RDONLY if mount.read_only else 0
    options = []
    for option in mount.options:
        if option in _TMPFS_FLAGS:
            flags |= _TMPFS_FLAGS[option]
        elif option in _TMPFS_UNSET:
            flags &= ~_TMPFS_FLAGS[_TMPFS_UNSET[option]]
        elif option not in ("private", "rprivate", "shared", "rshared", "slave", "rslave"):
            options.append(option)
    return _filesystem(mount.target, "tmpfs", flags, *options)


def file_steps(spec: ContainerSpec, around: Surroundings) -> Iterator[Step]:
    """hosts, hostname and resolv.conf, from a small tmpfs of the container's own.

    Not from the host's disk: so mountinfo tells no path of the host, and nothing is left.
    """
    contents = (
        ("hosts", around.hosts),
        ("hostname", spec.hostname + "\n"),
        ("resolv.conf", around.resolv),
    )
    wanted = [
        (name, text)
        for name, text in contents
        if not spec.mounts or not _covered(spec, f"/etc/{name}")
    ]
    if not wanted:
        return
    yield _FILES
    for name, text in wanted:
        data = text.encode(errors="surrogateescape")
        yield Step("write", name, data=data, flags=len(data), doing=f"write its /etc/{name}")
    flags = p.RDONLY if spec.security.read_only else 0
    for name, _ in wanted:
        yield Step("bind_at", f"/etc/{name}", source=name, flags=flags)


_FILES = _filesystem("", "tmpfs", p.NOSUID | p.NODEV | p.NOEXEC, "mode=755", "size=1m")


@lru_cache(maxsize=16)
def cover_block(masked: tuple[str, ...], readonly: tuple[str, ...]) -> Block:
    """What is made read-only, and what is hidden, of the kernel's own file systems."""
    return Block(
        (
            *(Step("readonly", path, doing=f"make {path} read-only") for path in readonly),
            *(Step("mask", path, doing=f"mask {path}") for path in masked),
        )
    )
