"""The list of images as docker 29 draws it: what each takes, who uses it, its platforms."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pyengine.cli.say import STDOUT, say
from pyengine.cli.table import plain
from pyengine.cli.terminal import is_terminal

if TYPE_CHECKING:
    from pyengine import ImageSummary

_HEADS = ("IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA")
_RIGHT = (False, False, True, True, False)
_NARROWEST = (10, 12, 10, 12, 5)
_UNTAGGED = "<untagged>"
Cells = tuple[str, str, str, str, str]


def print_tree(found: Iterable[ImageSummary], *, opened: bool, hides_dangling: bool) -> None:
    """Print *found*, each with its platforms if it is *opened*, those without a name at the end."""
    shown = [one for one in found if one.tags or not hides_dangling]
    shown.sort(key=lambda one: (not one.tags, one.tags))
    rows = [row for summary in shown for row in tree_rows(summary, opened=opened)]
    text = tree_text(rows)
    if is_terminal(STDOUT):
        width = len(text.split("\n", 1)[0])
        say(f"{'i Info →   U  In Use':>{width}}")
    say(text, end="")


def tree_rows(summary: ImageSummary, *, opened: bool) -> list[Cells]:
    """A row for each of its names, or one with the names above each other, and its platforms."""
    from pyengine import format_size

    images = [one for one in summary.manifests or () if one.kind == "image"]
    content = sum(one.content for one in summary.manifests or ())
    used = "U" if summary.containers > 0 else ""
    total = summary.size + content
    rest = (_short(summary.id), format_size(total, precision=3), format_size(content, precision=3))
    names = list(summary.tags) or [_UNTAGGED]
    if not opened:
        return [(name, *rest, used) for name in names]
    rows: list[Cells] = [(name, "", "", "", "") for name in names[:-1]]
    rows.append((names[-1], *rest, used))
    for number, one in enumerate(images):
        branch = "└─" if number == len(images) - 1 else "├─"
        platform = str(one.platform) if one.platform is not None else "unknown"
        size = format_size(one.content + one.unpacked, precision=3)
        content_size = format_size(one.content, precision=3)
        in_use = "U" if one.containers else ""
        rows.append(
            (f"{branch} {platform}", _short(one.descriptor.digest), size, content_size, in_use)
        )
    return rows


def tree_text(rows: Iterable[Cells]) -> str:
    """*rows* under their headers, sizes at the right of their columns."""
    lines = [_HEADS, *(tuple(plain(cell) for cell in row) for row in rows)]
    widths = [max(_NARROWEST[at], *(len(line[at]) for line in lines)) for at in range(len(_HEADS))]
    return "".join(_line(line, widths) for line in lines)


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    told = [
        f"{cell:>{width}}" if right else f"{cell:<{width}}"
        for cell, width, right in zip(cells, widths, _RIGHT, strict=True)
    ]
    return "   ".join(told).rstrip() + "\n"


def _short(digest: str) -> str:
    return digest.partition(":")[2][:12]
