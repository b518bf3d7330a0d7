"""An image of a container that has written ten thousand files: how long until it can be run."""

from __future__ import annotations

import io
import tarfile
import time

import pyengine
from benchmarks.bench import bench
from benchmarks.report import Bound, Comparison
from benchmarks.samples import Sample

ROUNDS = 10
FILES = 10_000
WANTED = Bound(20.0, absolute=True)

_WRITE = f"mkdir /n; cd /n; i=0; while [ $i -lt {FILES} ]; do echo $i > f$i; i=$((i+1)); done"


def measure(rounds: int = ROUNDS) -> list[Comparison]:
    """Until others can run it; and until a power cut takes nothing of it."""
    usable, durable = [], []
    with bench() as place, pyengine.Engine(place.directory / "engine") as engine:
        engine.images.import_(_packed(str(place.rootfs)), tag="bench:1", changes=['CMD ["true"]'])
        for number in range(rounds):
            for times, is_durable in ((usable, False), (durable, True)):
                container = engine.create("bench:1", ["sh", "-c", _WRITE])
                container.start()
                container.wait()
                began = time.perf_counter()
                container.commit(f"made:{number}", durable=is_durable)
                times.append((time.perf_counter() - began) * 1e3)
                seen = engine.run(f"made:{number}", ["sh", "-c", "ls /n | wc -l"]).stdout
                assert int(seen) == FILES, seen
                container.remove()
    what = f"commit {FILES} new files"
    return [
        Comparison(f"{what}, until it can be run", "ms", Sample(usable), wanted=WANTED),
        Comparison(f"{what}, until it is on disk", "ms", Sample(durable)),
    ]


def _packed(directory: str) -> bytes:
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w") as tar:
            tar.add(directory, arcname=".")
        return file.getvalue()
