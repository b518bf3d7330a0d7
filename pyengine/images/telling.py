"""What there is to tell of images: one in full, all in short, how one came to be, what all take."""

from __future__ import annotations

import time
from collections.abc import Iterable

from attrs import evolve

from pyengine.errors import EngineError
from pyengine.images.catalog import Images, familiar
from pyengine.images.lookup import best, is_tag, repository_of
from pyengine.model import content as model
from pyengine.model import image_config
from pyengine.model.content import Index, Manifest
from pyengine.model.event import FilterTexts
from pyengine.model.image_config import ImageFile
from pyengine.model.image_filters import ImageFilter
from pyengine.model.images import (
    DiskUsage,
    HistoryLine,
    ImageInfo,
    ImageSummary,
    ManifestSummary,
    UsageTally,
    history_lines,
)
from pyengine.model.reference import Reference
from pyengine.store.gc import MOST_CONFIG, MOST_MANIFEST
from pyengine.store.image_names import Named


class Teller:
    """Answers questions about the images of one catalog; it remembers nothing.

    An image that is damaged is told of as far as it can be read: nobody's list fails for it.
    """

    def __init__(self, images: Images) -> None:
        self._images = images
        self._content = images.content

    def file(self, named: Named) -> ImageFile:
        """What the image says of itself. Raises `StoreError`, `InvalidContent`."""
        return image_config.parse(self._content.blobs.read(named.config, MOST_CONFIG))

    def inspect(self, text: str, *, manifests: bool = False) -> ImageInfo:
        """All about the image that *text* means (row I31).

        *manifests*: also what its index has. Raises `ImageNotFound`, `InvalidRequest`, and
        `StoreError` for one that is damaged.
        """
        named = self._images.find(text)
        names = self._images.of_id(named.config)
        file = self.file(named)
        chain = image_config.chain_ids(file.diff_ids)
        return ImageInfo(
            named.config,
            file,
            tags=_tags(names),
            digests=_digests(names),
            size=sum(self._sizes(chain)),
            descriptor=named.target,
            manifests=self._manifests(named, sum(self._sizes(chain))) if manifests else None,
            directories=tuple(map(self._content.layers.directory, chain)),
            last_tagged=max(one.tagged for one in names),
        )

    def history(self, text: str) -> tuple[HistoryLine, ...]:
        """How the image that *text* means came to be, the last step first. Raises as `inspect`."""
        named = self._images.find(text)
        file = self.file(named)
        sizes = self._sizes(image_config.chain_ids(file.diff_ids))
        return history_lines(named.config, file, _tags(self._images.of_id(named.config)), sizes)

    def listed(
        self,
        filters: FilterTexts | None = None,
        *,
        shared_size: bool = False,
        containers: bool = False,
        manifests: bool = False,
    ) -> list[ImageSummary]:
        """All images, the newest first (row I30); *filters* are `image_filters.LIST_FILTERS`.

        What takes longer is told when it is asked for: *shared_size*, how many *containers* use
        each, and the *manifests* of its index. Raises `InvalidRequest`.
        """
        wanted = ImageFilter.parse(filters)
        found = wanted.select(self.summaries(), time.time())
        if shared_size:
            shared = self._shared()
            found = [evolve(one, shared_size=shared.get(one.id, 0)) for one in found]
        if containers:
            uses = self._images.uses()
            found = [evolve(one, containers=len(uses.get(one.id, ()))) for one in found]
        if manifests:
            best_of = self._grouped()
            found = [
                evolve(one, manifests=self._manifests(best(best_of[one.id]), one.size))
                for one in found
                if one.id in best_of
            ]
        return found

    def summaries(self) -> list[ImageSummary]:
        """Each image in short, in no order."""
        return [self._summary(image_id, names) for image_id, names in self._grouped().items()]

    def _grouped(self) -> dict[str, list[Named]]:
        grouped: dict[str, list[Named]] = {}
        for named in self._images.names.all():
            grouped.setdefault(named.config, []).append(named)
        return grouped

    def _summary(self, image_id: str, names: list[Named]) -> ImageSummary:
        named = best(names)
        summary = ImageSummary(image_id, _tags(names), _digests(names), descriptor=named.target)
        try:
            file = self.file(named)
        except EngineError:
            return summary
        return evolve(
            summary,
            created=file.created or 0.0,
            size=sum(self._sizes(image_config.chain_ids(file.diff_ids))),
            labels=file.config.labels,
        )

    def _sizes(self, chain: Iterable[str]) -> list[int]:
        records = (self._content.layers.read(chain_id) for chain_id in chain)
        return [record.size if record is not None else 0 for record in records]

    def _chains(self) -> dict[str, frozenset[str]]:
        """The layers of each image."""
        reach = self._images.reach
        return {image_id: reach.of_config(image_id).layers for image_id in self._grouped()}

    def _shared(self) -> dict[str, int]:
        """Bytes of each image in layers that another has, too."""
        chains = self._chains()
        owners: dict[str, int] = {}
        for chain in chains.values():
            for chain_id in chain:
                owners[chain_id] = owners.get(chain_id, 0) + 1
        return {
            image_id: sum(self._sizes(one for one in chain if owners[one] > 1))
            for image_id, chain in chains.items()
        }

    def _manifests(self, named: Named, unpacked: int) -> tuple[ManifestSummary, ...]:
        """What the name's target holds: one manifest, or those of its index."""
        blobs = self._content.blobs
        if named.target.digest == named.manifest:
            return (self._described(named, named.target, unpacked),)
        try:
            index = model.parse(blobs.read(named.target.digest, MOST_MANIFEST))
        except EngineError:
            return ()
        entries = index.manifests if isinstance(index, Index) else ()
        return tuple(self._described(named, entry, unpacked) for entry in entries)

    def _described(self, named: Named, entry: model.Descriptor, unpacked: int) -> ManifestSummary:
        blobs = self._content.blobs
        available = blobs.has(entry.digest)
        content = 0
        if available:
            try:
                manifest = model.parse(blobs.read(entry.digest, MOST_MANIFEST), artifacts=True)
            except EngineError:
                available = False
            else:
                needed = (
                    (manifest.config, *manifest.layers) if isinstance(manifest, Manifest) else ()
                )
                available = all(blobs.has(one.digest) for one in needed)
                content = entry.size + sum(one.size for one in needed if blobs.has(one.digest))
        is_ours = entry.digest == named.manifest
        if entry.is_attestation:
            about = dict(entry.annotations).get(model.REFERENCE_DIGEST, "")
            return ManifestSummary(entry, available, "attestation", content, about=about)
        uses = self._images.uses().get(named.config, ()) if is_ours else ()
        return ManifestSummary(
            entry,
            available,
            content=content,
            unpacked=unpacked if is_ours else 0,
            platform=entry.platform or (named.platform if is_ours else None),
            containers=tuple(use.container for use in uses),
        )

    def disk_usage(self) -> DiskUsage:
        """What images take: layers and blobs that several share count once.

        What could go is all of the images that no container uses, and what no image needs.
        """
        uses, chains = self._images.uses(), self._chains()
        reach = self._images.reach
        kept_blobs: set[str] = set()
        kept_layers: set[str] = set()
        for image_id, names in self._grouped().items():
            if image_id in uses:
                reached = [reach.of_name(named) for named in names]
                kept_blobs.update(*(one.blobs for one in reached))
                kept_layers.update(*(one.layers for one in reached))
        for use in (use for each in uses.values() for use in each):
            for digest in (use.image, *use.layers):
                kept_blobs |= reach.of_use(digest).blobs
                kept_layers |= reach.of_use(digest).layers
        blobs = dict(self._content.blobs.all())
        layers = tuple(self._content.layers.all())
        sizes = dict(zip(layers, self._sizes(layers), strict=True))
        size = sum(blobs.values()) + sum(sizes.values())
        kept = sum(blobs.get(one, 0) for one in kept_blobs)
        kept += sum(sizes.get(one, 0) for one in kept_layers)
        tally = UsageTally(len(chains), len(chains.keys() & uses.keys()), size, size - kept)
        summaries = self.listed(shared_size=True, containers=True)
        return DiskUsage(images=tally, summaries=tuple(summaries))


def _needed(read: Manifest | Index) -> tuple[model.Descriptor, ...]:
    return (read.config, *read.layers) if isinstance(read, Manifest) else ()


def _tags(names: Iterable[Named]) -> tuple[str, ...]:
    return tuple(sorted(familiar(named) for named in names if is_tag(named)))


def _digests(names: Iterable[Named]) -> tuple[str, ...]:
    """``alpine@sha256:…`` for each repository of which a registry is known to have it."""
    found = {
        f"{repository_of(named)}@{named.target.digest}"
        for named in names
        if named.reference and (named.pulled or not is_tag(named))
    }
    return tuple(sorted(Reference.parse(one).familiar for one in found))
