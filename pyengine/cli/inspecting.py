"""``inspect``, ``diff`` and ``top``: what there is to know of one thing."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pyengine.cli.flags import Flag
from pyengine.cli.say import STDOUT, complain, say
from pyengine.cli.table import columns, plain
from pyengine.cli.template import Template
from pyengine.cli.template_functions import valid_json
from pyengine.cli.template_values import FreeMap
from pyengine.cli.terminal import is_terminal
from pyengine.cli.verb import Call, Verb
from pyengine.errors import EngineError, InvalidRequest, NotFound, Unsupported

if TYPE_CHECKING:
    from pyengine import Engine

    _Looker = Callable[[Engine, str, bool], dict[str, Any]]

_LATER = {
    "network": "networks are not built yet",
    "volume": "volumes are not built yet",
}
_TYPES = (
    *("container", "image", "network", "volume"),
    *("plugin", "secret", "service", "node", "task", "config"),
)

# where people choose the keys, so that one that is not there is no mistake
_FREE = (
    ("Config", "Labels"),
    ("Config", "ExposedPorts"),
    ("Config", "Volumes"),
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
    """Print what is known of each container or image; of other things there are none yet."""
    kind = call.given.text("type")
    if kind in _LATER:
        raise Unsupported(f"inspect --type={kind}", _LATER[kind], "use --type=container")
    if kind and kind not in ("container", "image"):
        if kind not in _TYPES:
            raise InvalidRequest("type", kind, expected=", ".join(_TYPES[:4]))
        raise Unsupported(f"inspect --type={kind}", "there is no swarm", "use --type=container")
    if kind == "image" and call.given.is_set("size"):
        why = "--size only counts for containers"
        raise InvalidRequest("size", True, why=why, expected="no --type=image")
    kinds = {"": (_container, _image), "container": (_container,), "image": (_image,)}
    return _inspect(call, kind or "object", kinds[kind])


def inspect_container(call: Call) -> int:
    """Print what is known of each container."""
    return _inspect(call, "container", (_container,))


def inspect_image(call: Call) -> int:
    """Print what is known of each image."""
    if call.given.text("platform"):
        what = "image inspect --platform"
        raise Unsupported(what, "a name has one image here", "name the image by its id")
    return _inspect(call, "image", (_image,))


def _container(engine: Engine, name: str, sized: bool) -> dict[str, Any]:
    return engine.containers.get(name).inspect(size=sized).to_docker()


def _image(engine: Engine, name: str, _sized: bool) -> dict[str, Any]:
    return engine.images.get(name).inspect().to_docker()


def _inspect(call: Call, kind: str, lookers: tuple[_Looker, ...]) -> int:
    text = call.given.text("format")
    template = Template.parse("{{json .}}" if text == "json" else text) if text else None
    found: list[dict[str, Any]] = []
    missing: list[str] = []
    with call.engine() as engine:
        for name in call.arguments:
            try:
                found.append(_looked(engine, name, call.given.is_set("size"), lookers))
            except NotFound:
                missing.append(f"No such {kind}: {name}")
            except EngineError as error:  # such as a beginning of two ids
                missing.append(str(error))
    if template is None:
        say(valid_json(json.dumps(found, indent=4, ensure_ascii=False)))
    else:
        for one in found:
            say(template.render(freed(one)))
    for sentence in missing:
        complain(sentence)
    return int(bool(missing))


def _looked(engine: Engine, name: str, sized: bool, lookers: tuple[_Looker, ...]) -> dict[str, Any]:
    *others, last = lookers
    for look in others:
        try:
            return look(engine, name, sized)
        except NotFound:
            continue
    try:
        return last(engine, name, sized)
    except InvalidRequest as error:
        if others and error.what == "reference":  # nobody said that it is one
            raise NotFound(name) from None
        raise


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
    "image inspect": Verb(
        "[OPTIONS] IMAGE [IMAGE...]",
        "Show all there is to know of images",
        inspect_image,
        (_FORMAT, Flag("platform", "string", "The image for this platform")),
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
