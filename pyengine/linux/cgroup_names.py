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


def find(tree: str, parent: str, name: str) -> str | None:
    """The version 2 cgroup of container *name*, whichever branch it lives in."""
    if parent:
        places = [f"{tree}{parent}"]
    else:
        places = [tree + branch(DEFAULT_POLICY), f"{tree}{PARENT}/{OWN}"]
    for place in places:
        if os.path.isdir(f"{place}/{name}"):
            return f"{place}/{name}"
    if parent:
        return None
    others = (f"{place}/{name}" for place in files.children(tree + PARENT))
    return next((path for path in others if os.path.isdir(path)), None)
