"""Saving: images become one tar that is an OCI layout, and a docker-archive as well (row I33)."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Literal

from attrs import define, evolve, field

from pyengine.errors import EngineError, ImageNotFound, InvalidContent, InvalidRequest, StoreError
from pyengine.images import lookup
from pyengine.images.archive_layout import NAME, TAG
from pyengine.images.catalog import Images
from pyengine.images.settling import settle
from pyengine.images.shelves import DOCKER, INDEX, LAYOUT, blob_name
from pyengine.images.tar_reader import PIECE
from pyengine.images.tar_writer import TarWriter
from pyengine.model import content, digests, image_config
from pyengine.model.content import Descriptor, Index, Manifest
from pyengine.model.platform import Platform, rank
from pyengine.model.reference import Reference
from pyengine.store import disk, records
from pyengine.store.blobs import Blobs
from pyengine.store.image_names import Named

REPOSITORIES = "repositories"
_VERSION = b'{"imageLayoutVersion":"1.0.0"}'
_DEEPEST = 4


def save(
    images: Images,
    names: Iterable[str],
    destination: str | os.PathLike[str] | IO[bytes],
    *,
    platform: Platform | None = None,
    format: Literal["oci", "docker"] = "oci",
) -> tuple[Named, ...]:
    """Write the images that *names* mean to *destination*, a path or a stream; answers them.

    What is called by an id has no name in the archive. Layers that a container wrote are packed,
    which gives their image another id: what is answered has that. The same images give the same
    bytes. A file gets its name, and replaces another, when it is whole and on disk. *platform*:
    only that one of an index; else all of it that is there. With *format* ``"docker"`` it is a
    docker-archive only, without manifests.

    Raises `ImageNotFound` for an unknown name and for a platform that is not there,
    `InvalidRequest`, `NoSpace`, `StoreError` also for damaged content, and `OSError` as a stream
    raises it.

    >>> save(images, ["busybox", "alpine:3"], "images.tar")  # doctest: +SKIP
    """
    if format not in ("oci", "docker"):
        raise InvalidRequest("format", format, expected="'oci' or 'docker'")
    with images.content.pins.hold() as hold:
        plan, saved = _Plan(images.content.blobs, is_layout=format == "oci"), []
        found = [(text, *lookup.find_by(images.names, text)) for text in dict.fromkeys(names)]
        hold.add(*(digest for _, named, _ in found for digest in images.reach.of_name(named).blobs))
        for text, named, by_name in found:
            saved.append(settle(images, named, hold))
            plan.add(saved[-1], text, platform, by_name=by_name)
        if not plan.images:
            raise InvalidRequest("images", [], expected="at least one name or id")
        if isinstance(destination, (str, os.PathLike)):
            with _staged(os.fspath(destination)) as file:
                plan.write(file)
        else:
            plan.write(destination)
    return tuple(saved)


@define
class _Saved:
    """An image of the archive, with all names it has there."""

    target: Descriptor
    manifest: Manifest
    names: list[Reference] = field(factory=list)


@define
class _Plan:
    """What an archive will hold: nothing is written before all of it is known to be there."""

    blobs: Blobs
    is_layout: bool = True
    images: dict[str, _Saved] = field(factory=dict)
    sizes: dict[str, int] = field(factory=dict)

    def add(self, named: Named, text: str, platform: Platform | None, *, by_name: bool) -> None:
        """Take in what *named* is, by the name *text* or by an id."""
        target, manifest = self._chosen(named, text, platform)
        saved = self.images.setdefault(target.digest, _Saved(target, manifest))
        name = Reference.parse(named.reference) if named.reference and by_name else None
        if name is not None and name not in saved.names:
            saved.names.append(name)

    def _chosen(
        self, named: Named, text: str, platform: Platform | None
    ) -> tuple[Descriptor, Manifest]:
        if platform is None:
            if self.is_layout:
                self._collect(named.target, 0)
            manifest = self._manifest(named.manifest)
            self._collect_image(manifest)
            return evolve(named.target, annotations=(), urls=()), manifest
        wanted, depth = named.target, 0
        while isinstance(read := self._read(wanted), Index):
            there = tuple(one for one in read.manifests if self.blobs.has(one.digest))
            wanted = content.choose(evolve(read, manifests=there), platform, image=text)
            if (depth := depth + 1) > _DEEPEST:
                raise InvalidContent("index", f"it is in {_DEEPEST} others", wanted.digest)
        manifest = self._manifest(wanted.digest)
        self._collect_image(manifest)
        self._check_platform(manifest, text, platform)
        return manifest.descriptor, manifest

    def _check_platform(self, manifest: Manifest, text: str, platform: Platform) -> None:
        data = self.blobs.read(manifest.config.digest, image_config.MOST_BYTES)
        found = image_config.parse(data).platform
        if rank(platform, found) is None:
            raise ImageNotFound(text, f"it is for {found}, not for {platform}")

    def _read(self, descriptor: Descriptor) -> Manifest | Index:
        data = self.blobs.read(descriptor.digest, content.MOST_BYTES)
        return content.parse(data, descriptor.media_type, artifacts=True)

    def _manifest(self, digest: str) -> Manifest:
        read = content.parse(self.blobs.read(digest, content.MOST_BYTES))
        if isinstance(read, Index):
            raise InvalidContent("manifest", "it is an index", digest)
        return read

    def _collect(self, descriptor: Descriptor, depth: int) -> None:
        """*descriptor*, and what it leads to as far as it is there: other platforms seldom are."""
        read = self._read(descriptor)
        self.sizes[descriptor.digest] = self.blobs.size(descriptor.digest)
        if isinstance(read, Manifest):
            self._collect_there((read.config, *read.layers))
        elif depth < _DEEPEST:
            for child in read.manifests:
                if self.blobs.has(child.digest):
                    self._collect(child, depth + 1)

    def _collect_there(self, descriptors: Iterable[Descriptor]) -> None:
        for one in descriptors:
            if self.blobs.has(one.digest):
                self.sizes[one.digest] = self.blobs.size(one.digest)

    def _collect_image(self, manifest: Manifest) -> None:
        """All of one image: what lacks is an error, but for what may not be passed on."""
        required = [layer for layer in manifest.layers if not layer.is_foreign]
        wanted = [manifest.config.digest, *(layer.digest for layer in required)]
        for digest in (manifest.digest, *wanted) if self.is_layout else wanted:
            self.sizes[digest] = self.blobs.size(digest)
        self._collect_there(manifest.layers)

    def write(self, out: IO[bytes]) -> None:
        """Write the archive."""
        tar = TarWriter(_writer(out))
        for name, data in self._documents():
            tar.file(name, len(data), (data,))
        tar.directory("blobs")
        for algorithm in sorted({digests.algorithm_of(digest) for digest in self.sizes}):
            tar.directory(f"blobs/{algorithm}")
        for digest in sorted(self.sizes):
            tar.file(blob_name(digest), self.sizes[digest], self._pieces(digest))
        tar.end()
        out.flush()

    def _pieces(self, digest: str) -> Iterator[bytes]:
        """The bytes of a blob; `StoreError` at the end where they are not its own."""
        hashed = digests.hasher(digest)
        left = self.sizes[digest]
        with self.blobs.open(digest) as file:
            while left and (piece := file.read(min(PIECE, left))):
                hashed.update(piece)
                left -= len(piece)
                yield piece
        if left or hashed.hexdigest() != digests.hex_of(digest):
            raise StoreError(
                self.blobs.path(digest),
                "is damaged: its bytes are not those of its name",
                "run `pyengine system check`",
            )

    def _documents(self) -> Iterator[tuple[str, bytes]]:
        saved = [self.images[digest] for digest in sorted(self.images)]
        if self.is_layout:
            yield LAYOUT, _VERSION
            yield INDEX, content.print_index(one for image in saved for one in _entries(image))
        yield DOCKER, _json([_docker_entry(image) for image in saved])
        if repositories := _repositories(saved):
            yield REPOSITORIES, _json(repositories)


def _entries(saved: _Saved) -> Iterator[Descriptor]:
    """The image once for each name: what its name is, is an annotation."""
    for name in sorted(saved.names, key=str):
        said = {NAME: str(name)} | ({TAG: name.tag} if name.tag else {})
        yield evolve(saved.target, annotations=tuple(said.items()))
    if not saved.names:
        yield saved.target


def _docker_entry(saved: _Saved) -> dict[str, object]:
    tags = sorted(name.familiar for name in saved.names if name.digest is None)
    return {
        "Config": blob_name(saved.manifest.config.digest),
        "RepoTags": tags or None,
        "Layers": [blob_name(layer.digest) for layer in saved.manifest.layers],
    }


def _repositories(saved: Iterable[_Saved]) -> dict[str, dict[str, str]]:
    """What Docker read before it had a manifest.json: tags, with the topmost layer of each."""
    found: dict[str, dict[str, str]] = {}
    for image in saved:
        if not image.manifest.layers:
            continue
        top = digests.hex_of(image.manifest.layers[-1].digest)
        for name in image.names:
            if name.tag and name.digest is None:
                found.setdefault(name.familiar_repository, {})[name.tag] = top
    return found


def _json(plain: object) -> bytes:
    return json.dumps(plain, separators=(",", ":"), sort_keys=True).encode()


def _writer(out: IO[bytes]) -> Callable[[bytes], None]:
    """Writes all of what it is given, to raw streams as well."""

    def write(data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            written = out.write(rest)
            rest = rest[len(rest) if written is None else written :]

    return write


@contextmanager
def _staged(path: str) -> Iterator[IO[bytes]]:
    """A file that becomes *path* once it is whole and on disk; a pipe or the like as it is."""
    path = os.path.realpath(path)
    try:
        if os.path.exists(path) and not stat.S_ISREG(os.stat(path).st_mode):
            with open(path, "wb") as file:
                yield file
            return
        directory, name = os.path.split(path)
        staged = f"{directory}/.{name[:200]}.{os.urandom(6).hex()}"
        fd = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with open(fd, "wb") as file:
                yield file
                file.flush()
                os.fsync(fd)
            os.rename(staged, path)
        except BaseException:
            os.unlink(staged)
            raise
        disk.sync_directory(directory)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        why = (error.strerror or "").lower()
        raise InvalidRequest("destination", path, why=why, expected="a file") from error
    except OSError as error:
        if isinstance(error, EngineError):
            raise
        records.refuse(path, error)
