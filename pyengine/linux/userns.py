"""User namespaces of a process that is not root: their ids, and why there are none."""

from __future__ import annotations

import errno
import os

from attrs import evolve

from pyengine.errors import EngineError, KernelError, Unsupported
from pyengine.linux.id_helpers import (
    GIDMAP,
    MORE_USERS,
    UIDMAP,
    Run,
    find_helper,
    map_with_helper,
)
from pyengine.linux.subids import SUBGID, SUBUID, subids_of
from pyengine.model.id_layouts import (
    Span,
    keep_id,
    keep_own,
    lay_out,
    root_is_me,
    spare_spans,
)
from pyengine.model.ids import IdMaps, text_of

MORE_IDS = (
    "install newuidmap (uidmap), with ids for this user in /etc/subuid and /etc/subgid "
    "(pyengine doctor says what lacks)"
)
"""What gives a user more ids than one."""


def ids_for(mode: str, *, why_single: str = "") -> IdMaps:
    """The ids of this user's containers whose users are those of *mode*.

    It is ``""`` or ``keep-id``. With *why_single* there is one id only. Raises
    `Unsupported` where they need more than there are.
    """
    user, group = os.geteuid(), os.getegid()
    users, groups = ((), ()) if why_single else _more_ids(user, group)
    if mode == "nomap":
        if not users:
            raise Unsupported("userns='nomap'", f"there is nobody else: {why_single}", MORE_IDS)
        missing = "who is nobody outside finds the way to its own root closed"
        raise Unsupported("userns='nomap'", missing, "leave it out, or use userns='keep-id'")
    if mode:
        at_user, at_group = keep_id(mode)
        found = lay_out(keep_own(user, users, at_user), keep_own(group, groups, at_group))
    else:
        found = lay_out(root_is_me(user, users), root_is_me(group, groups))
    return evolve(found, why_single=why_single)


def _more_ids(user: int, group: int) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    users, groups = subids_of(user)
    if not users or not groups:
        files = " and ".join(
            name for name, lines in ((SUBUID, users), (SUBGID, groups)) if not lines
        )
        why = f"{files} {'have' if ' ' in files else 'has'} no line for user {user}"
        raise Unsupported(MORE_USERS, why, MORE_IDS)
    find_helper(UIDMAP)
    find_helper(GIDMAP)
    return spare_spans(users, user), spare_spans(groups, group)


def map_ids(pid: int, ids: IdMaps, run: Run) -> None:
    """Map *ids* in the user namespace that process *pid* has just made.

    A process without rights may map its own ids if those inside give up changing their groups:
    else they could leave one that a file denies something to (CVE-2014-8989). For more there is
    newuidmap, which *run* runs; raises `Unsupported` with what that says.
    """
    if not ids.is_single:
        map_with_helper(UIDMAP, pid, ids.users, run)
        map_with_helper(GIDMAP, pid, ids.groups, run)
        return
    write_map(pid, "setgroups", "deny")
    write_map(pid, "uid_map", text_of(ids.users))
    write_map(pid, "gid_map", text_of(ids.groups))


def write_map(pid: int, file: str, text: str) -> None:
    """Write *text* to *file*, one of the maps of the user namespace of *pid*."""
    path = f"/proc/{pid}/{file}"
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as error:
        doing = f"write {text.strip()!r} to the {file} of a user namespace"
        raise KernelError(error.errno or errno.EIO, doing) from error


def refused(number: int) -> EngineError:
    """Why there is no user namespace for us, where the kernel has answered *number*."""
    if number not in (errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EUSERS, errno.ENOSYS):
        return KernelError(number, "make a user namespace")
    why = os.strerror(number)
    return Unsupported(
        "containers without root",
        f"this host gives us no user namespace ({why})",
        "have them allowed (sysctl user.max_user_namespaces), or run as root",
    )
