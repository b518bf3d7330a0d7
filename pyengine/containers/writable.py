"""Whether a place on disk can hold what containers write on top of their layers."""

from __future__ import annotations

import errno
import os
from functools import cache

from pyengine.errors import StoreError
from pyengine.linux.mounts import file_system_of

_ANOTHER_PLACE = "choose another place, on a disk of this host (root=, or PYENGINE_ROOT)"


@cache
def require_marks(directory: str) -> None:
    """Raise `StoreError` where files in *directory* cannot be marked by who is not root.

    Layers mark what hides others by attributes of files; network file systems know none.
    """
    try:
        os.setxattr(directory, _MARK, b"")
        os.removexattr(directory, _MARK)
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.EPERM, errno.EINVAL):
            return  # who writes there is told
        kind = file_system_of(directory)
        why = f"files on {kind} keep no user attributes, which layers without root need"
        raise StoreError(directory, why, _ANOTHER_PLACE) from error


_MARK = "user.pyengine.trial"


def refuse_upper(directory: str) -> StoreError | None:
    """Why *directory* cannot be what a container writes to, where its file system is why."""
    kind = file_system_of(directory)
    if kind.partition(".")[0] not in _NO_LAYERS:
        return None
    why = f"the kernel lets nothing be written in layers on {kind}"
    return StoreError(directory, why, _ANOTHER_PLACE)


_NO_LAYERS = frozenset(
    (
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "9p",
        "afs",
        "ceph",
        "fuse",
        "fuseblk",
        "vfat",
        "exfat",
        "overlay",
    )
)
