"""Device nodes of the host."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from attrs import frozen

from pyengine.errors import InvalidRequest

_DEEPEST = 16


@frozen
class HostDevice:
    """A device node of the host: its *path*, st_mode and st_rdev (stat(2))."""

    path: str
    mode: int
    number: int


def devices_at(path: str) -> list[HostDevice]:
    """The device node at *path*, or all below it where it is a directory (row C69).

    Links are followed. Raises `InvalidRequest` where there is none.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        raise InvalidRequest("device", path, why=error.strerror or "cannot be looked at") from error
    if stat.S_ISDIR(found.st_mode):
        if not (devices := list(_below(path, 0))):
            raise InvalidRequest("device", path, why="there is no device node below it")
        return devices
    if not _is_device(found.st_mode):
        raise InvalidRequest("device", path, why="it is not a device node")
    return [HostDevice(path, found.st_mode, found.st_rdev)]


def all_devices() -> list[HostDevice]:
    """Every device node of the host's /dev, but terminals and what containers have of their own."""
    skipped = ("/dev/pts/", "/dev/shm/", "/dev/mqueue/", "/dev/.", "/dev/console", "/dev/ptmx")
    return [device for device in _below("/dev", 0) if not device.path.startswith(skipped)]


def _below(directory: str, depth: int) -> Iterator[HostDevice]:
    if depth > _DEEPEST:
        return
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        try:
            if entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path, depth + 1)
                continue
            found = entry.stat(follow_symlinks=False)
        except OSError:  # unplugged meanwhile
            continue
        if _is_device(found.st_mode):
            yield HostDevice(entry.path, found.st_mode, found.st_rdev)


def _is_device(mode: int) -> bool:
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
