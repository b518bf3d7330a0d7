"""User namespaces: who this process's containers are, where it is not root."""

from __future__ import annotations

import errno
import os
from functools import cache

from pyengine.errors import EngineError, KernelError, Unsupported
from pyengine.model.ids import IdMaps, text_of


def own_ids() -> IdMaps | None:
    """The ids that this process's containers have; `None` where it is root, and they have all."""
    return None if os.geteuid() == 0 else _ids_of(os.geteuid(), os.getegid())


@cache
def _ids_of(user: int, group: int) -> IdMaps:
    return IdMaps.single(user, group)


def map_ids(pid: int, ids: IdMaps) -> None:
    """Map *ids* in the user namespace that process *pid* has just made.

    A process without rights may map its own ids if those inside give up changing their groups:
    else they could leave one that a file denies something to (CVE-2014-8989).
    """
    if ids.is_single:
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
