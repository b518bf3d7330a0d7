"""Making a user namespace that no process is in yet, with a network that belongs to it."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from struct import pack

from attrs import frozen

from pyengine.errors import EngineError, KernelError, Unsupported
from pyengine.linux import native
from pyengine.linux.native_joiner import Joiner
from pyengine.linux.plan import NEWNET, NEWUSER
from pyengine.linux.userns import write_map
from pyengine.model.ids import IdMaps, text_of

_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1


@frozen
class NewUsers:
    """Both by an fd, the caller's to close; *network* has its loopback up."""

    users: int
    network: int

    def close(self) -> None:
        """Let go of both."""
        os.close(self.users)
        os.close(self.network)


def make_users(joiner: Joiner, ids: IdMaps) -> NewUsers:
    """A user namespace in which *ids* are mapped, for root to put a child of *joiner* into.

    A child that never gets a plan makes them, and is gone when they are held. Raises
    `Unsupported` where the host allows no user namespaces, and `KernelError`.
    """
    child = joiner.conceive(cgroup=-1, unshare=NEWUSER | NEWNET)
    try:
        if not native.hear_birth(child):
            failure = native.hear(child)
            raise _refused(failure.errno if failure is not None else errno.EPIPE)
        write_map(child.pid, "uid_map", text_of(ids.users))
        write_map(child.pid, "gid_map", text_of(ids.groups))
        _bring_loopback_up(child.pidfd)
        return _hold(child.pid)
    finally:
        native.end(child)


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


def _bring_loopback_up(pidfd: int) -> None:
    """From outside, by a socket that stays in the network namespace it was made in."""
    fd = native.socket_beside(pidfd, socket.AF_INET)
    try:
        fcntl.ioctl(fd, _SIOCSIFFLAGS, pack("=16sh14x", b"lo", _IFF_UP))
    except OSError as error:
        raise KernelError(error.errno or errno.EIO, "bring a loopback up") from error
    finally:
        os.close(fd)
