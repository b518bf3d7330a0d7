"""What must be known of the host, and made there, before a plan can be compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from pyengine.containers.identity import Identity
from pyengine.linux.seccomp import Filter

if TYPE_CHECKING:
    from pyengine.model.ids import IdMaps
    from pyengine.model.record import Farm


@frozen
class DeviceNode:
    """A device node to make: *path* is absolute, *number* as makedev(3) packs it."""

    path: str
    host: str
    mode: int
    number: int


@frozen
class Root:
    """What the container's root is made of: directories of the host, the topmost first.

    *nested*: the others lie below the last of them, which overlayfs refuses (ELOOP) unless that
    one is hidden in an overlay of its own. *made*: all that is done; it is a mount, by its index
    into the birth's fds. *farm*: it is made of those pieces instead, *read_only* or not.
    """

    lowers: tuple[str, ...]
    upper: str
    work: str
    mountpoint: str
    volatile: bool = True
    nested: bool = False
    made: int | None = None
    farm: Farm | None = None
    read_only: bool = False


@frozen
class Surroundings:
    """What must be known of the host, and made there, before a child can be born.

    *fds*: the owner's pidfd, then the v1 ``tasks`` files; then what *binds* and *joins* name.
    """

    root: Root
    identity: Identity
    filter: Filter | None = None
    fds: tuple[int, ...] = ()
    tasks: int = 0
    cgroup: int = -1
    hosts: str = ""
    resolv: str = ""
    nodes: tuple[DeviceNode, ...] = ()
    shared_binds: tuple[tuple[str, int], ...] = ()  # target -> index into fds, made outside
    overlays: tuple[tuple[str, str, str], ...] = ()  # target, upper, work of throw-away views
    network: int | None = None  # index of a network namespace to join
    pid_target: int = -1  # a process whose pid namespace is shared
    ipc_target: int | None = None  # index of a process whose ipc namespace is shared
    time_namespace: bool = True
    kcore: bool = False  # whether this kernel has a /proc/kcore
    tied: bool = True  # whether it shall end with its owner
    ids: IdMaps | None = None  # of its user namespace; None: it is in that of the host
    outside: bool = False  # whether what takes the host's root has been done by who has it
