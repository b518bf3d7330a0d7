"""What an engine says of itself and its host."""

from __future__ import annotations

from datetime import UTC

from attrs import frozen

API_VERSION = "1.56"
MIN_API_VERSION = "1.44"


@frozen
class VersionInfo:
    """The versions of the engine and what it stands on."""

    version: str
    kernel: str
    architecture: str
    python: str

    def to_docker(self) -> dict[str, object]:
        """The message of Docker's ``/version`` (row O42)."""
        details = {"KernelVersion": self.kernel, "Os": "linux", "Arch": self.architecture}
        return {
            "Platform": {"Name": "pyengine"},
            "Components": [
                {
                    "Name": "Engine",
                    "Version": self.version,
                    "Details": {
                        **details,
                        "ApiVersion": API_VERSION,
                        "MinAPIVersion": MIN_API_VERSION,
                        "PythonVersion": self.python,
                    },
                }
            ],
            "Version": self.version,
            "ApiVersion": API_VERSION,
            "MinAPIVersion": MIN_API_VERSION,
            "GitCommit": "",
            "GoVersion": "",
            **details,
            "BuildTime": "",
        }


@frozen
class EngineInfo:
    """An engine and its host: *memory* in bytes; *security* such as ``name=seccomp``."""

    id: str
    root: str
    version: str
    containers: int
    running: int
    paused: int
    stopped: int
    cpus: int
    memory: int
    kernel: str
    operating_system: str
    architecture: str
    hostname: str
    cgroup_version: str
    cgroup_driver: str
    controllers: tuple[str, ...]
    security: tuple[str, ...]
    rootless: bool
    warnings: tuple[str, ...] = ()
    time: float = 0.0

    def to_docker(self) -> dict[str, object]:
        """The message of Docker's ``/info`` (row O41)."""
        has = set(self.controllers)
        return {
            "ID": self.id,
            "Containers": self.containers,
            "ContainersRunning": self.running,
            "ContainersPaused": self.paused,
            "ContainersStopped": self.stopped,
            "Images": 0,
            "Driver": "overlay",
            "DriverStatus": [["Backing", "overlayfs in the container's own mount namespace"]],
            "Plugins": {
                "Volume": [],
                "Network": ["host", "null"],
                "Authorization": None,
                "Log": ["json-file", "none"],
            },
            "MemoryLimit": "memory" in has,
            "SwapLimit": "memory" in has,
            "CpuCfsPeriod": "cpu" in has,
            "CpuCfsQuota": "cpu" in has,
            "CPUShares": "cpu" in has,
            "CPUSet": "cpuset" in has,
            "PidsLimit": "pids" in has,
            "OomKillDisable": self.cgroup_version == "1",
            "IPv4Forwarding": False,
            "Debug": False,
            "NFd": 0,
            "NGoroutines": 0,
            "SystemTime": _rfc3339(self.time),
            "LoggingDriver": "json-file",
            "CgroupDriver": self.cgroup_driver,
            "CgroupVersion": self.cgroup_version,
            "NEventsListener": 0,
            "KernelVersion": self.kernel,
            "OperatingSystem": self.operating_system,
            "OSVersion": "",
            "OSType": "linux",
            "Architecture": self.architecture,
            "IndexServerAddress": "https://index.docker.io/v1/",
            "RegistryConfig": None,
            "NCPU": self.cpus,
            "MemTotal": self.memory,
            "GenericResources": None,
            "DockerRootDir": self.root,
            "HttpProxy": "",
            "HttpsProxy": "",
            "NoProxy": "",
            "Name": self.hostname,
            "Labels": [],
            "ExperimentalBuild": False,
            "ServerVersion": self.version,
            "Runtimes": {"pyengine": {"path": ""}},
            "DefaultRuntime": "pyengine",
            "Swarm": {"LocalNodeState": "inactive"},
            "LiveRestoreEnabled": False,
            "Isolation": "",
            "InitBinary": "pyengine-init",
            "SecurityOptions": list(self.security),
            "Warnings": list(self.warnings),
        }


def _rfc3339(seconds: float) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
