"""What an OCI runtime is told to make the container that Docker makes by default."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pyengine.containers.spec import MASKED_PATHS, READONLY_PATHS
from pyengine.linux.capabilities import DEFAULT
from pyengine.model.spec import DEFAULT_PATH

_QUIET = ("nosuid", "noexec", "nodev")
_NAMESPACES = ("pid", "network", "ipc", "uts", "mount", "cgroup")
PIDS_LIMIT = 4096

# The words of Docker's profile for what uname(2) says.
_WORDS = {"x86_64": "amd64", "aarch64": "arm64"}
_ARCHITECTURES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}


def kernel_version(release: str) -> tuple[int, int]:
    """The first two numbers of a kernel's *release*.

    >>> kernel_version("6.18.44-fc")
    (6, 18)
    """
    major, minor = release.split(".")[:2]
    return int(major), int(minor)


def _applies(rule: Mapping[str, Any], capabilities: Sequence[str], word: str, release: str) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    kernel = includes.get("minKernel")
    if kernel and kernel_version(release) < kernel_version(kernel):
        return False
    if includes.get("arches") and word not in includes["arches"]:
        return False
    if any(name not in capabilities for name in includes.get("caps", ())):
        return False
    if word in excludes.get("arches", ()):
        return False
    return not any(name in capabilities for name in excludes.get("caps", ()))


def _is_wide(rule: Mapping[str, Any]) -> bool:
    """Whether it looks at bits that a 32-bit program has not: libseccomp cannot be told so."""
    return any(condition["value"] >= 1 << 32 for condition in rule.get("args", ()))


def oci_seccomp(
    profile: Mapping[str, Any], capabilities: Sequence[str], machine: str, release: str
) -> dict[str, Any]:
    """Docker's *profile* as an OCI runtime wants it: without the rules that do not apply here."""
    architecture = _ARCHITECTURES[machine]
    others = [
        entry["subArchitectures"] or []
        for entry in profile["archMap"]
        if entry["architecture"] == architecture
    ]
    rules = []
    for rule in profile["syscalls"]:
        if _applies(rule, capabilities, _WORDS[machine], release) and not _is_wide(rule):
            kept = ("names", "action", "errnoRet", "args")
            rules.append({key: rule[key] for key in kept if key in rule})
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile["defaultErrnoRet"],
        "architectures": [architecture, *(name for some in others for name in some)],
        "syscalls": rules,
    }


def _mount(target: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": source, "options": list(options)}


def _mounts(files: str) -> list[dict[str, Any]]:
    """Docker's, with three files of the directory *files*."""
    ours = ("rbind", "rprivate")
    return [
        _mount("/proc", "proc", "proc", *_QUIET),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount(
            *("/dev/pts", "devpts", "devpts", "nosuid", "noexec"),
            *("newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        ),
        _mount("/sys", "sysfs", "sysfs", *_QUIET, "ro"),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro", *_QUIET),
        _mount("/dev/mqueue", "mqueue", "mqueue", *_QUIET),
        _mount("/dev/shm", "tmpfs", "shm", *_QUIET, "mode=1777", "size=67108864"),
        *(
            _mount(f"/etc/{name}", "bind", f"{files}/{name}", *ours)
            for name in ("hosts", "hostname", "resolv.conf")
        ),
    ]


def _devices() -> list[dict[str, Any]]:
    """Refuse all, then allow Docker's."""
    used = ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, None))
    rules: list[dict[str, Any]] = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "access": "m"},
        {"allow": True, "type": "b", "access": "m"},
    ]
    for major, minor in used:
        rule = {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"}
        rules.append({key: value for key, value in rule.items() if value is not None})
    return rules


def config(
    argv: Sequence[str], rootfs: str, files: str, cgroup: str, seccomp: Mapping[str, Any]
) -> dict[str, Any]:
    """The ``config.json`` of one container that runs *argv* in *rootfs*."""
    capabilities = list(DEFAULT)
    return {
        "ociVersion": "1.0.2",
        "hostname": "benchmark",
        "root": {"path": rootfs},
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": list(argv),
            "env": [f"PATH={DEFAULT_PATH}", "HOSTNAME=benchmark", "HOME=/root"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
            },
        },
        "mounts": _mounts(files),
        "linux": {
            "namespaces": [{"type": kind} for kind in _NAMESPACES],
            "cgroupsPath": cgroup,
            "resources": {"devices": _devices(), "pids": {"limit": PIDS_LIMIT}},
            "maskedPaths": list(MASKED_PATHS),
            "readonlyPaths": list(READONLY_PATHS),
            "seccomp": dict(seccomp),
        },
    }


def without_root(spec: dict[str, Any], user: int) -> dict[str, Any]:
    """*spec* for *user*, who has one id, no cgroups, and a user namespace for each container."""
    found: dict[str, Any] = json.loads(json.dumps(spec))
    linux = found["linux"]
    linux["namespaces"].append({"type": "user"})
    for ids in ("uidMappings", "gidMappings"):
        linux[ids] = [{"containerID": 0, "hostID": user, "size": 1}]
    del linux["cgroupsPath"], linux["resources"]
    found["process"]["user"].pop("additionalGids", None)
    for mount in found["mounts"]:
        mount["options"] = [word for word in mount.get("options", ()) if word != "gid=5"]
    return found
