"""Removing what containers have written, whoever among their users it belongs to."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from pyengine.errors import KernelError
from pyengine.linux import native
from pyengine.linux.cgroup_files import wait_until

if TYPE_CHECKING:
    from pyengine.containers.joiners import Joiners


def remove_tree(directory: int, name: str, joiners: Joiners | None = None) -> None:
    """Remove *name* in the directory fd, and all below it; nothing there is fine.

    Who is not root asks the root of their users for what they may not do themselves: by *joiners*,
    or by some of its own.
    """
    try:
        native.remove_tree(directory, name)
    except KernelError as error:
        if os.geteuid() == 0 or error.errno not in (errno.EACCES, errno.EPERM):
            raise
        if not _remove_as_their_root(directory, name, joiners):
            raise


def remove_patiently(place: str, name: str) -> None:
    """As `remove_tree` in the directory *place*, where others may be removing the same.

    Each finds then that the other was quicker, or has moved something. Raises `KernelError`
    for what cannot be removed.
    """
    refused: list[KernelError] = []

    def is_removed() -> bool:
        directory = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            remove_tree(directory, name)
        except KernelError as error:
            refused.append(error)
            return False
        finally:
            os.close(directory)
        return True

    if not wait_until(is_removed, _OTHERS):
        raise refused[-1]


_OTHERS = 2.0
"""Seconds that others have to be done with it, or to go on with something else."""


def _remove_as_their_root(directory: int, name: str, given: Joiners | None) -> bool:
    """Whether there is one; raises `KernelError` if even he cannot."""
    from pyengine.containers.joiners import Joiners
    from pyengine.linux.native_joiner import instruct
    from pyengine.linux.plan import JOIN_FDS, Plan, Step

    joiners = given or Joiners()
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        if joiners.why_single:
            return False
        step = Step("remove", name, fd=JOIN_FDS, doing=f"remove {name}")
        child = joiners.usual.conceive(cgroup=-1)
        try:
            instruct(child, Plan(_NO_PROGRAM, parts=(step,), fds=(directory,)), (null, null, null))
        except BaseException:
            native.end(child)
            raise
        failure = native.hear(child)
        native.bury(child)
        if failure is not None and failure.step is not None:
            raise failure.error()
        return True
    finally:
        os.close(null)
        if given is None:
            joiners.close()


_NO_PROGRAM = ("/nonexistent-program-of-a-removal",)
