"""Of all that could refuse something, the one that did is named."""

from __future__ import annotations

import errno

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from pyengine.containers.diagnosis import diagnose, diagnose_limit
from pyengine.errors import InvalidRequest, KernelError, Unsupported
from pyengine.linux.trial import HostLimits, Refusal, covered, refusal_of
from pyengine.model.capabilities import Capabilities, Feature

ROOT = HostLimits(user=0, capabilities=frozenset(("CAP_SYS_ADMIN", "CAP_MKNOD")), most_users=9999)
USER = HostLimits(user=1000, most_users=9999)
EPERM, ENOSYS, ENOSPC, EROFS = errno.EPERM, errno.ENOSYS, errno.ENOSPC, errno.EROFS


@pytest.mark.parametrize(
    ("feature", "number", "host", "why", "remedy"),
    [
        ("userns", ENOSPC, evolve(USER, most_users=0), "max_user_namespaces is 0", "sysctl -w"),
        ("userns", EPERM, evolve(USER, most_users=0), "max_user_namespaces is 0", "sysctl -w"),
        ("userns", ENOSPC, USER, "as many user namespaces", "max_user_namespaces"),
        ("userns", errno.EINVAL, evolve(USER, most_users=None), "no user namespaces", "USER_NS"),
        ("userns", EPERM, evolve(USER, clone_allowed=False), "unprivileged_userns_clone", "=1"),
        ("userns", EPERM, evolve(USER, apparmor=True), "AppArmor", "apparmor_restrict"),
        ("userns", EPERM, evolve(USER, in_chroot=True), "chroot", "outside"),
        ("userns", EPERM, evolve(USER, filtered=True), "seccomp filter", "seccomp=unconfined"),
        ("userns", EPERM, USER, "security module", "dmesg"),
        ("pid", ENOSYS, evolve(USER, filtered=True), "seccomp filter", "seccomp=unconfined"),
        ("pid", ENOSYS, USER, "too old", "newer"),
        ("mount", EPERM, evolve(ROOT, capabilities=frozenset()), "CAP_SYS_ADMIN", "--cap-add"),
        ("mknod", EPERM, evolve(ROOT, capabilities=frozenset()), "CAP_MKNOD", "--cap-add MKNOD"),
        ("mount", EPERM, evolve(ROOT, filtered=True), "seccomp filter", "seccomp=unconfined"),
        ("mount", EPERM, ROOT, "security module", "dmesg"),
        ("proc", EPERM, evolve(USER, covers=("/proc/kcore",)), "/proc/kcore", "systempaths"),
        ("proc", EPERM, evolve(USER, readonly=("/proc",)), "read-only", "systempaths"),
        ("sys", EPERM, evolve(USER, covers=("/sys/firmware",)), "/sys/firmware", "systempaths"),
        ("mount", EPERM, evolve(USER, apparmor=True), "AppArmor", "apparmor_restrict"),
        ("mknod", EPERM, USER, "only root of the host", "bind"),
        ("mqueue", errno.ENODEV, ROOT, "lacks that file system", "module"),
        ("overlay", EROFS, ROOT, "read-only", "another root"),
        ("overlay", errno.EINVAL, ROOT, "could not do it: Invalid argument", "dmesg"),
    ],
)
def test_the_cause_is_named(feature, number, host, why, remedy):
    told = diagnose(feature, Refusal("do it", number), host)
    assert why in told[0]
    assert remedy in told[1]


@pytest.mark.parametrize(
    ("number", "host", "why"),
    [
        (EROFS, evolve(ROOT, readonly=("/sys/fs/cgroup/memory",)), "read-only"),
        (0, evolve(ROOT, readonly=("/sys/fs/cgroup",)), "read-only"),
        (0, evolve(USER, readonly=("/sys/fs/cgroup",)), "read-only"),
        (0, ROOT, "no memory controller"),
        (0, USER, "delegated"),
        (errno.EACCES, USER, "delegated"),
        (errno.EACCES, ROOT, "Permission denied"),
    ],
)
def test_the_cause_of_a_limit_that_cannot_be_is_named(number, host, why):
    told = diagnose_limit("memory", number, host)
    assert why in told[0]
    assert told[1]


hosts = st.builds(
    HostLimits,
    user=st.sampled_from((0, 1000)),
    capabilities=st.sampled_from((frozenset(), frozenset(("CAP_SYS_ADMIN",)))),
    filtered=st.booleans(),
    most_users=st.sampled_from((None, 0, 100)),
    clone_allowed=st.booleans(),
    apparmor=st.booleans(),
    in_chroot=st.booleans(),
    covers=st.sampled_from(((), ("/proc/acpi",))),
)
features = st.sampled_from(("userns", "pid", "mount", "proc", "sys", "mknod", "overlay"))


@given(features, st.sampled_from(sorted(errno.errorcode)), hosts)
def test_there_is_always_a_cause_and_a_remedy(feature, number, host):
    why, remedy = diagnose(feature, Refusal("make namespaces", number), host)
    assert why
    assert remedy
    assert not why.endswith(".")


def test_what_an_error_of_ours_knows_is_kept():
    ours = Unsupported("userns", "it is Tuesday", "wait")
    assert diagnose("mount", refusal_of(ours), ROOT) == ("it is Tuesday", "wait")
    assert refusal_of(KernelError(1, "mount proc")) == Refusal("mount proc", 1)


_DOCKER = """\
1 0 0:1 / / rw - overlay o rw
2 1 0:2 / /proc rw,nosuid - proc proc rw
3 2 0:2 /bus /proc/bus ro,nosuid - proc proc rw
4 2 0:3 / /proc/acpi ro - tmpfs tmpfs ro
5 1 0:4 / /sys ro,nosuid - sysfs sysfs ro
6 5 0:5 / /sys/fs/cgroup ro - cgroup2 cgroup rw
7 5 0:6 / /sys/firmware ro - tmpfs tmpfs ro
"""
_PLAIN = """\
2 1 0:2 / /proc rw - proc proc rw
3 2 0:3 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw
4 1 0:4 / /sys rw - sysfs sysfs rw
5 4 0:5 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw
6 4 0:6 / /sys/kernel/debug rw - debugfs debugfs rw
"""


def test_what_covers_the_kernel_s_trees_is_found():
    assert covered(_PLAIN) == ((), ())
    covers, readonly = covered(_DOCKER)
    assert covers == ("/proc/bus", "/proc/acpi", "/sys/firmware")
    assert readonly == ("/sys", "/sys/fs/cgroup")


def test_capabilities_are_asked_by_name():
    found = Capabilities("root", (Feature("pid", "", True), Feature("io", "", False, "w", "r")))
    assert "pid" in found
    assert "io" not in found
    assert [one.name for one in found.missing] == ["io"]
    assert found["io"].why == "w"
    with pytest.raises(InvalidRequest, match="io, pid"):
        found["nonesuch"]
    assert found.to_dict()["features"][1]["remedy"] == "r"
