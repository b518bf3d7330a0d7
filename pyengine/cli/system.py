"""``version``, ``info`` and ``events``: the engine itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pyengine.cli.filters import read_filters
from pyengine.cli.flags import Flag
from pyengine.cli.logs import stamp
from pyengine.cli.say import complain, say
from pyengine.cli.table import plain
from pyengine.cli.template import Template
from pyengine.cli.template_values import FreeMap
from pyengine.cli.verb import Call, Verb

if TYPE_CHECKING:
    from pyengine import Event

_VERSION = """\
Client: pyengine
 Version:           {{.Client.Version}}
 API version:       {{.Client.ApiVersion}}
 OS/Arch:           {{.Client.Os}}/{{.Client.Arch}}

Server: {{.Server.Platform.Name}}
 Engine:
  Version:          {{.Server.Version}}
  API version:      {{.Server.ApiVersion}} (minimum version {{.Server.MinAPIVersion}})
  OS/Arch:          {{.Server.Os}}/{{.Server.Arch}}
  Kernel version:   {{.Server.KernelVersion}}"""

_INFO = """\
Client:
 Version:    {{.ClientInfo.Version}}

Server:
 Containers: {{.Containers}}
  Running: {{.ContainersRunning}}
  Paused: {{.ContainersPaused}}
  Stopped: {{.ContainersStopped}}
 Images: {{.Images}}
 Server Version: {{.ServerVersion}}
 Storage Driver: {{.Driver}}{{range .DriverStatus}}
  {{index . 0}}: {{index . 1}}{{end}}
 Logging Driver: {{.LoggingDriver}}
 Cgroup Driver: {{.CgroupDriver}}
 Cgroup Version: {{.CgroupVersion}}
 Plugins:
  Network: {{join .Plugins.Network " "}}
  Log: {{join .Plugins.Log " "}}
 Default Runtime: {{.DefaultRuntime}}
 Security Options:{{range .SecurityOptions}}
  {{.}}{{end}}
 Kernel Version: {{.KernelVersion}}
 Operating System: {{.OperatingSystem}}
 OSType: {{.OSType}}
 Architecture: {{.Architecture}}
 CPUs: {{.NCPU}}
 Total Memory: {{.Memory}}
 Name: {{.Name}}
 ID: {{.ID}}
 Root Dir: {{.DockerRootDir}}"""


def version(call: Call) -> int:
    """Print the version of the command and of the engine: they are one."""
    template = _template(call)
    with call.engine() as engine:
        server = engine.version().to_docker()
    client = {key: value for key, value in server.items() if key != "Components"}
    say((template or Template.parse(_VERSION)).render({"Client": client, "Server": server}))
    return 0


def info(call: Call) -> int:
    """Print what engine and host are, and what they lack."""
    from pyengine import format_size

    template = _template(call)
    with call.engine() as engine:
        told = engine.info()
    data: dict[str, Any] = told.to_docker()
    data["ClientInfo"] = {"Version": told.version}
    if template is None:
        data["Memory"] = format_size(told.memory, binary=True)
        template = Template.parse(_INFO)
    say(template.render(data))
    for warning in told.warnings:
        complain(f"warning: {warning}")
    return 0


def events(call: Call) -> int:
    """Print what happens in the engine, as it happens."""
    given = call.given
    template = _template(call)
    filters = read_filters(given.several("filter"))
    since, until = given.text("since") or None, given.text("until") or None
    with (
        call.engine() as engine,
        engine.events(since=since, until=until, filters=filters) as stream,
    ):
        for event in stream:
            say(event_line(event) if template is None else template.render(event_fields(event)))
    return 0


def event_line(event: Event) -> str:
    """*event* in one line, its attributes in order."""
    names = sorted(event.attributes)
    about = ", ".join(f"{name}={event.attributes[name]}" for name in names)
    line = f"{stamp(event.time_ns)} {event.type} {event.action} {event.actor_id}"
    return plain(f"{line} ({about})" if about else line)


def event_fields(event: Event) -> Mapping[str, object]:
    """What a template may ask of *event*: its message, and the names that docker's has."""
    message = event.to_docker(legacy=True)
    actor = message["Actor"]
    assert isinstance(actor, dict)
    attributes = FreeMap(actor["Attributes"])
    fields = {**message, "Actor": {**actor, "Attributes": attributes}}
    fields.update(Scope=event.scope, Time=message["time"], TimeNano=message["timeNano"])
    fields.update(ID=event.actor_id, Status=event.action, From=event.attributes.get("image", ""))
    return fields


def _template(call: Call) -> Template | None:
    """What ``--format`` asks for; ``json`` is all of it in one line."""
    text = call.given.text("format")
    return Template.parse("{{json .}}" if text == "json" else text) if text else None


_FORMAT = Flag("format", "string", "json, or a template such as '{{.Server.Version}}'", "f")

VERBS = {
    "version": Verb("[OPTIONS]", "Show versions", version, (_FORMAT,)),
    "info": Verb("[OPTIONS]", "Show what engine and host are", info, (_FORMAT,)),
    "events": Verb(
        "[OPTIONS]",
        "Show what happens, as it happens",
        events,
        (
            Flag("filter", "filter", "Only such events, name=value", "f"),
            Flag("format", "string", "json, or a template such as '{{.Action}} {{.Actor.ID}}'"),
            Flag("since", "string", "Those of the past, too, from this time on"),
            Flag("until", "string", "End at this time"),
        ),
    ),
}
