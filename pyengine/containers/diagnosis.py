"""Why a host refuses something: the one cause behind an errno, and what to do about it."""

from __future__ import annotations

import errno
import os

from pyengine.linux.delegation import NOT_DELEGATED, REMEDY
from pyengine.linux.trial import HostLimits, Refusal

Cause = tuple[str, str]
"""Why, and a remedy."""

_UNFILTER = "start what we run in with a filter that allows it (--security-opt seccomp=unconfined)"
_NEEDED = {"mknod": "CAP_MKNOD"}
_MOUNTS = {"proc": "/proc", "sys": "/sys"}


def diagnose(feature: str, refusal: Refusal, host: HostLimits) -> Cause:
    """Why *host* refused what *feature* needs: the most particular cause that explains it."""
    number = refusal.number
    if refusal.missing:
        return refusal.missing, refusal.remedy
    if number == errno.ENOSYS:
        return _no_call(refusal, host)
    if feature == "userns":
        return _no_users(number, host)
    if number == errno.EROFS:
        return "its file system is read-only", "mount it read-write, or choose another root"
    if number in (errno.EPERM, errno.EACCES):
        return _forbidden(feature, refusal, host)
    if number == errno.ENODEV:
        return "this kernel lacks that file system", "load its module, or use another kernel"
    if number == errno.ENOSPC and "namespaces" in refusal.doing:
        return "there are too many namespaces", "raise the sysctls user.max_*_namespaces"
    return f"could not {refusal.doing}: {os.strerror(number)}", "ask the kernel's log (dmesg)"


def _no_call(refusal: Refusal, host: HostLimits) -> Cause:
    if host.filtered:
        what = refusal.doing or "a system call"
        return f"a seccomp filter answers that there is no such call ({what})", _UNFILTER
    return "this kernel is too old for it", "use Linux 5.10 or newer"


def _no_users(number: int, host: HostLimits) -> Cause:
    """What stands between a process and a user namespace, in the order in which one is met."""
    if host.most_users is None:
        return "this kernel has no user namespaces", "use one with CONFIG_USER_NS"
    if host.most_users == 0:
        why = "user.max_user_namespaces is 0"
        return why, "raise it (sysctl -w user.max_user_namespaces=10000)"
    if number in (errno.ENOSPC, errno.EUSERS):
        why = f"there are as many user namespaces as may be ({host.most_users}), or too deep a nest"
        return why, "raise the sysctl user.max_user_namespaces"
    if not host.clone_allowed and host.user != 0:
        why = "kernel.unprivileged_userns_clone is 0"
        return why, "set it (sysctl -w kernel.unprivileged_userns_clone=1)"
    if host.apparmor and host.user != 0:
        why = "AppArmor restricts user namespaces"
        remedy = "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or a profile for us"
        return why, remedy
    if host.in_chroot:
        return "this process is in a chroot", "use pivot_root, or run outside of it"
    if host.filtered:
        return "a seccomp filter forbids user namespaces", _UNFILTER
    return "a security module forbids user namespaces", "ask its log (dmesg), and allow them"


def _forbidden(feature: str, refusal: Refusal, host: HostLimits) -> Cause:
    if host.user != 0:
        return _forbidden_to_users(feature, host)
    needed = _NEEDED.get(feature, "CAP_SYS_ADMIN")
    if needed not in host.capabilities:
        remedy = f"give it to what we run in (--cap-add {needed.removeprefix('CAP_')})"
        return f"this process is root, but lacks {needed}", remedy
    if host.filtered:
        return f"a seccomp filter forbids it ({refusal.doing})", _UNFILTER
    return f"a security module forbids it ({refusal.doing})", "ask its log (dmesg), and allow it"


def _forbidden_to_users(feature: str, host: HostLimits) -> Cause:
    if feature == "mknod":
        return "only root of the host makes devices", "bind those of the host that you may use"
    if tree := _MOUNTS.get(feature):
        covers = [path for path in host.covers if path.startswith(tree)]
        if covers or tree in host.readonly:
            shown = ", ".join(covers[:3]) or "all of it, read-only"
            remedy = "start what we run in with --security-opt systempaths=unconfined"
            return f"parts of the {tree} here are covered ({shown})", remedy
    if host.apparmor:
        why = "AppArmor lets user namespaces be made, and nothing be done in them"
        return why, "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or a profile for us"
    if host.filtered:
        return "a seccomp filter forbids it", _UNFILTER
    return "a security module forbids it", "ask its log (dmesg), and allow it"


def diagnose_limit(
    controller: str, number: int, host: HostLimits, given: Cause | None = None
) -> Cause:
    """Why the cgroup *controller* cannot limit a container; *number* is 0 where it is not there.

    *given* is what is wrong with the part of the tree that is ours.
    """
    readonly = [path for path in host.readonly if path.startswith("/sys")]
    if number in (errno.EROFS, 0) and readonly:
        remedy = "mount it read-write (docker run --privileged, or a volume of /sys/fs/cgroup)"
        return f"the cgroups are mounted read-only ({readonly[0]})", remedy
    if number == 0 and given is not None:
        return given
    if number == 0 and host.user == 0:
        why = f"the cgroups here have no {controller} controller"
        return why, "enable it (cgroup.subtree_control above us, or the kernel's command line)"
    if host.user != 0:
        return NOT_DELEGATED, REMEDY
    return f"the cgroups refuse it: {os.strerror(number)}", "run where they may be written"
