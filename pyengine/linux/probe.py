"""What this host is and has, as far as a container's defaults depend on it."""

from __future__ import annotations

import os
from functools import cache

from pyengine.linux import cgroup_files as files


@cache
def machine() -> os.uname_result:
    """uname(2), asked once."""
    return os.uname()


@cache
def thermal_paths() -> tuple[str, ...]:
    """The directories that tell how hot each processor is; Docker masks them (row C58)."""
    found = []
    try:
        names = os.listdir("/sys/devices/system/cpu")
    except OSError:
        return ()
    for name in sorted(names):
        path = f"/sys/devices/system/cpu/{name}/thermal_throttle"
        if name[:3] == "cpu" and name[3:].isdigit() and os.path.isdir(path):
            found.append(path)
    return tuple(found)


@cache
def security_modules() -> tuple[str, ...]:
    """Those of ``apparmor`` and ``selinux`` that confine programs on this host."""
    found = []
    if (files.read_or_none("/sys/module/apparmor/parameters/enabled") or b"").startswith(b"Y"):
        found.append("apparmor")
    if os.path.exists("/sys/fs/selinux/enforce"):
        found.append("selinux")
    return tuple(found)


@cache
def allowed() -> tuple[str, str]:
    """The processors and the memory nodes that this process may use, such as ``0-3``."""
    status = files.read_or_none("/proc/self/status") or b""
    found = {}
    for line in status.split(b"\n"):
        key, _, value = line.partition(b":")
        found[key] = value.strip().decode()
    return found.get(b"Cpus_allowed_list", ""), found.get(b"Mems_allowed_list", "")


@cache
def has_time_namespaces() -> bool:
    """Whether the kernel knows them (Linux 5.6)."""
    return os.path.exists("/proc/self/ns/time")


@cache
def has_kcore() -> bool:
    """Whether the kernel shows its memory as a file, to which /dev/core then leads (row C72)."""
    return os.path.exists("/proc/kcore")


@cache
def operating_system() -> str:
    """What the host calls itself: PRETTY_NAME of os-release(5)."""
    for path in ("/usr/lib/os-release", os.path.realpath("/etc/os-release")):
        for line in (files.read_or_none(path) or b"").decode("utf-8", "replace").split("\n"):
            if line.startswith("PRETTY_NAME="):
                return line.partition("=")[2].strip().strip("\"'")
    return "Linux"
