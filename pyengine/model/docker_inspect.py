"""A container as Docker's API tells it: the whole of it, and one row of a list."""

from __future__ import annotations

import time
from typing import Any

from pyengine.model.docker_host_config import host_config, mount_points
from pyengine.model.health import Health, HealthStatus
from pyengine.model.info import ContainerInfo
from pyengine.model.moments import rfc3339
from pyengine.model.signals import signal_name
from pyengine.model.spec import DEFAULT_STOP_TIMEOUT, ContainerSpec, HealthCheck
from pyengine.model.state import ContainerState, Status
from pyengine.model.units import format_ago, format_duration

NEVER = "0001-01-01T00:00:00Z"
"""What Go calls a moment that has not been, and what clients look for (pitfall 38)."""

_HEALTH_WORDS = {
    HealthStatus.STARTING: "health: starting",
    HealthStatus.HEALTHY: "healthy",
    HealthStatus.UNHEALTHY: "unhealthy",
}
_RUNNING = (Status.RUNNING, Status.PAUSED, Status.RESTARTING)


def to_docker(info: ContainerInfo) -> dict[str, Any]:
    """The message of ``/containers/{id}/json`` (row O20)."""
    spec, state = info.spec, info.state
    found: dict[str, Any] = {
        "Id": spec.id,
        "Created": moment(spec.created),
        "Path": spec.argv[0] if spec.argv else "",
        "Args": list(spec.argv[1:]),
        "State": _state(state, info.health),
        "Image": info.image_id,
        "ResolvConfPath": "",  # written inside the container's own file system
        "HostnamePath": "",
        "HostsPath": "",
        "LogPath": info.log_path,
        "Name": f"/{spec.name}",
        "RestartCount": state.restarts,
        "Driver": "overlay",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": None,
        "HostConfig": host_config(spec),
        "GraphDriver": {"Name": "overlay", "Data": {"UpperDir": info.root}},
        "Mounts": mount_points(spec.mounts),
        "Config": _config(spec),
        "NetworkSettings": {
            "SandboxID": "",
            "SandboxKey": "",
            "Ports": {},
            "Networks": _networks(spec),
        },
    }
    if info.size is not None:
        found["SizeRw"] = info.size
    if info.holders is not None:  # docker knows no such thing
        found["Holders"] = list(info.holders)
    return found


def to_docker_summary(info: ContainerInfo, now: float | None = None) -> dict[str, Any]:
    """One entry of ``/containers/json`` (row O22); *now* is in seconds since 1970."""
    spec = info.spec
    found: dict[str, Any] = {
        "Id": spec.id,
        "Names": [f"/{spec.name}"],
        "Image": spec.image,
        "ImageID": info.image_id,
        "Command": command_line(spec.argv),
        "Created": int(spec.created),
        "Ports": [],
        "Labels": dict(spec.labels),
        "State": str(info.status),
        "Status": status_text(info.state, time.time() if now is None else now, info.health),
        "HostConfig": {"NetworkMode": spec.namespaces.network},
        "NetworkSettings": {"Networks": _networks(spec)},
        "Mounts": mount_points(spec.mounts),
    }
    if info.health is not None:
        streak = info.health.failing_streak
        found["Health"] = {"Status": str(info.health.status), "FailingStreak": streak}
    if spec.annotations:
        found["HostConfig"]["Annotations"] = dict(spec.annotations)
    if info.size is not None:
        found["SizeRw"] = info.size
    return found


def status_text(state: ContainerState, now: float, health: Health | None = None) -> str:
    """What the container is doing, since when, and how well it is, in docker's words.

    >>> status_text(ContainerState(Status.RUNNING, started=100.0), 220.0)
    'Up 2 minutes'
    """
    if state.status is Status.REMOVING:
        return "Removal In Progress"
    if state.status is Status.DEAD:
        return "Dead"
    if state.status is Status.RESTARTING:
        return f"Restarting ({state.exit_code}) {format_ago(now - state.finished)}"
    if state.status in _RUNNING:
        more = f" ({_HEALTH_WORDS[health.status]})" if health is not None else ""
        if state.status is Status.PAUSED:
            more = " (Paused)"
        return f"Up {format_duration(now - state.started)}{more}"
    if state.status is Status.CREATED or not state.started:
        return "Created"
    return f"Exited ({state.exit_code}) {format_ago(now - state.finished)}"


def command_line(argv: tuple[str, ...]) -> str:
    """*argv* as one text to be read, not to be run again.

    >>> command_line(("sh", "-c", "sleep 1"))
    "sh -c 'sleep 1'"
    """
    program, *rest = argv or ("",)
    return " ".join((program, *(f"'{word}'" if " " in word else word for word in rest)))


def moment(seconds: float) -> str:
    """*seconds* since 1970 as Go writes a time; 0 is `NEVER`.

    >>> moment(1_706_695_200.5), moment(0)
    ('2024-01-31T10:00:00.5Z', '0001-01-01T00:00:00Z')
    """
    if not seconds:
        return NEVER
    # a float has no more than microseconds to tell
    text = rfc3339(round(seconds * 1e6) * 1000).removesuffix("Z")
    return f"{text.rstrip('0').rstrip('.')}Z"


def _state(state: ContainerState, health: Health | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "Status": str(state.status),
        "Running": state.status in _RUNNING,  # paused and restarting ones run, too
        "Paused": state.status is Status.PAUSED,
        "Restarting": state.status is Status.RESTARTING,
        "OOMKilled": state.oom_killed,
        "Dead": state.status is Status.DEAD,
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": moment(state.started),
        "FinishedAt": moment(state.finished),
    }
    if health is not None:
        found["Health"] = {
            "Status": str(health.status),
            "FailingStreak": health.failing_streak,
            "Log": [
                {
                    "Start": moment(probe.start),
                    "End": moment(probe.end),
                    "ExitCode": probe.exit_code,
                    "Output": probe.output,
                }
                for probe in health.log
            ],
        }
    return found


def _config(spec: ContainerSpec) -> dict[str, Any]:
    found: dict[str, Any] = {
        "Hostname": spec.hostname,
        "Domainname": spec.domainname,
        "User": spec.user,
        "AttachStdin": spec.stdin_once,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": spec.tty,
        "OpenStdin": spec.open_stdin,
        "StdinOnce": spec.stdin_once,
        "Env": list(spec.env),
        "Cmd": list(spec.command) or None,
        "Image": spec.image,
        "Volumes": None,
        "WorkingDir": spec.workdir,
        "Entrypoint": list(spec.entrypoint) or None,
        "OnBuild": None,
        "Labels": dict(spec.labels),
        "StopSignal": signal_name(spec.stop_signal),
    }
    if spec.exposed:
        found["ExposedPorts"] = {port: {} for port in spec.exposed}
    if spec.stop_timeout != DEFAULT_STOP_TIMEOUT:
        found["StopTimeout"] = int(spec.stop_timeout)
    if spec.health is not None:
        found["Healthcheck"] = _health(spec.health)
    return found


def _health(check: HealthCheck) -> dict[str, Any]:
    times = {
        "Interval": check.interval,
        "Timeout": check.timeout,
        "StartPeriod": check.start_period,
        "StartInterval": check.start_interval,
    }
    in_nanoseconds = {name: round(seconds * 1e9) for name, seconds in times.items()}
    return {"Test": list(check.test), **in_nanoseconds, "Retries": check.retries}


def _networks(spec: ContainerSpec) -> dict[str, Any]:
    """The networks it is in; one whose namespace is another container's is in none itself."""
    name = spec.namespaces.network
    if name.startswith("container:"):
        return {}
    endpoint = {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": None,
        "MacAddress": "",
        "DriverOpts": None,
        "GwPriority": 0,
        "NetworkID": "",
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": None,
    }
    return {name: endpoint}
