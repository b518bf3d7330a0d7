"""What the flags of ``run`` and ``create`` ask of the engine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from attrs import frozen

from pyengine.cli.container_flags import RUN_FLAGS
from pyengine.cli.flags import Flag, Given
from pyengine.errors import InvalidRequest, Unsupported

_NO_NETWORKS = "networks are not built yet"


@frozen
class Request:
    """A container to make: *image*, *command* (`None`: the image's), and *options* by keyword."""

    image: str
    command: tuple[str, ...] | None
    options: dict[str, object]


def read_request(given: Given) -> Request:
    """The container that a command line of ``run`` or ``create`` describes.

    Raises `InvalidRequest` for what the command line alone can be wrong in, and `Unsupported`
    for what the engine has no option for.
    """
    image, *command = given.arguments
    if command[:1] == ["--"]:  # flags have ended at the image: `run host: -- CMD` reads well
        del command[0]
    options = keywords(given, RUN_FLAGS)
    options.update(_program(given), **_network(given))
    if (log := _log(given)) is not None:
        options["log"] = log
    if (health := _health(given)) is not None:
        options["health"] = health
    if sizes := _storage(given):
        options["storage_size"] = sizes
    _refuse(given)
    return Request(image, tuple(command) or None, options)


def keywords(given: Given, flags: Iterable[Flag]) -> dict[str, object]:
    """What is given of *flags*, by the keyword that takes it."""
    found: dict[str, object] = {}
    for flag in flags:
        if flag.keyword and flag.name in given:
            found[flag.keyword] = given.values[flag.name]
    return found


def _program(given: Given) -> Mapping[str, object]:
    found: dict[str, object] = {}
    if "entrypoint" in given:
        found["entrypoint"] = [given.text("entrypoint")]  # one program: it is not split
    if "env" in given:
        found["env"] = environment(given.several("env"))
    if "platform" not in given and (platform := os.environ.get("DOCKER_DEFAULT_PLATFORM")):
        found["platform"] = platform
    if "dns-opt" in given:
        found["dns_options"] = (*given.several("dns-option"), *given.several("dns-opt"))
    return found


def environment(entries: Iterable[str]) -> list[str]:
    """*entries*, where a name alone has the value it has here; without one it is taken away.

    >>> environment(["A=1", "NOT_SET_HERE"])
    ['A=1', 'NOT_SET_HERE']
    """
    found = []
    for entry in entries:
        value = None if "=" in entry or not entry else os.environ.get(entry)
        found.append(entry if value is None else f"{entry}={value}")
    return found


def _network(given: Given) -> dict[str, object]:
    names = (*given.several("network"), *given.several("net"))
    aliases = (*given.several("network-alias"), *given.several("net-alias"))
    found: dict[str, object] = {}
    if aliases:
        found["aliases"] = aliases
    if len(names) == 1 and "=" not in names[0]:
        found["network"] = names[0]
    elif names:
        found["networks"] = dict(map(_endpoint, names))
    return found


def _endpoint(given: str) -> tuple[str, dict[str, str]]:
    """``name=NET,alias=A,ip=…``, or a name alone."""
    fields: dict[str, str] = {}
    for part in given.split(","):
        key, equals, value = part.partition("=")
        if not equals:
            key, value = "name", part
        if not value or (key in fields and key not in ("alias", "driver-opt")):
            raise InvalidRequest("network", given, expected="NAME, or name=NAME,alias=…,ip=…")
        fields[key] = value
    if not (name := fields.pop("name", "")):
        raise InvalidRequest("network", given, why="it has no name")
    return name, fields


def _log(given: Given) -> object:
    from pyengine import LogConfig

    options = given.several("log-opt")
    if "log-driver" not in given and not options:
        return None
    pairs = tuple(_pair(option, "log-opt") for option in options)
    return LogConfig(given.text("log-driver", "json-file"), pairs)


def _pair(text: str, what: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise InvalidRequest(what, text, expected="name=value")
    return name, value


_HEALTH_TIMES = {
    "health-interval": "interval",
    "health-timeout": "timeout",
    "health-start-period": "start_period",
    "health-start-interval": "start_interval",
}


def _health(given: Given) -> object:
    from pyengine import HealthCheck

    asked = {field: given.values[name] for name, field in _HEALTH_TIMES.items() if name in given}
    if "health-retries" in given:
        asked["retries"] = given.values["health-retries"]
    command = given.text("health-cmd")
    if given.is_set("no-healthcheck"):
        if asked or command:
            why = "--no-healthcheck conflicts with --health-* options"
            raise InvalidRequest("no-healthcheck", True, why=why)
        return HealthCheck(test=("NONE",))
    if not asked and not command:
        return None
    test = ("CMD-SHELL", command) if command else ()
    return HealthCheck(test=test, **asked)  # type: ignore[arg-type]


def _storage(given: Given) -> str:
    size = ""
    for option in given.several("storage-opt"):
        name, value = _pair(option, "storage-opt")
        if name != "size":
            raise InvalidRequest("storage-opt", option, expected="size=N")
        size = value
    return size


def _refuse(given: Given) -> None:
    """`Unsupported` for the flags of docker that no option of the engine stands for."""
    for name, (missing, remedy) in _NOT_HERE.items():
        value = given.values.get(name)
        if value and value not in _HARMLESS.get(name, ()):
            raise Unsupported(f"--{name}", missing, remedy)


_WINDOWS = ("it is an option of Windows", "leave it out")
_NOT_HERE = {
    "cpu-count": _WINDOWS,
    "cpu-percent": _WINDOWS,
    "io-maxbandwidth": _WINDOWS,
    "io-maxiops": _WINDOWS,
    "isolation": _WINDOWS,
    "gpus": ("graphics processors are not built yet", "name device files with --device"),
    "link": (_NO_NETWORKS, "leave it out"),
    "link-local-ip": (_NO_NETWORKS, "leave it out"),
    "runtime": ("the engine is its own runtime", "leave it out"),
    "use-api-socket": ("there is no API socket yet", "leave it out"),
    "volume-driver": ("volumes are not built yet", "bind a directory of the host with -v"),
}
_HARMLESS: dict[str, tuple[object, ...]] = {
    "isolation": ("default",),
    "io-maxbandwidth": ("0",),
}
