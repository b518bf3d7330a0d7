"""newuidmap and newgidmap: the host's own programs that give a user namespace more than one id."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from attrs import frozen

from pyengine.errors import Unsupported
from pyengine.model.ids import IdRange

UIDMAP, GIDMAP = "newuidmap", "newgidmap"

MORE_USERS = "more than one user without root"
_INSTALL = "install them (the package uidmap)"
_USUAL = ("/usr/bin", "/bin", "/usr/local/bin", "/run/wrappers/bin")


@frozen
class Told:
    """How a helper ended, and what it has said; `None` where the host program was told instead."""

    code: int | None
    words: str


Run = Callable[[tuple[str, ...]], Told]
"""Runs a program, given its absolute path and its words, without any environment or fd of ours."""


def find_helper(name: str) -> str:
    """The absolute path of *name* in PATH, whose directories and links have been resolved.

    Raises `Unsupported` where there is none, and for one that anybody but root could have put
    there, or that has no rights to give.
    """
    for directory in dict.fromkeys((*os.environ.get("PATH", "").split(":"), *_fallback())):
        path = os.path.realpath(f"{directory}/{name}")
        if directory.startswith("/") and os.access(path, os.X_OK):
            _check(path)
            return path
    raise Unsupported(MORE_USERS, f"{UIDMAP} and {GIDMAP} are not in PATH", _INSTALL)


def _fallback() -> tuple[str, ...]:
    return () if os.environ.get("PATH") else _USUAL


def _check(path: str) -> None:
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        why = f"{path} is not root's alone"
        raise Unsupported(MORE_USERS, why, f"chown root {path}; chmod go-w {path}")
    if not found.st_mode & stat.S_ISUID and not _has_capability(path):
        why = f"{path} has no rights: it is not set-user-id"
        raise Unsupported(MORE_USERS, why, f"chmod u+s {path}")
    if os.statvfs(path).f_flag & os.ST_NOSUID:
        why = f"{path} has no rights: it is on a file system mounted nosuid"
        raise Unsupported(MORE_USERS, why, "mount that without nosuid")


def _has_capability(path: str) -> bool:
    try:
        return bool(os.getxattr(path, "security.capability"))
    except OSError:
        return False


def map_with_helper(name: str, pid: int, ranges: tuple[IdRange, ...], run: Run) -> None:
    """Have *name* map *ranges* in the user namespace that process *pid* has just made.

    Raises `Unsupported` with what kept it from that.
    """
    path = find_helper(name)
    words = [str(number) for each in ranges for number in (each.inside, each.outside, each.size)]
    told = run((path, str(pid), *words))
    if told.code or (told.code is None and not _is_mapped(pid, name)):
        raise Unsupported(MORE_USERS, *_why(path, told))


def _is_mapped(pid: int, name: str) -> bool:
    file = "uid_map" if name == UIDMAP else "gid_map"
    try:
        with open(f"/proc/{pid}/{file}", encoding="ascii") as lines:
            return bool(lines.read())
    except OSError:
        return False


def _why(path: str, told: Told) -> tuple[str, str]:
    if _no_new_privileges():
        why = f"{path} gets no rights: this process was started with no_new_privs"
        return why, "start it without (systemd: NoNewPrivileges=no; docker: no-new-privileges)"
    said = " ".join(told.words.split())[:300] or f"it ended with {told.code}"
    remedy = "see that /etc/subuid, /etc/subgid and the user's entry in /etc/passwd agree"
    return f"{path} failed: {said}", remedy


def _no_new_privileges() -> bool:
    try:
        with open("/proc/thread-self/status", encoding="ascii", errors="replace") as file:
            return any(line.split() == ["NoNewPrivs:", "1"] for line in file)
    except OSError:
        return False
