"""Where the engine of a user who is not root keeps its things (the XDG base directories)."""

from __future__ import annotations

import os
import stat

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


def _is_private(path: str) -> bool:
    """Whether it is a directory of this user's, no link, that nobody else may use."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    ours = found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return ours and stat.S_ISDIR(found.st_mode)
