"""``python -m benchmarks [NAME] [-n ROUNDS] [--json FILE] [--profile]``."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.report import Comparison

PROFILED_ROUNDS = 100

# Name on the command line: module (import is a word of the language), what it measures.
FIGURES = {
    "run": ("run", "a container that runs true"),
    "auto": ("auto", "the same as users of its own, as root"),
    "rootless": ("rootless", "the same by a user without rights"),
    "exec": ("exec", "true in a running container"),
    "many": ("many", "500 containers at once, and their memory"),
    "output": ("output", "a gibibyte of output"),
    "unpack": ("unpack", "a layer of tens of thousands of files"),
    "commit": ("commit", "an image of ten thousand new files"),
    "pull": ("pull", "a big image from a registry"),
    "import": ("imports", "what import pyengine adds to a program's start"),
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    names = "\n".join(f"  {name:8} {what}" for name, (_, what) in FIGURES.items())
    asking = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__import__("benchmarks").__doc__,
        epilog=f"figures:\n{names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    asking.add_argument("name", nargs="?", choices=FIGURES, help="one of the figures; else all")
    asking.add_argument("-n", type=_rounds, metavar="ROUNDS", help="how often each is done")
    asking.add_argument("--json", metavar="FILE", help="write every single value there too")
    asking.add_argument("--profile", action="store_true", help="show where our own time goes")
    return asking


def _rounds(text: str) -> int:
    rounds = int(text)
    if rounds < 1:
        raise argparse.ArgumentTypeError("at least one round")
    return rounds


def _refuse(reason: str) -> int:
    print(f"benchmarks: {reason}", file=sys.stderr)
    return 1


def _machine() -> dict[str, object]:
    return {
        "kernel": platform.release(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
    }


def _write(path: str, machine: dict[str, object], found: list[Comparison]) -> None:
    figures = [comparison.as_json() for comparison in found]
    Path(path).write_text(json.dumps({"machine": machine, "figures": figures}, indent=1) + "\n")


def main() -> int:
    """Measure what was asked for and print it; exit code 1 if it could not be measured."""
    asked = parser().parse_args()
    if os.geteuid() != 0:
        return _refuse("the limit makes its containers as root: run this as root")
    try:
        import pyengine._native  # noqa: F401
    except ImportError as error:
        return _refuse(f"build pyengine in place first (pip install -e .): {error}")
    from benchmarks.contest import ContestantFailed
    from benchmarks.profile import show
    from benchmarks.report import table
    from benchmarks.rootfs import Missing

    names = [asked.name] if asked.name else list(FIGURES)
    machine = _machine()
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    found: list[Comparison] = []
    try:
        for name in names:
            if asked.profile:
                show(name, asked.n or PROFILED_ROUNDS)
                continue
            figure = importlib.import_module(f"benchmarks.{FIGURES[name][0]}")
            measured = figure.measure(asked.n) if asked.n else figure.measure()
            found += measured
            print(f"\n{table(measured)}", flush=True)
    except (Missing, ContestantFailed) as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        return _refuse("interrupted")
    if asked.json:
        _write(asked.json, machine, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
