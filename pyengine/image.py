"""An image, as its user holds it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import IO, TYPE_CHECKING, TypeAlias

from attrs import field, frozen

from pyengine.errors import ImageNotFound, InvalidRequest

if TYPE_CHECKING:
    from pyengine.containers.house import House
    from pyengine.images.telling import Teller
    from pyengine.model.event import FilterTexts
    from pyengine.model.images import HistoryLine, ImageInfo, ImageSummary, Removal
    from pyengine.model.progress import ProgressEvent

__all__ = ["Image", "ImageCollection", "PruneReport"]

Progress = Callable[["ProgressEvent"], object]
"""Who is told how far something is; ``"auto"`` shows it where somebody watches."""


@frozen
class PruneReport:
    """What was removed: ids, and how many bytes that gave back."""

    deleted: tuple[str, ...] = ()
    reclaimed: int = 0


@frozen
class Image:
    """An image, held by its id, the digest of its configuration: each question is asked anew.

    *name* is what it was loaded as, where an archive gave it one.
    """

    id: str
    _house: House = field(repr=False, eq=False)
    name: str = field(default="", eq=False)

    @property
    def short_id(self) -> str:
        """The first 12 digits of its id."""
        return self.id.partition(":")[2][:12]

    @property
    def tags(self) -> list[str]:
        """Its names, such as ``alpine:3``. Raises `ImageNotFound` once it is removed."""
        return list(self.inspect().tags)

    @property
    def digests(self) -> list[str]:
        """What it is called at registries, such as ``alpine@sha256:…``."""
        return list(self.inspect().digests)

    @property
    def labels(self) -> dict[str, str]:
        """Its labels."""
        return dict(self.inspect().config.labels)

    def inspect(self) -> ImageInfo:
        """Everything there is to know of it. Raises `ImageNotFound`, `StoreError`."""
        return _teller(self._house).inspect(self.id)

    def history(self) -> list[HistoryLine]:
        """How it came to be, the last step first. Raises `ImageNotFound`, `StoreError`."""
        return list(_teller(self._house).history(self.id))

    def tag(self, reference: str) -> None:
        """Give it this name, which another may lose. Raises `ImageNotFound`, `InvalidRequest`."""
        ImageCollection(self._house).tag(self.id, reference)

    def push(
        self,
        reference: str | None = None,
        *,
        auth: object = None,
        compression: str = "gzip",
        level: int | None = None,
        progress: Progress | str | None = "auto",
    ) -> str:
        """Send it to the registry of *reference*, or of its only name. As `ImageCollection.push`.

        Raises `InvalidRequest` where it has several names and none is said.
        """
        if reference is None:
            names = self.tags
            if len(names) != 1:
                why = f"image {self.short_id} has {len(names)} names"
                raise InvalidRequest("reference", reference, why=why, expected="one of its names")
            reference = names[0]
        else:
            self.tag(reference)
        return ImageCollection(self._house).push(
            reference, auth=auth, compression=compression, level=level, progress=progress
        )

    def save(self, destination: str | os.PathLike[str] | IO[bytes], format: str = "oci") -> None:
        """Write it as an archive. As `ImageCollection.save`."""
        ImageCollection(self._house).save(self, destination, format=format)

    def remove(self, *, force: bool = False) -> Removals:
        """Remove it; with *force* also where it has several names. As `ImageCollection.remove`."""
        return ImageCollection(self._house).remove(self.id, force=force)


# where a method is called list, its class knows no other
Images = list[Image]
Summaries: TypeAlias = "list[ImageSummary]"
Removals: TypeAlias = "list[Removal]"
Found = list[dict[str, object]]


class ImageCollection:
    """The images of an engine's root, whoever brought them."""

    def __init__(self, house: House) -> None:
        self._house = house

    # --- finding ---

    def list(self, all: bool = False, filters: FilterTexts | None = None) -> Images:
        """Those that there are, the newest first.

        *filters* are Docker's (row I30), such as ``{"reference": "alpine*", "label": "a=b"}``.
        *all* is there for who is used to it: there are no images between. Raises `InvalidRequest`.
        """
        return [Image(found.id, self._house) for found in self.summaries(filters)]

    def summaries(
        self,
        filters: FilterTexts | None = None,
        *,
        shared_size: bool = False,
        containers: bool = False,
        manifests: bool = False,
    ) -> Summaries:
        """As `list`, but what a list tells of each; what takes longer where it is asked for."""
        return _teller(self._house).listed(
            filters, shared_size=shared_size, containers=containers, manifests=manifests
        )

    def get(self, name_or_id: str) -> Image:
        """The image with this name, id, digest, or unique beginning of an id.

        Raises `ImageNotFound`, and `InvalidRequest` where several ids begin so.
        """
        self._house.enter()
        return Image(self._house.images.find(name_or_id).config, self._house)

    def __iter__(self) -> Iterator[Image]:
        return iter(self.list())

    def __contains__(self, image: object) -> bool:
        """Whether an image with this name or id, or this handle, is there."""
        wanted = image.id if isinstance(image, Image) else image
        if not isinstance(wanted, str) or not wanted:
            return False
        try:
            self.get(wanted)
        except (ImageNotFound, InvalidRequest):
            return False
        return True

    # --- coming and going ---

    def pull(
        self,
        reference: str,
        *,
        platform: str | None = None,
        all_tags: bool = False,
        auth: object = None,
        progress: Progress | str | None = "auto",
    ) -> Image:
        """Bring an image from its registry; of one that is there already, nothing is brought.

        *reference* is a name as Docker reads it: without tag and digest it means ``latest``.
        *platform* is such as ``linux/arm64``, by default this host's. *auth* is
        ``(user, password)`` or a token; by default what `login` or docker have remembered counts.
        *progress* is called with each `ProgressEvent`, by one thread at a time; ``"auto"`` shows
        it on a terminal or in a notebook, ``"plain"`` as lines, `None` nowhere. With *all_tags*
        every tag comes; the last one's is answered.

        Raises `InvalidRequest`, `ImageNotFound`, `RegistryError` (`Unauthorized`, `RateLimited`,
        `DigestMismatch`, `RegistryUnavailable`), `InvalidContent`, `NoSpace`, `StoreError`.
        A pull that fails leaves what came by then for the next one, and no name.
        """
        from pyengine.containers import image_sources
        from pyengine.progress import watching

        with watching(progress) as tell:
            named = image_sources.pull(
                self._house,
                reference,
                platform=platform or "",
                all_tags=all_tags,
                auth=auth,
                progress=tell,
            )
        return Image(named.config, self._house)

    def push(
        self,
        reference: str,
        *,
        all_tags: bool = False,
        auth: object = None,
        compression: str = "gzip",
        level: int | None = None,
        progress: Progress | str | None = "auto",
    ) -> str:
        """Send an image to the registry that its name says; answers the digest it has there.

        Layers that no registry has given us are compressed with *compression*, ``gzip``,
        ``zstd`` or ``none``, at that *level*. With *all_tags* all tags of the repository go; the
        digest of the last is answered.
        Raises as `pull`.
        """
        from pyengine.containers import image_sources
        from pyengine.progress import watching

        with watching(progress, pushing=True) as tell:
            return image_sources.push(
                self._house,
                reference,
                all_tags=all_tags,
                auth=auth,
                compression=compression,
                level=level,
                progress=tell,
            )

    def load(
        self,
        source: str | os.PathLike[str] | bytes | IO[bytes],
        *,
        platform: str | None = None,
        progress: Progress | str | None = None,
    ) -> Images:
        """Bring the images of an archive: what ``docker save`` writes, or an OCI layout.

        *source* is a path, of a directory too, bytes, or an open file; compressed with gzip,
        zstd, xz or bzip2 or not. Raises `InvalidContent`, `NoSpace`, `StoreError`; of an archive
        that is no good nothing gets a name.
        """
        from pyengine.containers import image_sources
        from pyengine.progress import watching

        with watching(progress) as tell:
            loaded = image_sources.load(self._house, source, platform=platform or "", progress=tell)
        return [Image(named.config, self._house, _familiar(named.reference)) for named in loaded]

    def save(
        self,
        images: str | Image | Iterable[str | Image],
        destination: str | os.PathLike[str] | IO[bytes],
        *,
        format: str = "oci",
        platform: str | None = None,
    ) -> None:
        """Write *images* to a file: an archive that is an OCI layout, and what docker loads.

        With ``format="docker"`` the second only, as old programs want it. What is said by id
        gets no name in it. With *platform*, only what is for that. Raises `ImageNotFound`,
        `InvalidRequest`, `StoreError`.
        """
        from pyengine.containers import image_sources

        several = [images] if isinstance(images, str | Image) else [*images]
        texts = [one.id if isinstance(one, Image) else one for one in several]
        image_sources.save(self._house, texts, destination, format=format, platform=platform or "")

    def import_(
        self,
        source: str | os.PathLike[str] | bytes | IO[bytes],
        *,
        tag: str | None = None,
        changes: Iterable[str] = (),
        message: str = "",
        platform: str | None = None,
    ) -> Image:
        """Make an image of one layer from a tar of a file system (row I35).

        *changes* are instructions of a Dockerfile, such as ``CMD ["sh"]``. Raises as `load`.
        """
        from pyengine.containers import image_sources

        named = image_sources.import_(
            self._house,
            source,
            tag=tag,
            changes=tuple(changes),
            message=message,
            platform=platform or "",
        )
        return Image(named.config, self._house)

    def tag(self, image: str | Image, reference: str) -> None:
        """Give *image* the name *reference*. Raises `ImageNotFound`, `InvalidRequest`."""
        self._house.enter()
        named = self._house.images.tag(_text(image), reference)
        self._tell("tag", named.config, named.reference)

    def remove(self, image: str | Image, *, force: bool = False) -> Removals:
        """Take a name away, and with the last one the image (row I29); answers what went.

        By id, an image that has several names goes with *force* only; likewise one that a
        container uses which does not run. Raises `ImageNotFound`, `InUse`.
        """
        self._house.enter()
        removed = self._house.images.remove(_text(image), force=force)
        for removal in removed.removals:
            if removal.untagged:
                self._tell("untag", removal.untagged, removal.untagged)
            elif removal.deleted:
                self._tell("delete", removal.deleted, removal.deleted)
        return [*removed.removals]

    def prune(self, filters: FilterTexts | None = None) -> PruneReport:
        """Remove images that nobody uses and no tag names (row I37).

        *filters*: with ``{"dangling": "false"}`` those that have a tag as well; ``label``,
        ``label!``, ``until``. Raises `InvalidRequest`.
        """
        self._house.enter()
        removed = self._house.images.prune(filters)
        deleted = tuple(one.deleted for one in removed.removals if one.deleted)
        self._house.events.emit("image", "prune", "", {"reclaimed": str(removed.bytes)})
        return PruneReport(deleted, removed.bytes)

    def search(self, term: str, *, limit: int = 25, filters: FilterTexts | None = None) -> Found:
        """What Docker Hub, or the registry that *term* begins with, has of that name (row I36)."""
        from pyengine.containers import image_sources

        return image_sources.search(self._house, term, limit=limit, filters=filters)

    def _tell(self, action: str, image_id: str, name: str) -> None:
        self._house.events.emit("image", action, image_id, {"name": name})

    def __repr__(self) -> str:
        return f"ImageCollection({self._house.layout.root!r})"


def _text(image: str | Image) -> str:
    return image.id if isinstance(image, Image) else image


def _familiar(reference: str) -> str:
    from pyengine.model.reference import Reference

    return Reference.parse(reference).familiar if reference else ""


def _teller(house: House) -> Teller:
    from pyengine.images.telling import Teller

    house.enter()
    return Teller(house.images)
