"""``doctor``: what this host allows, and the remedy for what it does not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pyengine.cli.flags import Flag
from pyengine.cli.say import say
from pyengine.cli.table import plain
from pyengine.cli.verb import Call, Verb

if TYPE_CHECKING:
    from pyengine import Capabilities, Feature

_TIERS = {
    "root": "as root",
    "subids": "as this user, with more ids",
    "single": "as this user, with one id: everybody inside is you",
    "none": "not at all",
}


def doctor(call: Call) -> int:
    """Examine the host: 0 if containers can run, 1 if they cannot."""
    with call.engine() as engine:
        found = engine.capabilities()
    if call.given.is_set("json"):
        say(json.dumps(found.to_dict(), indent=2))
    else:
        for line in report(found):
            say(line)
    return 1 if found.tier == "none" else 0


def report(found: Capabilities) -> list[str]:
    """*found* in lines: what works, then what does not, each with its cause and its remedy."""
    lines = [f"Containers run here {_TIERS[found.tier]}.", ""]
    works = [feature for feature in found.features if feature.works]
    lines += [_row("yes", feature) for feature in works]
    for feature in found.missing:
        lines.append(_row("no", feature))
        lines.append(plain(f"                    why: {feature.why}"))
        lines.append(plain(f"                 remedy: {feature.remedy}"))
    return lines


def _row(answer: str, feature: Feature) -> str:
    return plain(f"{answer:<5}{feature.name:<14}{feature.what}")


VERBS = {
    "doctor": Verb(
        "[OPTIONS]",
        "Examine this host: what works here, why the rest does not, and what to do",
        doctor,
        (Flag("json", "bool", "All of it as JSON"),),
    ),
}
