"""The place where figures are taken: directories that are gone afterwards, and contestants."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from attrs import field, frozen

from benchmarks.contest import Contestant, Lap, interleave
from benchmarks.crun import Crun, crun
from benchmarks.limit import Limit, limit
from benchmarks.nobody import Nobody, nobody
from benchmarks.rootfs import make_rootfs


@frozen
class Bench:
    """*directory* is on a disk, not in memory, as an engine's root usually is."""

    directory: Path
    _stack: ExitStack = field(repr=False)

    @property
    def rootfs(self) -> Path:
        """Busybox, and little else."""
        return self.directory / "rootfs"

    def nobody(self) -> Nobody:
        """A user without rights; the bench is open to them from now on."""
        return nobody(self.directory / "nobody")

    def limit(self, who: Nobody | None = None) -> Limit:
        """The limit for the same root, as *who*."""
        return self._stack.enter_context(limit(self.directory / "limit", self.rootfs, who))

    def crun(self) -> Crun | None:
        """crun for the same root, if it is there."""
        return self._stack.enter_context(crun(self.directory / "crun"))

    def ours(
        self, task: str, *options: str, argv: Sequence[str] = ("true",), who: Nobody | None = None
    ) -> list[str]:
        """The command of a contestant of our own, run by *who*; each has a root of its own."""
        root = tempfile.mkdtemp(prefix=f"{task}-", dir=self.directory)
        fixed = ("--root", root, "--image", f"rootfs:{self.rootfs}")
        python = sys.executable if who is None else who.python
        command = [python, "-m", "benchmarks.ours", *fixed, *options, task, "--", *argv]
        if who is None:
            return command
        who.give(Path(root))
        return who.command(command)

    def enter(self, name: str, command: Sequence[str]) -> Contestant:
        """Start a contestant; it leaves when the bench is cleared."""
        return self._stack.enter_context(Contestant.start(name, command))

    def race(
        self, commands: Mapping[str, Sequence[str]], n: int, warm_up: int = 0
    ) -> dict[str, list[Lap]]:
        """Let contestants take turns, *n* rounds."""
        entered = {name: self.enter(name, command) for name, command in commands.items()}
        return self.laps(entered, n, warm_up)

    def laps(
        self, contestants: Mapping[str, Contestant], n: int, warm_up: int = 0
    ) -> dict[str, list[Lap]]:
        """Let those that have entered take turns, *n* rounds."""
        things = {name: contestant.once for name, contestant in contestants.items()}
        with _progress(n) as progress:
            return interleave(things, n, warm_up=warm_up, progress=progress)


@contextmanager
def _progress(n: int) -> Iterator[Callable[[int], None]]:
    """Say how far it is on stderr, if somebody looks at it."""
    seen = sys.stderr.isatty()

    def tell(done: int) -> None:
        if seen:
            print(f"\r{max(0, done)} of {n} rounds ", end="", file=sys.stderr, flush=True)

    yield tell
    if seen:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


@contextmanager
def bench() -> Iterator[Bench]:
    """A bench with a root file system; all that stands on it is gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="pyengine-bench-", dir="/var/tmp"))
    try:
        make_rootfs(directory / "rootfs")
        with ExitStack() as stack:
            yield Bench(directory, stack)
    finally:
        shutil.rmtree(directory)
