"""Roots of containers that are made from images of the store."""

from __future__ import annotations

from contextlib import ExitStack
from functools import lru_cache
from typing import TYPE_CHECKING

from pyengine.containers.rootfs import Rootfs, completing_layer
from pyengine.errors import EngineError, ImageNotFound, InvalidContent
from pyengine.images.archive_sources import SCHEMES
from pyengine.images.image_use import ImageUse
from pyengine.images.unpacking import LayerPlan, layer_plans, unpack
from pyengine.model.content import Manifest, parse
from pyengine.model.image_config import ImageFile
from pyengine.model.image_config import parse as parse_config
from pyengine.model.state import LIVELY

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
    records = [content.layers.find(plan.chain_id) for plan in plans]
    if None in records:
        unpack(content, plans)
        records = [content.layers.find(plan.chain_id) for plan in plans]
    directories = []
    for plan, record in zip(reversed(plans), reversed(records), strict=True):
        directories.append(content.layers.directory(plan.chain_id))
        if record is not None and record.hides_all:
            break
    return tuple(directories)


def image_file(content: Content, config: str) -> ImageFile:
    """What the image with that id says of itself. Raises `StoreError`, `InvalidContent`."""
    return _read_config(content, config)


@lru_cache(maxsize=64)
def _read_config(content: Content, config: str) -> ImageFile:
    return parse_config(content.blobs.read(config, content.limits.config_bytes))


@lru_cache(maxsize=64)
def _plans(content: Content, manifest: str, config: str) -> tuple[LayerPlan, ...]:
    read = parse(content.blobs.read(manifest, content.limits.manifest_bytes))
    if not isinstance(read, Manifest):
        raise InvalidContent("manifest", "it is an index of several", digest=manifest)
    return layer_plans(read, image_file(content, config), content.limits)


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
