"""Owners die at random moments, by the thousand: a moment later nothing of any is left.

``pytest -m soak -s tests/kernel/test_chaos.py`` runs it and prints how long the cleaning took, how
often longer than 250 ms: how long that is depends on what else runs on the machine;
PYENGINE_CHAOS_OWNERS makes it longer or shorter, PYENGINE_CHAOS_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import select
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from attrs import Factory, define
from strangers import Stranger
from support.keepers import keeper_of

import pyengine
from pyengine.linux.cgroup import Cgroup, Hierarchy
from pyengine.model.spec import Resources

pytestmark = [pytest.mark.kernel, pytest.mark.soak]

OWNERS = int(os.environ.get("PYENGINE_CHAOS_OWNERS", "1000"))
SEED = int(os.environ.get("PYENGINE_CHAOS_SEED", "0")) or random.SystemRandom().getrandbits(32)
ALLOWED = 0.25  # seconds from a death to the last trace of what lived
PATIENCE = 30.0
MEMORY = 256 << 20  # of an owner that shall run out of it

WORK = """
import random

def end_by(death):
    if death == "os._exit":
        os._exit(3)
    if death == "execve":
        os.execv("/bin/sleep", ["sleep", "4902"])
    hoard = []
    while death == "oom":
        hoard.append(bytearray(1 << 22))

def work(seed, death, after):
    dice, alive, most = random.Random(seed), [], random.Random(seed).randint(1, 20)
    if death:
        threading.Timer(after, end_by, (death,)).start()
    while True:
        what = dice.random()
        if what < 0.5 and len(alive) < most:
            alive.append(engine.start(image, "sleep 4900", **options(dice)))
        elif what < 0.6:
            engine.run(image, "true")
        elif what < 0.65:
            engine.run(image, "true", keep=True)
        elif what < 0.7:
            engine.create(image, "true", name=f"made{dice.getrandbits(40)}")
        elif alive and what < 0.9:
            dice.choice(alive).popen("sleep 4900")
        elif alive:
            alive.pop(dice.randrange(len(alive))).remove(force=True)

def options(dice):
    chosen = {"tty": dice.random() < 0.3, "stdin_open": dice.random() < 0.3}
    if dice.random() < 0.3:
        chosen["tmpfs"] = {"/scratch": "size=1m"}
    if dice.random() < 0.3:
        chosen["volumes"] = ["/usr/share:/shared:ro"]
    if dice.random() < 0.3:
        chosen["mounts"] = [pyengine.overlay("/usr/share", "/mine")]
    return chosen
"""

KEPT = """["sh", "-c", "while read x; do echo heard $x; done; exec sleep 4901"]"""
"""A container of nobody's: as long as its input has no end it answers."""

DEATHS = (
    *["SIGKILL"] * 9,
    "SIGSTOP, SIGKILL",
    "os._exit",
    "execve",
    "oom",
    "SIGKILL after its guard",
    "SIGKILL with its guard",
    "SIGKILL with the keeper",
    "SIGKILL with both",
)
BY_ITSELF = ("os._exit", "execve", "oom")
UNGUARDED = ("SIGKILL after its guard", "SIGKILL with its guard", "SIGKILL with both")


def _is_over(pidfd, deadline):
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(max(deadline - time.monotonic(), 0) * 1000))


def _children(pid):
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
            found += [int(child) for child in file.read().split()]
    return found


def _namespaces():
    """Those that somebody lives in; who is dead and not reaped yet has none."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("mnt", "net", "ipc", "uts"):
            try:
                found.add(os.readlink(f"/proc/{pid}/ns/{name}"))
            except OSError:
                continue
    return found


def _mounts():
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return {line.split()[0] for line in file}


@define
class Life:
    """One owner: what it has, and how it ends."""

    root: str
    stranger: Stranger
    death: str
    dice: random.Random
    took: float | None = None
    left: list[str] = Factory(list)
    guard: int = -1
    fork: int = 0
    pidfds: list[int] = Factory(list)
    owner: str = ""
    kept: str = ""

    def begin(self):
        """It has a container of nobody's, a guard, perhaps a fork; it is about to do more."""
        ask = self.stranger.ask
        self.kept = ask(f"engine.start(image, {KEPT}, owner='none', stdin_open=True).id")
        self.guard = os.pidfd_open(ask("(engine.run(image, 'true'), engine._house.guard.pid)[1]"))
        self.owner = ask("engine._house.catalog.owner")
        self._hold(_children(self.stranger.pid))
        if self.dice.random() < 0.5:  # a fork that has inherited everything, and lives on
            self.fork = ask("os.fork() or (time.monotonic() and __import__('signal').pause())")

    def end(self):
        """It dies at a random moment, while it does what owners do."""
        moment = self.dice.uniform(0, 0.25)
        death = self.death if self.death in BY_ITSELF else ""
        arguments = f"{self.dice.getrandbits(32)}, {death!r}, {moment}"
        with _little_memory(self.stranger.pid if death == "oom" else 0):
            self.stranger.tell(f"exec({WORK!r}) or work({arguments})")
            if death == "execve":
                self._await_exec()
            elif death:
                os.waitid(os.P_PID, self.stranger.pid, os.WEXITED | os.WNOWAIT)
            else:
                select.select((), (), (), moment)
                self._kill()
            self._await_cleaning(time.monotonic())

    def _await_exec(self):
        deadline = time.monotonic() + PATIENCE
        while _command(self.stranger.pid) != b"sleep\0004902\0":
            assert time.monotonic() < deadline
            os.sched_yield()

    def _kill(self):
        pid = self.stranger.pid
        if self.death == "SIGKILL after its guard":  # it may have another by the time it dies
            signal.pidfd_send_signal(self.guard, signal.SIGKILL)
            select.select((), (), (), self.dice.uniform(0, 0.02))
        os.kill(pid, signal.SIGSTOP)  # so that all it has can be noted
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
        if self.death == "SIGSTOP, SIGKILL":
            select.select((), (), (), self.dice.uniform(0, 0.1))
        self._hold(child for child in _children(pid) if child != self.fork)
        if self.death in ("SIGKILL with the keeper", "SIGKILL with both"):
            os.kill(keeper_of(self.root), signal.SIGKILL)
        if self.death in ("SIGKILL with its guard", "SIGKILL with both"):
            signal.pidfd_send_signal(self.guard, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)

    def _await_cleaning(self, died):
        """The guard is over once all cgroups are gone, so nobody lives in any. What is dead may
        have to wait until the host's process 1 reaps: how quick that is is its affair.
        """
        if self.death in UNGUARDED:
            self.stranger.kill()  # and wait until it is dead: whoever lives is left alone
            died = time.monotonic()
            with pyengine.Engine(root=self.root) as engine:
                engine.containers.list()
        if self.death == "execve" and self.fork:  # which holds its lock for it: see docs/recovery
            self.stranger.kill()
        assert _is_over(self.guard, died + PATIENCE), self.death
        if self.death != "execve":  # that its lock is gone the guard finds out within a second
            self.took = time.monotonic() - died
        self.left += self._on_disk()
        if self.death == "execve":
            self.stranger.kill()  # whose zombies they are; there is nobody else to reap them
        for pidfd in self.pidfds:
            if not _is_over(pidfd, died + PATIENCE):
                self.left.append("a process")

    def _on_disk(self):
        found = []
        for place in ("owners", "desk", "names"):
            for name in os.listdir(f"{self.root}/{place}"):
                path = f"{self.root}/{place}/{name}"
                if self.owner in (os.readlink(path) if os.path.islink(path) else name):
                    found.append(path)
        for level in Cgroup.levels(Hierarchy.probe(), self.owner):
            found += [path for path in (level.v2_path, *level.v1_paths.values()) if path]
        return found

    def check_kept(self, pid):
        """What belongs to nobody runs on, and answers whoever asks."""
        with pyengine.Engine(root=self.root) as engine:
            kept = engine.containers.get(self.kept)
            assert (kept.status, kept.inspect().pid) == ("running", pid)
            assert kept.exec("echo here").stdout == "here\n"
            attached = kept.attach(stdin=True)  # also of a keeper that was just called
            attached.stdin.write(b"you\n")
            assert next(iter(attached)).data == b"heard you\n"
            attached.close()
            kept.remove(force=True)

    def _hold(self, pids):
        for pid in pids:
            try:
                self.pidfds.append(os.pidfd_open(pid))
            except ProcessLookupError:  # it has just ended
                continue

    def close(self):
        """Let go of everybody."""
        for pidfd in (self.guard, *self.pidfds):
            if pidfd >= 0:
                os.close(pidfd)
        if self.fork:
            os.kill(self.fork, signal.SIGKILL)


def _command(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()


@contextmanager
def _little_memory(pid) -> Iterator[None]:
    """*pid*, if it is given, may have no more than a little."""
    if not pid:
        yield
        return
    host = Hierarchy.probe()
    cgroup = Cgroup.create(host, f"oom-{pid}", Resources(memory=MEMORY, memory_swap=MEMORY))
    try:
        with open(f"{cgroup.path_of('memory')}/cgroup.procs", "w", encoding="ascii") as file:
            file.write(str(pid))
        yield
    finally:
        cgroup.kill()
        cgroup.remove()


def _live(root, image, dice, death):
    """One owner's life and death."""
    namespaces, mounts = _namespaces(), _mounts()
    with Stranger(root, image) as stranger:
        life = Life(root, stranger, death, dice)
        try:
            life.begin()
            pid = stranger.ask(f"engine.containers.get('{life.kept}').inspect().pid")
            life.end()
            life.check_kept(pid)
        finally:
            life.close()
    life.left += sorted(_namespaces() - namespaces) + sorted(_mounts() - mounts)
    return life


def _figures(times):
    times = sorted(times)
    if not times:
        return "nobody"
    parts = (f"p{p} {times[int(len(times) * p / 100)] * 1000:.0f} ms" for p in (50, 90, 99))
    late = sum(took > ALLOWED for took in times)
    return f"{', '.join(parts)}, at most {times[-1] * 1000:.0f} ms, {late} of {len(times)} late"


def test_owners_that_die_at_random_moments_leave_nothing(tmp_path, image, survivors):
    root, dice = str(tmp_path / "engine"), random.Random(SEED)
    guarded, recovered, left = [], [], []
    deaths: Counter[str] = Counter()
    with pyengine.Engine(root=root) as engine:
        neighbour = engine.start(image, "sleep 4901", owner="none")
        pid = neighbour.inspect().pid
        for number in range(OWNERS):
            death = dice.choice(DEATHS)
            life = _live(root, image, dice, death)
            deaths[death] += 1
            left += [f"owner {number} ({death}): {one}" for one in life.left]
            if life.took is not None:
                (recovered if death in UNGUARDED else guarded).append(life.took)
        assert (neighbour.status, neighbour.inspect().pid) == ("running", pid)
        assert neighbour.exec("echo here").stdout == "here\n"
        assert [one.id for one in engine.containers.list(all=True)] == [neighbour.id]
        neighbour.remove(force=True)
    print(f"\nseed {SEED}: {OWNERS} owners died, {len(left)} things left; {dict(deaths)}")
    print(f"from death to nothing, by its guard: {_figures(guarded)}")
    print(f"by who opened its root next: {_figures(recovered)}")
    assert left == []
    assert survivors("sleep 4900") == []
