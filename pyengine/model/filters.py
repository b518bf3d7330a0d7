"""Which containers somebody wants to see (row O21)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC

from attrs import frozen

from pyengine.errors import InvalidRequest
from pyengine.model.event import FilterTexts
from pyengine.model.info import ContainerInfo
from pyengine.model.state import Status
from pyengine.model.units import parse_duration

_STATES = frozenset(str(status) for status in Status)
_HEALTH = frozenset(("starting", "healthy", "unhealthy", "none"))


def read_filters(
    filters: FilterTexts | None, allowed: frozenset[str], check: Callable[[str, str], object]
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Keys with their values as texts, each of which *check* may refuse.

    Raises `InvalidRequest` for a key that is not *allowed*, and what *check* raises.
    """
    wanted = []
    for key, given in (filters or {}).items():
        if key not in allowed:
            why = f"invalid filter {key!r}"
            raise InvalidRequest("filters", key, why=why, expected=", ".join(sorted(allowed)))
        values = (given,) if isinstance(given, str | int) else tuple(given)
        texts = tuple(str(value) for value in values)
        for value in texts:
            check(key, value)
        if texts:
            wanted.append((key, texts))
    return tuple(wanted)


@frozen
class ContainerFilter:
    """Values of one key are alternatives (of labels all must be there), all keys must agree."""

    wanted: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @classmethod
    def parse(cls, filters: FilterTexts | None, known: Iterable[str] = ()) -> ContainerFilter:
        """Read ``{"name": "web", "label": ["a=b", "c"]}``.

        Raises `InvalidRequest` for an unknown key (*known*: the only ones allowed) or value.
        """
        allowed = frozenset(known) or frozenset(_MATCHERS)
        return cls(read_filters(filters, allowed, _check))

    @property
    def asks_for_state(self) -> bool:
        """Whether containers that do not run are wanted by a filter of their own."""
        return any(key in ("status", "exited") for key, _ in self.wanted)

    def select(self, infos: Iterable[ContainerInfo], now: float) -> list[ContainerInfo]:
        """Those that are wanted, the newest first. *now* is seconds since 1970."""
        every = sorted(infos, key=lambda info: (-info.created, info.id))
        found = [info for info in every if self._matches(info, now)]
        for key in ("before", "since"):
            for name in dict(self.wanted).get(key, ()):
                found = _beside(key, name, every, found)
        return found

    def _matches(self, info: ContainerInfo, now: float) -> bool:
        return all(
            _MATCHERS[key](info, values, now)
            for key, values in self.wanted
            if key not in ("before", "since")
        )


def _check(key: str, value: str) -> None:
    if key == "status" and value not in _STATES:
        raise InvalidRequest("status filter", value, expected=", ".join(sorted(_STATES)))
    if key == "exited" and not value.lstrip("-").isdigit():
        raise InvalidRequest("exited filter", value, expected="an exit code")
    if key == "health" and value not in _HEALTH:
        raise InvalidRequest("health filter", value, expected=", ".join(sorted(_HEALTH)))
    if key == "name":
        _pattern(value)
    if key == "until":
        until_moment(value, 0.0)


def _beside(
    key: str, name: str, every: list[ContainerInfo], found: list[ContainerInfo]
) -> list[ContainerInfo]:
    """Those of *found* that were made before, or after, the container called *name*."""
    for info in every:
        if name in (info.name, f"/{info.name}", info.id) or info.id.startswith(name):
            if key == "before":
                return [one for one in found if one.created < info.created]
            return [one for one in found if one.created > info.created]
    raise InvalidRequest(f"{key} filter", name, why=f"No such container: {name}")


def _pattern(value: str) -> re.Pattern[str]:
    try:
        return re.compile(value)
    except (re.error, FutureWarning) as error:  # "[[" may mean something else one day
        raise InvalidRequest("name filter", value, why=str(error)) from error


def _name(info: ContainerInfo, values: tuple[str, ...], now: float) -> bool:
    patterns = [_pattern(value) for value in values]
    return any(one.search(info.name) or one.search(f"/{info.name}") for one in patterns)


def _label(info: ContainerInfo, values: tuple[str, ...], now: float) -> bool:
    labels = dict(info.spec.labels)
    return all(has_label(labels, value) for value in values)


def has_label(labels: Mapping[str, str], wanted: str) -> bool:
    """Whether ``NAME`` is among *labels*, or ``NAME=value``."""
    name, equals, value = wanted.partition("=")
    return name in labels and (not equals or labels[name] == value)


def _is_from(info: ContainerInfo, image: str) -> bool:
    """Whether *image* is its image: as it was asked for, the same name in full, or its id."""
    if image == info.image:
        return True
    number = image.removeprefix("sha256:")
    if len(number) >= 4 and info.image_id.removeprefix("sha256:").startswith(number):
        return True
    return bool(info.image_id) and _in_full(image) == _in_full(info.image)


def _in_full(name: str) -> str:
    from pyengine.model.reference import Reference

    try:
        return str(Reference.parse(name).with_default_tag())
    except InvalidRequest:
        return name


def _health(info: ContainerInfo) -> str:
    return "none" if info.health is None else str(info.health.status)


def _exited(info: ContainerInfo, values: tuple[str, ...], now: float) -> bool:
    ended = info.status in (Status.EXITED, Status.DEAD)
    return ended and str(info.state.exit_code) in values


def until_moment(value: str, now: float) -> float:
    """Seconds since 1970 that *value* names: a number, a duration before *now*, or RFC 3339."""
    from datetime import datetime

    try:
        return float(value)
    except ValueError:
        pass
    try:
        when = datetime.fromisoformat(value)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except ValueError:
        return now - parse_duration(value, "until filter")


def _ports(info: ContainerInfo, values: tuple[str, ...]) -> bool:
    wanted = {value if "/" in value else f"{value}/tcp" for value in values}
    return not wanted.isdisjoint(info.spec.exposed)


_Matcher = Callable[[ContainerInfo, tuple[str, ...], float], bool]
_MATCHERS: dict[str, _Matcher] = {
    "ancestor": lambda info, values, now: any(_is_from(info, value) for value in values),
    "before": lambda info, values, now: True,
    "since": lambda info, values, now: True,
    "exited": _exited,
    "expose": lambda info, values, now: _ports(info, values),
    "publish": lambda info, values, now: False,  # nothing is published in this version
    "health": lambda info, values, now: _health(info) in values,
    "id": lambda info, values, now: info.id.startswith(values),
    "is-task": lambda info, values, now: "true" not in values and "1" not in values,
    "isolation": lambda info, values, now: bool({"default", ""} & set(values)),
    "label": _label,
    "label!": lambda info, values, now: not _label(info, values, now),
    "name": _name,
    "network": lambda info, values, now: info.spec.namespaces.network in values,
    "status": lambda info, values, now: str(info.status) in values,
    "until": lambda info, values, now: all(info.created < until_moment(v, now) for v in values),
    "volume": lambda info, values, now: any(
        value in (mount.source, mount.target) for mount in info.spec.mounts for value in values
    ),
}
LIST_FILTERS = frozenset(_MATCHERS) - {"label!", "until"}
"""What ``list`` takes."""
PRUNE_FILTERS = frozenset(("label", "label!", "until"))
"""What ``prune`` takes."""
