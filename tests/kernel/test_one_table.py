"""The table of what is found and what is done has two executors: they do the same.

One is the guard, in C, which knows who its owner was; the other is who opens the root next.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from support.births import ends

from pyengine.containers import recovery
from pyengine.linux import native
from pyengine.linux import native_guard as words
from pyengine.linux.hierarchy import Hierarchy
from pyengine.linux.process import pid_namespace, start_time
from pyengine.store import owners, records
from pyengine.store.layout import STEADY, Layout

pytestmark = pytest.mark.kernel

DEAD, ALIVE = "dead", "alive"
IDS = [f"{number:064x}" for number in range(4)]
CONTENT = ["nothing", "a record", "a damaged record", "a directory for a record", "a deep tree"]


@frozen
class State:
    """What a process left that died at some moment, beside what others have."""

    stage: str  # in front of its directory's name; "gone": there is none
    owner: str  # what its owner.json is
    containers: tuple[tuple[str, str], ...]
    names: tuple[tuple[str, str, str], ...]  # a name, whose, and how it is written


names = st.tuples(
    st.sampled_from(["web", "db", "other"]),
    st.sampled_from([DEAD, ALIVE, STEADY]),
    st.sampled_from(["a symbolic link", "another link to the record"]),
)
states = st.builds(
    State,
    st.sampled_from(["", owners.STAGED, owners.DEAD, "gone"]),
    st.sampled_from(["whole", "damaged", "missing", "a directory"]),
    st.lists(
        st.tuples(st.sampled_from(IDS), st.sampled_from(CONTENT)),
        unique_by=lambda one: one[0],
        max_size=3,
    ).map(tuple),
    st.lists(names, unique_by=lambda one: one[0], max_size=3).map(tuple),
)


def _lay_out(root: str, state: State, dead: str, alive: str) -> Layout:
    """Make *state* on disk, of an owner called *dead*."""
    layout = Layout(root, root)
    owners.prepare(layout)
    mine = owners.Owner(os.getpid(), start_time(os.getpid()), pid_namespace())
    for name in (alive, STEADY):
        _container(f"{layout.owners}/{name}/{IDS[0]}", name, "a record")
    records.write(f"{layout.owners}/{alive}/owner.json", mine)
    if state.stage != "gone":
        place = f"{layout.owners}/{state.stage}{dead}"
        os.makedirs(f"{place}/{owners.TRASH}/half/of/it")
        _owner_json(f"{place}/owner.json", state.owner, int(dead.partition("-")[0]))
        for container_id, content in state.containers:
            _container(f"{place}/{container_id}", dead, content)
        os.utime(place, (0, 0))  # what is only being made goes with age
    for name, whose, how in state.names:
        holder = {DEAD: dead, ALIVE: alive}.get(whose, STEADY)
        path = f"{layout.names}/{name}"
        record = f"{layout.owners}/{holder}/{IDS[0]}/container.json"
        if how == "a symbolic link" or not os.path.isfile(record):
            os.symlink(f"{holder}/{IDS[0]}", path)
        else:
            os.link(record, path)
    return layout


def _owner_json(path: str, what: str, pid: int) -> None:
    if what == "whole":
        records.write(path, owners.Owner(pid, 1, pid_namespace()))
    elif what == "damaged":
        _write(path, "{")
    elif what == "a directory":
        os.mkdir(path)


def _container(place: str, owner: str, content: str) -> None:
    os.makedirs(f"{place}/upper")
    record = f"{place}/container.json"
    if content == "a record":
        name = os.path.basename(place)
        _write(record, f'{{"version":1,"place":"{owner}/{name}","spec":{{}}}}')
    elif content == "a damaged record":
        _write(record, "\0")
    elif content == "a directory for a record":
        os.makedirs(f"{record}/in/it")
    elif content == "a deep tree":
        os.makedirs(f"{place}/upper/" + "/".join("d" * 60))
        os.chmod(f"{place}/upper/d", 0)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _by_guard(layout: Layout, dead: str, pidfd: int) -> None:
    process = words.GuardProcess()
    places = [os.open(path, os.O_RDONLY) for path in (layout.owners, layout.names)]
    try:
        # what comes after the first word may find nobody there any more: it knows all it needs
        assert process.tell(words.LINKS, fds=(places[1],))
        assert process.tell(words.FILE, f"{owners.STAGED}{dead}", (places[0],))
        assert process.tell(words.OWNER, dead, (pidfd, places[0]))
        assert ends(process.pidfd, 10)
    finally:
        process.let_go()
        for fd in places:
            os.close(fd)


def _what_is_there(layout: Layout) -> dict[str, list[str]]:
    return {
        "owners": sorted(os.listdir(layout.owners)),
        "names": sorted(os.listdir(layout.names)),
        **{
            name: sorted(os.listdir(f"{layout.owners}/{name}"))
            for name in os.listdir(layout.owners)
        },
    }


@settings(max_examples=60, deadline=None)
@given(states)
def test_guard_and_recovery_leave_the_same(state):
    with subprocess.Popen(["true"]) as process:
        pidfd = os.pidfd_open(process.pid)
    dead, alive = f"{process.pid}-0123456789ab", f"{os.getpid()}-ba9876543210"
    native.own_pidfd(os.getpid())
    base = tempfile.mkdtemp()
    try:
        one, other = (
            _lay_out(f"{base}/{name}", state, dead, alive) for name in ("guard", "recovery")
        )
        holding = [owners_lock(layout, alive) for layout in (one, other)]
        _by_guard(one, dead, pidfd)
        recovery.recover(other, Hierarchy.probe())
        assert _what_is_there(one) == _what_is_there(other)
        assert not [name for name in os.listdir(one.owners) if dead in name]
        assert {alive, STEADY} <= set(os.listdir(one.owners))
        for fd in holding:
            os.close(fd)
    finally:
        os.close(pidfd)
        shutil.rmtree(base)


def owners_lock(layout: Layout, owner: str) -> int:
    import fcntl

    fd = os.open(f"{layout.owners}/{owner}", os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    return fd
