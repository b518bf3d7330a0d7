"""What tests of running containers share: an engine of their own, an image, a look at the host."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.keepers import end_keeper

import pyengine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[pyengine.Engine]:
    """An engine with a root of its own; its containers end with the test."""
    with pyengine.Engine(root=tmp_path / "engine") as made:
        yield made


@pytest.fixture
def root(tmp_path: Path) -> Iterator[str]:
    """A root of its own; no container of nobody is left in it, and no keeper."""
    place = str(tmp_path / "engine")
    yield place
    with pyengine.Engine(root=place) as engine:
        for container in engine.containers.list(all=True):
            container.remove(force=True)
    end_keeper(place)


@pytest.fixture
def nothing_hangs() -> Iterator[None]:
    """Whatever waits for a minute fails, instead of everybody waiting for it."""

    def give_up(*_: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def image(rootfs: str) -> str:
    """The busybox system, as an engine's users name it."""
    return f"rootfs:{rootfs}"


@pytest.fixture
def victims_find_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that a test starts use what it uses, and write nothing beside it."""
    home = os.path.dirname(os.path.dirname(os.path.abspath(pyengine.__file__)))
    monkeypatch.setenv("PYTHONPATH", home)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


@pytest.fixture
def survivors() -> Callable[[str], list[int]]:
    """Finds the host's processes that have these arguments, such as ``"sleep 4711"``."""
    return _with_arguments


def _with_arguments(words: str) -> list[int]:
    wanted = words.encode().replace(b" ", b"\0") + b"\0"
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _arguments(pid) == wanted]


def _arguments(pid: str) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:  # it has ended
        return b""
