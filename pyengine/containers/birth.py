"""Bringing a container to life: what must exist outside the child is made, then the child."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from attrs import define, frozen

from pyengine.containers.accounts import identity_in, identity_in_layer, identity_in_layers
from pyengine.containers.compile import born_into, compile_plan
from pyengine.containers.failure import host_error, start_error
from pyengine.containers.identity import Identity
from pyengine.containers.leftovers import end_cgroup
from pyengine.containers.mount_sources import prepare_mounts
from pyengine.containers.preparing import Open, ids_of, prepare, shares
from pyengine.containers.spares import Spares
from pyengine.containers.surroundings import DeviceNode
from pyengine.containers.sweeper import remove
from pyengine.errors import AlreadyExists, EngineError, ImageNotFound, KernelError
from pyengine.linux import native, native_mounts, probe
from pyengine.linux.capabilities import mask
from pyengine.linux.cgroup import Cgroup, Hierarchy
from pyengine.linux.device_filter import DevicePolicy, device_policy
from pyengine.linux.devices import all_devices, devices_at
from pyengine.linux.native_joiner import Joiner, instruct
from pyengine.linux.process import start_time
from pyengine.model.record import ContainerRecord
from pyengine.model.spec import ContainerSpec, DeviceRule
from pyengine.model.warning import LimitNotEnforced
from pyengine.store.layout import Home, Layout

if TYPE_CHECKING:
    from pyengine.containers.user_ranges import UserRanges
    from pyengine.linux.new_users import NewUsers


@frozen
class Streams:
    """Our ends of a program's streams; -1 where there is none.

    With a terminal *stdin* and *stdout* are its master, two descriptors of one thing.
    """

    stdin: int = -1
    stdout: int = -1
    stderr: int = -1


@frozen
class Neighbour:
    """A running container whose namespaces are shared: its first process, held by pidfd."""

    pid: int
    pidfd: int


@define(eq=False)
class Born:
    """A child that runs its program, with what was made for it; all of it the caller's now."""

    pid: int
    pidfd: int
    start_time: int
    streams: Streams
    cgroup: Cgroup
    identity: Identity


@frozen(eq=False)
class Tools:
    """What births need of their engine; *neighbour* finds a container to share a namespace with.

    *kept*: the program shall outlive this process, and its streams with it. *level* is the
    directory of cgroups that will be killed and removed as one. *caution* hears of limits that
    are not enforced, before anything runs. *ranges* make the users of who has some of its own.
    """

    layout: Layout
    hierarchy: Hierarchy
    joiner: Joiner
    spares: Spares
    neighbour: Callable[[str], Neighbour]
    kept: bool = False
    level: str = ""
    caution: Callable[[Sequence[LimitNotEnforced]], object] = lambda _: None
    ranges: UserRanges | None = None


def give_birth(
    record: ContainerRecord,
    home: Home,
    tools: Tools,
    *,
    is_new: bool = False,
    alive: Callable[[tuple[str, ...], int, int, Identity], object] = lambda *_: None,
) -> Born:
    """Start the program of *record*, the container at *home*.

    *is_new*: it has never run, so nothing has been written to its root yet. The child's way to
    its program takes the kernel some milliseconds, in which *alive* is called, with what of its
    limits is not in force, its pid, its start time and who it is.

    Raises what `containers.failure` makes of a step that failed; then nothing of it is left.
    """
    spec = record.spec
    opened = Open()
    cgroup: Cgroup | None = None
    streams = Streams()
    try:
        if tools.joiner.ids is not None:
            from pyengine.containers.rootless import refuse_unmet
            from pyengine.containers.writable import require_marks

            refuse_unmet(spec, has_cgroup=tools.hierarchy.v2 is not None)
            require_marks(tools.layout.owners)
        policy, nodes = _devices(spec)
        if record.farm is not None:
            from pyengine.containers.farm import renew_work

            renew_work(record.farm, home.work)
        elif not is_new:
            _prepare_root(home)
        if spec.mounts:
            prepare_mounts(spec, home)
        users = _users(record, home, tools, opened)
        identity = _identity(record, home, tools.joiner, is_new=is_new)
        cgroup = _make_cgroup(spec, policy, tools)
        if cgroup.enforced.unenforced:
            tools.caution(cgroup.enforced.unenforced)
        v2 = _kept_fd(cgroup.v2_fd(), opened)
        child = _conceive(spec, v2, tools, users)
        if tools.ranges is not None:
            opened.coming = tools.ranges.begin()
        try:
            around = prepare(record, home, tools, identity, nodes, cgroup, v2, users, opened)
            theirs, streams = _open_streams(spec, opened, tools)
            plan = compile_plan(spec, around)
            if users is not None:
                from pyengine.containers.own_users import serve, with_root

                serve(record, child, theirs)
                plan = with_root(plan, around.root.made, opened)
            if child is None:
                child = tools.joiner.spawn(plan, theirs)
            else:
                instruct(child, plan, theirs)
        except BaseException:
            if child is not None:
                native.end(child)
            raise
        heard = partial(alive, tuple(cgroup.enforced.notes))
        started = _accompany(child, identity, heard, tools, opened)
        failure = native.hear(child)
        if child.terminal >= 0:
            streams = terminal_streams(child)
        if failure is not None:
            native.bury(child)
            raise start_error(failure, spec)
    except BaseException as error:
        for fd in {streams.stdin, streams.stdout, streams.stderr} - {-1}:
            os.close(fd)
        if cgroup is not None:
            with suppress(KernelError):  # it is found again; what went wrong is more to the point
                cgroup.remove()
        if isinstance(error, OSError) and not isinstance(error, EngineError):
            raise host_error(error, "start the container") from error
        raise
    finally:
        opened.close()
    return Born(child.pid, child.pidfd, started, streams, cgroup, identity)


def _make_cgroup(spec: ContainerSpec, policy: DevicePolicy, tools: Tools) -> Cgroup:
    def make() -> Cgroup:
        return Cgroup.create(
            tools.hierarchy,
            spec.id,
            spec.resources,
            parent=spec.cgroup_parent,
            devices=policy,
            level=tools.level,
        )

    try:
        return make()
    except AlreadyExists:  # somebody was killed at starting it: nobody else has its id
        end_cgroup(tools.hierarchy, spec.id, spec.cgroup_parent, tools.level)
        return make()


def _users(record: ContainerRecord, home: Home, tools: Tools, opened: Open) -> NewUsers | None:
    """The user namespace it will be born in, if that is its own; its root is begun."""
    if not record.first_id:
        return None
    from pyengine.containers.own_users import mapped_root

    assert tools.ranges is not None
    users = tools.ranges.users_of(record.first_id)
    opened.fds += (users.users, users.network)
    opened.root = mapped_root(record, home, users.users, opened.keep)
    return users


def _conceive(
    spec: ContainerSpec, v2: int, tools: Tools, users: NewUsers | None
) -> native.Child | None:
    """The child, who waits for its plan, unless it will be born in somebody else's namespaces.

    The kernel clones it while we find out what it will need.
    """
    if shares(spec.namespaces.pid) is not None:
        return None
    return tools.joiner.conceive(
        cgroup=v2,
        unshare=born_into(spec, time_namespace=probe.has_time_namespaces()),
        # who enters a user namespace has all capabilities there to give away, whoever bears him
        bounds=mask(spec.security.capabilities) if users is None else 0,
        users=-1 if users is None else users.users,
        more=tools.ranges is not None and tools.ranges.is_short,
    )


def _kept_fd(fd: int | None, opened: Open) -> int:
    return -1 if fd is None else opened.keep(fd)


def _accompany(
    child: native.Child,
    identity: Identity,
    alive: Callable[[int, int, Identity], object],
    tools: Tools,
    opened: Open,
) -> int:
    """Do what can be done while *child* walks its plan; answers its start time."""
    started = 0
    try:
        if native.hear_birth(child):
            started = start_time(child.pid)
            alive(child.pid, started, identity)
        tools.spares.restock()
        if tools.ranges is not None and opened.coming is not None:
            coming, opened.coming = opened.coming, None
            tools.ranges.finish(coming)
    except BaseException:
        native.end(child)
        raise
    return started


def _open_streams(
    spec: ContainerSpec, opened: Open, tools: Tools
) -> tuple[tuple[int, int, int], Streams]:
    """What the child gets as 0, 1 and 2, and our ends."""
    if spec.tty:
        null = opened.keep(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC))
        return (null, null, null), Streams()  # the terminal is made inside: see PE_TTY
    if tools.kept:
        from pyengine.containers.streams import open_kept

        theirs, ours = open_kept(tools.layout, spec.id, reads=spec.open_stdin)
        opened.fds.extend(theirs)
        return theirs, Streams(*ours)
    read, write = os.pipe2(os.O_CLOEXEC)
    opened.keep(read)
    if spec.open_stdin:
        stdin = write
    else:
        os.close(write)
        stdin = -1
    (out, err), ends = open_outputs(stdin)
    for fd in ends:
        opened.keep(fd)
    return (read, *ends), Streams(stdin, out, err)


def open_outputs(stdin: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Our ends of a program's outputs, and its own; if they cannot be had *stdin* is closed."""
    made = [stdin] if stdin >= 0 else []
    try:
        made += (out := os.pipe2(os.O_CLOEXEC))
        err = os.pipe2(os.O_CLOEXEC)
    except OSError:
        for fd in made:
            os.close(fd)
        raise
    return (out[0], err[0]), (out[1], err[1])


def terminal_streams(child: native.Child) -> Streams:
    """Our ends of *child*'s terminal; it is ended if they cannot be had."""
    try:
        return Streams(os.dup(child.terminal), child.terminal, -1)
    except OSError:
        native.end(child)
        raise


def root_fd(record: ContainerRecord, home: Home) -> int:
    """The container's root as it is on disk, mounted nowhere; it vanishes with the fd.

    Raises `KernelError`.
    """
    if not record.nested:
        return native_mounts.overlay((home.upper, *record.lowers))
    *above, last = record.lowers
    nothing = native_mounts.empty_mount()
    try:
        inner = native_mounts.overlay((last,), below=nothing)
    finally:
        os.close(nothing)
    try:
        return native_mounts.overlay((home.upper, *above), below=inner)
    finally:
        os.close(inner)


def _identity(record: ContainerRecord, home: Home, joiner: Joiner, *, is_new: bool) -> Identity:
    """Who the program is, as far as there is somebody of that id for us."""
    spec = record.spec
    try:
        identity = _identity_in_root(record, home, joiner, is_new=is_new)
    except PermissionError:
        if joiner.ids is None:
            raise
        from pyengine.containers.their_accounts import identity_of_theirs

        stack = (home.upper, *record.layers)
        identity = identity_of_theirs(joiner, stack, spec.user, spec.group_add)
    ids = ids_of(record, joiner)
    if ids is None:
        return identity
    from pyengine.containers.rootless import mapped

    return mapped(identity, spec.user, spec.group_add, ids)


def _identity_in_root(
    record: ContainerRecord, home: Home, joiner: Joiner, *, is_new: bool
) -> Identity:
    """Who its files say it is. A root of one layer that nobody has written to is read as it is."""
    spec, layers = record.spec, record.layers
    if len(layers) == 1 and (is_new or not os.listdir(home.upper)):
        try:
            return identity_in_layer(layers[0], spec.user, spec.group_add)
        except FileNotFoundError as error:
            raise ImageNotFound(spec.image, f"{layers[0]}: {error.strerror}") from error
    if joiner.ids is not None:  # it takes root to look at an overlay from outside
        return identity_in_layers(
            (home.upper, *layers), spec.user, spec.group_add, "user.overlay.opaque"
        )
    root = root_fd(record, home)
    try:
        return identity_in(root, spec.user, spec.group_add)
    finally:
        os.close(root)


# --- devices ---------------------------------------------------------------------------------


def _devices(spec: ContainerSpec) -> tuple[DevicePolicy, tuple[DeviceNode, ...]]:
    """What the kernel lets it open, and the nodes it finds (rows C50, C69, C70)."""
    security = spec.security
    if not security.devices and not security.device_rules and not security.privileged:
        return device_policy(), ()
    rules = list(security.device_rules)
    nodes = []
    if security.privileged:
        nodes = [DeviceNode(d.path, d.path, d.mode, d.number) for d in all_devices()]
    for device in security.devices:
        for found in devices_at(device.host):
            target = device.target + found.path.removeprefix(device.host)
            nodes.append(DeviceNode(target, found.path, found.mode, found.number))
            kind = "c" if stat.S_ISCHR(found.mode) else "b"
            major, minor = os.major(found.number), os.minor(found.number)
            rules.append(DeviceRule(kind, major, minor, device.access))
    ours = {f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty")}
    wanted = {node.path: node for node in nodes if node.path not in ours}
    return device_policy(tuple(rules), privileged=security.privileged), tuple(wanted.values())


def _prepare_root(home: Home) -> None:
    """Let a container start again: a volatile overlay marks its work directory as not to be
    trusted after a crash (overlayfs.rst); ours is trusted no longer than its process lives.
    """
    try:
        os.stat(f"{home.work}/work/incompat")
    except FileNotFoundError:
        return
    except PermissionError:  # the kernel has closed it: to all but root
        pass
    remove(home.work)
    os.mkdir(home.work, 0o700)
