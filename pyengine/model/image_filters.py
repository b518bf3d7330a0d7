"""Which images somebody wants to see, or to be rid of (rows I30, I37)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import evolve, frozen

from pyengine.errors import InvalidRequest
from pyengine.model.event import FilterTexts
from pyengine.model.filters import has_label, read_filters, until_moment
from pyengine.model.images import ImageSummary
from pyengine.model.path_glob import matches
from pyengine.model.reference import Reference

_TRUE = frozenset(("true", "1", "True", "TRUE", "t", "T"))
_FALSE = frozenset(("false", "0", "False", "FALSE", "f", "F"))

LIST_FILTERS = frozenset(("before", "since", "dangling", "label", "label!", "reference", "until"))
"""What ``list`` takes."""
PRUNE_FILTERS = frozenset(("dangling", "label", "label!", "until"))
"""What ``prune`` takes."""


@frozen
class ImageFilter:
    """Values of one key are alternatives (of labels all must be there), all keys must agree."""

    wanted: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def parse(cls, filters: FilterTexts | None, known: Iterable[str] = LIST_FILTERS) -> ImageFilter:
        """Read ``{"reference": "alp*", "label": ["a=b", "c"]}``.

        Raises `InvalidRequest` for a key that is not among *known*, or a value that says nothing.
        """
        return cls(read_filters(filters, frozenset(known), _check))

    @property
    def dangling(self) -> bool | None:
        """Whether only images without a tag are wanted, or only others; `None`: both."""
        values = dict(self.wanted).get("dangling")
        return None if values is None else values[-1] in _TRUE

    def select(self, images: Iterable[ImageSummary], now: float) -> list[ImageSummary]:
        """Those that are wanted, the newest first; *now* is seconds since 1970.

        With ``reference``, only the names that match are left of each.
        """
        every = sorted(images, key=lambda image: (-image.created, image.id))
        found = [image for image in every if self._matches(image, now)]
        wanted = dict(self.wanted)
        for key in ("before", "since"):
            for name in wanted.get(key, ()):
                found = _beside(key, name, every, found)
        if patterns := wanted.get("reference"):
            found = [named for image in found if (named := _named(image, patterns)) is not None]
        return found

    def _matches(self, image: ImageSummary, now: float) -> bool:
        return all(
            _MATCHERS[key](image, values, now) for key, values in self.wanted if key in _MATCHERS
        )


def _check(key: str, value: str) -> None:
    if key == "dangling" and value not in _TRUE | _FALSE:
        raise InvalidRequest("dangling filter", value, expected="true or false")
    if key == "until":
        until_moment(value, 0.0)
    if key == "reference":
        matches(value, "")


def _beside(
    key: str, name: str, every: list[ImageSummary], found: list[ImageSummary]
) -> list[ImageSummary]:
    """Those of *found* that were made before, or after, the image called *name*."""
    for image in every:
        if answers_to(image, name):
            if key == "before":
                return [one for one in found if one.created < image.created]
            return [one for one in found if one.created > image.created]
    raise InvalidRequest(f"{key} filter", name, why=f"No such image: {name}")


def answers_to(image: ImageSummary, name: str) -> bool:
    """Whether *name* is an id of *image*, the beginning of one, a tag, or a digest."""
    digits = image.id.removeprefix("sha256:")
    if name and (image.id == name or digits.startswith(name.removeprefix("sha256:"))):
        return True
    try:
        familiar = Reference.parse(name).with_default_tag().familiar
    except InvalidRequest:
        return False
    return familiar in image.tags or familiar in image.digests


def _named(image: ImageSummary, patterns: tuple[str, ...]) -> ImageSummary | None:
    """*image* with those of its names that match; `None` if none does."""
    tags = tuple(tag for tag in image.tags if _fits(tag, patterns))
    digests = tuple(name for name in image.digests if _fits(name, patterns))
    return evolve(image, tags=tags, digests=digests) if tags or digests else None


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    repository = Reference.parse(name).familiar_repository
    return any(matches(pattern, one) for pattern in patterns for one in (name, repository))


def _dangling(image: ImageSummary, wanted: bool) -> bool:
    """What Docker answers: who has a digest but no tag is among both."""
    return image.is_dangling if wanted else bool(image.tags or image.digests)


def _label(image: ImageSummary, values: tuple[str, ...], now: float) -> bool:
    labels = dict(image.labels)
    return all(has_label(labels, value) for value in values)


_Matcher = Callable[[ImageSummary, tuple[str, ...], float], bool]
_MATCHERS: dict[str, _Matcher] = {
    "dangling": lambda image, values, now: _dangling(image, values[-1] in _TRUE),
    "label": _label,
    "label!": lambda image, values, now: not _label(image, values, now),
    "until": lambda image, values, now: all(image.created < until_moment(v, now) for v in values),
}
