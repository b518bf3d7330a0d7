"""What holds of every root, whoever was killed in it, and whose cgroups are left."""

from __future__ import annotations

import os
from contextlib import nullcontext, suppress

import pytest
from support.keepers import end_keeper

import pyengine
from pyengine import NotFound, StoreError
from pyengine.linux.cgroup_names import PARENT, is_branch
from pyengine.linux.hierarchy import Hierarchy


def cgroups():
    """The cgroups of containers, whoever's they are."""
    host = Hierarchy.probe()
    found = set()
    for tree in {host.v2, *host.v1.values()} - {None}:
        for path, _, _ in os.walk(f"{tree}{PARENT}"):
            if path != tree + PARENT and not is_branch(os.path.basename(path)):
                found.add(path)
    return found


def assert_order(root, image, before, kept=("created",), *, may_die_last=False):
    """Every promise that holds of a root holds of this one; *before* are the `cgroups` then.

    *kept* is what a container of nobody's may be. With *may_die_last* the keeper that we send
    away may be killed at that: the next opening is to put right what it leaves.
    """
    with pyengine.Engine(root=root) as engine:
        for container in engine.containers.list(all=True):
            assert container.inspect().spec.owner == "none"  # others died with their process
            assert container.status in kept, container.status
            if container.status == "running":
                assert container.exec(["echo", "here"]).stdout == "here\n"
            container.remove(force=True)
        for name in ("one", "two", "other"):
            with pytest.raises(NotFound):
                engine.containers.get(name)
        assert engine.run(image, ["echo", "ok"], name="one").stdout == "ok\n"
    with suppress(StoreError) if may_die_last else nullcontext():
        end_keeper(root)
    if may_die_last:
        with pyengine.Engine(root=root) as engine:
            assert engine.containers.list(all=True) == []
    left = cgroups() - before
    assert left == set(), left
    # what was being made (".new-") is not told from what another makes just now: it goes with age
    owners = [name for name in os.listdir(f"{root}/owners") if not name.startswith(".new-")]
    assert set(owners) <= {"none"}, owners
    for place in ("names", "owners/none", "streams", "desk"):
        there = f"{root}/{place}"
        assert not os.path.isdir(there) or os.listdir(there) == [], place
