"""What every test may ask for; and no test of the kernel leaves anything behind."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator

import pytest
from support import leaks, programs
from support.hostile import Hostile, hostile_server
from support.registries import Registry, running_registry
from support.rootfs import busybox_rootfs

from pyengine.linux.hierarchy import Hierarchy

_INTERRUPTED_BY = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM)


def pytest_configure() -> None:
    """Let a test be interrupted, and what it starts, however it was started itself: a shell
    ignores SIGINT for what it puts in the background, and that is inherited.
    """
    for number in _INTERRUPTED_BY:
        if signal.getsignal(number) is signal.SIG_IGN:
            ours = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if ours else signal.SIG_DFL)


_LEFT_OUT = pytest.StashKey[dict[str, int]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of one version of cgroups are for machines that have it."""
    host = Hierarchy.probe()
    has = {"cgroup1": bool(host.v1), "cgroup2": "memory" in host.v2_controllers}
    lacking = [name for name, there in has.items() if not there]
    left_out = {name: [one for one in items if one.get_closest_marker(name)] for name in lacking}
    config.stash[_LEFT_OUT] = {name: len(found) for name, found in left_out.items() if found}
    for found in left_out.values():
        config.hook.pytest_deselected(items=found)
        items[:] = [one for one in items if one not in found]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what this machine could not be asked."""
    for name, number in terminalreporter.config.stash.get(_LEFT_OUT, {}).items():
        version = name.removeprefix("cgroup")
        where = "; python -m tests.vm has them" if version == "2" else ""
        terminalreporter.write_line(
            f"{number} tests left out: no version {version} cgroups are ours to limit with{where}"
        )


@pytest.fixture(scope="session")
def probe() -> str:
    """The program of support/probe.c: it tells as JSON what it sees of its container."""
    return programs.build("probe")


@pytest.fixture(scope="session")
def rootfs(tmp_path_factory: pytest.TempPathFactory, probe: str) -> str:
    """A busybox root file system with the probe as /bin/probe. Nobody writes to it."""
    root = busybox_rootfs(tmp_path_factory.mktemp("rootfs"))
    shutil.copy(probe, f"{root}/bin/probe")
    return root


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A plain registry on loopback: tests choose names of their own in it."""
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def hostile(registry: Registry) -> Iterator[Hostile]:
    """A server in front of `registry` that does what a test tells it."""
    with hostile_server(registry.port) as server:
        yield server


@pytest.fixture(autouse=True)
def leaves_nothing(request: pytest.FixtureRequest):
    """A test marked ``kernel`` leaves no descriptor, process, thread, mount, cgroup, link or
    namespace of its own. Fixtures that it asks for are torn down before this looks.
    """
    if request.node.get_closest_marker("kernel") is None:
        yield
        return
    marked = map(request.node.get_closest_marker, ("anyone", "tiers"))
    if os.geteuid() != 0 and not any(marked):
        pytest.fail("tests marked kernel need root; leave them out with -m 'not kernel'")
    leaks.warm_up()
    before = leaks.look()
    yield
    left = leaks.left_since(before)
    if left:
        pytest.fail("it left " + ", ".join(left))
