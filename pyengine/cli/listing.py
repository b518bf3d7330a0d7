"""``ps``: the containers that there are."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pyengine.cli.filters import read_filters
from pyengine.cli.flags import Flag
from pyengine.cli.formats import Format, Layout, label_of, labels_text
from pyengine.cli.table import ellipsis, plain
from pyengine.cli.template_values import Record, quoted
from pyengine.cli.verb import Call, Verb

if TYPE_CHECKING:
    from pyengine import ContainerInfo

_HEADERS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Ports": "PORTS",
    "State": "STATE",
    "Status": "STATUS",
    "Size": "SIZE",
    "Names": "NAMES",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Networks": "NETWORKS",
    "HealthStatus": "HEALTH STATUS",
    "Platform": "PLATFORM",
}
_SHOWN = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")
_RAW = (
    "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\n"
    "created_at: {{.CreatedAt}}\nstate: {{.State}}\nstatus: {{.Status}}\n"
    "names: {{.Names}}\nlabels: {{.Labels}}\nports: {{.Ports}}\n"
)
_COMMAND_WIDTH = 20
_MOUNT_WIDTH = 15


def run(call: Call) -> int:
    """Print a row for each container that is asked for."""
    given = call.given
    sized = given.is_set("size")
    size_shown = ("Size",) if sized else ()
    layout = Layout(_HEADERS, (*_SHOWN, *size_shown), quiet="ID", raw=_RAW)
    form = Format.parse(given.text("format"), layout, quiet=given.is_set("quiet"))
    needs_size = sized or ".Size" in form.template.source
    limit = 1 if given.is_set("latest") else given.number("last")
    with call.engine() as engine:
        infos = engine.containers.infos(
            given.is_set("all"),
            read_filters(given.several("filter")),
            limit,
            size=needs_size,
        )
        form.print(rows_of(infos, truncates=not given.is_set("no-trunc"), now=time.time()))
    return 0


def rows_of(infos: Iterable[ContainerInfo], *, truncates: bool, now: float) -> list[Record]:
    """A row for each of *infos*, *now* in seconds since 1970."""
    return [_row(info.to_docker_summary(now), info.spec.platform, truncates, now) for info in infos]


def _row(summary: Mapping[str, Any], platform: str, truncates: bool, now: float) -> Record:
    from pyengine import format_ago, format_size

    command = summary["Command"]
    labels = summary["Labels"]
    mounts = [mount.get("Name") or mount["Source"] for mount in summary["Mounts"]]
    if truncates:
        command = ellipsis(command, _COMMAND_WIDTH)
        mounts = [ellipsis(mount, _MOUNT_WIDTH) for mount in mounts]
    fields = {
        "ID": summary["Id"][:12] if truncates else summary["Id"],
        "Image": plain(summary["Image"]),
        "Command": quoted(command),
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(summary["Created"])),
        "RunningFor": format_ago(now - summary["Created"]),
        "Ports": "",
        "State": summary["State"],
        "Status": summary["Status"],
        "Size": format_size(summary.get("SizeRw", 0), precision=3),
        "Names": ",".join(name.removeprefix("/") for name in summary["Names"]),
        "Labels": labels_text(labels),
        "Mounts": ",".join(mounts),
        "LocalVolumes": str(sum(mount["Type"] == "volume" for mount in summary["Mounts"])),
        "Networks": ",".join(summary["NetworkSettings"]["Networks"]),
        "HealthStatus": summary.get("Health", {}).get("Status", "none"),
        "Platform": platform,
    }
    return Record(fields, Label=label_of(labels))


_PS = Verb(
    "[OPTIONS]",
    "List containers",
    run,
    (
        Flag("all", "bool", "Show those that do not run, too", "a"),
        Flag("filter", "filter", "Show only such containers, name=value", "f"),
        Flag("format", "string", "table, json, or a template such as '{{.ID}}: {{.Names}}'"),
        Flag("last", "int", "Show the last N that were made", "n", default="-1"),
        Flag("latest", "bool", "Show the last one that was made", "l"),
        Flag("no-trunc", "bool", "Do not shorten what is long"),
        Flag("quiet", "bool", "Show only ids", "q"),
        Flag("size", "bool", "Show how much each has written", "s"),
    ),
)

VERBS = {"ps": _PS, "ls": _PS, "list": _PS}
