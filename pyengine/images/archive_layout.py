"""The images of an OCI image layout, as its ``index.json`` tells them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NoReturn

from attrs import evolve, frozen

from pyengine.errors import ImageNotFound, InvalidContent, InvalidRequest
from pyengine.images.shelves import INDEX, LAYOUT, Shelf, blob_name
from pyengine.images.taking import Taker
from pyengine.model import content, digests, image_config, strict_json
from pyengine.model.content import Descriptor, Index, Manifest
from pyengine.model.image_config import ImageFile
from pyengine.model.media_types import INDEXES, MANIFESTS, OCI_INDEX
from pyengine.model.platform import Platform, rank
from pyengine.model.reference import Reference

NAME = "io.containerd.image.name"
"""The annotation with a whole reference, which containerd, BuildKit and Docker write."""

TAG = "org.opencontainers.image.ref.name"
"""The annotation with a tag, or with whatever its writer calls the image."""

_DEEPEST = 4  # indexes in indexes


@frozen
class Found:
    """An image of an archive, whose blobs are in the store: what its names mean, and what it is.

    *words* are what a source may call it by: its names, and its tag where it has no name.
    """

    names: tuple[Reference, ...]
    target: Descriptor
    manifest: Manifest
    image: ImageFile
    words: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.names[0].familiar if self.names else self.image.digest


@frozen
class Entry:
    """An entry of ``index.json``: what may be called *names*, and is found at *target*."""

    target: Descriptor
    names: tuple[Reference, ...] = ()
    words: tuple[str, ...] = ()


@frozen
class Wish:
    """What is wanted of an archive.

    *here* is what runs here, *platform* the only one wanted; *is_whole*: also the images that an
    index has for other platforms.
    """

    here: Platform
    platform: Platform | None = None
    is_whole: bool = True


def is_layout(shelf: Shelf) -> bool:
    """Whether the archive is an OCI image layout, of a version that is known.

    Raises `InvalidContent` for another version.
    """
    data = shelf.document(LAYOUT)
    if data is None or shelf.document(INDEX) is None:
        return False
    plain = strict_json.loads(data, most_bytes=4096, what=LAYOUT)
    version = plain.get("imageLayoutVersion") if isinstance(plain, dict) else None
    if not isinstance(version, str) or not version.startswith("1."):
        raise InvalidContent(LAYOUT, "its imageLayoutVersion is not 1")
    return True


def entries(shelf: Shelf) -> tuple[Entry, ...]:
    """What ``index.json`` lists, each name once. Raises `InvalidContent`."""
    index = content.parse(shelf.document(INDEX) or b"", OCI_INDEX)
    assert isinstance(index, Index)
    found = [
        _entry(one)
        for one in index.manifests
        if one.media_type in MANIFESTS | INDEXES and not one.is_attestation
    ]
    if not found:
        raise InvalidContent("archive", "its index.json lists no image")
    return tuple(_merged(found))


def _entry(target: Descriptor) -> Entry:
    said = dict(target.annotations)
    words = tuple(dict.fromkeys(word for word in (said.get(NAME), said.get(TAG)) if word))
    name = said.get(NAME, "")
    if not name and any(sign in said.get(TAG, "") for sign in ":/"):
        name = said[TAG]  # else it is a tag of nobody knows what
    bare = evolve(target, annotations=(), urls=())
    if not name:
        return Entry(bare, (), words)
    reference = reference_in(name)
    if reference.digest not in (None, target.digest):
        raise InvalidContent("archive", f"what it calls {name!r} is {target.digest}")
    return Entry(bare, (reference,), words)


def reference_in(name: str, what: str = "archive") -> Reference:
    """The name that an archive gives an image. Raises `InvalidContent`."""
    try:
        reference = Reference.parse(name).with_default_tag()
    except InvalidRequest as error:
        raise InvalidContent(what, f"it names an image {name[:300]!r}: {error.why}") from error
    if reference.familiar_repository in digests.LENGTHS:
        raise InvalidContent(what, f"it names an image {name[:300]!r}, as ids are")
    return reference


def _merged(found: list[Entry]) -> Iterator[Entry]:
    """One entry for each target, and one target for each name."""
    targets: dict[str, Descriptor] = {}
    for entry in found:
        for name in entry.names:
            one = targets.setdefault(str(name), entry.target)
            if one.digest != entry.target.digest:
                raise two_of(str(name))
    by_target: dict[str, Entry] = {}
    for entry in found:
        before = by_target.setdefault(entry.target.digest, entry)
        by_target[entry.target.digest] = evolve(
            before,
            names=tuple(dict.fromkeys((*before.names, *entry.names))),
            words=tuple(dict.fromkeys((*before.words, *entry.words))),
        )
    yield from by_target.values()


def two_of(name: str) -> InvalidContent:
    """An archive calls two images *name*: readers differ on which it means."""
    return InvalidContent("archive", f"it calls two images {name!r}")


def read(shelf: Shelf, taker: Taker, listed: Iterable[Entry], wish: Wish) -> Iterator[Found]:
    """The images of *listed*, with all their blobs taken; what is no image is passed over.

    Raises `InvalidContent`, also where none is an image; `ImageNotFound` where none is for the
    platform that is wanted.
    """
    reader = _Reader(shelf, taker, wish)
    count, first = 0, None
    for entry in listed:
        try:
            found = reader.read(entry)
        except _NoImage as error:
            first = first or error
            continue
        count += 1
        yield found
    if not count and first is not None:
        raise InvalidContent(first.what, first.why, first.digest)


class _NoImage(InvalidContent):
    """A manifest of something else, as registries hold them, too."""


class _Reader:
    """Takes images out of one archive."""

    def __init__(self, shelf: Shelf, taker: Taker, wish: Wish) -> None:
        self._shelf = shelf
        self._taker = taker
        self._wish = wish

    def read(self, entry: Entry) -> Found:
        target, manifest = entry.target, self._manifest(entry.target, 0)
        image = self._image(manifest)
        if self._wish.platform is not None or not self._wish.is_whole:
            target = manifest.descriptor
        elif target.media_type in INDEXES:
            self._take_others(target, manifest.digest, 0)
        return Found(entry.names, target, manifest, image, entry.words)

    def _document(self, descriptor: Descriptor) -> Manifest | Index:
        self._take(descriptor)
        data = self._taker.content.blobs.read(descriptor.digest, content.MOST_BYTES)
        parsed = content.parse(data, descriptor.media_type, artifacts=True)
        if isinstance(parsed, Manifest):
            try:
                return content.parse(data, descriptor.media_type)
            except InvalidContent as error:
                raise _NoImage(error.what, error.why, error.digest) from None
        return parsed

    def _manifest(self, descriptor: Descriptor, depth: int) -> Manifest:
        """The manifest that *descriptor* means here, in whatever indexes it is."""
        read = self._document(descriptor)
        if isinstance(read, Manifest):
            return read
        if depth == _DEEPEST:
            raise InvalidContent("index", f"it is in {_DEEPEST} others", read.digest)
        there = tuple(one for one in read.manifests if self._is_there(one))
        if not there:
            raise InvalidContent("index", "the archive has none of its manifests", read.digest)
        return self._manifest(self._choose(evolve(read, manifests=there)), depth + 1)

    def _choose(self, index: Index) -> Descriptor:
        wanted = self._wish.platform
        try:
            return content.choose(index, wanted or self._wish.here)
        except ImageNotFound:
            images = [one for one in index.manifests if not one.is_attestation]
            if wanted is not None or not images:
                raise
            return images[0]  # what is here for another processor may still be pushed

    def _image(self, manifest: Manifest) -> ImageFile:
        wanted = self._wish.platform
        self._take(manifest.config)
        image = image_config.parse(
            self._taker.content.blobs.read(manifest.config.digest, image_config.MOST_BYTES)
        )
        if wanted is not None and rank(wanted, image.platform) is None:
            raise ImageNotFound(manifest.digest, f"it is for {image.platform}, not for {wanted}")
        image_config.check_match(manifest, image)
        for layer in manifest.layers:
            self._take(layer)
        return image

    def _take_others(self, descriptor: Descriptor, done: str, depth: int) -> None:
        """Take what else an index has, as far as it is there: it is pushed, and saved, with it."""
        index = self._document(descriptor)
        if isinstance(index, Manifest) or depth == _DEEPEST:
            return
        for child in index.manifests:
            if child.digest == done or not self._is_there(child):
                continue
            if child.media_type in INDEXES:
                self._take_others(child, done, depth + 1)
            elif child.media_type in MANIFESTS:
                self._take_other(child)

    def _take_other(self, child: Descriptor) -> None:
        self._take(child)
        data = self._taker.content.blobs.read(child.digest, content.MOST_BYTES)
        manifest = content.parse(data, child.media_type, artifacts=True)
        if isinstance(manifest, Manifest):
            for blob in (manifest.config, *manifest.layers):
                if self._is_there(blob):
                    self._take(blob)

    def _is_there(self, descriptor: Descriptor) -> bool:
        return self._shelf.has(blob_name(descriptor.digest)) or self._taker.holds(descriptor.digest)

    def _take(self, descriptor: Descriptor) -> None:
        digest = descriptor.digest
        if self._taker.holds(digest):  # an archive may leave out what its reader has
            size = self._taker.content.blobs.size(digest)
        elif self._shelf.has(blob_name(digest)):
            size = self._shelf.take(blob_name(digest)).size
        else:
            where = f", but at {descriptor.urls[0][:200]}" if descriptor.urls else ""
            raise InvalidContent("archive", f"it lacks the blob {digest}{where}")
        if size != descriptor.size:
            _wrong_size(descriptor, size)


def _wrong_size(descriptor: Descriptor, size: int) -> NoReturn:
    why = f"it has {size} bytes, and what names it says {descriptor.size}"
    raise InvalidContent("blob of the archive", why, descriptor.digest)
