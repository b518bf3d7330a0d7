"""Without root, what was delegated to the user is used, and nothing else is claimed."""

from __future__ import annotations

import os

import pytest
from support.nobody import NOBODY, as_nobody

from pyengine.linux import cgroup_files
from pyengine.linux.cgroup import Cgroup, Hierarchy
from pyengine.model.spec import Resources

pytestmark = pytest.mark.kernel


def probe():
    found = Hierarchy.probe.__globals__["_probe"].__wrapped__()
    return [found.v2, dict(found.v1)]


def live_and_die():
    hierarchy = Hierarchy(probe()[0], {})
    cgroup = Cgroup.create(hierarchy, "box", Resources())
    cgroup.freeze()
    frozen = cgroup.is_frozen()
    cgroup.kill()
    cgroup.remove()
    hierarchy.tidy()
    return [frozen, cgroup.enforced.notes, cgroup.unfiltered, hierarchy.names()]


@pytest.fixture
def delegated():
    """A cgroup as systemd delegates one, and the cgroup of a session inside it."""
    top = f"{Hierarchy.probe().v2}/pyengine-delegated-{os.getpid()}"
    session = f"{top}/user/session"
    os.makedirs(session)
    for directory in (f"{top}/user", session):
        for file in ("", "/cgroup.procs", "/cgroup.subtree_control", "/cgroup.threads"):
            os.chown(directory + file, NOBODY, NOBODY)
    try:
        yield f"{top}/user"
    finally:
        cgroup_files.remove_tree(top, 5, top)


def test_a_user_without_delegation_has_no_cgroups():
    assert as_nobody(probe) == [None, {}]


def test_the_highest_delegated_cgroup_is_used(delegated):
    assert as_nobody(probe, f"{delegated}/session") == [delegated, {}]


def test_a_user_s_containers_live_in_what_was_delegated_and_leave_it_clean(delegated):
    frozen, warnings, unfiltered, names = as_nobody(live_and_die, f"{delegated}/session")
    assert frozen
    assert "pids" in warnings[0]
    assert "device filter" in unfiltered
    assert names == []
    assert sorted(cgroup_files.children(delegated)) == [f"{delegated}/session"]
