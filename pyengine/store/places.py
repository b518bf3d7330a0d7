"""Where the engine of a user who is not root keeps its things (the XDG base directories)."""

from __future__ import annotations

import errno
import os
import stat
from functools import cache

from pyengine.errors import StoreError


def data_directory() -> str:
    """Where containers lie: ``$XDG_DATA_HOME/pyengine``, or ``~/.local/share/pyengine``.

    Paths that are not absolute say nothing. Without HOME it is the home that the user database
    knows; raises `StoreError` where there is none either.
    """
    data = os.environ.get("XDG_DATA_HOME", "")
    if data.startswith("/"):
        return f"{data}/pyengine"
    home = os.environ.get("HOME", "")
    if not home.startswith("/"):
        home = _home_of(os.geteuid())
    return f"{home}/.local/share/pyengine"


def _home_of(user: int) -> str:
    import pwd

    try:
        home = pwd.getpwuid(user).pw_dir
    except KeyError:
        home = ""
    if not home.startswith("/") or home == "/":
        why = f"user {user} has no home directory"
        raise StoreError("~/.local/share/pyengine", why, "set HOME, or choose one with root=")
    return home


def run_directory(data: str) -> str:
    """Where lies what a reboot may forget: in ``$XDG_RUNTIME_DIR`` or ``/run/user/UID``.

    Where neither is there, and ours alone, it is ``/tmp/pyengine-UID``; if that is somebody
    else's, it is below *data*, where nobody else can have put it.
    """
    user = os.geteuid()
    for runtime in (os.environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{user}"):
        if runtime.startswith("/") and _is_private(runtime):
            return f"{runtime}/pyengine"
    temporary = f"/tmp/pyengine-{user}"
    is_free = not os.path.lexists(temporary)  # who makes it looks whose it is then
    return temporary if is_free or _is_private(temporary) else f"{data}/run"


_ANOTHER_PLACE = "choose another place, on a disk of this host (root=, or PYENGINE_ROOT)"


@cache
def require_marks(directory: str) -> None:
    """Raise `StoreError` where files in *directory* cannot be marked by who is not root.

    Layers mark what hides others by attributes of files; network file systems know none.
    """
    from pyengine.linux.mounts import file_system_of

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
    from pyengine.linux.mounts import file_system_of

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


def _is_private(path: str) -> bool:
    """Whether it is a directory of this user's, no link, that nobody else may use."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    ours = found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return ours and stat.S_ISDIR(found.st_mode)
