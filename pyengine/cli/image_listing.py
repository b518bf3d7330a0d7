"""``images`` and ``history``: the images that there are, and how one came to be."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pyengine.cli.filters import read_filters
from pyengine.cli.flags import Flag
from pyengine.cli.formats import Format, Layout
from pyengine.cli.image_tree import print_tree
from pyengine.cli.table import ellipsis, plain
from pyengine.cli.template_values import Record
from pyengine.cli.usage import COUNT_FAULT, UsageError
from pyengine.cli.verb import Call, Verb
from pyengine.errors import Unsupported

if TYPE_CHECKING:
    from pyengine import HistoryLine, ImageSummary

NONE = "<none>"
_HEADERS = {
    "ID": "IMAGE ID",
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "VirtualSize": "SIZE",
    "Containers": "CONTAINERS",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
}
_RAW = (
    "repository: {{.Repository}}\ntag: {{.Tag}}\nimage_id: {{.ID}}\n"
    "created_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n"
)
_HISTORY_HEADERS = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}
_BY_WIDTH = 45


def images(call: Call) -> int:
    """Print the images that are asked for."""
    given = call.given
    filters = read_filters(given.several("filter"))
    if call.arguments:
        filters.setdefault("reference", []).append(call.arguments[0])
    digests = given.is_set("digests")
    is_table = bool(given.text("format") or given.is_set("quiet") or given.is_set("no-trunc"))
    is_table = is_table or digests
    if given.is_set("tree") and is_table:
        why = "--tree cannot be used with --quiet, --no-trunc, --digests or --format"
        raise UsageError(why, call.command, COUNT_FAULT)
    with call.engine() as engine:
        if not is_table:
            found = engine.images.summaries(filters, containers=True, manifests=True)
            hides = not given.is_set("all") and "dangling" not in filters
            print_tree(found, opened=given.is_set("tree"), hides_dangling=hides)
            return 0
        shown = ("Repository", "Tag", *(("Digest",) if digests else ()), "ID", "CreatedSince")
        layout = Layout(_HEADERS, (*shown, "Size"), quiet="ID", raw=_RAW)
        form = Format.parse(given.text("format"), layout, quiet=given.is_set("quiet"))
        source = form.template.source
        found = engine.images.summaries(
            filters,
            shared_size=any(word in source for word in (".SharedSize", ".UniqueSize", "json .")),
            containers=any(word in source for word in (".Containers", "json .")),
        )
    truncates = not given.is_set("no-trunc")
    rows = image_rows(found, truncates=truncates, digests=digests, now=time.time())
    if given.is_set("quiet") and not given.text("format"):
        rows = list({row["ID"]: row for row in rows}.values())
    form.print(rows)
    return 0


def image_rows(
    found: Iterable[ImageSummary], *, truncates: bool, digests: bool = False, now: float
) -> list[Record]:
    """A row for each name of each image; with *digests* for each digest of each, too."""
    return [
        _row(summary, names, truncates, now)
        for summary in found
        for names in _names(summary, digests)
    ]


def _names(summary: ImageSummary, digests: bool) -> list[tuple[str, str, str]]:
    """Repository, tag and digest of each row."""
    from pyengine import Reference

    known = [Reference.parse(text) for text in summary.digests]
    rows: list[tuple[str, str, str]] = []
    for text in summary.tags:
        name = Reference.parse(text)
        repository, tag = name.familiar_repository, name.tag or NONE
        same = [one.digest or NONE for one in known if one.repository == name.repository]
        same = same or [NONE]
        rows.extend((repository, tag, digest) for digest in (same if digests else same[:1]))
    seen = {row[0] for row in rows}
    left = [one for one in known if one.familiar_repository not in seen]
    if digests or not rows:
        rows += [(one.familiar_repository, NONE, one.digest or NONE) for one in left]
    return rows or [(NONE, NONE, NONE)]


def _row(summary: ImageSummary, names: tuple[str, str, str], truncates: bool, now: float) -> Record:
    from pyengine import format_ago, format_size

    repository, tag, digest = names
    shared, containers = summary.shared_size, summary.containers
    unique = format_size(summary.size - shared, precision=3) if shared >= 0 else "N/A"
    size = format_size(summary.size, precision=3)
    return Record(
        {
            "ID": short_id(summary.id) if truncates else summary.id,
            "Repository": repository,
            "Tag": tag,
            "Digest": digest,
            "CreatedSince": format_ago(now - summary.created) if summary.created else "N/A",
            "CreatedAt": local_time(summary.created),
            "Size": size,
            "VirtualSize": size,
            "Containers": str(containers) if containers >= 0 else "N/A",
            "SharedSize": format_size(shared, precision=3) if shared >= 0 else "N/A",
            "UniqueSize": unique,
        }
    )


def short_id(text: str) -> str:
    """The first 12 digits of an id."""
    return text.removeprefix("sha256:")[:12]


def local_time(seconds: float) -> str:
    """*seconds* since 1970 as docker's tables write it."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(seconds))


def history(call: Call) -> int:
    """Print how an image came to be, the last step first."""
    given = call.given
    if given.text("platform"):
        what = "history --platform"
        raise Unsupported(what, "a name has one image here", "name the image by its id")
    layout = Layout(
        _HISTORY_HEADERS, ("ID", "CreatedSince", "CreatedBy", "Size", "Comment"), quiet="ID"
    )
    form = Format.parse(given.text("format"), layout, quiet=given.is_set("quiet"))
    with call.engine() as engine:
        lines = engine.images.get(call.arguments[0]).history()
    truncates, human = not given.is_set("no-trunc"), given.is_set("human", default=True)
    form.print(history_rows(lines, truncates=truncates, human=human, now=time.time()))
    return 0


def history_rows(
    lines: Sequence[HistoryLine], *, truncates: bool, human: bool, now: float
) -> list[Record]:
    """A row for each of *lines*; times and sizes as people read them, or *human* is false."""
    from pyengine import format_ago, format_size

    rows = []
    for line in lines:
        by = plain(line.created_by.replace("\t", " "))
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(line.created))
        since = format_ago(now - line.created) if line.created else "N/A"
        rows.append(
            Record(
                {
                    "ID": short_id(line.id) if truncates else line.id,
                    "CreatedAt": created,
                    "CreatedSince": since if human else created,
                    "CreatedBy": ellipsis(by, _BY_WIDTH) if truncates else by,
                    "Size": format_size(line.size, precision=3) if human else str(line.size),
                    "Comment": plain(line.comment),
                }
            )
        )
    return rows


_FORMAT = Flag("format", "string", "table, json, or a template such as '{{.ID}}'")
_NO_TRUNC = Flag("no-trunc", "bool", "Do not shorten what is long")
_QUIET = Flag("quiet", "bool", "Show only ids", "q")

_IMAGES = Verb(
    "[OPTIONS] [REPOSITORY[:TAG]]",
    "List images",
    images,
    (
        Flag("all", "bool", "Show those without a name, too", "a"),
        Flag("digests", "bool", "Show digests"),
        Flag("filter", "filter", "Show only such images, name=value", "f"),
        _FORMAT,
        _NO_TRUNC,
        _QUIET,
        Flag("tree", "bool", "Show every platform of each"),
    ),
    most=1,
)

VERBS = {
    "images": _IMAGES,
    "history": Verb(
        "[OPTIONS] IMAGE",
        "Show how an image came to be",
        history,
        (
            _FORMAT,
            Flag("human", "bool", "Sizes and dates as people read them", "H", default="true"),
            _NO_TRUNC,
            Flag("platform", "string", "The image for this platform"),
            _QUIET,
        ),
        least=1,
        most=1,
    ),
}
