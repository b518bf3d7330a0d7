"""Removing what containers have written, whoever among their users it belongs to."""

from __future__ import annotations

import errno
import os

from pyengine.errors import KernelError
from pyengine.linux import native


def remove_tree(directory: int, name: str) -> None:
    """Remove *name* in the directory fd, and all below it; nothing there is fine.

    Who is not root asks the root of their users for what they may not do themselves.
    """
    try:
        native.remove_tree(directory, name)
    except KernelError as error:
        if os.geteuid() == 0 or error.errno not in (errno.EACCES, errno.EPERM):
            raise
        if not _remove_as_their_root(directory, name):
            raise


def _remove_as_their_root(directory: int, name: str) -> bool:
    """Whether there is one; raises `KernelError` if even he cannot."""
    from pyengine.containers.joiners import Joiners
    from pyengine.linux.native_joiner import instruct
    from pyengine.linux.plan import JOIN_FDS, Plan, Step

    joiners = Joiners()
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
        joiners.close()


_NO_PROGRAM = ("/nonexistent-program-of-a-removal",)
