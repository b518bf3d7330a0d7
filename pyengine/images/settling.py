"""Layers that containers wrote become blobs: what leaves has to be an archive, with its digest.

A layer that was a container's has a diff id of chance, since to know the true one it would have
to be packed (decision 0026). It is packed when it leaves, and the image is another from then on:
its configuration has to name the true one.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import evolve

from pyengine.errors import KernelError
from pyengine.images.catalog import Images
from pyengine.images.content import Content
from pyengine.images.deflating import MEDIA_TYPES, deflater
from pyengine.model import media_types
from pyengine.model.content import Descriptor, Manifest, parse, print_manifest
from pyengine.model.image_config import ImageFile, chain_ids, print_config
from pyengine.model.reference import Reference
from pyengine.store.image_names import Named
from pyengine.store.pins import Hold

_PIECE = 1 << 20


def chance_diff_id() -> str:
    """A diff id for a layer that nobody has packed yet."""
    return f"sha256:{hashlib.sha256(os.urandom(32)).hexdigest()}"


def read_image(content: Content, named: Named) -> tuple[Manifest, ImageFile]:
    """Manifest and configuration of an image. Raises `StoreError`, `InvalidContent`."""
    return content.manifest(named.manifest), content.image(named.config)


def settle(
    images: Images, named: Named, hold: Hold, *, compression: str = "gzip", level: int | None = None
) -> Named:
    """The same image with a blob for each layer, as *named* is from now on; *hold* keeps them.

    Layers that containers wrote are packed and compressed; of others a lost blob stays so. Raises
    `InvalidRequest`, `StoreError`, `NoSpace`.
    """
    deflater(compression, level)  # a bad wish is told before anything is done
    content = images.content
    manifest, image = read_image(content, named)
    hold.add(named.target.digest, named.manifest, named.config)
    hold.add(*(layer.digest for layer in manifest.layers))
    chain = chain_ids(image.diff_ids)
    unpacked = [
        _is_unpacked(content, layer, chain_id)
        for layer, chain_id in zip(manifest.layers, chain, strict=False)
    ]
    if not any(unpacked):
        return named
    layers, diff_ids = [*manifest.layers], [*image.diff_ids]
    for number, chain_id in enumerate(chain):
        if unpacked[number]:
            layers[number], diff_ids[number] = _pack(content, hold, chain_id, compression, level)
    return _renew(images, named, hold, evolve(image, diff_ids=tuple(diff_ids)), layers)


def _is_unpacked(content: Content, layer: Descriptor, chain_id: str) -> bool:
    """Whether a container wrote the layer, and nobody has packed it yet; else its blob is lost."""
    if content.blobs.has(layer.digest):
        return False
    known = content.layers.find(chain_id)
    return known is not None and not known.blob


def _renew(
    images: Images, named: Named, hold: Hold, image: ImageFile, layers: list[Descriptor]
) -> Named:
    blobs = images.content.blobs
    data = print_config(image)
    config = Descriptor(media_types.OCI_CONFIG, blobs.put(data), len(data))
    printed = print_manifest(config, layers)
    hold.add(config.digest, blobs.put(printed))
    manifest = parse(printed)
    assert isinstance(manifest, Manifest)
    reference = Reference.parse(named.reference) if named.reference else None
    return images.add(reference, manifest.descriptor, manifest, named.platform)


def _pack(
    content: Content, hold: Hold, chain_id: str, compression: str, level: int | None
) -> tuple[Descriptor, str]:
    """A layer as a blob, and its true diff id."""
    hashed, made = hashlib.sha256(), deflater(compression, level)
    size = 0
    with content.blobs.draft() as draft:

        def write(piece: bytes) -> int:
            draft.write(piece)
            return len(piece)

        with packed(content, content.layers.directory(chain_id)) as pieces:
            for data in pieces:
                hashed.update(data)
                size += write(made.compress(data))
        size += write(made.flush())
        hold.add(draft.digest)  # before it is there for others to sweep away
        digest = draft.commit()
    return Descriptor(MEDIA_TYPES[compression], digest, size), f"sha256:{hashed.hexdigest()}"


@contextmanager
def packed(content: Content, path: str) -> Iterator[Iterator[bytes]]:
    """The pieces of an archive of a layer's directory, which is made while they are taken.

    Raises `InvalidContent` for what no archive can hold, and `KernelError`.
    """
    read, write = os.pipe2(os.O_CLOEXEC)
    packer = _Packer(content, path, write)
    packer.start()
    try:
        with os.fdopen(read, "rb", buffering=0) as pipe:
            yield iter(lambda: pipe.read(_PIECE), b"")
    finally:
        packer.join()  # whoever takes no more has closed the pipe: it ends
    packer.finish()


class _Packer(threading.Thread):
    """Writes a layer as a tar archive into a pipe, which it closes."""

    def __init__(self, content: Content, path: str, out: int) -> None:
        super().__init__(name="pack", daemon=True)
        self._content = content
        self._path = path
        self._out = out
        self._error: Exception | None = None

    def run(self) -> None:
        try:  # it may be closed to us
            directory = os.open(self._path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self._content.hands.pack(directory, self._out)
            finally:
                os.close(directory)
        except Exception as error:  # noqa: BLE001  # told by `finish`
            self._error = error
        finally:
            os.close(self._out)

    def finish(self) -> None:
        """Wait for its end. Raises what went wrong."""
        self.join()
        if isinstance(self._error, OSError) and not isinstance(self._error, KernelError):
            raise KernelError(self._error.errno or 0, f"pack {self._path}") from self._error
        if self._error is not None:
            raise self._error
