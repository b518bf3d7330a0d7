"""What the mounts of a container stand on: sources on the host, and views of them at home."""

from __future__ import annotations

import os
import stat

from pyengine.errors import InvalidRequest
from pyengine.linux import native_mounts
from pyengine.linux.mounts import check_propagation
from pyengine.linux.plan import OVERLAY_VOLATILE
from pyengine.model.mounts import Mount, MountKind, Recursion
from pyengine.model.spec import ContainerSpec
from pyengine.store.layout import Home


def prepare_mounts(spec: ContainerSpec, home: Home) -> None:
    """Make what mounts stand on; raise `InvalidRequest` as `check_source` does."""
    for number, mount in enumerate(spec.mounts):
        if mount.kind is MountKind.TMPFS:
            continue
        check_source(mount)
        if mount.kind is MountKind.OVERLAY:
            for directory in home.view(number):
                os.makedirs(directory, exist_ok=True)
                os.chmod(directory, 0o755)


def open_source(mount: Mount, upper: str, work: str) -> int:
    """What *mount* shows, mounted nowhere, for who has no way there, or not in time.

    *upper* and *work* are those of a throw-away view. Raises `KernelError`.
    """
    if mount.kind is MountKind.OVERLAY:
        return native_mounts.overlay((mount.source,), upper, work, OVERLAY_VOLATILE)
    return native_mounts.open_tree(
        mount.source, recursive=mount.recursive is not Recursion.DISABLED
    )


def check_source(mount: Mount) -> None:
    """Raise `InvalidRequest` where *mount*'s source cannot be mounted; make it where asked to."""
    if mount.create_source and not os.path.lexists(mount.source):
        try:
            os.makedirs(mount.source, 0o755, exist_ok=True)
        except OSError as error:
            why = f"it is missing and cannot be made: {error.strerror}"
            raise InvalidRequest("mount source", mount.source, why=why) from error
    try:
        found = os.stat(mount.source)
    except OSError as error:
        why = f"bind source path does not exist: {mount.source}"
        if not isinstance(error, FileNotFoundError):
            why = error.strerror or str(error)
        raise InvalidRequest("mount source", mount.source, why=why) from error
    if mount.kind is MountKind.OVERLAY and not stat.S_ISDIR(found.st_mode):
        raise InvalidRequest("mount source", mount.source, why="it is not a directory")
    if mount.kind is MountKind.BIND:
        check_propagation(mount.source, mount.propagation)
