"""What all the workshops of one engine share."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, NoReturn, Protocol

from attrs import frozen

from pyengine.containers import recovery
from pyengine.containers.alarms import Alarms
from pyengine.containers.catalog import Catalog
from pyengine.containers.guarding import Guard
from pyengine.containers.joiners import Joiners
from pyengine.containers.spares import Spares
from pyengine.containers.supervisor import Supervisor
from pyengine.containers.sweeper import Sweeper
from pyengine.errors import EngineClosed, EngineError, ForeignProcess, Unsupported
from pyengine.events import EventLog
from pyengine.linux.cgroup import Hierarchy
from pyengine.store import owners
from pyengine.store.layout import Layout

if TYPE_CHECKING:
    import logging

    from pyengine.containers.desk import Desk
    from pyengine.containers.health import Checks
    from pyengine.containers.layer_hands import LayerHands
    from pyengine.containers.restarting import Delay
    from pyengine.containers.running import Running
    from pyengine.containers.sharing import Held
    from pyengine.containers.user_ranges import UserRanges
    from pyengine.images.catalog import Images
    from pyengine.images.servers import Means
    from pyengine.linux.native_joiner import Joiner
    from pyengine.model.capabilities import Capabilities
    from pyengine.model.record import ContainerRecord
    from pyengine.store.leases import Run


class Expecting(Protocol):
    """Somebody who waits for a container's program to be born."""

    def bind(self, running: Running) -> None:
        """It is born."""

    def end(self) -> None:
        """It never will be: the container is removed."""


@frozen
class RegistryWishes:
    """How an engine's registries are to be asked.

    *credentials* is a file of docker's, where it is not the usual one.
    """

    credentials: str | None = None
    mirrors: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()


class House:
    """One engine in one process; its root is opened, and recovered, by whoever enters first.

    *keeps*: it is the keeper's, and what it starts outlives it.
    """

    def __init__(self, layout: Layout, *, keeps: bool = False) -> None:
        self.layout = layout
        self.keeps = keeps
        self.desk: Desk | None = None
        self.hierarchy = Hierarchy.probe()
        self.supervisor = Supervisor()
        self.guard = Guard(layout, self.hierarchy, self.supervisor, self.warn)
        self.joiners = Joiners(self.guard.know_users)
        self.catalog = Catalog(layout, self.guard.start)
        self._ranges: UserRanges | None = None
        self._images: Images | None = None
        self.hands: LayerHands | None = None  # of who is not root, once there are images
        self.registry_wishes = RegistryWishes()
        self.spares = Spares(self.catalog.make_spare, networks=os.geteuid() == 0)
        self.sweeper = Sweeper(lambda: self.catalog.trash)
        self.events = EventLog(layout.events, self.sweeper.later)
        self.running: dict[str, Running] = {}
        self.delays: dict[str, Delay] = {}  # of containers that start again by themselves
        self.checks: dict[str, Checks] = {}  # of containers that are asked whether they are well
        self.alarms = Alarms()
        self.leases: set[Held] = set()  # of containers that we share with others
        # whose end a keeper awaits: owners who may hold some, and runs that have lost a holder
        self.watched: set[str | Run] = set()
        self._expected: dict[str, list[Expecting]] = {}
        self.logger: logging.Logger | None = None
        self.capabilities: Capabilities | None = None  # of this host, once somebody has asked
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._no_input = -1
        self._is_open = False
        self._is_closed = False

    @property
    def joiner(self) -> Joiner:
        """Who gives birth to containers that have the usual users."""
        return self.joiners.usual

    def joiner_for(self, record: ContainerRecord) -> Joiner:
        """Who gives birth to, and beside, the programs of *record*."""
        return self.joiners.of(record.spec.security.userns)

    @property
    def ranges(self) -> UserRanges:
        """The users that containers have of their own, from the first that wants some."""
        if self._ranges is None:
            from pyengine.containers.user_ranges import UserRanges

            def own_place() -> str:
                return f"{self.layout.owners}/{self.catalog.owner}"

            with self._lock:
                self._ranges = self._ranges or UserRanges(self.joiner, own_place)
        return self._ranges

    @property
    def images(self) -> Images:
        """The images of its root, from the first that is asked for."""
        if self._images is None:
            from pyengine.containers.image_rooms import images_of

            with self._lock:
                self._images = self._images or images_of(self)
        return self._images

    def registries(self) -> Means:
        """How registries are asked."""
        from pyengine.images.credentials import CredentialStore
        from pyengine.images.endpoints import RegistrySettings
        from pyengine.images.servers import Means

        asked = self.registry_wishes
        settings = RegistrySettings(mirrors=asked.mirrors, insecure=asked.insecure)
        return Means(settings=settings, store=CredentialStore(asked.credentials))

    def enter(self) -> None:
        """Raise `ForeignProcess` in a fork and `EngineClosed` after `close`; open the root once."""
        if self._is_open and os.getpid() == self._pid:
            return
        if os.getpid() != self._pid:
            raise ForeignProcess(self._pid)
        if self._is_closed:
            raise EngineClosed()
        with self._lock:
            if self._is_open:
                return
            owners.prepare(self.layout)
            left_alone = recovery.recover(self.layout, self.hierarchy, self.tell, self.warn)
            self._is_open = True
        if left_alone and not self.keeps:
            self._call_keeper()

    def _call_keeper(self) -> None:
        """There are containers whose keeper was killed: let the next one take them on."""
        from pyengine.containers import keeper

        try:
            keeper.ensure(self.layout).close()
        except EngineError as error:  # whoever needs it for more will be told
            if self.logger is not None:
                self.logger.warning("the keeper: %s", error)

    def watch(self, running: Running) -> None:
        """Have a container watched by our thread, and let others ask us for it."""
        self.supervisor.watch(running)
        if self.desk is None:
            self.open_desk()

    def open_desk(self) -> None:
        """Let others ask us for what only the watcher of a container can do."""
        from pyengine.containers.desk import Desk

        with self._lock:
            if self.desk is not None:
                return
            try:
                self.desk = Desk(self)
                self.guard.bury(self.layout.desks, self.desk.name)
            except OSError as error:  # then they cannot
                if self.logger is not None:
                    self.logger.warning("no desk: %s", error)
                return
        self.supervisor.watch(self.desk)

    def __reduce__(self) -> NoReturn:
        """Handles hold a house, and none can be had elsewhere."""
        remedy = "send the container's id, and ask an engine there: engine.containers.get(id)"
        raise Unsupported("pickling an engine, or a handle of it", "it is this process's", remedy)

    def __deepcopy__(self, memo: object) -> House:
        return self

    def begin_close(self) -> bool:
        """Let nobody enter any more; False where there is nothing (more) to close."""
        if os.getpid() != self._pid:  # a fork: its lock may be held by a thread that stayed behind
            return False
        with self._lock:
            was_open, self._is_open, self._is_closed = self._is_open, False, True
        return was_open

    def end_close(self) -> None:
        """Give back what this process had; its containers have ended by now."""
        self.supervisor.close()
        if self.desk is not None:
            self.desk.close()
        self.spares.close()
        if self._ranges is not None:
            self._ranges.close()
        if self._no_input >= 0:
            os.close(self._no_input)
        self.sweeper.close()  # what it still has to do may take the others
        if self.hands is not None:
            self.hands.close()
        self.joiners.close()
        self.catalog.leave()
        self.hierarchy.tidy(self.guard.owner)
        self.guard.close()
        self.events.close()

    def no_input(self) -> int:
        """A pipe that is at its end, for every program that reads nothing; the house's own."""
        with self._lock:
            if self._no_input < 0:
                self._no_input, write = os.pipe2(os.O_CLOEXEC)
                os.close(write)
            return self._no_input

    def expect(self, container_id: str, waiting: Expecting) -> None:
        """Bind *waiting* to the container's program once it is born."""
        with self._lock:
            self._expected.setdefault(container_id, []).append(waiting)

    def cancel(self, container_id: str, waiting: Expecting) -> None:
        """Forget an `expect`."""
        with self._lock:
            several = self._expected.get(container_id, [])
            if waiting in several:
                several.remove(waiting)
            if not several:
                self._expected.pop(container_id, None)

    def expected(self, container_id: str) -> list[Expecting]:
        """Who waits for the container's program, once."""
        with self._lock:
            return self._expected.pop(container_id, [])

    def warn(self, text: str, what: object) -> None:
        """Log what has gone wrong: *text*, and *what* goes into it."""
        if self.logger is not None:
            self.logger.warning(text, what)

    def tell(self, action: str, record: ContainerRecord, **more: str) -> None:
        """Tell that *action* has happened to a container (row O36)."""
        spec = record.spec
        if self.logger is not None:
            self.logger.debug("container %s %s", spec.id[:12], action)

        def attributes() -> dict[str, str]:
            return {**dict(spec.labels), **more, "image": spec.image, "name": spec.name}

        self.events.emit("container", action, spec.id, attributes)
