"""What of a container depends on who its engine's user is, for tests that hold for everybody."""

from __future__ import annotations

import os

from pyengine.linux.capabilities import held, last_cap

IS_ROOT = os.geteuid() == 0

OWNERS = {0} if IS_ROOT else {0, 65534}
"""Whose files are that the host's root owns, seen from inside: without root those of nobody."""


def held_inside() -> int:
    """The mask of all that can be given: what we hold; all there is in a user namespace of ours."""
    return held() if IS_ROOT else (2 << last_cap()) - 1


def outside(pid: int, number: int) -> int:
    """Who the user *number* of *pid* is to us."""
    with open(f"/proc/{pid}/uid_map", encoding="ascii") as file:
        for line in file:
            inside, ours, size = map(int, line.split())
            if inside <= number < inside + size:
                return ours + number - inside
    raise ValueError(f"{number} is nobody there")


def make_node(path: str | os.PathLike[str], major: int, minor: int) -> None:
    """A character device at *path* that everybody may use; who may make none gets a link to one
    that ``python -m tests.tiers`` has made.
    """
    if IS_ROOT:
        os.mknod(path, 0o20666, os.makedev(major, minor))
        os.chmod(path, 0o666)
    else:
        os.link(f"{os.environ['PYENGINE_GIVEN']}/{major}:{minor}", path)
