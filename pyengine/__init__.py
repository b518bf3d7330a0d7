"""A whole container engine as a Python library: no daemon, nothing left behind.

>>> import pyengine
>>> with pyengine.Engine() as engine:  # doctest: +SKIP
...     engine.run("host:", ["echo", "hi"]).stdout
'hi\\n'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyengine import ready as ready
    from pyengine.collection import ContainerCollection
    from pyengine.container import Container
    from pyengine.default import build, create, pull, run, start
    from pyengine.engine import Engine
    from pyengine.errors import (
        AlreadyExists,
        BuildFailed,
        ContainerNotFound,
        DigestMismatch,
        EngineClosed,
        EngineError,
        ExecutableNotFound,
        ForeignProcess,
        ImageNotFound,
        InUse,
        InvalidContent,
        InvalidRequest,
        KernelError,
        NetworkNotFound,
        NoSpace,
        NotExecutable,
        NotFound,
        NotPermitted,
        NotReady,
        OomKilled,
        PortInUse,
        ProgramFailed,
        RateLimited,
        RegistryError,
        RegistryUnavailable,
        StoreError,
        TimedOut,
        Unauthorized,
        Unsupported,
        VolumeNotFound,
        WrongState,
    )
    from pyengine.events import EventStream
    from pyengine.image import Image, ImageCollection, PruneReport
    from pyengine.lease import Lease
    from pyengine.model.capabilities import Capabilities, Feature
    from pyengine.model.change import Change, ChangeKind
    from pyengine.model.event import Event
    from pyengine.model.health import Health, HealthStatus, Probe
    from pyengine.model.images import (
        DiskUsage,
        HistoryLine,
        ImageInfo,
        ImageSummary,
        Removal,
        UsageTally,
    )
    from pyengine.model.info import ContainerInfo
    from pyengine.model.log import LogLine
    from pyengine.model.mounting import bind, image_mount, overlay, tmpfs, volume
    from pyengine.model.mounts import Mount, MountKind, Recursion
    from pyengine.model.printing import printable
    from pyengine.model.process_info import ProcessInfo, ProcessTable
    from pyengine.model.progress import ProgressEvent
    from pyengine.model.reference import Reference
    from pyengine.model.result import Result
    from pyengine.model.spec import Device, DeviceRule, HealthCheck, LogConfig, Throttle, Ulimit
    from pyengine.model.state import ContainerState, ExitStatus, Status
    from pyengine.model.stats import Stats
    from pyengine.model.system import EngineInfo, VersionInfo
    from pyengine.model.units import format_ago, format_size
    from pyengine.model.usage import Usage
    from pyengine.model.warning import LimitNotEnforced
    from pyengine.process import InputWriter, OutputChunk, Process
    from pyengine.store.check import Finding
    from pyengine.version import __version__

# Where each public name lives: it is imported when it is first asked for, so that importing the
# package costs next to nothing.
_ROOMS = {
    "pyengine.collection": "ContainerCollection",
    "pyengine.container": "Container",
    "pyengine.default": "build create pull run start",
    "pyengine.engine": "Engine",
    "pyengine.errors": (
        "AlreadyExists BuildFailed ContainerNotFound DigestMismatch EngineClosed EngineError "
        "ExecutableNotFound ForeignProcess ImageNotFound InUse InvalidContent InvalidRequest "
        "KernelError NetworkNotFound NoSpace NotExecutable NotFound NotPermitted NotReady "
        "OomKilled PortInUse ProgramFailed RateLimited RegistryError RegistryUnavailable "
        "StoreError TimedOut Unauthorized Unsupported VolumeNotFound WrongState"
    ),
    "pyengine.events": "EventStream",
    "pyengine.image": "Image ImageCollection PruneReport",
    "pyengine.lease": "Lease",
    "pyengine.model.capabilities": "Capabilities Feature",
    "pyengine.model.change": "Change ChangeKind",
    "pyengine.model.event": "Event",
    "pyengine.model.health": "Health HealthStatus Probe",
    "pyengine.model.images": ("DiskUsage HistoryLine ImageInfo ImageSummary Removal UsageTally"),
    "pyengine.model.info": "ContainerInfo",
    "pyengine.model.log": "LogLine",
    "pyengine.model.mounting": "bind image_mount overlay tmpfs volume",
    "pyengine.model.mounts": "Mount MountKind Recursion",
    "pyengine.model.process_info": "ProcessInfo ProcessTable",
    "pyengine.model.printing": "printable",
    "pyengine.model.progress": "ProgressEvent",
    "pyengine.model.reference": "Reference",
    "pyengine.model.result": "Result",
    "pyengine.model.spec": "Device DeviceRule HealthCheck LogConfig Throttle Ulimit",
    "pyengine.model.state": "ContainerState ExitStatus Status",
    "pyengine.model.stats": "Stats",
    "pyengine.model.system": "EngineInfo VersionInfo",
    "pyengine.model.units": "format_ago format_size",
    "pyengine.model.usage": "Usage",
    "pyengine.model.warning": "LimitNotEnforced",
    "pyengine.process": "InputWriter OutputChunk Process",
    "pyengine.store.check": "Finding",
    "pyengine.version": "__version__",
}
_HOMES = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = [
    "AlreadyExists",
    "BuildFailed",
    "Capabilities",
    "Change",
    "ChangeKind",
    "Container",
    "ContainerCollection",
    "ContainerInfo",
    "ContainerNotFound",
    "ContainerState",
    "Device",
    "DeviceRule",
    "DigestMismatch",
    "DiskUsage",
    "Engine",
    "EngineClosed",
    "EngineError",
    "EngineInfo",
    "Event",
    "EventStream",
    "ExecutableNotFound",
    "ExitStatus",
    "Feature",
    "Finding",
    "ForeignProcess",
    "Health",
    "HealthCheck",
    "HealthStatus",
    "HistoryLine",
    "Image",
    "ImageCollection",
    "ImageInfo",
    "ImageNotFound",
    "ImageSummary",
    "InUse",
    "InputWriter",
    "InvalidContent",
    "InvalidRequest",
    "KernelError",
    "Lease",
    "LimitNotEnforced",
    "LogConfig",
    "LogLine",
    "Mount",
    "MountKind",
    "NetworkNotFound",
    "NoSpace",
    "NotExecutable",
    "NotFound",
    "NotPermitted",
    "NotReady",
    "OomKilled",
    "OutputChunk",
    "PortInUse",
    "Probe",
    "Process",
    "ProcessInfo",
    "ProcessTable",
    "ProgramFailed",
    "ProgressEvent",
    "PruneReport",
    "RateLimited",
    "Recursion",
    "Reference",
    "RegistryError",
    "RegistryUnavailable",
    "Removal",
    "Result",
    "Stats",
    "Status",
    "StoreError",
    "Throttle",
    "TimedOut",
    "Ulimit",
    "Unauthorized",
    "Unsupported",
    "Usage",
    "UsageTally",
    "VersionInfo",
    "VolumeNotFound",
    "WrongState",
    "__version__",
    "bind",
    "build",
    "create",
    "format_ago",
    "format_size",
    "image_mount",
    "overlay",
    "printable",
    "pull",
    "run",
    "start",
    "tmpfs",
    "volume",
]


def __getattr__(name: str) -> Any:
    if name == "ready":
        import pyengine.ready as ready

        return ready
    room = _HOMES.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(room), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "ready"})
