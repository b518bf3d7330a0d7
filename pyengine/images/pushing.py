"""Pushing: an image goes to a registry, what it is made of first, its name last (row I20)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from attrs import frozen

from pyengine.errors import ImageNotFound, InvalidContent, InvalidRequest
from pyengine.images.catalog import Images
from pyengine.images.deflating import deflater
from pyengine.images.fetching import Stopped, Telling
from pyengine.images.pulling import together
from pyengine.images.registry import Repository
from pyengine.images.servers import Means
from pyengine.images.settling import settle
from pyengine.images.unpacking import Progress
from pyengine.images.uploads import Uploads
from pyengine.model import content as contents
from pyengine.model import media_types
from pyengine.model.content import Descriptor, Index, Manifest
from pyengine.model.reference import Reference
from pyengine.store.image_names import Named

AT_ONCE = 5
"""Blobs that are sent at the same time (row I07)."""

_PIECE = 256 << 10
_SOURCES = 3  # repositories that are asked to give a blob
_DEEPEST = 4


@frozen
class PushOptions:
    """How layers travel that have no blob yet, and *chunk*: bytes of one request (0: all)."""

    compression: str = "gzip"
    level: int | None = None
    chunk: int = 0
    at_once: int = AT_ONCE


def push(
    images: Images,
    reference: Reference,
    means: Means,
    options: PushOptions | None = None,
    *,
    progress: Progress | None = None,
) -> str:
    """Send the image that *reference* names to its registry; answers its digest there.

    What the registry has is not sent again, and what another of its repositories has, from which
    we have it, is mounted. An index goes as a whole if all of it is here; else the image for this
    machine goes alone. Foreign layers stay where they are.

    Raises `ImageNotFound`, `RegistryError` and its others, `TimedOut`, `StoreError`.
    """
    given = options or PushOptions()
    deflater(given.compression, given.level)  # a bad wish is told before anything is done
    if reference.digest is not None:
        why = "a digest is no name that could be given: push a tag"
        raise InvalidRequest("reference", str(reference), why=why)
    reference = reference.with_default_tag()
    named = images.names.find(str(reference))
    if named is None:
        raise ImageNotFound(reference.familiar, "there is no image of that name here")
    repository = Repository(reference.domain, reference.remote_name, means, push=True)
    with repository:
        return _Push(images, repository, reference, named, given, progress).run()


def push_all_tags(
    images: Images,
    reference: Reference,
    means: Means,
    options: PushOptions | None = None,
    *,
    progress: Progress | None = None,
) -> dict[str, str]:
    """As `push`, for every tag of the repository that is here; digests by tag."""
    found = {}
    for named in images.names.all():
        one = Reference.parse(named.reference) if named.reference else None
        if one is not None and one.tag and one.repository == reference.repository:
            found[one.tag] = push(images, one, means, options, progress=progress)
    if not found:
        raise ImageNotFound(reference.familiar, "no tag of that repository is here")
    return found


class _Push:
    """One image on its way out."""

    def __init__(
        self,
        images: Images,
        repository: Repository,
        reference: Reference,
        named: Named,
        options: PushOptions,
        progress: Progress | None,
    ) -> None:
        self._images, self._content = images, images.content
        self._repository, self._reference, self._named = repository, reference, named
        self._options = options
        self._uploads = Uploads(repository, chunk=options.chunk)
        self._telling = Telling(reference.familiar, progress)
        self._sources: tuple[tuple[str, frozenset[str]], ...] | None = None

    def run(self) -> str:
        """See `push`."""
        self._telling("resolving", detail=self._reference.target)
        with self._content.pins.hold() as hold:
            reached = self._images.reach.of_name(self._named)
            hold.add(*reached.blobs, *reached.layers)
            index = self._whole()
            if index is not None:
                self._send_index(index, self._reference.target, 0)
                digest = index.digest
            else:
                options = self._options
                self._named = settle(
                    self._images,
                    self._named,
                    hold,
                    compression=options.compression,
                    level=options.level,
                )
                digest = self._named.manifest
                self._send_manifest(digest, self._reference.target)
            if digest == self._named.target.digest:
                self._note()
        self._telling("done", total=self._content.blobs.size(digest), detail=digest)
        return digest

    def _note(self) -> None:
        """Our name is one that a registry has, too: see `Images.add`."""
        manifest = self._read(self._named.manifest)
        if not self._named.pulled and isinstance(manifest, Manifest):
            named = self._named
            self._images.add(
                self._reference, named.target, manifest, named.platform, pulled=True
            )  # fmt: skip

    def _read(self, digest: str) -> Manifest | Index:
        data = self._content.blobs.read(digest, self._content.limits.manifest_bytes)
        return contents.parse(data, artifacts=True)

    def _whole(self) -> Index | None:
        """The index that the name means, if everything is here that it names."""
        target = self._named.target
        if target.media_type not in media_types.INDEXES:
            return None
        blobs = self._content.blobs
        if not all(blobs.has(one) for one in self._all_of(target.digest, 0)):
            return None
        index = self._read(target.digest)
        return index if isinstance(index, Index) else None

    def _all_of(self, digest: str, depth: int) -> Iterator[str]:
        yield digest
        if depth > _DEEPEST or not self._content.blobs.has(digest):
            return
        found = self._read(digest)
        if isinstance(found, Index):
            for one in found.manifests:
                yield from self._all_of(one.digest, depth + 1)
        else:
            yield found.config.digest
            yield from (layer.digest for layer in found.layers if not layer.is_foreign)

    def _send_manifest(self, digest: str, name: str) -> None:
        """An image, and then its manifest under *name*."""
        manifest = self._read(digest)
        if not isinstance(manifest, Manifest):
            raise InvalidContent("manifest", "it is an index of several", digest)
        self._send_blobs(manifest)
        data = self._content.blobs.read(digest, manifest.size)
        self._uploads.manifest(name, data, manifest.media_type, digest)

    def _send_index(self, index: Index, name: str, depth: int) -> None:
        if depth > _DEEPEST:
            raise InvalidContent("index", f"it is more than {_DEEPEST} deep", index.digest)
        for entry in index.manifests:
            found = self._read(entry.digest)
            if isinstance(found, Index):
                self._send_index(found, entry.digest, depth + 1)
            else:
                self._send_manifest(entry.digest, entry.digest)
        data = self._content.blobs.read(index.digest, index.size)
        self._uploads.manifest(name, data, index.media_type, index.digest)

    def _send_blobs(self, manifest: Manifest) -> None:
        blobs = {one.digest: one for one in (*manifest.layers, manifest.config)}
        sent = [one for one in blobs.values() if not one.is_foreign]
        for one in sent:
            self._telling("waiting", one.digest, 0, one.size)
        works: list[Callable[[], None]] = [partial(self._send_blob, one) for one in sent]
        together(works, self._options.at_once, self._repository.stop)

    def _send_blob(self, blob: Descriptor) -> None:
        tell = self._telling
        origin: list[str] = []
        how = self._uploads.blob(
            blob.digest,
            blob.size,
            lambda start: self._pieces(blob.digest, start),
            sources=self._sources_of(blob.digest),
            mounted=origin.append,
            sent=lambda count: tell("pushing", blob.digest, count, blob.size),
            on_retry=lambda why: tell("retrying", blob.digest, 0, blob.size, why),
        )
        tell(how, blob.digest, blob.size, blob.size, "".join(origin))

    def _pieces(self, digest: str, start: int) -> Iterator[bytes]:
        with self._content.blobs.open(digest) as file:
            file.seek(start)
            while data := file.read(_PIECE):
                if self._repository.means.stopping.is_set():
                    raise Stopped
                yield data

    def _sources_of(self, digest: str) -> tuple[str, ...]:
        """Repositories of the same registry that have given us, or got from us, that blob."""
        if self._sources is None:
            self._sources = tuple(self._known_repositories())
        found = (path for path, blobs in self._sources if digest in blobs)
        return tuple(dict.fromkeys(found))[:_SOURCES]

    def _known_repositories(self) -> Iterator[tuple[str, frozenset[str]]]:
        for named in self._images.names.all():
            if not named.reference or not named.pulled:
                continue
            one = Reference.parse(named.reference)
            here = (self._reference.domain, self._reference.path)
            if one.domain == here[0] and one.path != here[1]:
                yield one.path, frozenset(self._images.reach.of_manifest(named.manifest).blobs)
