"""Making a user namespace that no process is in yet, with a network that belongs to it."""

from __future__ import annotations

import errno
import os

from attrs import evolve, frozen

from pyengine.errors import EngineError, KernelError, Unsupported
from pyengine.linux import native
from pyengine.linux.native_joiner import Joiner, instruct
from pyengine.linux.plan import NEWNET, NEWUSER, Plan, Step, encode
from pyengine.linux.userns import write_map
from pyengine.model.ids import IdMaps, text_of


@frozen
class NewUsers:
    """Both by an fd, the caller's to close; *network* has its loopback up."""

    users: int
    network: int

    def close(self) -> None:
        """Let go of both."""
        os.close(self.users)
        os.close(self.network)


def begin_users(joiner: Joiner) -> native.Child:
    """Ask *joiner* for a user namespace and a network; `finish_users` or `native.end` it.

    The kernel makes them meanwhile, which takes it half a millisecond.
    """
    return joiner.conceive(cgroup=-1, unshare=NEWUSER | NEWNET, bounds=0)


def finish_users(child: native.Child, ids: IdMaps) -> NewUsers:
    """The user namespace that *child* was born into, with *ids* mapped; it ends.

    Raises `Unsupported` where the host allows no user namespaces, and `KernelError`.
    """
    try:
        if not native.hear_birth(child):
            failure = native.hear(child)
            raise _refused(failure.errno if failure is not None else errno.EPIPE)
        write_map(child.pid, "uid_map", text_of(ids.users))
        write_map(child.pid, "gid_map", text_of(ids.groups))
        made = _hold(child.pid)
    except BaseException:
        native.end(child)
        raise
    try:
        _let_it_go(child, made)
    except BaseException:
        made.close()
        raise
    return made


def _let_it_go(child: native.Child, made: NewUsers) -> None:
    """Let it bring its loopback up before it ends: it has nothing to become."""
    try:
        instruct(child, _LAST_WISH, (made.users, made.users, made.users))
        failure = native.hear(child)
    except BaseException:
        native.end(child)
        raise
    native.bury(child)
    if failure is not None and failure.step is not None:
        raise failure.error()


_LAST_WISH = Plan(("/",), parts=(Step("loopback", doing="bring a loopback up"),))
_LAST_WISH = evolve(_LAST_WISH, laid=encode(_LAST_WISH))


def _refused(number: int) -> EngineError:
    if number not in (errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EUSERS, errno.EINVAL):
        return KernelError(number, "make a user namespace")
    missing = f"this host gives no user namespace, not even to root ({os.strerror(number)})"
    remedy = "have them allowed (sysctl user.max_user_namespaces), or use userns='host'"
    return Unsupported("userns='auto'", missing, remedy)


def _hold(pid: int) -> NewUsers:
    flags = os.O_RDONLY | os.O_CLOEXEC
    try:
        users = os.open(f"/proc/{pid}/ns/user", flags)
    except OSError as error:
        raise KernelError(error.errno or errno.EIO, "hold a user namespace") from error
    try:
        return NewUsers(users, os.open(f"/proc/{pid}/ns/net", flags))
    except OSError as error:
        os.close(users)
        raise KernelError(error.errno or errno.EIO, "hold a network namespace") from error
