"""Episodes tried once for each call that they make: for a few by default, for all in the soak."""

from __future__ import annotations

import os
import random
import re
import traceback
from collections.abc import Callable, Sequence

import pytest
from support import faults

SEED = int(os.environ.get("PYENGINE_FAULTS_SEED", "0")) or random.SystemRandom().getrandbits(32)
"""Which calls are tried by default: others each time, but for who says what to try."""

HOW_MANY = ["a few", pytest.param("all", marks=pytest.mark.soak)]

FIGURES = os.environ.get("PYENGINE_FAULTS_FIGURES", "")
"""A file to which a line is added for each episode: what was tried, and how much of it failed."""


def each(
    calls: Sequence[str],
    how_many: str,
    attempt: Callable[[int], object],
    episode: str,
    some: int = 2,
) -> None:
    """Call *attempt* with the number of *some* of *calls*, or of all, and tell which failed."""
    assert calls, "the episode makes no call of interest"
    numbers = chosen(calls, how_many, some)
    failed = {}
    for number in numbers:
        print(f"call {number} of {len(calls)}: {calls[number]}")
        try:
            attempt(number)
        except (Exception, pytest.fail.Exception) as error:
            if how_many != "all":
                raise
            failed[number] = f"{error!r:.600}"
            print(traceback.format_exc())
    if FIGURES:
        with open(FIGURES, "a", encoding="utf-8") as file:
            print(f"{episode}: {len(failed)} of {len(numbers)} calls failed", file=file)
            for number, why in failed.items():
                print(f"    {number} {_short(calls[number])}: {_short(why)}", file=file)
    assert not failed, f"{len(failed)} of {len(numbers)}: {failed}"


def chosen(calls: Sequence[object], how_many: str, some: int) -> Sequence[int]:
    """The numbers of *some* of *calls*, or of all."""
    numbers = range(len(calls))
    if how_many == "all":
        return numbers
    print(f"PYENGINE_FAULTS_SEED={SEED}")  # shown where it fails
    return sorted(random.Random(SEED).sample(numbers, min(some, len(calls))))


def _short(text: str) -> str:
    return re.sub(
        r"([0-9a-f]{6})[0-9a-f]{58}", r"\1", re.sub(r"/tmp/[^ ]*/(whole|at-\d+)", "", text)
    )


def in_root(root: str) -> Callable[[faults.Call], bool]:
    """Whether a call is about the engine's directory *root*, or about a cgroup."""
    return lambda call: any(path.startswith((root, "/sys/fs/cgroup/")) for path in call.paths())


# --- whose calls they are ---


def is_guard(pid: int) -> bool:
    """Whether it is the guard of some engine."""
    return _read(f"/proc/{pid}/comm") == b"pyengine-guard\n"


def is_keeper(pid: int) -> bool:
    """Whether it is the keeper of some root."""
    return b"pyengine.containers.keeper" in _read(f"/proc/{pid}/cmdline")


def guards_of(pid: int) -> list[int]:
    """The guards that hold a pidfd of the process *pid*, or of the one that a thread is of."""
    process = next(line for line in _read(f"/proc/{pid}/status").splitlines() if b"Tgid:" in line)
    watched = b"Pid:\t" + process.split()[1]
    found = []
    for guard in filter(str.isdigit, os.listdir("/proc")):
        if is_guard(int(guard)):
            try:
                fds = os.listdir(f"/proc/{guard}/fdinfo")
            except OSError:  # it has just ended
                continue
            if any(watched in _read(f"/proc/{guard}/fdinfo/{fd}").splitlines() for fd in fds):
                found.append(int(guard))
    return found


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
