"""The images of a docker-archive, as its ``manifest.json`` tells them."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator

from attrs import frozen

from pyengine.errors import ImageNotFound, InvalidContent
from pyengine.images.archive_layout import Found, Wish, reference_in, two_of
from pyengine.images.inflating import GZIP, NONE, ZSTD, format_of
from pyengine.images.shelves import DOCKER, Shelf, plain_name
from pyengine.images.taking import Taken, Taker
from pyengine.model import content, digests, image_config, media_types, strict_json
from pyengine.model import content_fields as fields
from pyengine.model.content import Descriptor, Manifest
from pyengine.model.image_config import ImageFile
from pyengine.model.platform import rank
from pyengine.model.reference import Reference

_MOST_IMAGES = 2000
_KNOWN = frozenset(("Config", "RepoTags", "Layers", "Parent", "LayerSources"))
_BY_ID = re.compile(r"(?:sha256[:-])?([0-9a-f]{64})(?:\.json)?", re.ASCII)
_COMPRESSION = {NONE: "", GZIP: "gzip", ZSTD: "zstd"}


@frozen
class Listed:
    """An image as ``manifest.json`` lists it: names of files, and its own."""

    config: str
    layers: tuple[str, ...]
    names: tuple[Reference, ...]


def listed(data: bytes) -> tuple[Listed, ...]:
    """Read ``manifest.json``; each name is one image's. Raises `InvalidContent`."""
    plain = strict_json.loads(data, most_bytes=content.MOST_BYTES, what=DOCKER)
    if not isinstance(plain, list) or not plain:
        raise InvalidContent(DOCKER, "it lists no image")
    if len(plain) > _MOST_IMAGES:
        raise InvalidContent(DOCKER, f"it lists more than {_MOST_IMAGES} images")
    images = tuple(_listed(one) for one in plain)
    meant: dict[str, Listed] = {}
    for image in images:
        for name in image.names:
            if meant.setdefault(str(name), image) != image:
                raise two_of(name.familiar)
    return images


def _listed(plain: object) -> Listed:
    if not isinstance(plain, dict):
        raise InvalidContent(DOCKER, "an image of it is no object")
    fields.exact_names(plain, _KNOWN, DOCKER)
    layers = fields.texts(plain, "Layers", DOCKER)
    if len(layers) > content.MOST_LAYERS:
        raise InvalidContent(DOCKER, f"an image of it has more than {content.MOST_LAYERS} layers")
    return Listed(
        _file_name(fields.text(plain, "Config", DOCKER)),
        tuple(_file_name(layer) for layer in layers),
        tuple(dict.fromkeys(_tag(tag) for tag in fields.texts(plain, "RepoTags", DOCKER))),
    )


def _file_name(name: str) -> str:
    if not plain_name(name):
        raise InvalidContent(DOCKER, f"{name[:200]!r} is no name of a file in the archive")
    return plain_name(name)


def _tag(text: str) -> Reference:
    reference = reference_in(text, DOCKER)
    if reference.digest is not None:
        raise InvalidContent(DOCKER, f"it names an image {text[:300]!r}, by a digest")
    return reference


def read(shelf: Shelf, taker: Taker, images: Iterable[Listed], wish: Wish) -> Iterator[Found]:
    """These images, with their blobs taken, and manifests made for them.

    Raises `InvalidContent`, and `ImageNotFound` for one of another platform than is wanted.
    """
    for image in images:
        yield _read(shelf, taker, image, wish)


def _read(shelf: Shelf, taker: Taker, listed: Listed, wish: Wish) -> Found:
    image = _config(shelf, taker, listed.config)
    if wish.platform is not None and rank(wish.platform, image.platform) is None:
        raise ImageNotFound(image.digest, f"it is for {image.platform}, not for {wish.platform}")
    if len(image.diff_ids) != len(listed.layers):
        why = f"it lists {len(listed.layers)} layers of an image that has {len(image.diff_ids)}"
        raise InvalidContent(DOCKER, why)
    config = Descriptor(media_types.DOCKER_CONFIG, image.digest, len(image.raw))
    layers = tuple(_layer(shelf, taker, name) for name in listed.layers)
    data = content.print_manifest(config, layers, oci=False)
    digest = digests.of(data)
    taker.take_known(digest, len(data), (data,))
    manifest = content.parse(data)
    assert isinstance(manifest, Manifest)
    words = tuple(word for name in listed.names for word in (str(name), name.familiar))
    return Found(listed.names, manifest.descriptor, manifest, image, words)


def _config(shelf: Shelf, taker: Taker, name: str) -> ImageFile:
    taken = shelf.take(name)
    if taken.size > image_config.MOST_BYTES:
        why = f"it has {taken.size} bytes, more than {image_config.MOST_BYTES}"
        raise InvalidContent("image config", why, taken.digest)
    if _id_in(name) not in ("", taken.digest):
        why = f"its name in the archive is {name!r}"
        raise InvalidContent("image config", why, taken.digest)
    return image_config.parse(taker.content.blobs.read(taken.digest, image_config.MOST_BYTES))


def _layer(shelf: Shelf, taker: Taker, name: str) -> Descriptor:
    taken = shelf.take(name)
    media_type = media_types.layer_type(_compression(taker, taken, name), oci=False)
    return Descriptor(media_type, taken.digest, taken.size)


def _compression(taker: Taker, taken: Taken, name: str) -> str:
    with taker.content.blobs.open(taken.digest) as file:
        form = format_of(file.read(10))
    if form not in _COMPRESSION:
        raise InvalidContent("layer", f"{name} is compressed with {form}, as no image's may be")
    return _COMPRESSION[form]


def agree(found: Iterable[Found], images: Iterable[Listed]) -> None:
    """`InvalidContent` where an archive of both forms means two images by one name."""
    ids = {
        str(name): one.image.digest
        for one in found
        if one.target == one.manifest.descriptor  # an index has several
        for name in one.names
    }
    for image in images:
        claimed = _id_in(image.config)
        for name in image.names:
            if claimed and ids.get(str(name), claimed) != claimed:
                raise two_of(name.familiar)


def _id_in(name: str) -> str:
    """The id that an image has by the name of its config's file; empty for another name."""
    match = _BY_ID.fullmatch(posixpath.basename(name))
    return f"sha256:{match[1]}" if match is not None else ""
