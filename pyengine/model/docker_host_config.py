"""The part of Docker's message about a container that tells of the host: limits, rights, mounts."""

from __future__ import annotations

from typing import Any

from pyengine.model.mounts import Mount, MountKind, Recursion
from pyengine.model.spec import ContainerSpec, Resources, Security, Throttle

DEFAULT_CAPABILITIES = frozenset(
    f"CAP_{word}"
    for word in (
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
        *("NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    )
)
"""What a container has that asked for nothing: what it has beyond them was added (row C51)."""


def host_config(spec: ContainerSpec) -> dict[str, Any]:
    """The object that Docker calls ``HostConfig``."""
    names = spec.namespaces
    return {
        "Binds": [_bind(mount) for mount in spec.mounts if _is_short(mount)] or None,
        "ContainerIDFile": "",
        "LogConfig": {"Type": spec.log.driver, "Config": dict(spec.log.options)},
        "NetworkMode": names.network,
        "PortBindings": {},
        "RestartPolicy": {"Name": spec.restart, "MaximumRetryCount": spec.restart_retries},
        "AutoRemove": spec.auto_remove,
        "VolumeDriver": "",
        "VolumesFrom": None,
        "ConsoleSize": list(spec.console_size),
        "Annotations": dict(spec.annotations) or None,
        **_capabilities(spec.security),
        "CgroupnsMode": names.cgroup,
        "Dns": list(spec.dns),
        "DnsOptions": list(spec.dns_options),
        "DnsSearch": list(spec.dns_search),
        "ExtraHosts": list(spec.extra_hosts) or None,
        "GroupAdd": list(spec.group_add) or None,
        "IpcMode": names.ipc,
        "Cgroup": "",
        "Links": None,
        "OomScoreAdj": spec.oom_score_adj,
        "PidMode": _unless_private(names.pid),
        "Privileged": spec.security.privileged,
        "PublishAllPorts": False,
        "ReadonlyRootfs": spec.security.read_only,
        "SecurityOpt": _security_opt(spec.security) or None,
        "StorageOpt": None if spec.storage_size is None else {"size": str(spec.storage_size)},
        "Tmpfs": _tmpfs(spec.mounts) or None,
        "UTSMode": _unless_private(names.uts),
        "UsernsMode": spec.security.userns,
        "ShmSize": spec.shm_size,
        "Sysctls": dict(spec.security.sysctls) or None,
        "Runtime": "pyengine",
        "Isolation": "",
        "Mounts": [_long(mount) for mount in spec.mounts if _is_long(mount)] or None,
        **_resources(spec.resources),
        "CgroupParent": spec.cgroup_parent,
        "Ulimits": [
            {"Name": limit.name, "Hard": limit.hard, "Soft": limit.soft} for limit in spec.ulimits
        ],
        "Init": True if spec.init else None,
        **_devices(spec.security),
        "MaskedPaths": list(spec.security.masked_paths),
        "ReadonlyPaths": list(spec.security.readonly_paths),
    }


def mount_points(mounts: tuple[Mount, ...]) -> list[dict[str, Any]]:
    """The list that Docker calls ``Mounts``: a file system in memory is none of them."""
    return [
        {
            "Type": mount.kind.value,
            "Source": mount.source,
            "Destination": mount.target,
            "Mode": "ro" if mount.read_only else "",
            "RW": not mount.read_only,
            "Propagation": mount.propagation if mount.kind is MountKind.BIND else "",
        }
        for mount in mounts
        if mount.kind is not MountKind.TMPFS
    ]


def _unless_private(mode: str) -> str:
    return "" if mode == "private" else mode


def _is_short(mount: Mount) -> bool:
    """Whether it was asked for as ``-v`` does: only that makes a missing source."""
    return mount.kind is MountKind.BIND and mount.create_source


def _is_long(mount: Mount) -> bool:
    return mount.kind is not MountKind.TMPFS and not _is_short(mount)


def _bind(mount: Mount) -> str:
    words = ["ro"] if mount.read_only else []
    words += [mount.propagation] if mount.propagation != "rprivate" else []
    return ":".join((mount.source, mount.target, *([",".join(words)] if words else [])))


def _long(mount: Mount) -> dict[str, Any]:
    found: dict[str, Any] = {
        "Type": mount.kind.value,
        "Source": mount.source,
        "Target": mount.target,
        "ReadOnly": mount.read_only,
    }
    if mount.kind is MountKind.BIND:
        options: dict[str, Any] = {"Propagation": mount.propagation}
        if mount.recursive is Recursion.DISABLED:
            options["NonRecursive"] = True
        elif mount.recursive is Recursion.WRITABLE:
            options["ReadOnlyNonRecursive"] = True
        elif mount.recursive is Recursion.READONLY:
            options["ReadOnlyForceRecursive"] = True
        found["BindOptions"] = options
    return found


def _tmpfs(mounts: tuple[Mount, ...]) -> dict[str, str]:
    return {
        mount.target: ",".join((*(["ro"] if mount.read_only else []), *mount.options))
        for mount in mounts
        if mount.kind is MountKind.TMPFS
    }


def _capabilities(security: Security) -> dict[str, Any]:
    if security.privileged:  # it has all there are, and asked for none of them
        return {"CapAdd": None, "CapDrop": None}
    held = frozenset(security.capabilities)
    return {
        "CapAdd": sorted(held - DEFAULT_CAPABILITIES) or None,
        "CapDrop": sorted(DEFAULT_CAPABILITIES - held) or None,
    }


def _security_opt(security: Security) -> list[str]:
    found = []
    if security.no_new_privileges:
        found.append("no-new-privileges")
    if security.seccomp is None:
        if not security.privileged:
            found.append("seccomp=unconfined")
    elif security.seccomp != "default":
        found.append(f"seccomp={security.seccomp}")
    if security.writable_cgroups and not security.privileged:
        found.append("writable-cgroups=true")
    return found


def _devices(security: Security) -> dict[str, Any]:
    rules = [
        f"{rule.kind} {_number(rule.major)}:{_number(rule.minor)} {rule.access}"
        for rule in security.device_rules
    ]
    devices = [
        {
            "PathOnHost": device.host,
            "PathInContainer": device.target,
            "CgroupPermissions": device.access,
        }
        for device in security.devices
    ]
    return {"Devices": devices, "DeviceCgroupRules": rules or None, "DeviceRequests": None}


def _number(number: int | None) -> str:
    return "*" if number is None else str(number)


def _resources(amounts: Resources) -> dict[str, Any]:
    swap = amounts.memory_swap
    if swap is None and amounts.memory is not None:
        swap = 2 * amounts.memory  # as much swap as memory (row C31)
    return {
        "CpuShares": amounts.cpu_shares or 0,
        "Memory": amounts.memory or 0,
        "NanoCpus": amounts.nano_cpus or 0,
        "BlkioWeight": amounts.blkio_weight or 0,
        "BlkioWeightDevice": _throttles(amounts.blkio_weight_device, "Weight"),
        "BlkioDeviceReadBps": _throttles(amounts.device_read_bps),
        "BlkioDeviceWriteBps": _throttles(amounts.device_write_bps),
        "BlkioDeviceReadIOps": _throttles(amounts.device_read_iops),
        "BlkioDeviceWriteIOps": _throttles(amounts.device_write_iops),
        "CpuPeriod": amounts.cpu_period or 0,
        "CpuQuota": amounts.cpu_quota or 0,
        "CpuRealtimePeriod": amounts.cpu_rt_period or 0,
        "CpuRealtimeRuntime": amounts.cpu_rt_runtime or 0,
        "CpusetCpus": amounts.cpuset_cpus,
        "CpusetMems": amounts.cpuset_mems,
        "MemoryReservation": amounts.memory_reservation or 0,
        "MemorySwap": swap or 0,
        "MemorySwappiness": amounts.memory_swappiness,
        "OomKillDisable": amounts.oom_kill_disable,
        "PidsLimit": amounts.pids,
    }


def _throttles(throttles: tuple[Throttle, ...], unit: str = "Rate") -> list[dict[str, Any]]:
    return [{"Path": one.device, unit: one.rate} for one in throttles]
