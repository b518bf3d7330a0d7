"""Loading: the images of an archive come into the store, each whole, or none of them (row I34)."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from pyengine.errors import ImageNotFound, InvalidContent
from pyengine.images import archive_docker, archive_layout
from pyengine.images.archive_layout import Found, Wish
from pyengine.images.catalog import Images
from pyengine.images.content import Content
from pyengine.images.shelves import (
    DOCKER,
    DirectoryShelf,
    Shelf,
    shelf_of,
)
from pyengine.images.taking import Progress, Taker, taking
from pyengine.images.unpacking import LayerPlan, layer_plans, unpack, unpack_one
from pyengine.model.platform import Platform
from pyengine.store.image_names import Named
from pyengine.store.locks import Waiting

Source = str | os.PathLike[str] | bytes | IO[bytes]
Choice = Callable[[Shelf, Taker, Wish], Iterator[Found]]
"""How the images that are wanted are found in an archive."""


def load(
    images: Images,
    source: Source,
    *,
    platform: Platform | None = None,
    progress: Progress | None = None,
    waiting: Waiting | None = None,
) -> tuple[Named, ...]:
    """Have the images of *source* under the names that they have there; answers them in order.

    *source* is a docker-archive or an OCI layout, compressed or not: a path, bytes, a stream of
    them that is read to its end, or a layout's directory. An image without a name is in the answer
    with an empty reference. *platform*: only what is for it; else all of an index. Before
    anything has its name, all is verified and unpacked; if that fails, nothing of it is kept.

    Raises `InvalidContent` for what is wrong in the archive, `ImageNotFound` where there is
    nothing for *platform* or no file, `NoSpace`, `StoreError`.

    >>> [named.reference for named in load(images, "busybox.tar")]  # doctest: +SKIP
    ['docker.io/library/busybox:latest']
    """
    with bringing(images, source, Wish(here(), platform), every, progress, waiting) as brought:
        return tuple(
            images.add(name, found.target, found.manifest, found.image.platform)
            for found in brought
            for name in found.names or (None,)
        )


def every(shelf: Shelf, taker: Taker, wish: Wish) -> Iterator[Found]:
    """All images of an archive, as its ``index.json`` tells them, or else its ``manifest.json``."""
    document = shelf.document(DOCKER)
    listed = archive_docker.listed(document) if document is not None else ()
    if archive_layout.is_layout(shelf):
        found = tuple(archive_layout.read(shelf, taker, archive_layout.entries(shelf), wish))
        archive_docker.agree(found, listed)
        yield from found
    elif listed:
        yield from archive_docker.read(shelf, taker, listed, wish)
    else:
        raise no_archive()


def no_archive() -> InvalidContent:
    """It holds no images, in no form that is known."""
    why = "it has neither an index.json with an oci-layout, nor a manifest.json"
    return InvalidContent("archive", why)


@contextmanager
def bringing(
    images: Images,
    source: Source,
    wish: Wish,
    choice: Choice,
    progress: Progress | None = None,
    waiting: Waiting | None = None,
) -> Iterator[tuple[Found, ...]]:
    """The images of *source* that *choice* finds, unpacked; nobody removes them before the end.

    Raises as `load`; see `taking` for what becomes of what came, then.
    """
    with taking(images, progress, waiting) as taker:
        try:
            with _opened(source, taker) as shelf:
                brought = tuple(choice(shelf, taker, wish))
            for found in brought:
                _unpack(taker, found, progress, waiting)
        except InvalidContent as error:
            error.image = error.image or _name_of(source)
            raise
        for found in brought:
            for digest in (found.target.digest, found.manifest.digest):
                taker.kept.update(images.reach.of_manifest(digest).blobs)
        yield brought


def _unpack(taker: Taker, found: Found, progress: Progress | None, waiting: Waiting | None) -> None:
    content = taker.content
    plans = layer_plans(found.manifest, found.image, content.limits)
    taker.hold.add(*(plan.chain_id for plan in plans))
    try:
        unpack(content, plans, progress, waiting)
        for plan in plans:
            if not _is_proved(content, plan):
                unpack_one(content, plan, progress, waiting)
    except InvalidContent as error:
        error.image = error.image or str(found)
        raise


def _is_proved(content: Content, plan: LayerPlan) -> bool:
    """Whether the blob is known to hold what its diff id says: a layer came of it, or it is it."""
    known = content.layers.find(plan.chain_id)
    return plan.blob == plan.diff_id or (known is not None and known.blob == plan.blob)


@contextmanager
def _opened(source: Source, taker: Taker) -> Iterator[Shelf]:
    if not isinstance(source, (str, os.PathLike)):
        yield shelf_of(io.BytesIO(source) if isinstance(source, bytes) else source, taker)
        return
    path = os.fspath(source)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise ImageNotFound(path, f"it cannot be read: {error.strerror}") from error
    try:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            yield DirectoryShelf(path, taker)
        else:
            with open(fd, "rb", buffering=0, closefd=False) as file:
                yield shelf_of(file, taker)
    finally:
        os.close(fd)


def _name_of(source: Source) -> str:
    """What an archive is called in an error."""
    return os.fspath(source) if isinstance(source, (str, os.PathLike)) else "-"


def here() -> Platform:
    """What runs on this machine."""
    return Platform.of_machine(os.uname().machine)
