"""``search``: what registries have of a name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pyengine.cli.filters import read_filters
from pyengine.cli.flags import Flag
from pyengine.cli.formats import Format, Layout
from pyengine.cli.table import ellipsis, plain
from pyengine.cli.template_values import Record
from pyengine.cli.verb import Call, Verb

_HEADERS = {
    "Name": "NAME",
    "Description": "DESCRIPTION",
    "StarCount": "STARS",
    "IsOfficial": "OFFICIAL",
    "IsAutomated": "AUTOMATED",
}
_WIDTH = 45
_USUAL = 25


def search(call: Call) -> int:
    """Print what is found."""
    given = call.given
    layout = Layout(_HEADERS, ("Name", "Description", "StarCount", "IsOfficial"), quiet="Name")
    form = Format.parse(given.text("format"), layout)
    filters = read_filters(given.several("filter"))
    with call.engine() as engine:
        found = engine.images.search(
            call.arguments[0], limit=given.number("limit") or _USUAL, filters=filters or None
        )
    form.print(search_rows(found, truncates=not given.is_set("no-trunc")))
    return 0


def search_rows(found: Iterable[Mapping[str, object]], *, truncates: bool) -> list[Record]:
    """A row for each of *found*, as a registry describes it."""
    rows = []
    for one in found:
        about = plain(" ".join(str(one.get("description") or "").split()))
        rows.append(
            Record(
                {
                    "Name": plain(str(one.get("name") or "")),
                    "Description": ellipsis(about, _WIDTH) if truncates else about,
                    "StarCount": plain(str(one.get("star_count") or 0)),
                    "IsOfficial": "[OK]" if one.get("is_official") else "",
                    "IsAutomated": "[OK]" if one.get("is_automated") else "",
                }
            )
        )
    return rows


VERBS = {
    "search": Verb(
        "[OPTIONS] TERM",
        "Search Docker Hub for images",
        search,
        (
            Flag("filter", "filter", "Only such images: is-official=true, stars=N", "f"),
            Flag("format", "string", "A template such as '{{.Name}}'"),
            Flag("limit", "int", "How many at most"),
            Flag("no-trunc", "bool", "Do not shorten what is long"),
        ),
        least=1,
        most=1,
    )
}
