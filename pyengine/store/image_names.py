"""Names of images: a record for each, true at every moment, on disk before it is told.

An image that has no name, because another got it or nobody gave it one, has a record by its id.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from attrs import frozen

from pyengine.errors import StoreError
from pyengine.model import digests
from pyengine.model.content import Descriptor
from pyengine.model.platform import Platform
from pyengine.store import disk, locks, records
from pyengine.store.layout import Layout

_ENDING = ".json"
_IDS = ".ids"
_LOCK = ".lock"
_LONGEST = 240  # of a file's name; NAME_MAX is 255, and ours is longer while it is written
_REMEDY = "run `pyengine system check`"


@frozen
class Named:
    """What a name stands for.

    *reference* is canonical, empty for an image without a name. *target* is what the name means
    at a registry, an index or a manifest; *manifest* the digest of the one that was chosen;
    *config* the image's id. *tagged* is seconds since 1970. *pulled*: a registry has that target
    under that repository.
    """

    reference: str
    target: Descriptor
    manifest: str
    config: str
    platform: Platform | None = None
    tagged: float = 0.0
    pulled: bool = False


class ImageNames:
    """The names of the images of one engine's root."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def path(self, named: Named) -> str:
        """The file of *named*."""
        if named.reference:
            return self._path(named.reference)
        return f"{self.layout.image_names}/{_IDS}/{digests.hex_of(named.config)}{_ENDING}"

    def _path(self, reference: str) -> str:
        name = quote(reference, safe="")
        if len(name) > _LONGEST:
            name = f"~{hashlib.sha256(reference.encode()).hexdigest()}"
        return f"{self.layout.image_names}/{name}{_ENDING}"

    def find(self, reference: str) -> Named | None:
        """What the canonical *reference* stands for. Raises `StoreError` for a damaged record."""
        return records.read(self._path(reference), Named, _REMEDY)

    def all(self) -> list[Named]:
        """Every name, and every image without one; damaged records are passed over.

        Raises `StoreError` for a directory that cannot be read.
        """
        return [named for _, named in self.read_all() if named is not None]

    def read_all(self) -> Iterator[tuple[str, Named | None]]:
        """Each file, with what it says; `None` where that is damaged or another's name."""
        for directory in (self.layout.image_names, f"{self.layout.image_names}/{_IDS}"):
            for name in disk.names(directory):
                if not name.endswith(_ENDING):
                    continue
                path = f"{directory}/{name}"
                try:
                    named = records.read(path, Named, _REMEDY)
                except StoreError:
                    yield path, None
                    continue
                if named is not None:  # or it has just been removed
                    yield path, named if self.path(named) == path else None

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Be the only one who changes names. Raises `StoreError`."""
        disk.make_directories(f"{self.layout.image_names}/{_IDS}")
        with locks.exclusive(f"{self.layout.image_names}/{_LOCK}"):
            yield

    def write(self, named: Named) -> None:
        """Let *named* be so, whatever was before: on disk when this returns.

        The caller is `changing` names, and all that *named* stands for is on disk. Raises
        `NoSpace`, `StoreError`.
        """
        path = self.path(named)
        records.write(path, named, staging=disk.sync_file)
        disk.sync_directory(os.path.dirname(path))

    def drop(self, *dropped: Named) -> None:
        """Forget *dropped*: on disk when this returns. The caller is `changing` names.

        Raises `StoreError`.
        """
        directories = set()
        for named in dropped:
            path = self.path(named)
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                records.refuse(path, error)
            directories.add(os.path.dirname(path))
        for directory in sorted(directories):
            disk.sync_directory(directory)

    def touch(self, named: Named) -> None:
        """Note that the image is used now, for who frees space: see `last_used`."""
        try:
            os.utime(self.path(named))
        except OSError:  # it has just been removed, or the disk is read-only: so it is not noted
            return

    def last_used(self, named: Named) -> float:
        """When it was last used, or named, in seconds since 1970."""
        try:
            return os.stat(self.path(named)).st_mtime
        except OSError:
            return named.tagged
