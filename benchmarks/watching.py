"""Where our time goes: by the phases of a container's life, or by function.

Both disturb what they watch. So they are for finding out, and never for a figure.
"""

from __future__ import annotations

import cProfile
import functools
import importlib
import pstats
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.report import number
from benchmarks.samples import Sample

# MODULE:NAME of what a container's life consists of, in the order it comes; nested ones are
# counted in those around them too.
PHASES = (
    "pyengine.model.options:ContainerOptions.from_keywords",
    "pyengine.containers.making:create",
    "pyengine.containers.spec:resolve",
    "pyengine.containers.rootfs:host_root",
    "pyengine.containers.starting:start",
    "pyengine.containers.birth:give_birth",
    "pyengine.linux.cgroup:Cgroup.create",
    "pyengine.containers.birth:_identity",
    "pyengine.containers.birth:_surroundings",
    "pyengine.linux.seccomp:filter_for",
    "pyengine.containers.compile:compile_plan",
    "pyengine.linux.plan:encode",
    "pyengine.linux.native:spawn",
    "pyengine.linux.native:hear",
    "pyengine.containers.running:Running.finish",
    "pyengine.linux.native:wait",
    "pyengine.linux.cgroup:Cgroup.remove",
    "pyengine.store.records:write",
    "pyengine.containers.joining:join",
    "pyengine.containers.joining:_plan",
    "pyengine.linux.native:Joiner.spawn",
    "pyengine.linux.cgroup:Cgroup.child",
    "pyengine.containers.execution:Execution.finish",
    "pyengine.containers.ending:stop",
    "pyengine.containers.ending:remove",
    "pyengine.containers.catalog:Catalog.discard",
)


class _Watch:
    """How long one function took, call by call."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.spans: list[float] = []

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **options: Any) -> Any:
            began = time.perf_counter_ns()
            try:
                return function(*args, **options)
            finally:
                self.spans.append((time.perf_counter_ns() - began) / 1e3)

        return timed


def _replace(place: str, watch: _Watch) -> bool:
    """Put *watch* around what *place* names, wherever it has been imported to."""
    module_name, _, path = place.partition(":")
    try:
        owner: Any = importlib.import_module(module_name)
        *classes, name = path.split(".")
        for word in classes:
            owner = getattr(owner, word)
        original = owner.__dict__[name]
    except (ImportError, AttributeError, KeyError):
        return False
    if isinstance(original, classmethod):
        setattr(owner, name, classmethod(watch.wrap(original.__func__)))
        return True
    wrapped = watch.wrap(original)
    setattr(owner, name, wrapped)
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("pyengine"):
            for word, value in list(vars(module).items()):
                if value is original:
                    setattr(module, word, wrapped)
    return True


def _short(place: str) -> str:
    """``native.wait`` for ``pyengine.linux.native:wait``."""
    module, _, name = place.partition(":")
    return f"{module.rpartition('.')[2]}.{name}"


@contextmanager
def phases() -> Iterator[Callable[[], None]]:
    """Watch `PHASES` meanwhile, and print what they took; what comes back forgets it so far."""
    watches = [_Watch(_short(place)) for place in PHASES]
    missing = [
        place for place, watch in zip(PHASES, watches, strict=True) if not _replace(place, watch)
    ]

    def forget() -> None:
        for watch in watches:
            watch.spans.clear()

    yield forget
    print(f"\n{'phase':38}  {'p50 µs':>8}  {'p90 µs':>8}  {'calls':>6}", file=sys.stderr)
    for watch in watches:
        if watch.spans:
            sample = Sample(watch.spans)
            numbers = f"{number(sample.p50):>8}  {number(sample.p90):>8}  {len(sample):>6}"
            print(f"{watch.name:38}  {numbers}", file=sys.stderr)
    for place in missing:
        print(f"{place} is not there (any more)", file=sys.stderr)


@contextmanager
def profiled() -> Iterator[Callable[[], None]]:
    """Profile every thread that starts meanwhile, and this one; print the functions in order."""
    profiles = [cProfile.Profile()]

    def begin(*_: object) -> None:
        profile = cProfile.Profile()
        profiles.append(profile)
        profile.enable()

    def forget() -> None:
        for profile in profiles:
            profile.clear()

    threading.setprofile(begin)
    profiles[0].enable()
    try:
        yield forget
    finally:
        profiles[0].disable()
        threading.setprofile(None)
        with_calls = [profile for profile in profiles if profile.getstats()]
        if with_calls:
            stats = pstats.Stats(*with_calls, stream=sys.stderr)
            stats.sort_stats("tottime").print_stats(40)
