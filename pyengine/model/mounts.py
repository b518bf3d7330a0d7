"""What is mounted into a container."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen


class MountKind(StrEnum):
    """Where a mount's content comes from."""

    BIND = "bind"
    TMPFS = "tmpfs"
    OVERLAY = "overlay"
    VOLUME = "volume"
    IMAGE = "image"


class Recursion(StrEnum):
    """What a bind mount does with the mounts below its source (row V07)."""

    READONLY_IF_POSSIBLE = "enabled"  # with them; read-only goes down where the kernel can
    DISABLED = "disabled"  # without them
    WRITABLE = "writable"  # with them; read-only stops at the top
    READONLY = "readonly"  # with them; read-only goes down, or it is an error


@frozen
class Mount:
    """One mount: *source* (if its kind has one) appears at *target*.

    *target* is absolute and normalised. *options* are a tmpfs's own words, such as
    ``size=64m``. *source* of a bind is an absolute path of the host.
    """

    kind: MountKind
    target: str
    source: str = ""
    read_only: bool = False
    propagation: str = "rprivate"
    recursive: Recursion = Recursion.READONLY_IF_POSSIBLE
    options: tuple[str, ...] = ()
    create_source: bool = False  # `-v` makes a missing source directory, `--mount` refuses
    nocopy: bool = False
    subpath: str = ""
