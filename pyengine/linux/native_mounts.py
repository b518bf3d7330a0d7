"""Mounts that are nowhere, each held by its fd: see csrc/detached.c.

It stands beside `native`, whose errors are its own.
"""

from __future__ import annotations

import os
from os import fsencode

from pyengine._native import ffi, lib
from pyengine.linux.native import check
from pyengine.linux.plan import texts

_OPEN_TREE_CLONE, _AT_RECURSIVE = 1, 0x8000


def overlay(
    lowers: tuple[str, ...], upper: str = "", work: str = "", flags: int = 0, *, below: int = -1
) -> int:
    """Mount directories over each other, nowhere: the mount vanishes with the fd.

    *below* is the fd of a mount that lies below them all.
    """
    upper_text = fsencode(upper) if upper else ffi.NULL
    work_text = fsencode(work) if work else ffi.NULL
    names = fsencode(texts(lowers) + "\0")
    answer = lib.pe_overlay(names, below, upper_text, work_text, flags)
    return check(answer, f"mount an overlay of {lowers[0]}")


class Overlaying:
    """`overlay`, made while its caller does something else; `end` it, come what may."""

    def __init__(
        self, lowers: tuple[str, ...], upper: str, work: str, flags: int, below: int
    ) -> None:
        self._lower = lowers[0]
        self._words = fsencode(texts(lowers) + "\0"), fsencode(upper), fsencode(work)
        # what C keeps a pointer to has to stay where it is
        self._kept = [ffi.from_buffer("char[]", word) for word in self._words]
        self._made = ffi.new("struct pe_overlaying **")
        names, over, beside = self._kept
        answer = lib.pe_begin_overlay(names, below, over, beside, flags, self._made)
        check(answer, f"mount an overlay of {self._lower}")

    def end(self) -> int:
        """The mount, by an fd. Raises `KernelError`."""
        return check(lib.pe_end_overlay(self._made[0]), f"mount an overlay of {self._lower}")


def empty_mount() -> int:
    """An empty read-only file system in memory, mounted nowhere: it vanishes with the fd."""
    return check(lib.pe_empty_mount(), "mount an empty file system")


def open_tree(path: str, *, recursive: bool = True) -> int:
    """Clone the mount at *path*, nowhere, sharing what the original shares."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    return check(lib.pe_open_tree(-100, fsencode(path), flags), f"clone the mount at {path}")


def map_ids(mount: int, users: int, *, recursive: bool = False) -> None:
    """Let the files of a clone of `open_tree` belong to whom the user namespace *users* maps.

    What is on disk user 0's belongs to who is root there. Raises `KernelError`: EINVAL for a
    file system that knows no such thing (mount_setattr(2)).
    """
    check(lib.pe_map_ids(mount, users, recursive), "map the ids of a mount")
