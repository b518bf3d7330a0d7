"""The engine lives for long: thousands of containers later it has not grown, nor left anything.

``pytest -m soak -s`` runs the long tests and prints their figures; PYENGINE_SOAK_CYCLES and
PYENGINE_SOAK_IN_FLIGHT make them longer or shorter.
"""

from __future__ import annotations

import gc
import hashlib
import os
import threading
import time
from itertools import count

import pytest
from attrs import define, field

from pyengine import TimedOut, bind
from pyengine.linux.cgroup_files import wait_until

pytestmark = pytest.mark.kernel

CYCLES = int(os.environ.get("PYENGINE_SOAK_CYCLES", "10000"))
IN_FLIGHT = int(os.environ.get("PYENGINE_SOAK_IN_FLIGHT", "32"))
MOST_GROWTH = 20 << 20
PATIENCE = 60.0  # seconds for one call, which takes milliseconds: more is a hang


def resident():
    """Bytes of this process that are in memory."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@define
class Figures:
    """What a number of cycles came to."""

    cycles: int
    seconds: float = 0.0
    before: int = 0
    after: int = 0
    errors: list = field(factory=list)

    @property
    def growth(self):
        return self.after - self.before

    def __str__(self):
        return (
            f"{self.cycles} cycles in {self.seconds:.1f} s, {self.cycles / self.seconds:.0f}/s, "
            f"{len(self.errors)} errors, memory {self.before / 1e6:.1f} MB "
            f"-> {self.after / 1e6:.1f} MB ({self.growth / 1e6:+.1f} MB)"
        )


def cycle(engine, image, number):
    """A container that runs to its end, and one that is started, joined, and removed."""
    word = f"word {number}"
    assert engine.run(image, ["echo", word], timeout=PATIENCE).stdout == f"{word}\n"
    container = engine.start(image, ["sleep", "1000"])
    assert container.exec(["echo", word], timeout=PATIENCE).stdout == f"{word}\n"
    container.remove(force=True)


def spin(engine, image, cycles, in_flight):
    """Do *cycles* in as many threads as are to be *in_flight*; what has gone wrong is told."""
    figures = Figures(cycles)
    numbers = count()

    def work():
        while (number := next(numbers)) < cycles:
            try:
                cycle(engine, image, number)
            except Exception as error:  # noqa: BLE001  (all of them are to be told)
                figures.errors.append(repr(error)[:300])

    threads = [threading.Thread(target=work, daemon=True) for _ in range(in_flight)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE + cycles * 1.0)
    figures.seconds = time.monotonic() - start
    hung = sum(thread.is_alive() for thread in threads)
    assert hung == 0, f"{hung} threads hang"
    return figures


def endure(engine, image, cycles, in_flight):
    """The figures of *cycles*, measured after some that let memory reach its usual size."""
    warm = spin(engine, image, max(cycles // 10, in_flight * 4), in_flight)
    before, held = resident(), len(os.listdir("/proc/self/fd"))
    figures = spin(engine, image, cycles, in_flight)
    figures.before, figures.after = before, resident()
    figures.errors += warm.errors
    assert engine.containers.list(all=True) == []
    # some the engine keeps for the next; what another thread is about to close is not left
    assert wait_until(lambda: len(os.listdir("/proc/self/fd")) < held + 16, 10)
    return figures


def test_hundreds_of_cycles_leave_nothing_and_need_no_more_memory(engine, image):
    figures = endure(engine, image, 300, 32)
    assert figures.errors == []
    assert figures.growth < MOST_GROWTH


@pytest.mark.soak
def test_thousands_of_cycles_leave_nothing_and_need_no_more_memory(engine, image, capsys):
    # "What it must show" 8
    figures = endure(engine, image, CYCLES, IN_FLIGHT)
    with capsys.disabled():
        print(f"\n{IN_FLIGHT} in flight: {figures}")
    assert figures.errors == []
    assert figures.growth < MOST_GROWTH


@pytest.mark.soak
def test_two_hundred_timeouts_leave_no_survivor(engine, image, survivors, capsys):
    # "What it must show" 6
    container = engine.start(image, "sleep 1000")
    script = "echo partial; sleep 4761 & setsid sleep 4761 & sleep 4761"
    took = []
    for _ in range(200):
        before = time.monotonic()
        with pytest.raises(TimedOut) as caught:
            container.exec(["sh", "-c", script], timeout=0.5)
        took.append(time.monotonic() - before)
        assert caught.value.stdout == "partial\n"
        assert survivors("sleep 4761") == []
    with capsys.disabled():
        print(f"\n200 timeouts of 0.5 s: {min(took):.3f} to {max(took):.3f} s")
    assert max(took) < 0.7


@pytest.mark.soak
def test_a_gibibyte_through_both_streams_is_whole(engine, image, tmp_path, capsys):
    # "What it must show" 7
    content = b"".join(b"%063d\n" % number for number in range(1 << 20))
    (tmp_path / "content").write_bytes(content)
    script = "for i in 1 2 3 4 5 6 7 8; do cat /content & cat /content >&2; wait; done"
    container = engine.create(
        image, ["sh", "-c", script], mounts=[bind(tmp_path / "content", "/content")]
    )
    wanted = hashlib.sha256(content * 8).hexdigest()
    process = container.attach()
    start = time.monotonic()
    container.start()
    sums = {"stdout": hashlib.sha256(), "stderr": hashlib.sha256()}
    for chunk in process:
        sums[chunk.stream].update(chunk.data)
    seconds = time.monotonic() - start
    with capsys.disabled():
        print(f"\n1 GiB, logged, listened to and hashed: {1074 / seconds:.0f} MB/s")
    assert [one.hexdigest() for one in sums.values()] == [wanted] * 2
    assert container.wait(timeout=10).exit_code == 0
