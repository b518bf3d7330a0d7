"""A big image from a registry on loopback, pulled by us and by peers, each a whole process.

Theirs are ``skopeo copy`` followed by ``umoci unpack``, ``podman pull`` and, where a dockerd runs,
``docker pull``. The limit is the slower of two things that nobody can do without: the same bytes
inflated by the fastest program there is, and the same files made by our own unpacker in C, both
as many layers at a time as there are processors. All begin with an empty store.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import frozen

from benchmarks.bench import Bench, bench
from benchmarks.big_image import COMPRESSORS, Archives, BigImage, make_archives, make_image
from benchmarks.contest import PROJECT, ContestantFailed, interleave
from benchmarks.registry import find_registry, registry
from benchmarks.report import Bound, Comparison
from benchmarks.samples import Sample
from benchmarks.unpack import commands as unpackers

ROUNDS = 3
INFLATERS = {"gzip": ("igzip", "-d", "-c"), "zstd": ("zstd", "-d", "-q", "-c")}
_OURS, _SKOPEO, _PODMAN, _DOCKER = "ours", "skopeo + umoci", "podman", "docker"
_INFLATE, _UNTAR = "inflate", "untar"

WANTED_OF_PEERS, WANTED_OF_LIMIT = Bound(0.7), Bound(1.3)
WANTED_MEMORY = Bound(100.0, absolute=True)


@frozen
class Turn:
    """One image had once: seconds by the clock and of processors, and the most memory, in MB."""

    wall: float
    cpu: float
    memory: float


@frozen
class Store:
    """An empty place for one turn of a contestant's; *commands* are run one after the other."""

    place: Path
    commands: Sequence[Sequence[str]]
    at_once: bool = False
    inputs: Sequence[Path] = ()


def _ours(place: Path, reference: str) -> Store:
    command = [sys.executable, "-m", "pyengine", "--root", str(place / "root"), "pull", "-q"]
    return Store(place, [[*command, reference]])


def _skopeo(place: Path, reference: str) -> Store:
    layout = f"{place}/layout:image"
    copy = ["skopeo", "copy", "-q", "--src-tls-verify=false"]
    unpack = ["umoci", "unpack", "--image", layout, f"{place}/bundle"]
    return Store(place, [[*copy, f"docker://{reference}", f"oci:{layout}"], unpack])


def _podman(place: Path, reference: str) -> Store:
    where = ["--root", f"{place}/root", "--runroot", f"{place}/run", "--storage-driver=overlay"]
    return Store(place, [["podman", *where, "pull", "-q", "--tls-verify=false", reference]])


def _docker(place: Path, reference: str) -> Store:
    return Store(place, [["docker", "image", "rm", "-f", reference], ["docker", "pull", reference]])


def _inflate(place: Path, image: BigImage, compression: str) -> Store:
    words = INFLATERS[compression]
    return Store(place, [words] * len(image.layers), at_once=True, inputs=image.layers)


def _untar(place: Path, archives: Archives) -> Store:
    several = []
    for number, _ in enumerate(archives.paths):
        (place / f"layer{number}").mkdir()
        several.append(unpackers(place / f"layer{number}")["ours"])
    return Store(place, several, at_once=True, inputs=archives.paths)


def _peers(compression: str) -> list[tuple[str, Callable[[Path, str], Store]]]:
    """Those that are here and know that compression, having said who is not."""
    found: list[tuple[str, Callable[[Path, str], Store]]] = []
    for name, needs, make in (
        (_SKOPEO, ("skopeo", "umoci"), _skopeo),
        (_PODMAN, ("podman",), _podman),
        (_DOCKER, ("docker",), _docker),
    ):
        lacking = [program for program in needs if shutil.which(program) is None]
        if name == _DOCKER and not os.path.exists("/run/docker.sock"):
            lacking = lacking or ["dockerd"]
        if name == _SKOPEO and compression == "zstd":
            print("umoci unpacks no zstd", file=sys.stderr)
        elif lacking:
            print(f"no {' and '.join(lacking)} here to compare with", file=sys.stderr)
        else:
            found.append((name, make))
    return found


def _turn(name: str, place: Bench, make: Callable[[Path], Store]) -> Callable[[], Turn]:
    def take() -> Turn:
        # it goes with the bench: after many files were removed ext4 takes long to make others
        where = Path(tempfile.mkdtemp(prefix="pull-", dir=place.directory))
        store = make(where)
        os.sync()  # what others have written is not ours to wait for
        return _timed(name, store)

    return take


def _timed(name: str, store: Store) -> Turn:
    cpu, memory = 0.0, 0
    env = {**os.environ, "PYTHONPATH": str(PROJECT)}
    inputs = [*store.inputs] or [Path("/dev/null")] * len(store.commands)
    width = (os.cpu_count() or 1) if store.at_once else 1
    waiting = list(zip(store.commands, inputs, strict=True))
    running: dict[int, subprocess.Popen[bytes]] = {}
    began = time.monotonic()
    while waiting or running:
        while waiting and len(running) < width:
            command, path = waiting.pop(0)
            with path.open("rb") as source:
                child = subprocess.Popen(
                    command, stdin=source, stdout=subprocess.DEVNULL, cwd=PROJECT, env=env
                )
            running[child.pid] = child
        pid, status, used = os.wait4(-1, 0)
        child = running.pop(pid)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise ContestantFailed(name, f"exit code {child.returncode}")
        cpu += used.ru_utime + used.ru_stime
        memory = max(memory, used.ru_maxrss)
    return Turn(time.monotonic() - began, cpu, memory * 1024 / 1e6)


def _contestants(
    place: Bench, reference: str, image: BigImage, archives: Archives, compression: str
) -> Mapping[str, Callable[[], Turn]]:
    found = {_OURS: _turn(_OURS, place, lambda where: _ours(where, reference))}
    for name, make in _peers(compression):
        found[name] = _turn(name, place, lambda where, make=make: make(where, reference))  # type: ignore[misc]
    found[_INFLATE] = _turn(_INFLATE, place, lambda where: _inflate(where, image, compression))
    found[_UNTAR] = _turn(_UNTAR, place, lambda where: _untar(where, archives))
    return found


def _compare(what: str, turns: Mapping[str, Sequence[Turn]]) -> list[Comparison]:
    wall = {name: Sample(turn.wall for turn in those) for name, those in turns.items()}
    cpu = {name: Sample(turn.cpu for turn in those) for name, those in turns.items()}
    ours = wall[_OURS]
    peers = [name for name in turns if name not in (_OURS, _INFLATE, _UNTAR)]
    best = min(peers, key=lambda name: wall[name].p50, default="")
    limit = max((_INFLATE, _UNTAR), key=lambda name: wall[name].p50)
    results = [
        Comparison(what, "s", ours, name, wall[name], WANTED_OF_PEERS if name == best else None)
        for name in peers
    ]
    results.append(Comparison(what, "s", ours, f"limit: {limit}", wall[limit], WANTED_OF_LIMIT))
    results += [Comparison(what, "CPU s", cpu[_OURS], name, cpu[name]) for name in peers]
    memory = Sample(turn.memory for turn in turns[_OURS])
    results.append(Comparison(f"{what}, memory", "MB", memory, wanted=WANTED_MEMORY))
    return results


def measure(rounds: int = ROUNDS) -> list[Comparison]:
    """Both compressions, one after the other; within each, all take turns."""
    if find_registry() is None:
        return []
    results = []
    with bench() as place, registry(place.directory / "registry") as server:
        made = place.directory / "archives"
        made.mkdir()
        archives = make_archives(made)
        size = f"{archives.bytes / 1e6:.0f} MB, {archives.files} files"
        for compression in COMPRESSORS:
            image = make_image(archives, place.directory / compression, compression)
            reference = server.put("big", compression, image)
            things = _contestants(place, reference, image, archives, compression)
            results += _compare(f"pull {size}, {compression}", interleave(things, rounds))
    return results
