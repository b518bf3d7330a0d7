"""A layer of tens of thousands of files, unpacked by us, by GNU tar, by bsdtar and by the limit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from benchmarks.bench import bench
from benchmarks.contest import PROJECT, ContestantFailed, interleave
from benchmarks.limit import program
from benchmarks.report import Bound, Comparison
from benchmarks.rootfs import Missing
from benchmarks.samples import Sample

ROUNDS = 7
WARM_UP = 1
SOURCES = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/include", "usr/lib/python3")
PIECE = 1 << 20

WANTED_OF_TAR = Bound(1.0)

_OURS = f"""
import os, sys
from pyengine.linux.native_layers import Unpacker
piece = memoryview(bytearray({PIECE}))
with Unpacker(os.open(sys.argv[1], os.O_RDONLY)) as unpacker:
    while size := os.readv(0, [piece]):
        unpacker.feed(piece[:size])
    unpacker.finish()
"""


@frozen
class Turn:
    """One archive unpacked once, in seconds: by the clock, and of a processor."""

    wall: float
    cpu: float


def commands(to: Path) -> Mapping[str, Sequence[str]]:
    """Who unpacks an archive from standard input in *to*, all as root would have it."""
    found = {
        "ours": [sys.executable, "-c", _OURS, str(to)],
        "limit": [program("untar"), str(to)],
        "GNU tar": ["tar", "-xp", "--numeric-owner", "-C", str(to)],
    }
    if shutil.which("bsdtar"):
        found["bsdtar"] = ["bsdtar", "-xp", "--numeric-owner", "-C", str(to)]
    return found


def make_archive(path: Path) -> int:
    """Pack what this host has of `SOURCES`; how many entries that is."""
    sources = [source for source in SOURCES if Path("/", source).is_dir()]
    if not sources:
        raise Missing("/usr/share", "any will do: the archive is made of it")
    command = ["tar", "-c", "--format=gnu", "--numeric-owner", "-f", str(path), "-C", "/", *sources]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    with tarfile.open(path) as tar:
        return sum(1 for _ in tar)


def _turn(name: str, command: Sequence[str], archive: Path, to: Path) -> Callable[[], Turn]:
    def take() -> Turn:
        to.mkdir()
        with archive.open("rb") as source:
            began = time.monotonic()
            child = subprocess.Popen(
                command, stdin=source, cwd=PROJECT, env={**os.environ, "PYTHONPATH": str(PROJECT)}
            )
            _, status, used = os.wait4(child.pid, 0)
            wall = time.monotonic() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        shutil.rmtree(to)
        if child.returncode:
            raise ContestantFailed(name, f"exit code {child.returncode}")
        return Turn(wall, used.ru_utime + used.ru_stime)

    return take


def _compare(
    what: str, turns: Mapping[str, Sequence[Turn]], entries: int, size: int
) -> list[Comparison]:
    wall = {name: Sample(turn.wall for turn in those) for name, those in turns.items()}
    cpu = {name: Sample(turn.cpu for turn in those) for name, those in turns.items()}
    results = []
    for name in turns:
        if name == "ours":
            continue
        wanted = WANTED_OF_TAR if name == "GNU tar" else None
        files = (wall[one].per(entries) for one in ("ours", name))
        rate = (wall[one].per(size / 1e6) for one in ("ours", name))
        results += [
            Comparison(what, "CPU s", cpu["ours"], name, cpu[name], wanted),
            Comparison(what, "files/s", next(files), name, next(files)),
            Comparison(what, "MB/s", next(rate), name, next(rate)),
        ]
    return results


def _race(archive: Path, entries: int, to: Path, where: str, rounds: int) -> list[Comparison]:
    things = {name: _turn(name, command, archive, to) for name, command in commands(to).items()}
    turns = interleave(things, rounds, warm_up=WARM_UP)
    return _compare(f"unpack to {where}", turns, entries, archive.stat().st_size)


def measure(rounds: int = ROUNDS) -> list[Comparison]:
    """All read the same archive from memory, in turns, and write to a disk, then to memory.

    What a disk's file system takes of a processor depends on who else is at it; memory's does not.
    """
    with bench() as place, tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        archive = place.directory / "archive.tar"
        entries = make_archive(archive)
        places = {"memory": Path(memory, "unpacked"), "disk": place.directory / "unpacked"}
        return [
            comparison
            for where, to in places.items()
            for comparison in _race(archive, entries, to, where, rounds)
        ]
