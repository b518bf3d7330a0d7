"""Importing: a tar of a whole file system becomes an image of one layer (row I35)."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterable, Iterator

from pyengine.errors import ImageNotFound, InvalidContent, InvalidRequest
from pyengine.images.archive_load import Source, here
from pyengine.images.catalog import Images
from pyengine.images.inflating import GZIP, NONE, ZSTD, Inflater
from pyengine.images.shelves import start_of
from pyengine.images.taking import Progress, Taker, taking
from pyengine.images.tar_reader import PIECE
from pyengine.images.unpacking import layer_plans, unpack
from pyengine.model import content, digests, image_config, media_types
from pyengine.model.config import ImageConfig
from pyengine.model.config_changes import apply_changes
from pyengine.model.content import Descriptor, Manifest
from pyengine.model.image_config import HistoryEntry, ImageFile
from pyengine.model.platform import Platform
from pyengine.model.reference import Reference
from pyengine.store.image_names import Named
from pyengine.store.locks import Waiting

_COMPRESSION = {NONE: "", GZIP: "gzip", ZSTD: "zstd"}
"""What a layer may be compressed with; the rest is unpacked for good."""

_MESSAGE = "Imported from -"


def import_(
    images: Images,
    source: Source,
    reference: str | None = None,
    *,
    changes: Iterable[str] = (),
    message: str = "",
    platform: Platform | None = None,
    created: float | None = None,
    progress: Progress | None = None,
    waiting: Waiting | None = None,
) -> Named:
    """Make an image of the tar *source*, compressed or not, and call it *reference*.

    *source* is a path, bytes, or a stream of them that is read to its end. *changes* are
    instructions such as ``CMD ["sh"]`` (see `config_changes.apply_changes`); *message* is what
    its history says, ``Imported from -`` by default; *platform* what it is for, by default what
    runs here; *created* seconds since 1970, by default now. What fails leaves nothing.

    Raises `InvalidContent` for what is no tar, `InvalidRequest` for a wrong change or reference,
    `ImageNotFound` without a file, `NoSpace`, `StoreError`.

    >>> import_(images, "rootfs.tar.xz", "mine:1", changes=["CMD sh"]).reference  # doctest: +SKIP
    'docker.io/library/mine:1'
    """
    name = _name(reference)
    config = apply_changes(ImageConfig(), changes)
    moment = time.time() if created is None else created
    wanted = platform or here()
    with taking(images, progress, waiting) as taker:
        layer, diff_id = _layer(taker, source)
        image = ImageFile(
            architecture=wanted.architecture,
            os=wanted.os,
            variant=wanted.variant,
            os_version=wanted.os_version,
            created=moment,
            config=config,
            diff_ids=(diff_id,),
            history=(HistoryEntry(created=moment, comment=message or _MESSAGE),),
            comment=message or _MESSAGE,
        )
        manifest, image = _store(taker, image, layer)
        plans = layer_plans(manifest, image, images.content.limits)
        taker.hold.add(*(plan.chain_id for plan in plans))
        unpack(images.content, plans, progress, waiting)
        taker.kept |= taker.made
        return images.add(name, manifest.descriptor, manifest, wanted)


def _name(text: str | None) -> Reference | None:
    if text is None:
        return None
    reference = Reference.parse(text).with_default_tag()
    if reference.digest is not None:
        raise InvalidRequest("reference", text, why="its digest is known afterwards only")
    return reference


def _layer(taker: Taker, source: Source) -> tuple[Descriptor, str]:
    """The layer that *source* is, as a blob, and its diff id."""
    inflater = Inflater("archive", limits=taker.content.limits)
    plain = digests.hasher(digests.EMPTY)
    taken = taker.take_unknown(_kept(_read(source), inflater, plain.update))
    if not inflater.given:
        raise InvalidContent("archive", "it is empty")
    media_type = media_types.layer_type(_COMPRESSION.get(inflater.format, ""))
    return Descriptor(media_type, taken.digest, taken.size), f"sha256:{plain.hexdigest()}"


def _kept(
    pieces: Iterator[bytes], inflater: Inflater, plain: Callable[[bytes | memoryview], object]
) -> Iterator[bytes | memoryview]:
    """What the blob is: *pieces* as they are, or what they unpack to where a layer may not be so.

    All that they unpack to is given to *plain*.
    """
    for data in pieces:
        for piece in inflater.feed(data):
            plain(piece)
            if inflater.format not in _COMPRESSION:
                yield piece
        if inflater.format in _COMPRESSION:
            yield data
    for piece in inflater.finish():
        plain(piece)
        if inflater.format not in _COMPRESSION:
            yield piece


def _read(source: Source) -> Iterator[bytes]:
    """The bytes of *source*; enough come first to tell what they are compressed with."""
    if isinstance(source, bytes):
        source = io.BytesIO(source)
    if not isinstance(source, (str, os.PathLike)):
        if start := start_of(source):
            yield start
        while data := source.read(PIECE):
            yield data
        return
    try:
        file = open(source, "rb", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise ImageNotFound(os.fspath(source), f"it cannot be read: {error.strerror}") from error
    with file:
        yield from _read(file)


def _store(taker: Taker, image: ImageFile, layer: Descriptor) -> tuple[Manifest, ImageFile]:
    data = image_config.print_config(image)
    config = Descriptor(media_types.OCI_CONFIG, digests.of(data), len(data))
    printed = content.print_manifest(config, (layer,))
    manifest = content.parse(printed)
    assert isinstance(manifest, Manifest)
    for blob, digest in ((data, config.digest), (printed, manifest.digest)):
        taker.take_known(digest, len(blob), (blob,))
    return manifest, image_config.parse(data)
