"""Roots of containers that are made from images of the store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from pyengine.containers.rootfs import Rootfs, completing_layer
from pyengine.errors import ImageNotFound, StoreError
from pyengine.images.image_use import ImageUse
from pyengine.images.limits import DEFAULT
from pyengine.model.image_config import ImageFile, parse
from pyengine.model.options import ContainerOptions
from pyengine.model.state import LIVELY

if TYPE_CHECKING:
    from pyengine.containers.house import House
    from pyengine.images.catalog import Images
    from pyengine.store.image_names import Named


@contextmanager
def image_root(house: House, options: ContainerOptions) -> Iterator[Rootfs]:
    """The root that the image of *options* gives; nobody removes that in the ``with``.

    It is pulled where *options* say so, and unpacked where that was not done yet. Raises
    `ImageNotFound`, `InvalidRequest`, and what a pull raises.
    """
    images = house.images
    with ExitStack() as held:
        named = _find(house, options, held)
        yield _root(house, images, named)


def _find(house: House, options: ContainerOptions, held: ExitStack) -> Named:
    images = house.images
    if options.pull != "always":
        try:
            return held.enter_context(images.using(options.image))
        except ImageNotFound:
            if options.pull == "never":
                raise
    from pyengine.containers import image_sources

    image_sources.bring(house, options.image, options.platform)
    return held.enter_context(images.using(options.image))


def _root(house: House, images: Images, named: Named) -> Rootfs:
    layers = unpacked(images, named)
    image = image_file(images, named.config)
    lowers = (completing_layer(layers, house.layout), *layers)
    return Rootfs(layers, lowers, image.config, image_id=named.config)


def image_file(images: Images, config: str) -> ImageFile:
    """What the image with that id says of itself. Raises `StoreError`, `InvalidContent`."""
    return _read(images.content.blobs.path(config), images, config)


@lru_cache(maxsize=64)
def _read(path: str, images: Images, config: str) -> ImageFile:
    return parse(images.content.blobs.read(config, DEFAULT.config_bytes))
