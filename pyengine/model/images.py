"""Images as they are told: inspected, listed, their history, their share of the disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from pyengine.model.config import ImageConfig
from pyengine.model.config_json import write_config
from pyengine.model.content import Descriptor, print_descriptor, print_platform
from pyengine.model.docker_inspect import moment
from pyengine.model.image_config import ImageFile
from pyengine.model.platform import Platform

MISSING = "<missing>"
"""The id, in a history, of what is no image of its own."""
NOT_COMPUTED = -1


@frozen
class ManifestSummary:
    """One entry of an image's index: *kind* is ``image``, ``attestation`` or ``unknown``.

    *content* and *unpacked* are bytes on this disk; *available*: all of it is here.
    """

    descriptor: Descriptor
    available: bool
    kind: str = "image"
    content: int = 0
    unpacked: int = 0
    platform: Platform | None = None
    containers: tuple[str, ...] = ()
    about: str = ""  # what an attestation is about: a digest

    def to_docker(self) -> dict[str, Any]:
        """The message ImageManifestSummary of Docker's API."""
        found: dict[str, Any] = {
            "ID": self.descriptor.digest,
            "Descriptor": print_descriptor(self.descriptor),
            "Available": self.available,
            "Size": {"Content": self.content, "Total": self.content + self.unpacked},
            "Kind": self.kind,
        }
        if self.kind == "image" and self.platform is not None:
            found["ImageData"] = {
                "Platform": print_platform(self.platform),
                "Containers": list(self.containers),
                "Size": {"Unpacked": self.unpacked},
            }
        if self.kind == "attestation":
            found["AttestationData"] = {"For": self.about}
        return found


@frozen
class ImageInfo:
    """All that is known of one image.

    *id* is the digest of its config; *tags* and *digests* are familiar references; *size* is
    bytes, *created* and *last_tagged* seconds since 1970 (`None` and 0: not known); *layers*
    the diff ids, *directories* where they lie unpacked, the lowest first.
    """

    id: str
    file: ImageFile
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    size: int = 0
    descriptor: Descriptor | None = None
    manifests: tuple[ManifestSummary, ...] | None = None
    directories: tuple[str, ...] = ()
    last_tagged: float = 0.0

    @property
    def config(self) -> ImageConfig:
        """What it says about the programs in it."""
        return self.file.config

    @property
    def layers(self) -> tuple[str, ...]:
        """The diff ids of its layers, the lowest first."""
        return self.file.diff_ids

    @property
    def created(self) -> float | None:
        """Seconds since 1970, where the image says when it was made."""
        return self.file.created

    @property
    def platform(self) -> Platform:
        """What it was made for."""
        return self.file.platform

    def to_docker(self) -> dict[str, Any]:
        """The message of ``/images/{name}/json`` (row I31)."""
        file = self.file
        found: dict[str, Any] = {
            "Id": self.id,
            "RepoTags": list(self.tags),
            "RepoDigests": list(self.digests),
            "Comment": file.comment,
            "Author": file.author,
            "Config": write_config(file.config),
            "Architecture": file.architecture,
            "Os": file.os,
            "Size": self.size,
            "GraphDriver": {"Name": "overlay", "Data": self._graph_data()},
            "RootFS": {"Type": "layers", "Layers": list(file.diff_ids)},
            "Metadata": {"LastTagTime": moment(self.last_tagged)},
        }
        if file.created_text or file.created is not None:
            found["Created"] = file.created_text or moment(file.created or 0.0)
        if file.variant:
            found["Variant"] = file.variant
        if file.os_version:
            found["OsVersion"] = file.os_version
        if self.descriptor is not None:
            found["Descriptor"] = print_descriptor(self.descriptor)
        if self.manifests is not None:
            found["Manifests"] = [manifest.to_docker() for manifest in self.manifests]
        return found

    def _graph_data(self) -> dict[str, str]:
        if not self.directories:
            return {}
        *below, top = self.directories
        lower = {"LowerDir": ":".join(reversed(below))} if below else {}
        return {**lower, "UpperDir": top}


@frozen
class ImageSummary:
    """One image of a list; *shared_size* and *containers* are -1 where nobody counted them.

    *created* is seconds since 1970, sizes are bytes; *tags* and *digests* as in `ImageInfo`.
    """

    id: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    created: float = 0.0
    size: int = 0
    labels: tuple[tuple[str, str], ...] = ()
    shared_size: int = NOT_COMPUTED
    containers: int = NOT_COMPUTED
    parent: str = ""
    descriptor: Descriptor | None = None
    manifests: tuple[ManifestSummary, ...] | None = None

    @property
    def is_dangling(self) -> bool:
        """Whether no tag names it any more."""
        return not self.tags

    def to_docker(self) -> dict[str, Any]:
        """One entry of ``/images/json`` (row I30)."""
        found: dict[str, Any] = {
            "Id": self.id,
            "ParentId": self.parent,
            "RepoTags": list(self.tags),
            "RepoDigests": list(self.digests),
            "Created": int(self.created),
            "Size": self.size,
            "SharedSize": self.shared_size,
            "Labels": dict(self.labels),
            "Containers": self.containers,
        }
        if self.descriptor is not None:
            found["Descriptor"] = print_descriptor(self.descriptor)
        if self.manifests is not None:
            found["Manifests"] = [manifest.to_docker() for manifest in self.manifests]
        return found


@frozen
class HistoryLine:
    """One step of how an image came to be; *created* is seconds since 1970, *size* bytes."""

    id: str = MISSING
    created: float = 0.0
    created_by: str = ""
    tags: tuple[str, ...] = ()
    size: int = 0
    comment: str = ""

    def to_docker(self) -> dict[str, Any]:
        """One entry of ``/images/{name}/history`` (row I32)."""
        return {
            "Id": self.id,
            "Created": int(self.created),
            "CreatedBy": self.created_by,
            "Tags": list(self.tags) or None,
            "Size": self.size,
            "Comment": self.comment,
        }


def history_lines(
    id: str, file: ImageFile, tags: Sequence[str], sizes: Sequence[int]
) -> tuple[HistoryLine, ...]:
    """The history of image *id*, newest first; *sizes* are those of its layers, lowest first.

    Layers that its history leaves out are steps that nothing is known of.
    """
    left = list(sizes)
    lines: list[HistoryLine] = []
    for entry in file.history:
        size = left.pop(0) if left and not entry.empty_layer else 0
        created, by, comment = entry.created or 0.0, entry.created_by, entry.comment
        lines.append(HistoryLine(MISSING, created, by, (), size, comment))
    lines.extend(HistoryLine(size=size) for size in left)
    if not lines:
        lines.append(HistoryLine(created=file.created or 0.0))
    lines.reverse()
    newest = lines[0]
    lines[0] = HistoryLine(
        id, newest.created, newest.created_by, tuple(tags), newest.size, newest.comment
    )
    return tuple(lines)


@frozen
class Removal:
    """One thing that removing an image did: a name that is gone, or content that is."""

    untagged: str = ""
    deleted: str = ""

    def to_docker(self) -> dict[str, str]:
        """One entry of ``DELETE /images/{name}`` (row I29)."""
        return {"Untagged": self.untagged} if self.untagged else {"Deleted": self.deleted}


@frozen
class UsageTally:
    """How many of a kind there are, how many are in use, and bytes: all, and what could go."""

    total: int = 0
    active: int = 0
    size: int = 0
    reclaimable: int = 0

    def to_docker(self, items: Sequence[Any] | None = None) -> dict[str, Any]:
        """A part of ``/system/df``; *items* where somebody wants to see each."""
        found: dict[str, Any] = {
            "ActiveCount": self.active,
            "TotalCount": self.total,
            "Reclaimable": self.reclaimable,
            "TotalSize": self.size,
        }
        return found if items is None else {**found, "Items": list(items)}


@frozen
class DiskUsage:
    """What the disk holds; what several images share counts once (row O43)."""

    images: UsageTally = UsageTally()
    containers: UsageTally = UsageTally()
    volumes: UsageTally = UsageTally()
    build_cache: UsageTally = UsageTally()
    summaries: tuple[ImageSummary, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of everything together."""
        kinds = (self.images, self.containers, self.volumes, self.build_cache)
        return sum(kind.size for kind in kinds)

    def to_docker(self, *, verbose: bool = False) -> dict[str, Any]:
        """The message of ``/system/df``."""
        images = [summary.to_docker() for summary in self.summaries] if verbose else None
        return {
            "ImageUsage": self.images.to_docker(images),
            "ContainerUsage": self.containers.to_docker(),
            "VolumeUsage": self.volumes.to_docker(),
            "BuildCacheUsage": self.build_cache.to_docker(),
        }
