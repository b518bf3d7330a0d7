"""A lease: one process's hold on a container that several share."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from pyengine.container import Container

if TYPE_CHECKING:
    from pyengine.containers.house import House
    from pyengine.containers.sharing import Held

__all__ = ["Lease"]


class Lease:
    """What `Engine.shared` answers: as long as somebody has one, the container is there.

    Use it in a ``with``, which gives the container, or let go by `release`.
    """

    def __init__(self, house: House, held: Held) -> None:
        self._house = house
        self._held = held
        self.container = Container(held.container_id, house)

    def release(self) -> None:
        """Let go; the container is removed if that was the last lease. Again: nothing happens."""
        from pyengine.containers import sharing

        self._house.enter()
        if self._held in self._house.leases:
            sharing.release(self._house, self._held)

    def __enter__(self) -> Container:
        return self.container

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"Lease({self.container!r})"
