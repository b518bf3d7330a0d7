"""What to tell who asks about the engine, its host, and what can be done here."""

from __future__ import annotations

import hashlib
import os
import platform
import time

from pyengine.containers.host import host_facts
from pyengine.containers.house import House
from pyengine.containers.looking import all_infos
from pyengine.errors import StoreError
from pyengine.linux import probe
from pyengine.model.architectures import architecture_of
from pyengine.model.state import Status
from pyengine.model.system import EngineInfo, VersionInfo

_SECURITY = ("name=seccomp,profile=builtin", "name=cgroupns")


def version_info() -> VersionInfo:
    """Versions, with nothing of this engine looked at."""
    from pyengine.version import __version__

    machine = probe.machine()
    architecture = architecture_of(machine.machine)
    return VersionInfo(__version__, machine.release, architecture, platform.python_version())


def engine_info(house: House) -> EngineInfo:
    """The engine with its containers counted, and its host."""
    unreadable: list[StoreError] = []
    statuses = [info.status for info in all_infos(house, unreadable=unreadable)]
    facts, cgroups = host_facts(), house.hierarchy.describe()
    running, paused = statuses.count(Status.RUNNING), statuses.count(Status.PAUSED)
    return EngineInfo(
        id=_engine_id(house.layout.root),
        root=house.layout.root,
        version=version_info().version,
        containers=len(statuses),
        running=running,
        paused=paused,
        stopped=len(statuses) - running - paused,
        cpus=facts.cpus,
        memory=facts.memory,
        kernel=probe.machine().release,
        operating_system=probe.operating_system(),
        architecture=facts.architecture,
        hostname=facts.hostname,
        cgroup_version=cgroups.version,
        cgroup_driver=cgroups.driver,
        controllers=cgroups.controllers,
        security=(*_SECURITY, *(("name=rootless",) if os.geteuid() != 0 else ())),
        rootless=os.geteuid() != 0,
        warnings=(
            *_warnings(cgroups.controllers, house.events.trouble),
            *(f"WARNING: A container cannot be read: {error}" for error in unreadable),
        ),
        time=time.time(),
    )


def _engine_id(root: str) -> str:
    """The same for one root on one machine; nothing of the machine can be read from it."""
    try:
        with open("/etc/machine-id", "rb") as file:
            machine = file.read(64)
    except OSError:
        machine = probe.machine().nodename.encode()
    return hashlib.sha256(b"pyengine\0" + machine + os.fsencode(root)).hexdigest()[:32]


def _warnings(controllers: tuple[str, ...], lost_events: str) -> tuple[str, ...]:
    lacking = [name for name in ("memory", "cpu", "cpuset", "pids") if name not in controllers]
    warnings = [f"WARNING: No {name} limit support" for name in lacking]
    if lost_events:
        warnings.append(f"WARNING: Events were lost for others: {lost_events}")
    return tuple(warnings)
