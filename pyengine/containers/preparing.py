"""What is made on the host for a container's child, before its plan can be compiled."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import define, field

from pyengine.containers.identity import Identity
from pyengine.containers.mount_sources import open_source
from pyengine.containers.name_files import hosts_of, resolv_of
from pyengine.containers.surroundings import DeviceNode, Root, Surroundings
from pyengine.errors import KernelError
from pyengine.linux import native, native_mounts, probe
from pyengine.linux.cgroup import Cgroup
from pyengine.linux.seccomp import filter_for
from pyengine.model.mounts import Mount, MountKind
from pyengine.model.record import ContainerRecord
from pyengine.model.spec import ContainerSpec
from pyengine.store.layout import Home

if TYPE_CHECKING:
    from pyengine.containers.birth import Tools
    from pyengine.linux.native_joiner import Joiner
    from pyengine.linux.new_users import NewUsers
    from pyengine.model.ids import IdMaps

_LARGEST_NAME_FILE = 1 << 20


@define(eq=False)
class Open:
    """Descriptors that are closed when the birth is over, whatever came of it."""

    fds: list[int] = field(factory=list)
    coming: native.Child | None = None  # the users of the next container, not finished yet
    root: native_mounts.Overlaying | None = None  # its own, not finished either

    def keep(self, fd: int) -> int:
        """Close *fd*, which comes back, with the others."""
        self.fds.append(fd)
        return fd

    def close(self) -> None:
        """Close them all, what is not finished first: it may need them."""
        root, self.root = self.root, None
        if root is not None:
            with suppress(KernelError):
                os.close(root.end())
        for fd in self.fds:
            os.close(fd)
        self.fds.clear()
        coming, self.coming = self.coming, None
        if coming is not None:
            native.end(coming)


def ids_of(record: ContainerRecord, joiner: Joiner) -> IdMaps | None:
    """Who is somebody in a container: in its own user namespace, or in that of the *joiner*."""
    if not record.first_id:
        return joiner.ids
    from pyengine.containers.own_users import ids_from

    return ids_from(record.first_id)


def prepare(
    record: ContainerRecord,
    home: Home,
    tools: Tools,
    identity: Identity,
    nodes: tuple[DeviceNode, ...],
    cgroup: Cgroup,
    v2: int,
    users: NewUsers | None,
    opened: Open,
) -> Surroundings:
    """What the plan of *record*'s child is compiled from; its descriptors go with *opened*.

    Raises `KernelError`, `Unsupported`, and what *tools* raise for a neighbour.
    """
    spec = record.spec
    tasks = [opened.keep(fd) for fd in cgroup.join_fds()]
    fds = [native.own_pidfd(os.getpid()), *tasks]
    shared = []
    for number, mount in enumerate(spec.mounts):
        if _is_made_outside(mount, users):
            upper, work = home.view(number)
            if users is not None and mount.kind is MountKind.OVERLAY:
                os.chown(upper, record.first_id, record.first_id)
            fds.append(opened.keep(open_source(mount, upper, work)))
            shared.append((mount.target, len(fds) - 1))
    pid_target, ipc_target = -1, None
    if (name := shares(spec.namespaces.pid)) is not None:
        pid_target = opened.keep(tools.neighbour(name).pidfd)
    if (name := shares(spec.namespaces.ipc)) is not None:
        fds.append(opened.keep(tools.neighbour(name).pidfd))
        ipc_target = len(fds) - 1
    network = made = None
    volatile = spec.owner == "process"  # it is gone before the disk could be needed
    if not _on_host(spec) and users is not None:
        fds.append(users.network)
        network = len(fds) - 1
    elif not _on_host(spec) and (ready := tools.spares.network()) is not None:
        fds.append(opened.keep(ready))
        network = len(fds) - 1
    if users is not None:
        fds.append(-1)  # until it is there
        made = len(fds) - 1
    seccomp = spec.security.seccomp
    return Surroundings(
        root=Root(
            record.lowers,
            home.upper,
            home.work,
            # the way to ours is closed to who is nobody outside
            tools.layout.mountpoint if made is None else "/",
            volatile=volatile,
            nested=record.nested,
            made=made,
            farm=record.farm,
            read_only=spec.security.read_only,
        ),
        identity=identity,
        filter=None if seccomp is None else filter_for(seccomp, spec.security.capabilities),
        fds=tuple(fds),
        tasks=len(tasks),
        cgroup=v2,
        hosts=hosts_of(spec, _host_file("/etc/hosts") if _on_host(spec) else ""),
        resolv=resolv_of(spec, _host_file("/etc/resolv.conf")),
        nodes=nodes,
        shared_binds=tuple(shared),
        overlays=tuple(
            (mount.target, *home.view(number))
            for number, mount in enumerate(spec.mounts)
            if mount.kind is MountKind.OVERLAY
        ),
        network=network,
        pid_target=pid_target,
        ipc_target=ipc_target,
        time_namespace=probe.has_time_namespaces(),
        kcore=probe.has_kcore(),
        tied=not tools.kept,
        ids=ids_of(record, tools.joiner),
        outside=users is not None,
    )


def _is_made_outside(mount: Mount, users: NewUsers | None) -> bool:
    """Whether its child could not make it, or not so that it shares what is mounted later."""
    if mount.kind not in (MountKind.BIND, MountKind.OVERLAY):
        return False
    is_shared = mount.kind is MountKind.BIND and mount.propagation.lstrip("r") != "private"
    return is_shared or users is not None


def shares(mode: str) -> str | None:
    """The container whose namespace it is, if it is one's."""
    return mode.removeprefix("container:") if mode.startswith("container:") else None


def _on_host(spec: ContainerSpec) -> bool:
    return spec.namespaces.network == "host"


_host_files: dict[str, tuple[tuple[int, int, int], str]] = {}


def _host_file(path: str) -> str:
    """The text of a file of the host's, read again only when it has changed."""
    try:
        found = os.stat(path)
        key = (found.st_mtime_ns, found.st_ino, found.st_size)
        if (known := _host_files.get(path)) is not None and known[0] == key:
            return known[1]
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read(_LARGEST_NAME_FILE)
    except OSError:
        return ""
    _host_files[path] = key, text
    return text
