"""Where images come from, and where they go: registries and archives, as an engine asks them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import IO, TYPE_CHECKING, Literal, cast

from attrs import evolve

from pyengine.errors import InvalidRequest, Unsupported
from pyengine.images.archive_sources import is_source, resolve_source
from pyengine.images.servers import Means
from pyengine.model.platform import Platform
from pyengine.model.progress import ProgressEvent
from pyengine.model.reference import Reference

if TYPE_CHECKING:
    from pyengine.containers.house import House
    from pyengine.images.credentials import Credentials
    from pyengine.model.event import FilterTexts
    from pyengine.store.image_names import Named

Source = str | os.PathLike[str] | bytes | IO[bytes]
Progress = Callable[[ProgressEvent], object]
_ALL_AND_ONE = "all tags are wanted, and one is named"
_NAME_ONLY = "a name without tag and digest, or no all_tags"


def bring(
    house: House, image: str, *, platform: str = "", progress: Progress | None = None
) -> Named:
    """Have *image* in the store, wherever it comes from. Raises as `pull` and `load`."""
    if not is_source(image):
        return pull(house, image, platform=platform, progress=progress)
    named = resolve_source(house.images, image, platform=_platform(platform), progress=progress)
    _tell(house, "load", named)
    return named


def pull(
    house: House,
    reference: str,
    *,
    platform: str = "",
    all_tags: bool = False,
    auth: object = None,
    progress: Progress | None = None,
) -> Named:
    """See `image.ImageCollection.pull`."""
    from pyengine.images import pulling

    house.enter()
    wanted, means = Reference.parse(reference), _means(house, auth)
    chosen = _platform(platform)
    if all_tags:
        if wanted.tag or wanted.digest:
            raise InvalidRequest("reference", reference, why=_ALL_AND_ONE, expected=_NAME_ONLY)
        several = pulling.pull_all_tags(
            house.images, wanted, means, platform=chosen, progress=progress
        )
        named = several[-1]
    else:
        named = pulling.pull(house.images, wanted, means, platform=chosen, progress=progress)
    house.sweeper.later(house.images.settle)
    _tell(house, "pull", named)
    return named


def push(
    house: House,
    reference: str,
    *,
    all_tags: bool = False,
    auth: object = None,
    compression: str = "gzip",
    level: int | None = None,
    progress: Progress | None = None,
) -> str:
    """See `image.ImageCollection.push`."""
    from pyengine.images import pushing

    house.enter()
    wanted, means = Reference.parse(reference), _means(house, auth)
    options = pushing.PushOptions(compression, level)
    if not all_tags:
        digest = pushing.push(house.images, wanted, means, options, progress=progress)
        _tell_pushed(house, wanted.with_default_tag())
        return digest
    if wanted.tag or wanted.digest:
        raise InvalidRequest("reference", reference, why=_ALL_AND_ONE, expected=_NAME_ONLY)
    digests = pushing.push_all_tags(house.images, wanted, means, options, progress=progress)
    for tag in digests:
        _tell_pushed(house, wanted.with_tag(tag))
    return [*digests.values()][-1]


def _tell_pushed(house: House, reference: Reference) -> None:
    _tell(house, "push", house.images.find(str(reference)))


def load(
    house: House, source: Source, *, platform: str = "", progress: Progress | None = None
) -> list[Named]:
    """See `image.ImageCollection.load`."""
    from pyengine.images import archive_load

    house.enter()
    loaded = archive_load.load(
        house.images, source, platform=_platform(platform), progress=progress
    )
    house.images.content.layers.make_durable()
    for named in loaded:
        _tell(house, "load", named)
    return [*loaded]


def save(
    house: House,
    images: Iterable[str],
    destination: str | os.PathLike[str] | IO[bytes],
    *,
    format: str = "oci",
    platform: str = "",
) -> None:
    """See `image.ImageCollection.save`."""
    from pyengine.images import archive_save

    if format not in ("oci", "docker"):
        raise InvalidRequest("format", format, expected="oci or docker")
    house.enter()
    texts = [*images]
    chosen = cast(Literal["oci", "docker"], format)
    saved = archive_save.save(
        house.images, texts, destination, platform=_platform(platform), format=chosen
    )
    for named in saved:
        _tell(house, "save", named)


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
    from pyengine.images import importing

    house.enter()
    named = importing.import_(
        house.images,
        source,
        tag,
        changes=changes,
        message=message,
        platform=_platform(platform),
    )
    house.images.content.layers.make_durable()
    _tell(house, "import", named)
    return named


def login(house: House, registry: str, username: str, password: str) -> None:
    """See `engine.Engine.login`."""
    from pyengine.images.credentials import Credentials
    from pyengine.images.login import log_in

    house.enter()
    log_in(registry, Credentials(username, password), house.registries())


def logout(house: House, registry: str) -> bool:
    """See `engine.Engine.logout`."""
    from pyengine.images.login import log_out

    house.enter()
    return log_out(registry, house.registries())


def search(
    house: House, term: str, *, limit: int = 25, filters: FilterTexts | None = None
) -> list[dict[str, object]]:
    """See `image.ImageCollection.search`."""
    raise Unsupported("searching registries", "it is not built yet", "look at the registry's pages")


def _platform(text: str) -> Platform | None:
    return Platform.parse(text) if text else None


def _means(house: House, auth: object) -> Means:
    """How registries are asked; *auth* stands before what is remembered."""
    if auth is None:
        return house.registries()
    return evolve(house.registries(), credentials=_credentials(auth))


def _credentials(auth: object) -> Credentials:
    from pyengine.images.credentials import Credentials

    match auth:
        case Credentials():
            return auth
        case str() if auth:
            return Credentials(registry_token=auth)
        case (str(user), str(password)):
            return Credentials(user, password)
    given = type(auth).__name__  # never what it is
    raise InvalidRequest("auth", given, expected="(user, password), or a token")


def _tell(house: House, action: str, named: Named) -> None:
    house.events.emit("image", action, named.config, {"name": named.reference or named.config})
