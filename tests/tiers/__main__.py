"""``python -m tests.tiers``: the tests about containers, run by users who have no rights.

Without arguments as both users, the one with subordinate ids and the one with a single id, at
once. Needs root, to arrange what they see; exits with 0 if both pass.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support import programs
from tests.tiers import page, seat

TIERS = ("single", "subids")
CHOICE = ("-m", "tiers and not soak", "tests/kernel")


def main() -> int:
    """Run pytest in one seat, or in each, and say in the last line how it went."""
    parser = argparse.ArgumentParser(prog="python -m tests.tiers", description=__doc__)
    only = "only as this user; or write docs/capabilities.rst anew"
    parser.add_argument("tier", nargs="?", choices=(*TIERS, "page"), help=only)
    parser.add_argument("pytest", nargs=argparse.REMAINDER, help="instead of our choice of tests")
    given = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("only root can arrange what somebody else sees")
    if given.tier == "page":
        page.PLACE.write_text(page.page(page.measure()))
        return 0
    for source in Path(programs.__file__).parent.glob("*.c"):
        programs.build(source.stem)  # its place is not theirs to write to
    if given.tier:
        return _run(given.tier, given.pytest)
    started = time.monotonic()
    runs = {tier: _begin(tier) for tier in TIERS}
    codes = {}
    for tier, run in runs.items():
        said, _ = run.communicate()
        print(f"\n== {tier}\n{said}", end="", flush=True)
        codes[tier] = run.returncode
    good = not any(codes.values())
    told = ", ".join(f"pytest as {tier}: exit code {code}" for tier, code in codes.items())
    took = time.monotonic() - started
    print(f"\ntests.tiers: {'all of it holds' if good else 'FAILED'}; {told}; {took:.0f} s")
    return 0 if good else 1


def _begin(tier: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.tiers", tier]
    out = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, cwd=seat.CHECKOUT, text=True, **out)


def _run(tier: str, words: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix=f"pyengine-{tier}-", dir="/tmp") as made:
        place = Path(made)
        command = [
            *(sys.executable, "-m", "pytest", "-p", "tests.tiers.plugin"),
            *("-p", "no:cacheprovider", "--color=no", f"--basetemp={place}/tmp/t"),
            *(words or CHOICE),
        ]
        whole = {} if words else {"PYENGINE_TIER_WHOLE": "1"}
        return seat.run(place, tier, command, whole)


if __name__ == "__main__":
    sys.exit(main())
