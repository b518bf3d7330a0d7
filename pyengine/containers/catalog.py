"""Which containers there are, on disk: their names, records and states, whoever made them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from attrs import evolve

from pyengine.containers.removing import remove_patiently
from pyengine.errors import AlreadyExists, ContainerNotFound, InvalidRequest, StoreError
from pyengine.linux.process import pid_namespace, start_time
from pyengine.model.record import ContainerRecord
from pyengine.model.state import ContainerState
from pyengine.store import owners, records
from pyengine.store.layout import STEADY, Home, Layout


class Catalog:
    """The containers of one root; what is asked is looked up, never remembered.

    (But for what cannot change without its file changing: records are read once a version.)
    """

    def __init__(
        self, layout: Layout, announce: Callable[[str], object] = lambda owner: None
    ) -> None:
        self.layout = layout
        self._announce = announce
        self._lock = Lock()
        self._owner: tuple[str, int] | None = None
        self._homes: dict[str, Home] = {}
        self._drafts: set[str] = set()  # of nobody's, and not true yet
        self._records: dict[str, tuple[tuple[int, int], ContainerRecord]] = {}
        self._states: dict[str, tuple[tuple[int, int], ContainerState]] = {}

    # --- this process's own place ---

    @property
    def owner(self) -> str:
        """The name of this process's owner directory, made when first asked for."""
        if self._owner is None:
            with self._lock:
                if self._owner is None:
                    pid = os.getpid()
                    me = owners.Owner(pid, start_time(pid), pid_namespace())
                    self._owner = owners.claim(self.layout, me, self._announce)
        return self._owner[0]

    def is_mine(self, owner: str) -> bool:
        """Whether *owner* is this process's own directory."""
        return self._owner is not None and self._owner[0] == owner

    def own(self) -> list[str]:
        """The ids of the containers that belong to this process."""
        return [] if self._owner is None else owners.containers_of(self.layout, self._owner[0])

    def leave(self) -> None:
        """Give this process's place back, with all that is left in it. Raises `KernelError`."""
        with self._lock:
            if self._owner is None:
                return
            name, fd = self._owner
            self._owner = None
        try:
            remove_patiently(self.layout.owners, owners.hide(self.layout, name))
        finally:
            os.close(fd)

    @property
    def trash(self) -> str:
        """Where to move what another thread shall remove."""
        return f"{self.layout.owners}/{self.owner}/{owners.TRASH}"

    # --- making ---

    def place(self, container_id: str, owner: str, spare: str | None = None) -> Home:
        """The directory of a new container; true only once `write_record` has been called.

        *spare* is one that `make_spare` has made.
        """
        home = self.layout.home(self.owner, container_id)
        if owner != "process":  # it moves when it is true: killed before, we leave nothing
            self._drafts.add(container_id)
        try:
            if spare is not None:
                os.rename(spare, home.path)
            else:
                _make_home(home)
        except OSError as error:
            records.refuse(home.path, error)
        self._homes[container_id] = home
        return home

    def make_spare(self) -> str:
        """A home that is no container's yet."""
        home = Home(f"{self.trash}/spare-{os.urandom(6).hex()}")
        try:
            _make_home(home)
        except OSError as error:
            records.refuse(home.path, error)
        return home.path

    def claim_name(self, name: str, container_id: str, record: str = "") -> None:
        """Give *name* to a container that has its place. Raises `AlreadyExists`.

        *record* is the path of its record, if that is written.
        """
        owner = self._owner_of(container_id)
        holder = owners.claim_name(self.layout, name, owner, container_id, record)
        if holder is not None:
            raise AlreadyExists("container", f"/{name}", holder)

    def release_name(self, name: str, container_id: str) -> None:
        """Take *name* back from a container."""
        owner = self._owner_of(container_id)
        owners.release_name(self.layout, name, owner, container_id)

    def write_record(
        self, record: ContainerRecord, staging: Callable[[str], None] | None = None
    ) -> Home:
        """Make the container true, or change what it is; answers where it is from now on.

        *staging* is called with the path of the whole record before it gets its name.
        """
        home = self.home(record.spec.id)
        place = f"{self._owner_of(record.spec.id)}/{record.spec.id}"
        records.write(home.record, record, place, staging)
        if record.spec.id in self._drafts:
            home = self._settle(record.spec.id, home)
        found = os.stat(home.record)
        self._records[record.spec.id] = (found.st_ino, found.st_mtime_ns), record
        return home

    def _settle(self, container_id: str, draft: Home) -> Home:
        home = self.layout.home(STEADY, container_id)
        try:
            owners.steady(self.layout)
            os.rename(draft.path, home.path)
        except OSError as error:
            records.refuse(home.path, error)
        self._homes[container_id] = home
        self._drafts.discard(container_id)
        return home

    # --- finding ---

    def is_taken(self, name: str) -> bool:
        """Whether a container is called *name*."""
        return owners.holder_of(self.layout, name) is not None

    def find(self, name_or_id: str) -> str:
        """The id of the container with this id, name, or unique beginning of an id.

        Raises `ContainerNotFound`, and `InvalidRequest` where several ids begin so.
        """
        if not isinstance(name_or_id, str) or not name_or_id:
            raise InvalidRequest("container", name_or_id, expected="a container's name or id")
        if len(name_or_id) == 64 and self._look_for(name_or_id) is not None:
            return name_or_id
        name = name_or_id.removeprefix("/")
        if "/" not in name and "\0" not in name and len(name) < 256:
            holder = owners.holder_of(self.layout, name)
            if holder is not None and os.path.lexists(self.layout.home(*holder).record):
                return holder[1]
        found = {one for one in self.ids() if one.startswith(name_or_id)}
        if len(found) > 1:
            why = "Multiple IDs found with provided prefix"
            raise InvalidRequest("container", name_or_id, why=why, expected="more of the id")
        if not found:
            raise ContainerNotFound(name_or_id)
        return found.pop()

    def ids(self) -> list[str]:
        """Every container's id."""
        return [
            container_id
            for owner in owners.names(self.layout)
            for container_id in owners.containers_of(self.layout, owner)
            if os.path.lexists(self.layout.home(owner, container_id).record)
        ]

    def home(self, container_id: str) -> Home:
        """The directory of a container. Raises `ContainerNotFound`."""
        home = self._look_for(container_id)
        if home is None:
            raise ContainerNotFound(container_id)
        return home

    def _look_for(self, container_id: str) -> Home | None:
        home = self._homes.get(container_id)
        if home is not None and os.path.isdir(home.path):
            return home
        self.forget(container_id)
        if not container_id.isalnum():
            return None
        for owner in owners.names(self.layout):
            home = self.layout.home(owner, container_id)
            if os.path.isdir(home.path):
                self._homes[container_id] = home
                return home
        return None

    def _owner_of(self, container_id: str) -> str:
        """Whose directory a container is in, or will be."""
        return STEADY if container_id in self._drafts else self._owner_in(self.home(container_id))

    def _owner_in(self, home: Home) -> str:
        return home.path.split("/")[-2]

    def forget(self, container_id: str) -> None:
        """Remember nothing of a container that is gone."""
        self._homes.pop(container_id, None)
        self._drafts.discard(container_id)
        self._records.pop(container_id, None)
        self._states.pop(container_id, None)

    # --- reading and changing ---

    def _stat(self, container_id: str, file: str) -> tuple[str, os.stat_result | None]:
        """The path of its *file*, an attribute of `Home`, and what it is now: there, if not `None`.

        Raises `ContainerNotFound`. Where it was last is tried before it is looked for.
        """
        home = self._homes.get(container_id)
        if home is not None:
            path = getattr(home, file)
            try:
                return path, os.lstat(path)
            except FileNotFoundError:
                pass
        path = getattr(self.home(container_id), file)
        try:
            return path, os.lstat(path)
        except FileNotFoundError:
            return path, None

    def record(self, container_id: str) -> ContainerRecord:
        """What a container is. Raises `ContainerNotFound` and `StoreError`."""
        path, found = self._stat(container_id, "record")
        if found is None:
            raise ContainerNotFound(container_id)
        version = found.st_ino, found.st_mtime_ns
        known = self._records.get(container_id)
        if known is not None and known[0] == version:
            return known[1]
        record = records.read(path, ContainerRecord)
        if record is None:
            raise ContainerNotFound(container_id)
        if record.spec.id != container_id:
            why = "is damaged: it is another container's"
            raise StoreError(path, why, "remove the container it belongs to, by force")
        if record.committed and not os.path.isdir(record.layers[0]):
            # killed while it was committed: what it has written is its own still
            _, *layers = record.layers
            above, _, *below = record.lowers
            committed = record.committed - 1
            record = evolve(
                record, layers=tuple(layers), lowers=(above, *below), committed=committed
            )
        self._records[container_id] = version, record
        return record

    def state(self, container_id: str) -> ContainerState:
        """What was last written of what a container does."""
        path, found = self._stat(container_id, "state")
        if found is None:
            return self._first_state(container_id)
        version = found.st_ino, found.st_mtime_ns
        known = self._states.get(container_id)
        if known is not None and known[0] == version:
            return known[1]
        state = records.read(path, ContainerState) or ContainerState()
        self._states[container_id] = version, state
        return state

    def _first_state(self, container_id: str) -> ContainerState:
        try:
            return self.record(container_id).born or ContainerState()
        except ContainerNotFound:  # it is being made
            return ContainerState()

    def write_state(self, container_id: str, state: ContainerState) -> None:
        """Write down what a container does.

        Raises `ContainerNotFound` where it is removed before that is done, and `StoreError`.
        """
        home = self.home(container_id)
        path = home.state
        try:
            records.write(path, state)
            found = os.stat(path)
        except (StoreError, FileNotFoundError) as error:
            if not os.path.isdir(home.path):
                raise ContainerNotFound(container_id) from error
            raise
        self._states[container_id] = (found.st_ino, found.st_mtime_ns), state

    @contextmanager
    def locked(self, container_id: str) -> Iterator[Home]:
        """Nobody else changes this container meanwhile, in whatever process or thread.

        Raises `ContainerNotFound`, also where it was removed while we waited.
        """
        home = self.home(container_id)
        try:
            fd = os.open(home.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise ContainerNotFound(container_id) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.fstat(fd).st_nlink == 0 or not os.path.lexists(home.record):
                raise ContainerNotFound(container_id)
            yield home
        finally:
            os.close(fd)

    def forsake(self, container_id: str) -> tuple[str, Callable[[], None]]:
        """Forget a container: the directory to throw away, and what gives its name back then.

        Raises `ContainerNotFound`.
        """
        home = self.home(container_id)
        known = self._records.get(container_id)
        owner = self._owner_in(home)
        try:
            names = [(known[1] if known is not None else self.record(container_id)).spec.name]
        except StoreError:  # damaged
            names = owners.names_of(self.layout, owner, container_id)
        self.forget(container_id)

        def give_name_back() -> None:
            for name in names:
                owners.release_name(self.layout, name, owner, container_id)

        return home.path, give_name_back


def _make_home(home: Home) -> None:
    os.mkdir(home.path, 0o700)
    os.mkdir(home.upper)
    os.chmod(home.upper, 0o755)  # the container's "/", whatever the host program's umask
    os.mkdir(home.work, 0o700)
