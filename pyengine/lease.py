"""A lease: one process's hold on a container that several share."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING

from pyengine.container import Container

if TYPE_CHECKING:
    from pyengine.containers.house import House
    from pyengine.containers.sharing import Held

__all__ = ["Lease"]


def run_of_ours() -> tuple[int, int] | None:
    """The process that has many work for it, us among them, and how many; `None` for others.

    pytest-xdist's workers are children of that, and told by these variables (its "How-tos").
    """
    count = os.environ.get("PYTEST_XDIST_WORKER_COUNT", "")
    if "PYTEST_XDIST_WORKER" not in os.environ or not count.isdecimal():
        return None
    return os.getppid(), int(count)


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
