"""What the rooms of the store share about the disk: directories, and when bytes are on it."""

from __future__ import annotations

import os
from collections.abc import Callable

from attrs import frozen

from pyengine.store import records


@frozen
class Kernel:
    """What only the kernel can do, or knows, for a store that keeps the layers of images.

    *remove_tree* takes a directory fd and the name in it of what shall be gone, whoever owns
    what is in it; *sync* an fd of the file system of which everything shall be on disk;
    *boot* tells which boot of the machine this is; *move* renames a directory, whoever owns it.
    """

    remove_tree: Callable[[int, str], None]
    sync: Callable[[int], None]
    boot: Callable[[], str]
    move: Callable[[str, str], None] = os.rename


def make_directories(*paths: str) -> None:
    """Make those of *paths* that lack, for nobody else to look into. Raises `StoreError`."""
    for path in paths:
        try:
            _make_directory(path)
        except OSError as error:
            records.refuse(path, error)


def _make_directory(path: str) -> None:
    """As `os.makedirs`, which leaves those above the last to the umask; on disk at once.

    What is fsynced in a directory is lost with it, if that was not.
    """
    try:
        os.mkdir(path, 0o700)
        sync_directory(os.path.dirname(path))
    except FileExistsError:
        if not os.path.isdir(path):
            raise
    except FileNotFoundError:
        _make_directory(os.path.dirname(path))
        _make_directory(path)


def sync_directory(path: str) -> None:
    """Wait until the names in directory *path* are on disk. Raises `StoreError`."""
    _sync(path, os.O_DIRECTORY)


def sync_file(path: str) -> None:
    """Wait until the bytes of file *path* are on disk. Raises `StoreError`."""
    _sync(path, os.O_NOFOLLOW)


def _sync(path: str, flags: int) -> None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        records.refuse(path, error)


def names(path: str) -> list[str]:
    """What is in directory *path*, in order; nothing if it is not there. Raises `StoreError`."""
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return []
    except OSError as error:
        records.refuse(path, error)
