"""pyengine as a contestant: what is timed is the call, in a process that does nothing else.

Run as ``python -m benchmarks.ours TASK …`` by the figures; see `contest` for how it is spoken to.
"""

from __future__ import annotations

import argparse
import glob
import mmap
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyengine
from benchmarks.memory import own_pss
from benchmarks.watching import phases, profiled
from pyengine.store.owners import TRASH

if TYPE_CHECKING:
    from pyengine import Container, Engine

MIB = 1 << 20
PATIENCE = 60.0
SLEEP = ("sleep", "100000")


class WrongResult(Exception):
    """A container has not done what it was there for; the times would tell of something else."""


def _check(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise WrongResult(f"{what} is {found!r}, not {expected!r}")


def be_large(size: int) -> mmap.mmap:
    """*size* bytes as a large program has them: touched, in small pages; keep what comes back."""
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    for at in range(0, size, mmap.PAGESIZE):
        memory[at] = 1
    return memory


def settle(root: str) -> None:
    """Wait until a thread of ours has removed from disk what callers no longer wait for.

    So that it disturbs nobody whose turn it is next. (The limit, too, removes it off the clock.)
    """
    deadline = time.monotonic() + PATIENCE
    trash = f"{root}/owners/*/{TRASH}/batch-*"
    while any(glob.glob(f"{trash}/*")):
        if time.monotonic() > deadline:
            raise WrongResult(f"there is still something in {trash} after {PATIENCE} s")
        time.sleep(0.0002)


@contextmanager
def run(engine: Engine, asked: argparse.Namespace) -> Iterator[Callable[[], str]]:
    """`Engine.run` to its result, all output in hand."""
    image, argv = asked.image, asked.argv

    def once() -> str:
        began = time.perf_counter_ns()
        result = engine.run(image, argv, network=None)
        took = time.perf_counter_ns() - began
        _check("the exit code", result.exit_code, 0)
        size = len(result.stdout_bytes) + len(result.stderr_bytes)
        settle(asked.root)
        return f"{took} bytes={size}"

    yield once


@contextmanager
def log(engine: Engine, asked: argparse.Namespace) -> Iterator[Callable[[], str]]:
    """A container whose output goes to its log alone, from its start to its end."""
    image, argv = asked.image, asked.argv

    def once() -> str:
        began = time.perf_counter_ns()
        container = engine.start(image, argv, network=None)
        ended = container.wait()
        took = time.perf_counter_ns() - began
        _check("the exit code", ended.exit_code, 0)
        container.remove()
        settle(asked.root)
        return f"{took}"

    yield once


@contextmanager
def visit(engine: Engine, asked: argparse.Namespace) -> Iterator[Callable[[], str]]:
    """`Container.exec` in a container that sleeps."""
    container = engine.start(asked.image, SLEEP, network=None)
    asked.greeting = str(container.inspect().state.pid)
    argv = asked.argv

    def once() -> str:
        began = time.perf_counter_ns()
        result = container.exec(argv)
        took = time.perf_counter_ns() - began
        _check("the exit code", result.exit_code, 0)
        return f"{took}"

    try:
        yield once
    finally:
        container.remove(force=True)


@contextmanager
def many(engine: Engine, asked: argparse.Namespace) -> Iterator[Callable[[], str]]:
    """Containers started from several threads, then stopped and removed by them."""
    engine.run(asked.image, ["true"], network=None)  # what is loaded once is no container's
    asked.before = own_pss()
    with ThreadPoolExecutor(asked.workers) as pool:
        list(pool.map(int, range(asked.workers)))

        def once() -> str:
            return many_once(engine, asked, pool)

        yield once


def many_once(engine: Engine, asked: argparse.Namespace, pool: ThreadPoolExecutor) -> str:
    """One lap of `many`: how long, how many went wrong, and the memory while all of them ran.

    The lap ends when nothing of them is left on disk, and so does the limit's.
    """
    errors: list[Exception] = []

    def start(_: int) -> Container | None:
        try:
            return engine.start(asked.image, SLEEP, network=None)
        except Exception as error:  # noqa: BLE001  (whatever it is, it is counted and shown)
            errors.append(error)
            return None

    def end(container: Container) -> None:
        try:
            container.stop(timeout=0)
            container.remove()
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    began = time.perf_counter_ns()
    started = [one for one in pool.map(start, range(asked.number)) if one is not None]
    starting = time.perf_counter_ns() - began
    after = own_pss()
    began = time.perf_counter_ns()
    list(pool.map(end, started))
    settle(asked.root)
    ending = time.perf_counter_ns() - began
    left = len(engine.containers.list(all=True))
    for error in errors[:3]:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    each = (after - asked.before) / max(1, len(started))
    told = f"start={starting} end={ending} errors={len(errors) + left} memory={each}"
    return f"{starting + ending} {told}"


TASKS = {"run": run, "log": log, "exec": visit, "many": many}


def parser() -> argparse.ArgumentParser:
    """What a figure may ask for."""
    asking = argparse.ArgumentParser(prog="python -m benchmarks.ours")
    asking.add_argument("task", choices=TASKS)
    asking.add_argument("--root", required=True, help="the engine's root")
    asking.add_argument("--image", required=True)
    asking.add_argument("--ballast", type=int, default=0, help="MiB of memory to be large with")
    asking.add_argument("--userns", default="", help="whose users the containers have")
    asking.add_argument("--number", type=int, default=500, help="containers at once")
    asking.add_argument("--workers", type=int, default=8, help="threads that start them")
    asking.add_argument("--profile", choices=("", "phases", "functions"), default="")
    asking.add_argument("argv", nargs="*", help="the program, after --")
    asking.set_defaults(greeting="")
    return asking


def main() -> None:
    """Do the task once for each line, until there are no more."""
    asked = parser().parse_args()
    ballast = be_large(asked.ballast * MIB) if asked.ballast else None
    watch = {"": _unwatched, "phases": phases, "functions": profiled}[asked.profile]
    with (
        pyengine.Engine(root=asked.root, userns=asked.userns) as engine,
        TASKS[asked.task](engine, asked) as once,
    ):
        print("ready", asked.greeting, flush=True)
        with watch() as forget:
            for number, _ in enumerate(sys.stdin):
                print(once(), flush=True)
                if number == 2:  # what is done only once is not what is asked about
                    forget()
    del ballast


@contextmanager
def _unwatched() -> Iterator[Callable[[], None]]:
    yield lambda: None


if __name__ == "__main__":
    main()
