"""The containers of an engine's root, as its user asks for them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pyengine.containers import ending, looking
from pyengine.errors import ContainerNotFound, InvalidRequest, NotFound
from pyengine.image import PruneReport
from pyengine.model.event import FilterTexts
from pyengine.model.filters import LIST_FILTERS, PRUNE_FILTERS, ContainerFilter
from pyengine.model.info import ContainerInfo
from pyengine.model.options_words import integer
from pyengine.model.state import Status

# What makes and starts containers is imported by those who do: who only lists them, as a command
# line does again and again, would wait for it most of the time.
if TYPE_CHECKING:
    from pyengine.container import Container
    from pyengine.containers.house import House

__all__ = ["ContainerCollection"]

_LISTED = (Status.RUNNING, Status.PAUSED, Status.RESTARTING)


class ContainerCollection:
    """The containers of an engine's root, whoever made them."""

    def __init__(self, house: House) -> None:
        self._house = house

    def infos(
        self,
        all: bool = False,
        filters: FilterTexts | None = None,
        limit: int | None = None,
        *,
        size: bool = False,
    ) -> list[ContainerInfo]:
        """As `list`, but each container inspected."""
        wanted = ContainerFilter.parse(filters, LIST_FILTERS)
        most = None if limit is None else integer(limit, "limit", -1, 1 << 31)
        infos = looking.all_infos(self._house, size=size)
        if not all and not (most and most > 0) and not wanted.asks_for_state:
            infos = (info for info in infos if info.status in _LISTED)
        found = wanted.select(infos, time.time())
        return found[:most] if most and most > 0 else found

    def list(
        self, all: bool = False, filters: FilterTexts | None = None, limit: int | None = None
    ) -> list[Container]:
        """The running ones, or *all*, the newest first; with *limit* only so many of all.

        *filters* are Docker's (row O21), such as ``{"label": "tier=db", "status": "exited"}``;
        a filter of state asks for all. Raises `InvalidRequest` for others.
        """
        return [handle(self._house, info.id) for info in self.infos(all, filters, limit)]

    def get(self, name_or_id: str) -> Container:
        """The container with this name, id, or unique beginning of an id.

        Raises `ContainerNotFound`.
        """
        self._house.enter()
        return handle(self._house, self._house.catalog.find(name_or_id))

    def prune(self, filters: FilterTexts | None = None) -> PruneReport:
        """Remove every container that does not run (row O33); *filters*: label, label!, until."""
        wanted = ContainerFilter.parse(filters, PRUNE_FILTERS)
        deleted, reclaimed = [], 0
        infos = looking.all_infos(self._house, size=True)
        ended = (one for one in infos if one.status in (Status.CREATED, Status.EXITED, Status.DEAD))
        for info in wanted.select(ended, time.time()):
            try:
                ending.remove(self._house, info.id)
            except NotFound:
                continue
            deleted.append(info.id)
            reclaimed += info.size or 0
        self._house.events.emit("container", "prune", "", {"reclaimed": str(reclaimed)})
        return PruneReport(tuple(deleted), reclaimed)

    def __iter__(self) -> Iterator[Container]:
        return iter(self.list(all=True))

    def __contains__(self, container: object) -> bool:
        """Whether a container with this name or id, or this handle, is there."""
        from pyengine.container import Container

        wanted = container.id if isinstance(container, Container) else container
        if not isinstance(wanted, str) or not wanted:
            return False
        self._house.enter()
        try:
            self._house.catalog.find(wanted)
        except (ContainerNotFound, InvalidRequest):
            return False
        return True


def handle(house: House, container_id: str) -> Container:
    """A container as its user holds it."""
    from pyengine.container import Container

    return Container(container_id, house)
