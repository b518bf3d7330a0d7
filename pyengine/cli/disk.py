"""``system df``, ``system prune`` and ``system check``: what the engine keeps on disk."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from pyengine.cli.filters import read_filters
from pyengine.cli.flags import Flag
from pyengine.cli.formats import Format, Layout
from pyengine.cli.image_listing import image_rows
from pyengine.cli.image_names import say_deleted
from pyengine.cli.listing import rows_of
from pyengine.cli.say import say
from pyengine.cli.sure import is_sure
from pyengine.cli.table import columns, plain
from pyengine.cli.template_values import Record
from pyengine.cli.usage import COUNT_FAULT, UsageError
from pyengine.cli.verb import Call, Verb
from pyengine.errors import Unsupported

if TYPE_CHECKING:
    from pyengine import DiskUsage, Engine, Finding, UsageTally

_HEADERS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}
_RAW = (
    "type: {{.Type}}\ntotal: {{.TotalCount}}\nactive: {{.Active}}\nsize: {{.Size}}\n"
    "reclaimable: {{.Reclaimable}}\n"
)


def df(call: Call) -> int:
    """Print how much of the disk each kind of thing takes."""
    given = call.given
    if given.is_set("verbose") and given.text("format"):
        why = "--verbose cannot be used with --format"
        raise UsageError(why, call.command, COUNT_FAULT)
    form = Format.parse(given.text("format"), Layout(_HEADERS, tuple(_HEADERS), raw=_RAW))
    with call.engine() as engine:
        usage = engine.disk_usage()
        if given.is_set("verbose"):
            _print_each(engine, usage)
            return 0
    form.print(usage_rows(usage))
    return 0


def usage_rows(usage: DiskUsage) -> list[Record]:
    """A row for each kind of thing."""
    kinds = {
        "Images": usage.images,
        "Containers": usage.containers,
        "Local Volumes": usage.volumes,
        "Build Cache": usage.build_cache,
    }
    return [_usage_row(name, tally) for name, tally in kinds.items()]


def _usage_row(name: str, tally: UsageTally) -> Record:
    from pyengine import format_size

    reclaimable = format_size(tally.reclaimable)
    if tally.size > 0:
        reclaimable += f" ({tally.reclaimable * 100 // tally.size}%)"
    return Record(
        {
            "Type": name,
            "TotalCount": str(tally.total),
            "Active": str(tally.active),
            "Size": format_size(tally.size),
            "Reclaimable": reclaimable,
        }
    )


def _print_each(engine: Engine, usage: DiskUsage) -> None:
    now = time.time()
    heads = ("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE")
    names = ("Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize")
    images = image_rows(usage.summaries, truncates=True, now=now)
    say("Images space usage:\n")
    say(_table((*heads, "CONTAINERS"), (*names, "Containers"), images), end="")
    heads = ("CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS")
    names = ("ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status")
    containers = rows_of(engine.containers.infos(all=True, size=True), truncates=True, now=now)
    say("\nContainers space usage:\n")
    say(_table((*heads, "NAMES"), (*names, "Names"), containers), end="")


def _table(heads: tuple[str, ...], names: tuple[str, ...], rows: list[Record]) -> str:
    return columns([heads, *([str(row[name]) for name in names] for row in rows)])


def prune(call: Call) -> int:
    """Remove containers that do not run, and images that nobody needs."""
    from pyengine import format_size

    given = call.given
    if given.is_set("volumes"):
        what = "system prune --volumes"
        raise Unsupported(what, "volumes are not built yet", "leave it out")
    filters = read_filters(given.several("filter"))
    images = "all images without at least one container associated to them"
    images = images if given.is_set("all") else "all dangling images"
    warning = f"This will remove:\n  - all stopped containers\n  - {images}\n"
    if not given.is_set("force") and not is_sure(warning):
        return 0
    with call.engine() as engine:
        ended = engine.containers.prune(filters)
        every = {"dangling": ["false"]} if given.is_set("all") else {}
        gone = engine.images.prune({**filters, **every})
    if ended.deleted:
        say("Deleted Containers:\n" + "\n".join(ended.deleted) + "\n")
    say_deleted(gone.deleted)
    say(f"Total reclaimed space: {format_size(ended.reclaimed + gone.reclaimed)}")
    return 0


def check(call: Call) -> int:
    """Look through all images, and print what is wrong; ends with 1 if something is lost."""
    given = call.given
    if given.text("format") not in ("", "json"):
        why = f'invalid argument "{given.text("format")}" for "--format" flag: only json'
        raise UsageError(why, call.command)
    with call.engine() as engine:
        found = engine.check(repair=given.is_set("repair"), quick=given.is_set("quick"))
    if given.text("format") == "json":
        say(json.dumps([_plain(one) for one in found], indent=4))
    else:
        for one in found:
            say(finding_line(one))
        if not found:
            say("Nothing is wrong")
    return int(any(one.is_damage and not one.done for one in found))


def finding_line(found: Finding) -> str:
    """*found* in one line: what, where, what was done, what there is to do."""
    line = f"{found.kind}: {found.path}: {found.what}"
    line += f"; {found.done}" if found.done else ""
    return plain(line + (f"; {found.advice}" if found.advice else ""))


def _plain(found: Finding) -> dict[str, str]:
    return {
        "Kind": found.kind,
        "Path": found.path,
        "What": found.what,
        "Digest": found.digest,
        "Done": found.done,
        "Advice": found.advice,
    }


VERBS = {
    "system df": Verb(
        "[OPTIONS]",
        "Show what the engine takes of the disk",
        df,
        (
            Flag("format", "string", "table, json, or a template such as '{{.Type}}: {{.Size}}'"),
            Flag("verbose", "bool", "Show each image and container", "v"),
        ),
    ),
    "system prune": Verb(
        "[OPTIONS]",
        "Remove what nobody needs",
        prune,
        (
            Flag("all", "bool", "All images that no container uses", "a"),
            Flag("filter", "filter", "Only such things: label=…, label!=…, until=…"),
            Flag("force", "bool", "Do not ask", "f"),
            Flag("volumes", "bool", "Anonymous volumes, too"),
        ),
    ),
    "system check": Verb(
        "[OPTIONS]",
        "Look for damage in what the engine keeps",
        check,
        (
            Flag("format", "string", "json"),
            Flag("quick", "bool", "Do not read every byte"),
            Flag("repair", "bool", "Repair what can be, and remove what cannot"),
        ),
    ),
}
