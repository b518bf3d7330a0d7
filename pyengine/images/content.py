"""The content of images that one engine has: the rooms of its store, put together."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from attrs import frozen

from pyengine.errors import InvalidContent
from pyengine.images.limits import DEFAULT, Limits
from pyengine.linux import native
from pyengine.linux.boots import boot_id
from pyengine.model import image_config
from pyengine.model.content import Manifest, parse
from pyengine.model.image_config import ImageFile
from pyengine.store.blobs import Blobs
from pyengine.store.disk import Kernel
from pyengine.store.image_names import ImageNames
from pyengine.store.layers import Layers
from pyengine.store.layout import Layout
from pyengine.store.pins import Pins


class Counted(Protocol):
    """What came out of a layer."""

    @property
    def entries(self) -> int:
        """Files, directories and the like."""

    @property
    def bytes(self) -> int:
        """What is in its files."""

    @property
    def hides_all(self) -> bool:
        """Whether nothing of the layers below it is seen."""


class Unpacking(Protocol):
    """Somebody who makes files of a tar that comes in pieces, as `linux.native_layers.Unpacker`."""

    def feed(self, data: bytes | memoryview) -> None:
        """Take the next piece."""

    def finish(self) -> Counted:
        """The tar has ended."""

    def close(self) -> None:
        """Give back what it needs."""


Unpackers = Callable[[int, Limits], Unpacking]
"""One who unpacks into a directory fd."""


class Hands(Protocol):
    """Whoever may do with layers what this process may not: their files belong to other ids."""

    def unpacker(self, directory: int, limits: Limits) -> Unpacking:
        """One who unpacks into a directory fd."""

    def pack(self, directory: int, out: int) -> object:
        """Write what is below a directory fd to *out*, as an archive."""

    def remove_tree(self, directory: int, name: str) -> None:
        """Remove *name* in a directory fd, and all below it."""

    def move(self, path: str, to: str) -> None:
        """As `os.rename`."""

    def ask(self, module: str, *words: str) -> str:
        """What the ``main`` of a module of ours prints, when it is run by whoever may look."""


class OwnHands:
    """This process does everything itself: as root, or with one id of its own."""

    def unpacker(self, directory: int, limits: Limits) -> Unpacking:
        """See `Hands`."""
        from pyengine.linux.native_layers import Unpacker

        is_root = os.geteuid() == 0
        return Unpacker(
            directory,
            user_xattrs=not is_root,
            single_id=not is_root,
            most_bytes=limits.layer_bytes,
            most_entries=limits.layer_entries,
        )

    def pack(self, directory: int, out: int) -> object:
        """See `Hands`."""
        from pyengine.linux.native_layers import pack

        return pack(directory, out, user_xattrs=os.geteuid() != 0)

    def remove_tree(self, directory: int, name: str) -> None:
        """See `Hands`."""
        native.remove_tree(directory, name)

    def move(self, path: str, to: str) -> None:
        """See `Hands`."""
        os.rename(path, to)


_OWN = OwnHands()


@frozen
class Content:
    """Blobs, layers and names below one root, for all processes and threads that share it.

    >>> content = Content.at(Layout.of(root, None))  # doctest: +SKIP
    >>> content.blobs.has(digest)  # doctest: +SKIP
    False
    """

    layout: Layout
    blobs: Blobs
    layers: Layers
    names: ImageNames
    pins: Pins
    unpacker: Unpackers
    limits: Limits = DEFAULT
    hands: Hands | OwnHands = _OWN

    @classmethod
    def at(
        cls,
        layout: Layout,
        *,
        unpacker: Unpackers | None = None,
        hands: Hands | None = None,
        limits: Limits = DEFAULT,
    ) -> Content:
        """What is below *layout*; nothing is made before something is added.

        *hands* are others where this user may not give files away; *unpacker* stands before theirs.
        """
        chosen = hands or _OWN
        kernel = Kernel(chosen.remove_tree, native.sync_file_system, boot_id, chosen.move)
        return cls(
            layout,
            Blobs(layout),
            Layers(layout, kernel),
            ImageNames(layout),
            Pins(layout),
            unpacker or chosen.unpacker,
            limits,
            chosen,
        )

    def manifest(self, digest: str) -> Manifest:
        """The manifest of one image. Raises `StoreError`, `InvalidContent`."""
        read = parse(self.blobs.read(digest, self.limits.manifest_bytes))
        if not isinstance(read, Manifest):
            raise InvalidContent("manifest", "it is an index of several", digest=digest)
        return read

    def image(self, config: str) -> ImageFile:
        """What the image with that id says of itself. Raises `StoreError`, `InvalidContent`."""
        return image_config.parse(self.blobs.read(config, self.limits.config_bytes))
