"""Roots of containers that are made from images of the store."""

from __future__ import annotations

from contextlib import ExitStack
from functools import lru_cache
from typing import TYPE_CHECKING

from pyengine.containers.rootfs import Rootfs, completing_layer
from pyengine.errors import EngineError, ImageNotFound
from pyengine.images.archive_sources import SCHEMES
from pyengine.images.image_use import ImageUse
from pyengine.images.unpacking import LayerPlan, layer_plans, unpack
from pyengine.model.image_config import ImageFile
from pyengine.model.state import LIVELY
from pyengine.store.layers import LayerMissing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyengine.containers.house import House
    from pyengine.images.catalog import Images
    from pyengine.images.content import Content
    from pyengine.model.options import ContainerOptions
    from pyengine.store.image_names import Named


def image_root(house: House, options: ContainerOptions, held: ExitStack) -> Rootfs:
    """The root that the image of *options* gives; nobody removes that before *held* is closed.

    It is pulled where *options* say so, and unpacked where that was not done yet. Raises
    `ImageNotFound`, `InvalidRequest`, and what a pull raises.
    """
    images = house.images
    named = _find(house, options, held)
    image = image_file(images.content, named.config)
    layers = _unpacked(images, named)
    lowers = (completing_layer(layers, house.layout), *layers)
    return Rootfs(layers, lowers, image.config, image_id=named.config)


def _find(house: House, options: ContainerOptions, held: ExitStack) -> Named:
    wanted, is_archive = options.image, options.image.startswith(SCHEMES)
    if options.pull != "always" and not is_archive:
        try:
            return held.enter_context(house.images.using(wanted))
        except ImageNotFound:
            if options.pull == "never":
                raise
    from pyengine.containers.image_sources import bring
    from pyengine.progress import watching

    with watching(options.progress) as tell:
        brought = bring(house, wanted, platform=options.platform, progress=tell)
    return held.enter_context(house.images.using(brought.config if is_archive else wanted))


def _unpacked(images: Images, named: Named) -> tuple[str, ...]:
    """The directories of its layers, the topmost first."""
    content = images.content
    plans = _plans(content, named.manifest, named.config)
    top = plans[-1].chain_id if plans else ""
    try:
        return tuple(content.layers.lowers(top))
    except LayerMissing:
        unpack(content, plans)
    return tuple(content.layers.lowers(top))


@lru_cache(maxsize=64)
def image_file(content: Content, config: str) -> ImageFile:
    """See `Content.image`; what was read is remembered: it cannot change."""
    return content.image(config)


@lru_cache(maxsize=64)
def _plans(content: Content, manifest: str, config: str) -> tuple[LayerPlan, ...]:
    return layer_plans(content.manifest(manifest), image_file(content, config), content.limits)


def uses(house: House) -> Iterator[ImageUse]:
    """The containers of *house*'s root that need an image, whoever owns them."""
    for container_id in house.catalog.ids():
        try:
            record = house.catalog.record(container_id)
            status = house.catalog.state(container_id).status
        except EngineError:  # it is being removed; or damaged, and nobody can start it
            continue
        if record.image_id:
            layers = tuple(chain_id_of(path) for path in record.layers)
            yield ImageUse(container_id, record.image_id, status in LIVELY, layers)


def chain_id_of(directory: str) -> str:
    """The chain id of a layer, by its directory ``…/HEX/fs``."""
    name = directory.split("/")[-2]
    return f"{'sha256' if len(name) == 64 else 'sha512'}:{name}"
