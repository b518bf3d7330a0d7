"""Where images come from, and where they go: registries and archives, as an engine asks them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import IO, TYPE_CHECKING

from pyengine.errors import Unsupported

if TYPE_CHECKING:
    from pyengine.containers.house import House
    from pyengine.model.event import FilterTexts
    from pyengine.model.progress import ProgressEvent
    from pyengine.store.image_names import Named

Source = str | os.PathLike[str] | bytes | IO[bytes]
_HOST = "use host: or rootfs:/directory as the image"


def bring(
    house: House,
    image: str,
    *,
    platform: str = "",
    progress: Callable[[ProgressEvent], object] | None = None,
) -> None:
    """Have *image* in the store, wherever it comes from. Raises as `pull` and `load`."""
    pull(house, image, platform=platform, progress=progress)


def pull(
    house: House,
    reference: str,
    *,
    platform: str = "",
    all_tags: bool = False,
    auth: object = None,
    progress: Callable[[ProgressEvent], object] | None = None,
) -> Named:
    """See `image.ImageCollection.pull`."""
    raise Unsupported(f"pulling {reference!r}", "registries are not built yet", _HOST)


def push(
    house: House,
    reference: str,
    *,
    all_tags: bool = False,
    auth: object = None,
    compression: str = "gzip",
    level: int | None = None,
    progress: Callable[[ProgressEvent], object] | None = None,
) -> str:
    """See `image.ImageCollection.push`."""
    raise Unsupported(f"pushing {reference!r}", "registries are not built yet", _HOST)


def load(
    house: House,
    source: Source,
    *,
    platform: str = "",
    progress: Callable[[ProgressEvent], object] | None = None,
) -> list[Named]:
    """See `image.ImageCollection.load`."""
    raise Unsupported("loading images", "archives are not built yet", _HOST)


def save(
    house: House,
    images: Iterable[str],
    destination: str | os.PathLike[str] | IO[bytes],
    *,
    format: str = "oci",
) -> None:
    """See `image.ImageCollection.save`."""
    raise Unsupported("saving images", "archives are not built yet", _HOST)


def import_(
    house: House,
    source: Source,
    *,
    tag: str | None = None,
    changes: tuple[str, ...] = (),
    message: str = "",
    platform: str = "",
) -> Named:
    """See `image.ImageCollection.import_`."""
    raise Unsupported("importing images", "archives are not built yet", _HOST)


def search(
    house: House, term: str, *, limit: int = 25, filters: FilterTexts | None = None
) -> list[dict[str, object]]:
    """See `image.ImageCollection.search`."""
    raise Unsupported("searching registries", "it is not built yet", "look at the registry's pages")
