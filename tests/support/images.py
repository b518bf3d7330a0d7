"""Images of a few files, made of nothing, straight into a store."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Mapping

from attrs import define, field, frozen

from pyengine import Engine
from pyengine.images.content import Content
from pyengine.model import content as model
from pyengine.model import digests, media_types
from pyengine.model.content import Descriptor, Manifest
from pyengine.model.platform import Platform
from pyengine.model.reference import Reference
from pyengine.store.layout import Layout

HERE = Platform("linux", "amd64")


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """A tar archive of regular files, the same each time."""
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        return file.getvalue()


@frozen
class MadeImage:
    """An image whose blobs are in a store."""

    manifest: Manifest
    config: bytes
    layers: tuple[bytes, ...]
    tars: tuple[bytes, ...]

    @property
    def id(self) -> str:
        return self.manifest.config.digest

    @property
    def target(self) -> Descriptor:
        return self.manifest.descriptor


def make_image(
    tars: Iterable[bytes],
    labels: Mapping[str, str] | None = None,
    compress: Callable[[bytes], bytes] = lambda tar: gzip.compress(tar, mtime=0),
) -> MadeImage:
    """An image of these layers, in memory, the same each time."""
    tars = tuple(tars)
    blobs = tuple(compress(tar) for tar in tars)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "created": "2024-01-02T03:04:05Z",
            "config": {"Cmd": ["sh"], "Labels": dict(labels or {})},
            "rootfs": {"type": "layers", "diff_ids": [digests.of(tar) for tar in tars]},
            "history": [{"created_by": f"layer {number}"} for number, _ in enumerate(tars)],
        }
    ).encode()
    layers = [Descriptor(media_types.OCI_LAYER_GZIP, digests.of(blob), len(blob)) for blob in blobs]
    named = Descriptor(media_types.OCI_CONFIG, digests.of(config), len(config))
    manifest = model.parse(model.print_manifest(named, layers))
    assert isinstance(manifest, Manifest)
    return MadeImage(manifest, config, blobs, tars)


BASE = tar_of({"base": b"b" * 5000})
ONE = make_image([BASE, tar_of({"one": b"1" * 3000})], {"kind": "one"})
TWO = make_image([BASE, tar_of({"two": b"2" * 2000})], {"kind": "two"})
"""Two images that share a layer."""


def store_blobs(content: Content, image: MadeImage) -> None:
    """Have the blobs of *image* in the store, and nothing unpacked."""
    for blob in (*image.layers, image.config):
        content.blobs.put(blob)
    content.blobs.put(
        model.print_manifest(image.manifest.config, image.manifest.layers), image.manifest.digest
    )


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def tar_of_directory(path: str) -> bytes:
    """All of a directory, as a layer; it is root's there, whoever has it here."""
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            tar.add(path, arcname=".", filter=_of_root)
        return file.getvalue()


def put_image(engine: Engine, name: str, *layers: bytes, **options: object) -> MadeImage:
    """An image of *layers* called *name*, in the store of *engine*."""
    engine._house.enter()
    made = make_image(layers, **options)  # type: ignore[arg-type]
    images = engine._house.images
    store_blobs(images.content, made)
    images.add(Reference.parse(name), made.target, made.manifest)
    return made


@define
class TarKeeper:
    """Stands in for who unpacks: it writes the tar as a file, so nobody has to be root."""

    directory: int
    data: bytearray = field(factory=bytearray)
    entries: int = 0
    bytes: int = 0
    hides_all: bool = False

    def feed(self, data: bytes | memoryview) -> None:
        self.data += data

    def finish(self) -> TarKeeper:
        path = f"/proc/self/fd/{self.directory}/tar"
        with open(path, "wb") as file:
            file.write(self.data)
        os.utime(path, (0, 0))  # as archives tell it: each time the same
        with tarfile.open(fileobj=io.BytesIO(self.data)) as tar:
            members = tar.getmembers()
        self.entries, self.bytes = len(members), sum(member.size for member in members)
        return self

    def close(self) -> None:
        self.directory = -1


def content_in(directory: object, **options: object) -> Content:
    """A store in *directory* whose layers are tars."""
    layout = Layout(f"{directory}/root", f"{directory}/run")
    return Content.at(layout, unpacker=lambda fd, limits: TarKeeper(fd), **options)  # type: ignore[arg-type]
