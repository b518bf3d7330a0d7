"""``inspect``, ``diff`` and ``top``: what there is to know of one container."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pyengine.cli.flags import Flag
from pyengine.cli.say import STDOUT, complain, say
from pyengine.cli.table import columns, plain
from pyengine.cli.template import Template
from pyengine.cli.template_functions import valid_json
from pyengine.cli.template_values import FreeMap
from pyengine.cli.terminal import is_terminal
from pyengine.cli.verb import Call, Verb
from pyengine.errors import ContainerNotFound, EngineError, InvalidRequest, Unsupported

_LATER = {
    "image": "images are not built yet",
    "network": "networks are not built yet",
    "volume": "volumes are not built yet",
}
_TYPES = ("container", *_LATER, "plugin", "secret", "service", "node", "task", "config")

# where people choose the keys, so that one that is not there is no mistake
_FREE = (
    ("Config", "Labels"),
    ("Config", "ExposedPorts"),
    ("HostConfig", "Annotations"),
    ("HostConfig", "LogConfig", "Config"),
    ("HostConfig", "PortBindings"),
    ("HostConfig", "StorageOpt"),
    ("HostConfig", "Sysctls"),
    ("HostConfig", "Tmpfs"),
    ("GraphDriver", "Data"),
    ("NetworkSettings", "Networks"),
    ("NetworkSettings", "Ports"),
)


def inspect_any(call: Call) -> int:
    """Print what is known of each container; of other things there are none yet."""
    kind = call.given.text("type")
    if kind in _LATER:
        raise Unsupported(f"inspect --type={kind}", _LATER[kind], "use --type=container")
    if kind and kind != "container":
        if kind not in _TYPES:
            raise InvalidRequest("type", kind, expected=", ".join(_TYPES[:4]))
        raise Unsupported(f"inspect --type={kind}", "there is no swarm", "use --type=container")
    return _inspect(call, "container" if kind else "object")


def inspect_container(call: Call) -> int:
    """Print what is known of each container."""
    return _inspect(call, "container")


def _inspect(call: Call, kind: str) -> int:
    text = call.given.text("format")
    template = Template.parse("{{json .}}" if text == "json" else text) if text else None
    found: list[dict[str, Any]] = []
    missing: list[str] = []
    with call.engine() as engine:
        for name in call.arguments:
            try:
                info = engine.containers.get(name).inspect(size=call.given.is_set("size"))
            except ContainerNotFound:
                missing.append(f"No such {kind}: {name}")
            except EngineError as error:  # such as a beginning of two ids
                missing.append(str(error))
            else:
                found.append(info.to_docker())
    if template is None:
        say(valid_json(json.dumps(found, indent=4, ensure_ascii=False)))
    else:
        for one in found:
            say(template.render(freed(one)))
    for sentence in missing:
        complain(sentence)
    return int(bool(missing))


def freed(data: Mapping[str, Any]) -> dict[str, Any]:
    """*data*, where maps whose keys people choose forgive a key that is not there."""
    found: dict[str, Any] = dict(data)
    for path in _FREE:
        _free(found, path)
    return found


def _free(data: dict[str, Any], path: tuple[str, ...]) -> None:
    name, *rest = path
    inner = data.get(name)
    if rest:
        if isinstance(inner, dict):
            data[name] = inner = dict(inner)
            _free(inner, tuple(rest))
    elif name in data:
        data[name] = FreeMap(inner or {})


def diff(call: Call) -> int:
    """Print what a container has changed of its image."""
    shown = plain if is_terminal(STDOUT) else str  # names of files are the container's
    with call.engine() as engine:
        for change in engine.containers.get(call.arguments[0]).diff():
            say(f"{change.kind} {shown(change.path)}")
    return 0


def top(call: Call) -> int:
    """Print a container's processes as ps(1) would."""
    name, *words = call.arguments
    with call.engine() as engine:
        table = engine.containers.get(name).top_table(" ".join(words) or "-ef")
    say(columns([table.titles, *table.processes], narrowest=20), end="")
    return 0


_FORMAT = Flag("format", "string", "json, or a template such as '{{.State.Pid}}'", "f")
_SIZE = Flag("size", "bool", "Count what it has written", "s")

VERBS = {
    "inspect": Verb(
        "[OPTIONS] NAME|ID [NAME|ID...]",
        "Show all there is to know of something",
        inspect_any,
        (_FORMAT, _SIZE, Flag("type", "string", "Look only for such things")),
        least=1,
        most=None,
    ),
    "container inspect": Verb(
        "[OPTIONS] CONTAINER [CONTAINER...]",
        "Show all there is to know of containers",
        inspect_container,
        (_FORMAT, _SIZE),
        least=1,
        most=None,
    ),
    "diff": Verb("CONTAINER", "List what a container has changed", diff, least=1, most=1),
    "top": Verb(
        "CONTAINER [ps OPTIONS]",
        "List the processes of a container",
        top,
        least=1,
        most=None,
        interspersed=False,
    ),
}
