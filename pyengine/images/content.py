"""The content of images that one engine has: the rooms of its store, put together."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from attrs import frozen

from pyengine.images.limits import DEFAULT, Limits
from pyengine.linux import native
from pyengine.linux.boots import boot_id
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

    @classmethod
    def at(
        cls,
        layout: Layout,
        *,
        unpacker: Unpackers | None = None,
        remove_tree: Callable[[int, str], None] = native.remove_tree,
        limits: Limits = DEFAULT,
    ) -> Content:
        """What is below *layout*; nothing is made before something is added.

        *unpacker* and *remove_tree* are others where this user may not give files away to others.
        """
        kernel = Kernel(remove_tree, native.sync_file_system, boot_id)
        return cls(
            layout,
            Blobs(layout),
            Layers(layout, kernel),
            ImageNames(layout),
            Pins(layout),
            unpacker or _unpacker,
            limits,
        )


def _unpacker(directory: int, limits: Limits) -> Unpacking:
    from pyengine.linux.native_layers import Unpacker

    is_root = os.geteuid() == 0
    return Unpacker(
        directory,
        user_xattrs=not is_root,
        single_id=not is_root,
        most_bytes=limits.layer_bytes,
        most_entries=limits.layer_entries,
    )
