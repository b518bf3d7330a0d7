"""Archives of images in every form that is about, honest ones and others, in memory."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterable, Mapping

from attrs import frozen

from pyengine.model import content, digests
from pyengine.model.content import Descriptor
from support.images import MadeImage

VERSION = b'{"imageLayoutVersion":"1.0.0"}'
NAME, TAG = "io.containerd.image.name", "org.opencontainers.image.ref.name"

Files = dict[str, "bytes | Link"]


@frozen
class Link:
    """An entry that leads to another."""

    target: str
    is_symbolic: bool = True


class Once(io.RawIOBase):
    """Bytes that can be read but once, in small pieces, as from a pipe."""

    def __init__(self, data: bytes, most: int = 10_007) -> None:
        self._file = io.BytesIO(data)
        self._most = most
        self.given = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, self._most) if size >= 0 else -1)
        self.given += len(data)
        return data


def tar(files: Mapping[str, bytes | Link] | Iterable[tuple[str, bytes | Link]]) -> bytes:
    """A tar of *files*, in their order; a pair may come twice."""
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name, data in files.items() if isinstance(files, Mapping) else files:
                member = tarfile.TarInfo(name)
                if isinstance(data, Link):
                    member.type = tarfile.SYMTYPE if data.is_symbolic else tarfile.LNKTYPE
                    member.linkname = data.target
                    archive.addfile(member)
                else:
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))
        return file.getvalue()


def hex_of(data: bytes) -> str:
    return digests.hex_of(digests.of(data))


def blob(data: bytes) -> str:
    return f"blobs/sha256/{hex_of(data)}"


def docker_files(image: MadeImage, tags: Iterable[str] = (), *, form: str = "old") -> Files:
    """What ``docker save`` writes: until version 24 (*old*), since 25 (*new*), or skopeo."""
    tars, config = image.tars, image.config
    if form == "new":
        names = [blob(one) for one in tars]
        files: Files = dict(zip(names, tars, strict=True))
        config_name = blob(config)
    elif form == "skopeo":
        names = [f"{hex_of(one)}.tar" for one in tars]
        files = dict(zip(names, tars, strict=True))
        for number, one in enumerate(tars):
            files[f"{number:064x}/layer.tar"] = Link(f"../{hex_of(one)}.tar")
        config_name = f"{hex_of(config)}.json"
    else:
        files, names, seen = {}, [], {}
        for number, one in enumerate(tars):
            place = f"{number:064x}"
            names.append(f"{place}/layer.tar")
            files |= {f"{place}/VERSION": b"1.0", f"{place}/json": b"{}"}
            # docker wrote a layer once, and links to it
            files[names[-1]] = Link(f"../{seen[one]}") if one in seen else one
            seen.setdefault(one, names[-1])
        config_name = f"{hex_of(config)}.json"
    listed = [{"Config": config_name, "RepoTags": list(tags) or None, "Layers": names}]
    return {**files, config_name: config, "manifest.json": json.dumps(listed).encode()}


def blobs_of(image: MadeImage) -> Files:
    """The blobs of an image under their names."""
    manifest = content.print_manifest(image.manifest.config, image.manifest.layers)
    return {blob(data): data for data in (*image.layers, image.config, manifest)}


def entry(target: Descriptor, name: str = "", tag: str = "", **more: object) -> dict[str, object]:
    """An entry of an index.json."""
    said = {key: value for key, value in ((NAME, name), (TAG, tag)) if value}
    plain = content.print_descriptor(target) | more
    return plain | ({"annotations": said} if said else {})


def layout_files(blobs: Files, *entries: dict[str, object]) -> Files:
    """An OCI image layout."""
    index = {"schemaVersion": 2, "manifests": list(entries)}
    return {**blobs, "index.json": json.dumps(index).encode(), "oci-layout": VERSION}


def layout_of(image: MadeImage, name: str = "", tag: str = "") -> Files:
    """An OCI image layout of one image."""
    return layout_files(blobs_of(image), entry(image.target, name, tag))


def unpacked(files: Files, directory: object) -> str:
    """*files* as a directory."""
    for name, data in files.items():
        path = f"{directory}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if isinstance(data, Link):
            os.symlink(data.target, path)
        else:
            with open(path, "wb") as file:
                file.write(data)
    return str(directory)
