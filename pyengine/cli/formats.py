"""``--format``: rows as docker's table, as JSON, or as a template says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from attrs import frozen

from pyengine.cli.say import say
from pyengine.cli.table import columns
from pyengine.cli.template import Template
from pyengine.cli.template_values import Record

Row = Mapping[str, str]


@frozen
class Layout:
    """What a verb's rows can show: *headers* by field, those of the usual table in *shown*.

    *quiet* is the one field that ``--quiet`` leaves, *raw* the template of ``--format raw``.
    """

    headers: Mapping[str, str]
    shown: Sequence[str]
    quiet: str = ""
    raw: str = ""

    @property
    def table(self) -> str:
        """The template of the usual table."""
        return "table " + "\t".join(f"{{{{.{name}}}}}" for name in self.shown)


@frozen
class Format:
    """One way to print rows of a *layout*: *template*, filled in for each, *as_table* or not."""

    layout: Layout
    template: Template
    as_table: bool

    @classmethod
    def parse(cls, text: str, layout: Layout, *, quiet: bool = False) -> Format:
        """What ``--format`` *text* asks for; nothing and ``table`` mean the usual table.

        ``\\t`` and ``\\n``, as a shell leaves them, are a tab and a line's end. Raises
        `TemplateError`.
        """
        if quiet and text in ("", "table", "raw"):
            text = f"{{{{.{layout.quiet}}}}}"
        elif text in ("", "table"):
            text = layout.table
        elif text == "json":
            text = "{{json .}}"
        elif text == "raw" and layout.raw:
            text = layout.raw
        as_table = text == "table" or text.startswith("table ")
        text = text.removeprefix("table").lstrip(" ") if as_table else text
        text = text.replace("\\t", "\t").replace("\\n", "\n")
        return cls(layout, Template.parse(text), as_table)

    def print(self, rows: Iterable[Record]) -> None:
        """Print *rows*, under their headers if it is a table."""
        if self.as_table:
            say(self.text(rows), end="")
        else:
            for row in rows:
                say(self.template.render(row))

    def text(self, rows: Iterable[Record]) -> str:
        """The table of *rows*."""
        lines = [self.template.render(_headers(self.layout)).split("\t")]
        lines.extend(self.template.render(row).split("\t") for row in rows)
        return columns(lines)


def _headers(layout: Layout) -> Record:
    return Record(layout.headers, Label=_label_header)


def _label_header(name: str) -> str:
    """What stands above the values of one label: the last part of its name."""
    return name.rpartition(".")[2].replace("-", " ").replace("_", " ")


def labels_text(labels: Mapping[str, str]) -> str:
    """*labels* in one cell.

    >>> labels_text({"b": "2", "a": "1"})
    'a=1,b=2'
    """
    return ",".join(f"{name}={labels[name]}" for name in sorted(labels))


def label_of(labels: Mapping[str, str]) -> Callable[[str], str]:
    """What ``{{.Label "name"}}`` calls."""
    return lambda name: labels.get(name, "")
