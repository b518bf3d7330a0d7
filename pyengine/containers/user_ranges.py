"""The users that this engine's containers have of their own: ranges of ids, and namespaces of them.

Nothing of it is made before the first such container. What the kernel takes long for, a user
namespace with a network of its own, is made for the next one while this one is on its way, as
`containers.spares` does it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from pyengine.containers.own_users import check_layers, ids_from
from pyengine.errors import EngineError, StoreError
from pyengine.linux import native
from pyengine.linux.native_joiner import Joiner
from pyengine.linux.new_users import NewUsers, begin_users, finish_users
from pyengine.store import id_ranges

_READY = 2
"""So many ranges are kept with a namespace that waits for its container."""

_IDLE = 8
"""So many ranges are kept for the next containers; more are given back."""


class UserRanges:
    """The ranges of one engine's containers.

    Those of containers that end with this process are held by its own directory, which
    *own_place* names, and go from one container to the next; each of the others holds its own.
    """

    def __init__(self, joiner: Joiner, own_place: Callable[[], str]) -> None:
        self._joiner = joiner
        self._find_place = own_place
        self._place = ""
        self._lock = threading.Lock()
        self._ours: set[int] = set()
        self._idle: list[int] = []
        self._made: dict[int, NewUsers] = {}
        self._mappable: set[int] = set()  # devices whose files can be shown with other ids
        self._closed = False

    def _own_place(self) -> str:
        self._place = self._place or self._find_place()
        return self._place

    def take(self) -> int:
        """A range for a container that ends with this process: its first id."""
        with self._lock:
            ready = [first for first in self._idle if first in self._made]
            if self._idle:
                first = ready[0] if ready else self._idle[0]
                self._idle.remove(first)
                return first
        first = id_ranges.claim(self._own_place())
        with self._lock:
            self._ours.add(first)
        return first

    def claim(self, place: str) -> int:
        """A range for a container that outlives this process, and has the directory *place*."""
        return id_ranges.claim(place)

    def require(self, first: int, place: str) -> None:
        """Raise `StoreError` where the range of such a container has become another's.

        That takes somebody who has removed the registry, or a disk that was away for a while.
        """
        if not id_ranges.is_held(first, place) and not id_ranges.reclaim(first, place):
            why = f"another container has its ids, from {first} on, now"
            raise StoreError(place, why, "make it anew, with userns='auto'")

    def check(self, layers: tuple[str, ...]) -> None:
        """Raise `Unsupported` where files in *layers* cannot be shown with other ids."""
        unknown = {device: path for path in layers if (device := _device_of(path))}
        if unknown.keys() <= self._mappable:
            return
        first = self.take()
        users = self.users_of(first)
        with self._lock:
            self._made[first] = users
            self._idle.append(first)
        check_layers(unknown.values(), users.users)
        self._mappable |= unknown.keys()

    def give_back(self, first: int, place: str) -> None:
        """A container, which had the directory *place*, is removed."""
        with self._lock:
            ours = first in self._ours
            if ours and first not in self._idle and len(self._idle) < _IDLE and not self._closed:
                self._idle.append(first)
                return
            self._ours.discard(first)
            made = self._made.pop(first, None)
        if made is not None:
            made.close()
        id_ranges.release(first, self._own_place() if ours else place)

    def users_of(self, first: int) -> NewUsers:
        """A new user namespace with the ids from *first* on, with a network; the caller's."""
        with self._lock:
            made = self._made.pop(first, None)
        if made is not None:
            return made
        return finish_users(begin_users(self._joiner), ids_from(first))

    @property
    def is_short(self) -> bool:
        """Whether `begin` will begin: what a keeper starts has ranges of its own."""
        return bool(self._ours) and len(self._made) < _READY

    def begin(self) -> native.Child | None:
        """Have the next one made, if there are not enough: `finish` or `native.end` it.

        Nothing is raised here, nor there: who needs one makes it, and is told then.
        """
        if not self.is_short:
            return None
        try:
            return begin_users(self._joiner)
        except EngineError:
            return None

    def finish(self, coming: native.Child) -> None:
        """Keep what `begin` has begun for a range that waits."""
        try:
            first = self._without()
            made = finish_users(coming, ids_from(first))
        except EngineError:
            native.end(coming)
            return
        with self._lock:
            if not self._closed and first in self._idle and first not in self._made:
                self._made[first] = made
                return
        made.close()

    def _without(self) -> int:
        """A range that waits for its container, and has no namespace yet."""
        with self._lock:
            bare = [first for first in self._idle if first not in self._made]
        if bare:
            return bare[0]
        first = id_ranges.claim(self._own_place())
        with self._lock:
            self._ours.add(first)
            self._idle.append(first)
        return first

    def close(self) -> None:
        """Give back all there is; the containers have ended by now."""
        with self._lock:
            self._closed = True
            made, self._made = list(self._made.values()), {}
            ours, self._ours = self._ours, set()
            self._idle.clear()
        for each in made:
            each.close()
        for first in ours:
            id_ranges.release(first, self._own_place())


def _device_of(path: str) -> int:
    """The file system it lies on; 0 if it is gone, which is told later."""
    try:
        return os.stat(path).st_dev
    except OSError:
        return 0
