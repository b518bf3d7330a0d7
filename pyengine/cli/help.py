"""What ``--help`` prints, laid out as docker's is."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Mapping

from pyengine.cli.flags import HELP, Flag
from pyengine.cli.verb import Verb

_NARROWEST = 50


def verb_help(command: str, verb: Verb, aliases: Iterable[str] = ()) -> str:
    """How *verb* is used; *aliases* are the other ways to call it."""
    lines = ["", f"Usage:  {command} {verb.usage}".rstrip(), "", verb.about]
    if names := list(aliases):
        lines += ["", "Aliases:", f"  {', '.join(names)}"]
    if flags := [flag for flag in verb.flags or () if not flag.hidden]:
        if any(flag.short == "h" for flag in flags):
            flags.append(HELP)  # here -h is something else, so it has to be told
        lines += ["", "Options:", *flag_lines(flags)]
    return "\n".join(lines) + "\n"


def group_help(command: str, about: str, verbs: Mapping[str, str]) -> str:
    """Which *verbs* a group has."""
    lines = ["", f"Usage:  {command} COMMAND", "", about, "", "Commands:", *word_lines(verbs)]
    lines += ["", f"Run '{command} COMMAND --help' for more information on a command."]
    return "\n".join(lines) + "\n"


def word_lines(words: Mapping[str, str]) -> list[str]:
    """A line for each of *words* and what it is for."""
    width = max(map(len, words))
    return [f"  {word:<{width}}   {about}".rstrip() for word, about in sorted(words.items())]


def flag_lines(flags: Iterable[Flag]) -> list[str]:
    """A line, or as many as it takes, for each of *flags*."""
    shown = {_spelled(flag): flag for flag in sorted(flags, key=lambda one: one.name)}
    indent = max(map(len, shown)) + 3
    width = max(_columns() - indent, _NARROWEST - indent, 30)
    lines: list[str] = []
    for spelled, flag in shown.items():
        about = flag.about + (f" (default {_default(flag)})" if flag.default else "")
        first, *rest = textwrap.wrap(about, width) or [""]
        lines.append(f"{spelled:<{indent}}{first}".rstrip())
        lines.extend(f"{'':<{indent}}{line}" for line in rest)
    return lines


def _spelled(flag: Flag) -> str:
    short = f"-{flag.short}, " if flag.short else "    "
    kind = "" if flag.kind == "bool" else f" {flag.kind}"
    return f"  {short}--{flag.name}{kind}"


def _default(flag: Flag) -> str:
    return f'"{flag.default}"' if flag.kind == "string" else flag.default


def _columns() -> int:
    try:
        return os.get_terminal_size(1).columns
    except OSError:
        return 80
