"""Who looks for leaks: what this process and its host have, before a test and after it."""

from __future__ import annotations

import ctypes
import gc
import os
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import evolve, fields, frozen

from pyengine.linux import native
from pyengine.linux.cgroup_names import PARENT, is_branch
from pyengine.linux.hierarchy import Hierarchy

_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid_for_children", "user", "uts")
_IN_DELETE = 0x200
_PATIENCE = 5.0  # seconds; what others do on this host takes milliseconds


@frozen
class Holdings:
    """What must not grow: each a set of descriptions."""

    descriptors: frozenset[str]
    children: frozenset[str]
    threads: frozenset[str]
    mounts: frozenset[str]
    cgroups: frozenset[str]
    links: frozenset[str]
    namespaces: frozenset[str]

    def since(self, before: Holdings) -> list[str]:
        """What is here and was not there *before*, in words."""
        return [
            f"{kind.name}: {one}"
            for kind in fields(Holdings)
            for one in sorted(getattr(self, kind.name) - getattr(before, kind.name))
        ]


def warm_up() -> None:
    """Let what is made once a process, and lives as long, be made before anybody counts."""
    for name in ("landing", "joiner", "guard"):
        native.program(name)
    native.own_pidfd(os.getpid())


def look() -> Holdings:
    """What there is now."""
    return Holdings(
        frozenset(_descriptors()),
        frozenset(_children()),
        frozenset(f"{thread.name}" for thread in threading.enumerate()),
        frozenset(_mounts()),
        frozenset(_cgroups()),
        frozenset(os.listdir("/sys/class/net")),
        frozenset(_namespaces()),
    )


def left_since(before: Holdings) -> list[str]:
    """What a test has left. Cgroups and mounts are others' too, on this host: what is there at
    the end of the test gets a moment to go, what comes later is none of ours.
    """
    left = look()
    if left.since(before):
        gc.collect()  # a fifth of a second with thousands of tests in memory: only if it may help
        left = look()
    deadline = time.monotonic() + _PATIENCE
    while left.cgroups - before.cgroups or left.mounts - before.mounts:
        with _watching(left.cgroups - before.cgroups) as changes:
            cgroups = left.cgroups.intersection(_cgroups())
            mounts = left.mounts.intersection(_mounts())
            unchanged = (cgroups, mounts) == (left.cgroups, left.mounts)
            left = evolve(left, cgroups=cgroups, mounts=mounts)
            if unchanged and not changes.poll(max(0.0, deadline - time.monotonic()) * 1000):
                break
    return left.since(before)


def _descriptors() -> Iterator[str]:
    for name in os.listdir("/proc/self/fd"):
        try:
            yield f"{name} is {os.readlink(f'/proc/self/fd/{name}')}"
        except OSError:  # the one that listed them
            continue


def _children() -> Iterator[str]:
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/children", encoding="ascii") as file:
                pids = file.read().split()
        except OSError:  # a thread that was just ending
            continue
        for pid in pids:
            yield f"{pid} {_name(pid)}"


def _name(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "?"


def _mounts() -> Iterator[str]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            words = line.split()
            yield f"{words[0]} on {words[4]}"


def _cgroups() -> Iterator[str]:
    host = Hierarchy.probe()
    for tree in {host.v2, *host.v1.values()} - {None}:
        for path, below, _ in os.walk(f"{tree}{PARENT}"):
            if path == tree + PARENT or is_branch(os.path.basename(path)):
                continue
            if _is_lived_in_by_others(path):
                below.clear()
            else:
                yield path


def _is_lived_in_by_others(path: str) -> bool:
    """Whether whoever is there, or below, is no child of ours: another engine's, on this host."""
    pids: set[str] = set()
    for directory, _, _ in os.walk(path):
        try:
            with open(f"{directory}/cgroup.procs", encoding="ascii") as file:
                pids.update(file.read().split())
        except OSError:
            return True  # it is being removed
    return bool(pids) and pids.isdisjoint(child.split()[0] for child in _children())


def _namespaces() -> Iterator[str]:
    """A thread that strayed into another namespace would be in a place of its own."""
    for thread in os.listdir("/proc/self/task"):
        for name in _NAMESPACES:
            try:
                yield os.readlink(f"/proc/self/task/{thread}/ns/{name}")
            except OSError:  # the thread has ended
                continue


@contextmanager
def _watching(cgroups: frozenset[str]) -> Iterator[select.poll]:
    """Readable once something next to one of *cgroups* is removed, or a mount comes or goes."""
    libc = ctypes.CDLL(None, use_errno=True)
    watcher = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    mounts = os.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
    try:
        for above in {os.path.dirname(path) for path in cgroups}:
            libc.inotify_add_watch(watcher, os.fsencode(above), _IN_DELETE)
        poll = select.poll()
        poll.register(watcher, select.POLLIN)
        poll.register(mounts, select.POLLPRI)  # proc_pid_mountinfo(5)
        yield poll
    finally:
        os.close(watcher)
        os.close(mounts)
