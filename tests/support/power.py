"""A machine's disk whose power can be cut: what the file system has handed over at that moment is
there after it, and what only memory has is lost.

An ext4 lies in a file of a file system with reflinks, below a loop device that goes around the
page cache. The cut is a clone of that file, made in one moment; mounted, it replays its journal.
A disk's own cache is not modelled: what was handed over to it is kept.
"""

from __future__ import annotations

import contextlib
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

_OUTER, _INNER = 6 << 30, 768 << 20  # bytes; files with holes
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def _run(*command: object) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout.strip()


@contextlib.contextmanager
def _mounted(image: Path, place: Path, kind: str, options: str) -> Iterator[Path]:
    """The file system in *image*, by a loop device that reads and writes the file directly."""
    place.mkdir()
    device = _run("losetup", "--find", "--show", "--direct-io=on", image)
    try:
        assert _run("losetup", "--noheadings", "--output", "DIO", device) == "1", "no direct I/O"
        _run("mount", "-t", kind, "-o", options, device, place)
        try:
            yield place
        finally:
            _run("umount", place)
    finally:
        _run("losetup", "--detach", device)


@contextlib.contextmanager
def _empty(path: Path, size: int) -> Iterator[Path]:
    with open(path, "wb") as file:
        file.truncate(size)
    try:
        yield path
    finally:
        path.unlink()


class Disk:
    """One that takes clones of a file, of which some are mounted."""

    def __init__(self, directory: Path, mounts: Path) -> None:
        self._directory = directory
        self._mounts = mounts

    def clone(self, image: Path, name: str) -> Path:
        """A copy of *image* as it is in this moment, called *name*."""
        copy = self._directory / name
        _run("cp", "--reflink=always", image, copy)
        return copy

    @contextlib.contextmanager
    def mounted(self, image: Path) -> Iterator[Path]:
        """The ext4 in *image*; a journal that is in it is replayed."""
        # as it is by default: data before the journal, which is written every five seconds
        with _mounted(image, self._mounts / image.name, "ext4", "rw") as place:
            yield place
        (self._mounts / image.name).rmdir()


@contextlib.contextmanager
def disk(directory: Path) -> Iterator[tuple[Disk, Path]]:
    """A disk, and an empty ext4 on it."""
    outer, mounts = directory / "outer", directory / "mounts"
    mounts.mkdir()
    with _empty(directory / "outer.img", _OUTER) as image:
        _run("mkfs.xfs", "-q", "-m", "reflink=1", image)
        with _mounted(image, outer, "xfs", "rw"):
            made = outer / "empty"
            with open(made, "wb") as file:
                file.truncate(_INNER)
            _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", made)
            yield Disk(outer, mounts), made


def after_a_boot(command: list[str], directory: Path) -> list[str]:
    """*command*, which finds another boot id than we do; *directory* is for that file."""
    other = directory / f"boot-{uuid.uuid4()}"
    other.write_text(f"{uuid.uuid4()}\n")
    script = 'mount --bind "$0" "$1" && shift && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, str(other), _BOOT_ID, *command]
