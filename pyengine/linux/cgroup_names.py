"""What cgroups may be called, and where below a tree they are kept."""

from __future__ import annotations

import os
import re
from functools import lru_cache

from pyengine.errors import InvalidRequest
from pyengine.linux import cgroup_files as files
from pyengine.linux.device_filter import DEFAULT_POLICY, DevicePolicy

PARENT = "/pyengine"
"""Where containers live below each tree when no parent is asked for."""

OWN = "own"
"""The branch below `PARENT` of version 2 for containers that share no device filter."""

_LEVEL = re.compile(r"none|[0-9]+-[0-9a-f]{12}")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,127}")


def check_name(name: str) -> str:
    """*name*, if it can be the name of one directory; else `InvalidRequest`."""
    if _NAME.fullmatch(name) is None:
        raise InvalidRequest("cgroup name", name, expected="letters, digits and _.:@-")
    return name


def check_parent(parent: str) -> str:
    """*parent* as ``/a/b``, ``""`` for none; it never leaves the tree.

    >>> check_parent("a//b/"), check_parent("")
    ('/a/b', '')
    """
    if not parent:
        return ""
    parts = [part for part in parent.split("/") if part]
    for part in parts:
        if _NAME.fullmatch(part) is None:
            raise InvalidRequest("cgroup_parent", parent, expected="a path without '..'")
    return "".join(f"/{part}" for part in parts)


@lru_cache(maxsize=16)
def branch(devices: DevicePolicy) -> str:
    """Where containers with this policy live in the version 2 tree.

    Those with the default share one filter, on their common parent; its name changes with the
    policy, so that a later version of ours never trusts what an earlier one attached.
    """
    if devices.is_default:
        return f"{PARENT}/default-{devices.fingerprint}"
    return f"{PARENT}/{OWN}"


def is_branch(name: str) -> bool:
    """Whether a directory below `PARENT` is shared by containers, not one of them."""
    return name == OWN or name.startswith("default-")


def is_level(name: str) -> bool:
    """Whether a directory below `PARENT` or a branch has the containers of one owner.

    >>> is_level("4711-0123456789ab"), is_level("none"), is_level("0a" * 32)
    (True, True, False)
    """
    return _LEVEL.fullmatch(name) is not None


def find(tree: str, parent: str, name: str, level: str = "") -> str | None:
    """The version 2 cgroup of container *name*, whichever branch and level it lives in.

    *level* is where to look first.
    """
    if parent:
        only = f"{tree}{parent}/{name}"
        return only if os.path.isdir(only) else None
    usual = [tree + branch(DEFAULT_POLICY), f"{tree}{PARENT}/{OWN}"]
    if level:
        for place in usual:
            if os.path.isdir(f"{place}/{level}/{name}"):
                return f"{place}/{level}/{name}"
    others = (place for place in files.children(tree + PARENT) if place not in usual)
    for place in (*usual, *others):
        if (path := find_below(place, name)) is not None:
            return path
    return None


def find_below(place: str, name: str) -> str | None:
    """The cgroup of container *name* in *place*, or in one of the levels there."""
    levels = (path for path in files.children(place) if is_level(path.rpartition("/")[2]))
    for above in (place, *levels):
        if os.path.isdir(f"{above}/{name}"):
            return f"{above}/{name}"
    return None
