"""The page of the documentation that says what each tier cannot do, written from what it says."""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyengine
from tests.tiers import seat

PLACE = seat.CHECKOUT / "docs/capabilities.rst"
TIERS = ("root", "subids", "single")

_HEAD = """\
What each tier cannot do
========================

.. Written by ``python -m tests.tiers page``, as root, from what ``capabilities()`` says to each.

``engine.capabilities()``, or ``pyengine doctor``, finds out by trying what can be had where it is
asked: with a cgroup that is delegated to its user, say, limits work without root.  This is what it
says on a host that delegates none, to root, to a user with subordinate ids, and to one with one
id (:doc:`rootless`).  The tests of containers are run by all three (``python -m tests.tiers``) and
hold, but for those that ask for what is missing here; who asks for it is refused in these words.

.. list-table::
   :header-rows: 1
   :widths: 16 36 24 8 8 8

   * - Feature
     - What it is for
     - Options that need it
     - root
     - subids
     - single
"""

_WHY = """
Why, and what to do
-------------------

"""

Told = Mapping[str, list[dict[str, object]]]
"""By tier, what ``doctor --json`` tells of each feature."""


def measure() -> Told:
    """What is said to each, on this host. Only root can find out."""
    with (
        tempfile.TemporaryDirectory() as place,
        pyengine.Engine(root=f"{place}/engine") as engine,
    ):
        told = {"root": engine.capabilities().to_dict()}
    for tier in TIERS[1:]:
        told[tier] = _said_to(tier)
    wrong = {tier: one["tier"] for tier, one in told.items() if one["tier"] != tier}
    if wrong:
        raise RuntimeError(f"these are other tiers than they should be: {wrong}")
    return {tier: one["features"] for tier, one in told.items()}  # type: ignore[misc]


def _said_to(tier: str) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix=f"pyengine-{tier}-", dir="/tmp") as made:
        place = Path(made)
        ask = shlex.join([sys.executable, "-m", "pyengine", "doctor", "--json"])
        code = seat.run(place, tier, ["sh", "-c", f"{ask} >{place}/tmp/told"])
        if code != 0:
            raise RuntimeError(f"pyengine doctor, asked by tier {tier}, ended with {code}")
        found: dict[str, object] = json.loads((place / "tmp/told").read_text())
        return found


def page(told: Told) -> str:
    """All of it, in reStructuredText.

    >>> feature = {"name": "memory", "what": "a limit", "works": True, "options": ["memory"]}
    >>> print(page(dict.fromkeys(TIERS, [feature])).splitlines()[-8].strip())
    * - memory
    """
    return "".join((_HEAD, *_rows(told), _WHY, *_causes(told)))


def _rows(told: Told) -> Iterator[str]:
    by_tier = {tier: {one["name"]: one for one in told[tier]} for tier in TIERS}
    for feature in told["root"]:
        options = {
            str(option): None
            for found in by_tier.values()
            for option in found[feature["name"]]["options"]  # type: ignore[attr-defined]
        }
        cells = [
            str(feature["name"]),
            str(feature["what"]),
            ", ".join(f"``{option}``" for option in options),
            *("yes" if by_tier[tier][feature["name"]]["works"] else "no" for tier in TIERS),
        ]
        yield f"   * - {cells[0]}\n"
        yield from (f"     - {cell}".rstrip() + "\n" for cell in cells[1:])


def _causes(told: Told) -> Iterator[str]:
    """Each cause once, with what it keeps from whom."""
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for tier in TIERS:
        for one in told[tier]:
            if not one["works"]:
                cause = _plain(one["why"]), _plain(one["remedy"])
                found.setdefault(cause, {}).setdefault(str(one["name"]), []).append(tier)
    for (why, remedy), features in found.items():
        by_tiers: dict[str, list[str]] = {}
        for name, tiers in features.items():
            by_tiers.setdefault(", ".join(tiers), []).append(name)
        kept = "; ".join(f"{tiers}: {', '.join(names)}" for tiers, names in by_tiers.items())
        yield f"* **{why}** ({kept}).\n  Remedy: {remedy}.\n"


def _plain(text: object) -> str:
    return str(text).replace(str(seat.USER), "UID").replace("*", "\\*")
