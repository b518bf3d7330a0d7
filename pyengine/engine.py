"""The engine: one object, and everything it runs goes with it."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from pyengine.collection import ContainerCollection, handle
from pyengine.containers import ending
from pyengine.containers.house import House, RegistryWishes
from pyengine.errors import InvalidRequest, Unsupported
from pyengine.events import EventStream
from pyengine.image import Image, ImageCollection, PruneReport
from pyengine.model.event import FilterTexts
from pyengine.model.options_words import flag
from pyengine.model.system import EngineInfo, VersionInfo
from pyengine.store.layout import Layout

# What makes and starts containers is imported by those who do: who only lists them, as a command
# line does again and again, would wait for it most of the time.
if TYPE_CHECKING:
    import logging

    from pyengine.container import Container
    from pyengine.lease import Lease
    from pyengine.model.capabilities import Capabilities
    from pyengine.model.images import DiskUsage
    from pyengine.model.options import ContainerOptions
    from pyengine.model.result import Result
    from pyengine.store.check import Finding

__all__ = ["Engine"]

_LEVELS = ("debug", "info", "warning", "error")


class _NotBuilt:
    """A collection that this version does not have: whatever is asked of it says so."""

    def __init__(self, what: str, remedy: str) -> None:
        self._what = what
        self._remedy = remedy

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise Unsupported(f"{self._what}.{name}", f"{self._what} are not built yet", self._remedy)

    def __iter__(self) -> Iterator[Any]:
        raise Unsupported(self._what, f"{self._what} are not built yet", self._remedy)


_IMAGES = "use host: or rootfs:/directory, or an image that is there, or pull one"
_NETWORKS = "use network=None, or network='host'"
_VOLUMES = "bind a directory of the host"


class Engine:
    """A container engine in this process. Nothing happens until it is used.

    *root* is where it keeps things on disk (default: PYENGINE_ROOT, else the user's own place),
    *run_root* where it keeps what a reboot may forget. With *log_level* the logger ``pyengine``
    of `logging` tells at that level what happens; without, nothing is logged.
    *owner* to whom its containers belong by default: ``process``, they end with it. *userns* is
    whose users they have by default: with ``auto`` each has some of its own. Features
    named in *require* must be there, or `Unsupported` is raised now. With *best_effort* limits
    that this host cannot enforce are a `LimitNotEnforced` warning, in all containers that do not
    say otherwise. *registry_config* is a file with credentials as docker keeps them (default:
    DOCKER_CONFIG's, else the user's); *mirrors* are URLs that are asked before Docker Hub, and
    *insecure_registries* hosts, ``HOST:PORT`` or networks that need not prove who they are.

    Close it, or use it in a ``with``: its containers end then. After a fork it raises
    `ForeignProcess` in the child.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        run_root: str | os.PathLike[str] | None = None,
        owner: str = "process",
        userns: str = "",
        require: Iterable[str] = (),
        best_effort: bool = False,
        registry_config: str | os.PathLike[str] | None = None,
        mirrors: Iterable[str] = (),
        insecure_registries: Iterable[str] = (),
        log_level: str | None = None,
    ) -> None:
        if owner not in ("process", "none"):
            raise InvalidRequest("owner", owner, expected="'process' or 'none'")
        if log_level is not None and log_level not in _LEVELS:
            raise InvalidRequest("log_level", log_level, expected=", ".join(_LEVELS))
        self._owner = owner
        self._userns = _parse_userns(userns) if userns != "" else ""
        self._best_effort = flag(best_effort, "best_effort")
        self._house = House(Layout.of(root, run_root))
        if registry_config is not None or mirrors or insecure_registries:
            self._house.registry_wishes = _registries(registry_config, mirrors, insecure_registries)
        if log_level is not None:
            self._house.logger = _logger(log_level)
        self._closer = weakref.finalize(self, close_house, self._house)
        self.containers = ContainerCollection(self._house)
        self.images = ImageCollection(self._house)
        self.networks = _NotBuilt("networks", _NETWORKS)
        self.volumes = _NotBuilt("volumes", _VOLUMES)
        try:
            _require(self._house, require)
        except BaseException:
            self._closer()  # nobody gets a handle to close it by
            raise

    @property
    def root(self) -> str:
        """The directory in which this engine keeps what it has."""
        return self._house.layout.root

    # --- containers ---

    def run(
        self,
        image: str,
        command: object = None,
        *,
        check: bool = False,
        timeout: float | None = None,
        keep: bool = False,
        **options: object,
    ) -> Result:
        """Run a container to its end, and remove it unless it is to be kept.

        *command* is a list, or a text split as a shell would; no shell runs unless it is named.
        After *timeout* seconds the container is killed and `TimedOut` raised with what it had
        said. With *check* an exit code other than 0 raises `ProgramFailed`. *options* are those
        of the reference. Raises `InvalidRequest` before anything is made, `ImageNotFound`,
        `ExecutableNotFound`, `NotExecutable`, `AlreadyExists`, `KernelError`, `Unsupported`.
        """
        from pyengine.containers import running_once

        asked = self._options(image, command, options)
        result = running_once.run(self._house, asked, timeout=timeout, keep=keep)
        return result.check() if check else result

    def start(
        self,
        image: str,
        command: object = None,
        *,
        timeout: float | None = None,
        ready: object = None,
        **options: object,
    ) -> Container:
        """Make a container and start it; what cannot start is removed again. As `run`.

        With *ready*, a condition of `pyengine.ready`, it returns when that is true. If the
        container ends before, or *timeout* seconds pass, it is removed and `NotReady` raised.
        """
        asked = self._options(image, command, options)
        if ready is not None:
            from pyengine.containers.readiness import create_and_await

            container_id = create_and_await(self._house, asked, ready, timeout)
        else:
            from pyengine.containers.starting import create_and_start

            container_id = create_and_start(self._house, asked, timeout=timeout)
        return handle(self._house, container_id)

    def shared(
        self,
        name: str,
        image: str,
        command: object = None,
        *,
        ready: object = None,
        timeout: float | None = None,
        **options: object,
    ) -> Lease:
        """Hold the container called *name*, which all processes that ask for it share.

        Whoever comes first makes and starts it; each waits until *ready*, a condition of
        `pyengine.ready`, is true, *timeout* seconds at most. It is removed when the last has let
        go: by `Lease.release`, by closing the engine, or by its end, SIGKILL included. One that
        has ended by itself is made anew for who asks next. For workers of pytest-xdist it waits
        for those who have not asked yet, and for who takes the place of one that was killed, until
        the whole run ends.

        *options* are those of the reference, but for ``owner``, ``restart``, ``auto_remove`` and
        ``stdin``, the same for everybody. Raises as `start`, `InvalidRequest` for other options
        than it has, and `AlreadyExists` where *name* is that of a container that is not shared.

        >>> import pyengine
        >>> with pyengine.Engine() as engine:                     # doctest: +SKIP
        ...     with engine.shared("db", "rootfs:/srv/db") as db:
        ...         db.exec(["psql", "-c", "select 1"])
        """
        from pyengine.containers import sharing
        from pyengine.lease import Lease, run_of_ours

        if "owner" in options:
            why = "it outlives its maker as long as somebody holds it"
            raise InvalidRequest("owner", options["owner"], why=why, expected="nothing")
        asked = self._options(image, command, {**options, "name": name, "owner": "none"})
        return Lease(
            self._house, sharing.acquire(self._house, asked, ready, timeout, run_of_ours())
        )

    def create(self, image: str, command: object = None, **options: object) -> Container:
        """Make a container that does not run yet. As `run`."""
        from pyengine.containers import making

        record = making.create(self._house, self._options(image, command, options))
        return handle(self._house, record.spec.id)

    def _options(self, image: str, command: object, options: dict[str, object]) -> ContainerOptions:
        if self._owner != "process":
            options.setdefault("owner", self._owner)
        if self._userns and not options.keys() & {"userns", "userns_mode"}:
            options["userns"] = self._userns
        if self._best_effort:
            options.setdefault("best_effort", True)
        from pyengine.model.options import ContainerOptions

        return ContainerOptions.from_keywords(image, command, **options)

    def pull(self, reference: str, **options: Any) -> Image:
        """Bring an image from its registry. As `ImageCollection.pull`."""
        return self.images.pull(reference, **options)

    def build(self, context: object = ".", **options: object) -> NoReturn:
        """Not in this version: raises `Unsupported`."""
        raise Unsupported("building images", "builds are not built yet", _IMAGES)

    def login(self, registry: str, username: str, password: str) -> None:
        """Show *registry* who we are, and remember it where docker does, for pulls and pushes.

        Raises `Unauthorized`, `RegistryUnavailable`, `InvalidRequest`; then nothing is written.
        """
        from pyengine.containers import image_sources

        image_sources.login(self._house, registry, username, password)

    def logout(self, registry: str) -> bool:
        """Forget who we are to *registry*; whether anything was known. Raises as `login`."""
        from pyengine.containers import image_sources

        return image_sources.logout(self._house, registry)

    def serve(self, address: str | None = None) -> NoReturn:
        """Not in this version: raises `Unsupported`."""
        raise Unsupported("serving the Docker API", "it is not built yet", "use this object")

    # --- the engine itself ---

    def capabilities(self) -> Capabilities:
        """What this host allows, found out by trying; why not the rest, and what to do about it.

        It takes some hundredths of a second, once. Raises `StoreError` and `NotPermitted` for a
        root that cannot be used.
        """
        from pyengine.containers.capabilities import capabilities

        return capabilities(self._house)

    def disk_usage(self) -> DiskUsage:
        """What this root holds on disk; what several images share counts once (row O43)."""
        from pyengine.containers.disk_usage import disk_usage

        return disk_usage(self._house)

    def gc(self, *, max_bytes: int | None = None, older_than: float | None = None) -> PruneReport:
        """Free what nobody needs, and images that no container uses, as far as is said.

        Those go that were not used for *older_than* seconds; and while the images take more
        than *max_bytes* bytes, the one that was not used for longest. Containers and what they
        use stay. Raises `StoreError`.
        """
        self._house.enter()
        removed = self._house.images.gc(max_bytes, older_than)
        deleted = tuple(one.deleted for one in removed.removals if one.deleted)
        return PruneReport(deleted, removed.bytes)

    def check(self, *, repair: bool = False, quick: bool = False) -> list[Finding]:
        """Look through all images for damage, such as a disk, a power cut or a person does.

        With *repair* what can be is made good from what is there, and what cannot is removed, so
        that the next pull brings it. *quick*: neither the bytes of blobs nor the files of layers
        are read. Containers may run meanwhile. Raises `StoreError`.

        >>> [found.what for found in engine.check()]          # doctest: +SKIP
        []
        """
        from pyengine.images.mending import look

        self._house.enter()
        return look(self._house.images, repair=repair, quick=quick)

    def info(self) -> EngineInfo:
        """What this engine and its host are (row O41)."""
        from pyengine.containers.host_info import engine_info

        return engine_info(self._house)

    def version(self) -> VersionInfo:
        """Versions of the engine, its API, the kernel (row O42)."""
        from pyengine.containers.host_info import version_info

        return version_info()

    def events(
        self,
        *,
        since: object = None,
        until: object = None,
        filters: FilterTexts | None = None,
        timeout: float | None = None,
    ) -> EventStream:
        """What happens to the things of this root, as it happens, in whatever process (row O35).

        *since* and *until* are moments as in `Container.logs`; with them the past comes first,
        as far as it is remembered: the last thousands. Other processes may tell theirs a tenth
        of a second late. Raises `InvalidRequest` and `StoreError`, and while iterating
        `TimedOut`.
        """
        from pyengine.model.moments import parse_time

        self._house.enter()
        first = None if since is None else parse_time(since, "since") / 1e9
        last = None if until is None else parse_time(until, "until") / 1e9
        return self._house.events.stream(since=first, until=last, filters=filters, timeout=timeout)

    def close(self) -> None:
        """End and remove all containers of this process, and give everything back."""
        self._closer()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Engine({self.root!r})"


def close_house(house: House) -> None:
    """End what belongs to this process; once, and never in a fork of it."""
    if house.leases:
        from pyengine.containers.sharing import release_all

        release_all(house)
    if house.begin_close():
        try:
            ending.close(house)
        finally:
            house.end_close()


def _parse_userns(given: object) -> str:
    from pyengine.model.options_security import userns

    return userns(given)


def _registries(
    config: str | os.PathLike[str] | None, mirrors: Iterable[str], insecure: Iterable[str]
) -> RegistryWishes:
    """Raises `InvalidRequest` for what is no mirror and no registry."""
    from pyengine.images.endpoints import RegistrySettings

    path = None if config is None else os.fspath(config)
    wishes = RegistryWishes(path, tuple(mirrors), tuple(insecure))
    RegistrySettings(mirrors=wishes.mirrors, insecure=wishes.insecure)
    return wishes


def _logger(level: str) -> logging.Logger:
    import logging

    logger = logging.getLogger("pyengine")
    logger.setLevel(level.upper())
    return logger


def _require(house: House, features: Iterable[str]) -> None:
    wanted = (features,) if isinstance(features, str) else tuple(features)
    if wanted:
        from pyengine.containers.capabilities import require

        require(house, wanted)
