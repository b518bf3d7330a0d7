"""After a power cut the store is whole, with all that was acknowledged: see `support.power`.

``pytest -m soak -s tests/kernel/test_power_cuts.py`` prints its figures; PYENGINE_POWER_CUTS says
how many cuts there shall be, PYENGINE_POWER_SEED which.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import select
import subprocess
import sys
import time
from collections.abc import Sized
from pathlib import Path

import pytest
from attrs import define, field, frozen
from support.image_archives import docker_files, tar
from support.images import make_image, tar_of, tar_of_directory
from support.power import after_a_boot, disk

import pyengine

pytestmark = [pytest.mark.kernel, pytest.mark.soak]

CUTS = int(os.environ.get("PYENGINE_POWER_CUTS", "100"))
SEED = int(os.environ.get("PYENGINE_POWER_SEED", "0")) or random.SystemRandom().getrandbits(32)
_A_LIFE = 10  # cuts of one life of a machine
_SECONDS = 30.0
_PULLS, _LOADS = 6, 4


@frozen
class Cut:
    """One clone: what was acknowledged and tried before it was begun."""

    image: Path
    acked: dict[str, str]
    tried: list[str]
    at: float  # seconds of the life
    since: float  # seconds since the last thing was acknowledged


@define
class Life:
    """What a worker tells until its power is cut, again and again."""

    process: subprocess.Popen
    began: float = field(factory=time.monotonic)
    told: bytes = b""
    acked: dict[str, str] = field(factory=dict)
    tried: list[str] = field(factory=list)
    last: float = 0.0

    def listen(self, seconds: float, until: Sized = ()) -> None:
        """Take what it tells, for that long or *until* one of these has become more."""
        end, known = time.monotonic() + seconds, len(until)
        while (left := end - time.monotonic()) > 0 and len(until) == known:
            if select.select([self.process.stdout], [], [], left)[0]:
                data = os.read(self.process.stdout.fileno(), 65536)
                assert data, "the worker has ended"
                self._take(data)

    def _take(self, data: bytes) -> None:
        *lines, self.told = (self.told + data).split(b"\n")
        for line in lines:
            match line.decode().split():
                case ["try", what]:
                    self.tried.append(what)
                case ["ack", what, image_id]:
                    self.acked[what] = image_id
                    self.last = time.monotonic()


def files_of(root: str) -> dict[str, str]:
    found = {}
    for directory, _, names in os.walk(root):
        for name in names:
            path = f"{directory}/{name}"
            if not os.path.islink(path):
                with open(path, "rb") as file:
                    data = hashlib.sha256(file.read()).hexdigest()
                found[path.removeprefix(root)] = data
    return found


@pytest.fixture
def given(tmp_path, rootfs, registry):
    """The path of what `support.power_works.Given` is read from."""
    choice = random.Random(SEED)
    base, content = tar_of_directory(rootfs), {"base:": files_of(rootfs)}
    registry.put_image("base", "1", [base])
    for what in [f"pull:{i}" for i in range(_PULLS)] + [f"load:{i}" for i in range(_LOADS)]:
        name = what.replace(":", "")
        many = {f"data/{name}/{i}": choice.randbytes(choice.randrange(9000)) for i in range(400)}
        large = {f"large/{name}": choice.randbytes(3_000_000)}
        digests = {f"/{p}": hashlib.sha256(d).hexdigest() for p, d in (many | large).items()}
        content[what] = content["base:"] | digests
        image = make_image([base, tar_of(many), tar_of(large)])
        if what.startswith("pull"):
            registry.put_image(name, "1", image.layers, image.config)
        else:
            (tmp_path / f"{name}.tar").write_bytes(tar(docker_files(image, [f"{name}:1"])))
    told = {
        "registry": registry.address,
        "archives": str(tmp_path),
        "pulls": _PULLS,
        "loads": _LOADS,
        "content": content,
    }
    path = tmp_path / "given.json"
    path.write_text(json.dumps(told))
    return path


@pytest.fixture(autouse=True)
def workers_find_the_package(monkeypatch):
    home = os.path.dirname(os.path.dirname(os.path.abspath(pyengine.__file__)))
    monkeypatch.setenv("PYTHONPATH", f"{home}:{home}/tests")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


def command(action, given, place, run, *more):
    words = [sys.executable, "-m", "support.power_works", action, str(given), f"{place}/root"]
    return [*words, str(run), *map(str, more)]


def cuts_of_a_life(machine, image, given, run, number, cuts):
    """Let a worker work on *image*, and cut its power so often."""
    choice, made = random.Random(SEED + number), []
    moments = sorted(choice.uniform(0, _SECONDS) for _ in range(cuts))
    busy = choice.uniform(10, _SECONDS)
    with machine.mounted(image) as place:
        words = command("work", given, place, run, SEED + number, busy)
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            life = Life(process)
            for index, moment in enumerate(moments):
                life.listen(max(moment + life.began - time.monotonic(), 0.01))
                kind = choice.choice(("whenever", "just when it was told", "in the midst"))
                if kind != "whenever":
                    life.listen(
                        2, until=life.acked if kind == "just when it was told" else life.tried
                    )
                if kind == "in the midst":
                    life.listen(choice.uniform(0, 0.5))
                acked, tried, now = dict(life.acked), list(life.tried), time.monotonic()
                clone = machine.clone(image, f"cut-{number}-{index}")
                since = now - life.last if life.last else -1.0
                made.append(Cut(clone, acked, tried, now - life.began, since))
            process.stdin.close()
            while data := process.stdout.read(65536):
                life._take(data)
        assert process.returncode == 0
    return made


def looked(machine, cut, given, directory):
    """What a fresh process finds after the boot that follows."""
    run = directory / f"run-{cut.image.name}"
    with machine.mounted(cut.image) as place:
        words = after_a_boot(command("look", given, place, run), directory)
        told = json.dumps({"acked": cut.acked, "tried": cut.tried})
        done = subprocess.run(words, input=told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{cut}: {done.stderr[-3000:]}"
    cut.image.unlink()
    return json.loads(done.stdout)


def test_what_was_acknowledged_is_there_after_a_power_cut_and_the_store_is_whole(tmp_path, given):
    bad, images, usual, during, moments = [], 0, 0, 0, []
    with disk(tmp_path) as (machine, empty):
        for number, begin in enumerate(range(0, CUTS, _A_LIFE)):
            image = machine.clone(empty, f"life-{number}")
            cuts = min(_A_LIFE, CUTS - begin)
            for cut in cuts_of_a_life(machine, image, given, tmp_path / "run", number, cuts):
                seen = looked(machine, cut, given, tmp_path)
                images, usual = images + seen["images"], usual + seen["usual"]
                during += len(cut.tried) > len(cut.acked)
                moments.append(cut.since)
                if any(seen[kind] for kind in ("damage", "wrong", "failed", "left")):
                    bad.append((cut, seen))
                    when = f"{cut.at:.2f} s, {cut.since:.2f} after; {cut.tried[-1:]}"
                    print(f"seed {SEED}: {when}: {seen}")
            image.unlink()
    print(
        f"{CUTS} cuts, {during} of them while something was done, {images} images acknowledged; "
        f"{len(bad)} stores broken or images lost; {usual} layers to be unpacked again; "
        f"since the last was acknowledged {sorted(round(one, 2) for one in moments)} s"
    )
    assert not bad, f"seed {SEED}: {len(bad)} of {CUTS}"
