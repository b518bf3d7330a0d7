"""What holds of every root, whoever was killed in it, and whose cgroups are left."""

from __future__ import annotations

import os

import pytest
from support.keepers import end_keeper

import pyengine
from pyengine import NotFound
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


def assert_order(root, image, before, kept=("created",)):
    """Every promise that holds of a root holds of this one; *before* are the `cgroups` then.

    *kept* is what a container of nobody's may be.
    """
    with pyengine.Engine(root=root) as engine:
        for container in engine.containers.list(all=True):
            assert container.inspect().spec.owner == "none"  # others died with their process
            assert container.status in kept
            if container.status == "running":
                assert container.exec(["echo", "here"]).stdout == "here\n"
            container.remove(force=True)
        for name in ("one", "two", "other"):
            with pytest.raises(NotFound):
                engine.containers.get(name)
        assert engine.run(image, ["echo", "ok"], name="one").stdout == "ok\n"
    end_keeper(root)
    assert cgroups() - before == set()
    # what was being made (".new-") is not told from what another makes just now: it goes with age
    owners = [name for name in os.listdir(f"{root}/owners") if not name.startswith(".new-")]
    assert set(owners) <= {"none"}
    for place in ("names", "owners/none", "streams", "desk"):
        assert not os.path.isdir(f"{root}/{place}") or os.listdir(f"{root}/{place}") == []
