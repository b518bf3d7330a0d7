"""Trying in a child what a container will need, and what of this host can refuse it."""

from __future__ import annotations

import errno
import os

from attrs import frozen

from pyengine.errors import EngineError, KernelError
from pyengine.linux import cgroup_files as files
from pyengine.linux import native
from pyengine.linux.capabilities import names_of
from pyengine.linux.native_joiner import Joiner, instruct
from pyengine.linux.plan import Plan, Step

_HARMLESS = frozenset(
    (
        *("autofs", "binfmt_misc", "bpf", "configfs", "debugfs", "efivarfs", "fusectl"),
        *("pstore", "securityfs", "selinuxfs", "tracefs"),
    )
)
"""What every system mounts below /proc and /sys, on directories that are there for it."""

_NO_PROGRAM = ("/nonexistent-program-of-a-trial",)


@frozen
class Refusal:
    """What went wrong: *doing* it, with an errno; of an error that knows more, its *missing*."""

    doing: str
    number: int
    missing: str = ""
    remedy: str = ""


def attempt(joiner: Joiner, steps: tuple[Step, ...], unshare: int = 0) -> Refusal | None:
    """Have a child of *joiner* walk *steps*: why it could not, or `None`.

    Its program does not exist: to be told so is to have walked them all.
    """
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        child = joiner.conceive(cgroup=-1, unshare=unshare)
        try:
            instruct(child, Plan(_NO_PROGRAM, (), steps, unshare=unshare), (null, null, null))
        except BaseException:
            native.end(child)
            raise
        failure = native.hear(child)
        native.bury(child)
    except EngineError as error:
        return refusal_of(error)
    finally:
        os.close(null)
    if failure is None or (failure.step is None and failure.errno == errno.ENOENT):
        return None
    return Refusal("" if failure.step is None else str(failure.step), failure.errno)


def refusal_of(error: EngineError) -> Refusal:
    """What an error of the kernel's, or of ours, says."""
    if isinstance(error, KernelError):
        return Refusal(error.doing, error.errno or 0)
    missing, remedy = getattr(error, "missing", str(error)), getattr(error, "remedy", "")
    return Refusal("", 0, missing, remedy)


@frozen
class HostLimits:
    """What of a host refuses things: see `host_limits`.

    *filtered*: a seccomp filter judges this process's system calls. *most_users* is how many
    user namespaces there may be, `None` where the kernel has none. *covers* are mounts below
    /proc and /sys that hide something of them; a kernel gives no fresh one to who sees less.
    """

    user: int = 0
    capabilities: frozenset[str] = frozenset()
    filtered: bool = False
    most_users: int | None = None
    clone_allowed: bool = True
    apparmor: bool = False
    in_chroot: bool = False
    covers: tuple[str, ...] = ()
    readonly: tuple[str, ...] = ()


def host_limits() -> HostLimits:
    """What there is on this host that may refuse a container something."""
    status = _status()
    mountinfo = (files.read_or_none("/proc/self/mountinfo") or b"").decode()
    covers, readonly = covered(mountinfo)
    most = _number("/proc/sys/user/max_user_namespaces")
    return HostLimits(
        user=os.geteuid(),
        capabilities=frozenset(names_of(int(status.get("CapEff", "0"), 16))),
        filtered=status.get("Seccomp", "0") != "0",
        most_users=most,
        clone_allowed=_number("/proc/sys/kernel/unprivileged_userns_clone") != 0,
        apparmor=_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1,
        in_chroot=_has_no_root(mountinfo),
        covers=covers,
        readonly=readonly,
    )


def _has_no_root(mountinfo: str) -> bool:
    """Whether "/" is no mount: of all mounts the kernel shows those below our root (proc(5)).

    >>> _has_no_root("2 1 0:2 / /proc rw - proc p rw\\n")
    True
    """
    return bool(mountinfo) and all(line.split(" ")[4] != "/" for line in mountinfo.splitlines())


def covered(mountinfo: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What lies over parts of /proc and /sys, and which of the kernel's trees are read-only.

    >>> covered("1 0 0:1 / /proc rw - proc p rw\\n2 1 0:2 / /proc/kcore rw - tmpfs t rw\\n")
    (('/proc/kcore',), ())
    """
    covers, readonly = [], []
    for line in mountinfo.splitlines():
        words = line.split(" ")
        point, options, kind = words[4], words[5].split(","), line.partition(" - ")[2].split(" ")[0]
        above = "/" + point.split("/")[1]
        if point == above or above not in ("/proc", "/sys"):
            if point in ("/proc", "/sys") and "ro" in options:
                readonly.append(point)
        elif kind in ("cgroup", "cgroup2"):
            if "ro" in options:
                readonly.append(point)
        elif kind not in _HARMLESS and not point.startswith("/sys/fs/cgroup"):
            covers.append(point)
    return tuple(covers), tuple(readonly)


def _status() -> dict[str, str]:
    text = (files.read_or_none("/proc/self/status") or b"").decode(errors="replace")
    pairs = (line.partition(":")[::2] for line in text.splitlines())
    return {name: value.strip() for name, value in pairs}


def _number(path: str) -> int | None:
    text = files.read_or_none(path)
    return int(text) if text is not None and text.strip().isdigit() else None
