"""What a container with users of its own cannot have, and what it is given from outside.

Root inside is nobody outside: what only the host's root can do for it is done before its child
walks its plan, and comes with that as descriptors (decision 0018).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NoReturn

from attrs import evolve

from pyengine.containers.privilege_steps import RLIMITS
from pyengine.errors import KernelError, Unsupported
from pyengine.linux import native, native_mounts
from pyengine.linux.mounts import file_system_of
from pyengine.linux.plan import OVERLAY_VOLATILE, Plan
from pyengine.linux.process import raise_limit, set_oom_score
from pyengine.model.ids import IdMaps
from pyengine.model.mounts import MountKind
from pyengine.model.record import ContainerRecord
from pyengine.model.spec import ContainerSpec
from pyengine.store.id_ranges import SIZE
from pyengine.store.layout import Home

if TYPE_CHECKING:
    from pyengine.containers.preparing import Open

_HOST = "use userns='host' for it"

_maps: dict[int, IdMaps] = {}
_MOST_MAPS = 64


def ids_from(first: int) -> IdMaps:
    """Who stands behind the users of a container whose root has the id *first* outside."""
    maps = _maps.get(first)
    if maps is None:
        if len(_maps) >= _MOST_MAPS:
            _maps.clear()
        maps = _maps[first] = IdMaps.range(first, SIZE)
    return maps


def refuse_with_own_users(spec: ContainerSpec, *, counts_births: bool) -> None:
    """Raise `Unsupported` for the first wish of *spec* that takes the host's users.

    *counts_births*: whether who gives birth to its program counts among its processes.
    """
    modes = spec.namespaces
    if counts_births and spec.resources.pids == 1:
        missing = "who brings its program into its users is a process too, for a moment"
        raise Unsupported("pids=1 with userns='auto'", missing, "use pids=2, or userns='host'")
    if modes.pid == "host":
        _refuse("pid='host'", "the kernel shows a /proc of the host's processes to its root only")
    for kind in ("pid", "ipc"):
        mode: str = getattr(modes, kind)
        if mode.startswith("container:"):
            refuse_sharing(f"{kind}={mode[:22]!r}")
    for mount in spec.mounts:
        if mount.kind is MountKind.BIND and mount.propagation.lstrip("r") == "shared":
            missing = "what its root mounts there would be mounted on the host"
            _refuse(f"mount propagation {mount.propagation!r}", missing)


def refuse_sharing(feature: str) -> NoReturn:
    """Raise `Unsupported`: no two containers with users of their own have the same."""
    missing = "a container with users of its own and another have no rights in each other's"
    raise Unsupported(feature, missing, "use userns='host' for both")


def _refuse(feature: str, missing: str) -> NoReturn:
    raise Unsupported(f"{feature} with userns='auto'", missing, _HOST)


def mapped_root(
    record: ContainerRecord,
    home: Home,
    users: int,
    keep: Callable[[int], int],
) -> native_mounts.Overlaying:
    """The container's root, mounted nowhere: its image's files belong to whom *users* maps.

    No file is touched: the layers are shown with other ids (mount_setattr(2)). What is written
    belongs to the ids outside. It is made while the caller goes on. All it took is given to
    *keep*, for later: to let go of a mount takes the kernel a while. Raises `Unsupported` where
    a file system knows no such thing.
    """
    flags = OVERLAY_VOLATILE if record.spec.owner == "process" else 0  # it goes with this process
    lowers = tuple(_layer(path, users, keep) for path in record.lowers)
    below = -1
    if record.nested:
        nothing = keep(native_mounts.empty_mount())
        below = keep(native_mounts.overlay(lowers[-1:], below=nothing))
        lowers = lowers[:-1]
    return native_mounts.Overlaying(lowers, home.upper, home.work, flags, below)


def with_root(plan: Plan, made: int | None, opened: Open) -> Plan:
    """*plan*, whose fd number *made* is the root that *opened* has begun, once that is there."""
    assert opened.root is not None
    assert made is not None
    root, opened.root = opened.root, None
    fd = opened.keep(root.end())
    return evolve(plan, fds=(*plan.fds[:made], fd, *plan.fds[made + 1 :]))


def check_layers(layers: Iterable[str], users: int) -> None:
    """Raise `Unsupported` for the first of *layers* whose files cannot be shown with other ids."""
    for path in layers:
        opened: list[int] = []
        try:
            _layer(path, users, _keeper(opened))
        finally:
            for fd in opened:
                os.close(fd)


def _keeper(opened: list[int]) -> Callable[[int], int]:
    def keep(fd: int) -> int:
        opened.append(fd)
        return fd

    return keep


def _layer(path: str, users: int, keep: Callable[[int], int]) -> str:
    """The name of a mount of the host's directory *path*, whose files' ids *users* maps."""
    fd = keep(native_mounts.open_tree(path, recursive=False))
    try:
        native_mounts.map_ids(fd, users)
    except KernelError as error:
        if error.errno in (errno.EINVAL, errno.EPERM):
            raise _unmappable(path) from error
        raise
    return f"/proc/self/fd/{fd}"


def _unmappable(path: str) -> Unsupported:
    missing = f"the kernel cannot map the ids of files on {file_system_of(path)}, as at {path}"
    remedy = "put it on ext4, xfs or btrfs, with Linux 5.19 or later, or use userns='host'"
    return Unsupported("userns='auto'", missing, remedy)


def serve(record: ContainerRecord, child: native.Child | None, stdio: Iterable[int]) -> None:
    """Do for *child*, who waits for its plan with *stdio*, what it will have no right to.

    Its root has to own its streams, or could not open them again (``/dev/stdout``).
    """
    spec = record.spec
    if not spec.tty:  # that is made inside
        for fd in stdio:
            os.fchown(fd, record.first_id, record.first_id)
    if child is not None and (spec.oom_score_adj or spec.ulimits):
        _raise_limits(spec, child)


def _raise_limits(spec: ContainerSpec, child: native.Child) -> None:
    """What it lowers is up to itself, later: its plan might need it until then."""
    if not native.hear_birth(child):
        return  # who hears it out is told why
    if spec.oom_score_adj:
        set_oom_score(child.pid, spec.oom_score_adj)
    for limit in spec.ulimits:
        raise_limit(child.pid, RLIMITS.index(limit.name), limit.hard)
