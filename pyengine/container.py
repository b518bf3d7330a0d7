"""A container, as its user holds it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn

from attrs import field, frozen

from pyengine.containers import (
    attaching,
    changes,
    changing,
    ending,
    executing,
    joining,
    looking,
    outputs,
    starting,
    waiting,
)
from pyengine.containers.join_options import join_options
from pyengine.errors import InvalidRequest, Unsupported
from pyengine.model import options_program as read
from pyengine.model.options_words import flag
from pyengine.process import Attached, Executed, Process

if TYPE_CHECKING:
    from pyengine.containers.house import House
    from pyengine.image import Image
    from pyengine.model.change import Change
    from pyengine.model.info import ContainerInfo
    from pyengine.model.log import LogLine
    from pyengine.model.process_info import ProcessInfo, ProcessTable
    from pyengine.model.result import Result
    from pyengine.model.state import ExitStatus, Status
    from pyengine.model.stats import Stats

__all__ = ["Container"]


@frozen
class Container:
    """A container, held by its id: there is nothing to reload, each question is asked anew.

    Handles of one container are equal, from whatever call they come, and may be shared between
    threads. ``with container:`` stops and removes it at the end.
    """

    id: str
    _house: House = field(repr=False, eq=False)

    # --- what it is ---

    @property
    def short_id(self) -> str:
        """The first 12 digits of its id."""
        return self.id[:12]

    @property
    def name(self) -> str:
        """Its name now. Raises `ContainerNotFound` once it is removed, as all the others do."""
        self._house.enter()
        return self._house.catalog.record(self.id).spec.name

    @property
    def status(self) -> Status:
        """``created``, ``running``, ``paused``, ``exited``, …: a str as well."""
        self._house.enter()
        return looking.status_of(self._house, self.id)

    @property
    def image(self) -> str:
        """Its image, as it was asked for."""
        self._house.enter()
        return self._house.catalog.record(self.id).spec.image

    @property
    def labels(self) -> dict[str, str]:
        """Its labels, the image's among them."""
        self._house.enter()
        return dict(self._house.catalog.record(self.id).spec.labels)

    def inspect(self, *, size: bool = False) -> ContainerInfo:
        """Everything there is to know of it, as it is now; with *size* how much it has written."""
        return looking.inspect(self._house, self.id, size=size)

    # --- life ---

    def start(
        self,
        *,
        timeout: float | None = None,
        owner: str | None = None,
        ready: object = None,
    ) -> None:
        """Start its program; *owner* ``"process"`` ties this run to the calling process.

        With *ready*, a condition of `pyengine.ready`, return when that is true; if the program
        ends before, or *timeout* seconds pass, it is ended and `NotReady` raised.

        Raises `WrongState` where it runs, and `ExecutableNotFound`, `NotExecutable`,
        `InvalidRequest` or `KernelError` where it cannot start; its state tells then too.
        A start takes milliseconds: *timeout* seconds are checked when it is done.
        """
        if ready is not None:
            from pyengine.containers.readiness import start_and_await

            start_and_await(self._house, self.id, ready, timeout, owner)
            return
        starting.start_in_time(self._house, self.id, timeout=timeout, owner=owner)

    def stop(self, timeout: float | None = None, *, signal: str | int | None = None) -> None:
        """Send it *signal* (default: its stop signal), and after *timeout* seconds SIGKILL.

        *timeout* is the container's own where it is not given (10 if that has none), and below
        zero for ever. One that does not run is left alone.
        """
        ending.stop(self._house, self.id, timeout, signal)

    def kill(self, signal: str | int = "SIGKILL") -> None:
        """Send it *signal*; SIGKILL ends everything in it, and returns when it has ended.

        Raises `WrongState` where it does not run.
        """
        ending.send(self._house, self.id, signal)

    def restart(self, timeout: float | None = None, *, signal: str | int | None = None) -> None:
        """`stop` it if it runs, then `start` it."""
        changing.restart(self._house, self.id, timeout, signal)

    def pause(self) -> None:
        """Freeze every process; `unpause` lets them go on. Raises `WrongState`."""
        changing.pause(self._house, self.id)

    def unpause(self) -> None:
        """Let a paused one go on. Raises `WrongState` where it is not paused."""
        changing.unpause(self._house, self.id)

    def wait(self, condition: str = "not-running", timeout: float | None = None) -> ExitStatus:
        """Wait until *condition*: ``not-running``, ``next-exit``, ``removed`` or ``healthy``.

        One that starts again by itself runs until it does not any more. Raises `TimedOut` after
        *timeout* seconds, and where it was to be healthy `NotReady` as soon as it ends.
        """
        return waiting.wait(self._house, self.id, condition, timeout)

    def remove(self, *, force: bool = False, volumes: bool = False) -> None:
        """Remove it with all it has written; *force* kills it first, *volumes* takes its
        anonymous volumes too (this version makes none). Raises `WrongState` where it runs.
        """
        flag(volumes, "volumes")
        ending.remove(self._house, self.id, force=flag(force, "force"))

    def rename(self, new: str) -> None:
        """Call it *new*. Raises `InvalidRequest` and `AlreadyExists`."""
        changing.rename(self._house, self.id, new)

    def update(self, **changes: object) -> tuple[str, ...]:
        """Change its limits, running or not: the resource options of ``run``, and ``restart``.

        Answers warnings. Raises `InvalidRequest`, `Unsupported`; then nothing has changed.
        """
        return changing.update(self._house, self.id, changes)

    def __enter__(self) -> Container:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        changing.stop_and_remove(self._house, self.id)

    # --- programs inside ---

    def exec(
        self,
        argv: str | list[str] | tuple[str, ...],
        *,
        env: object = None,
        env_file: object = None,
        workdir: str | None = None,
        user: str | int | None = None,
        stdin: object = None,
        tty: bool = False,
        privileged: bool = False,
        timeout: float | None = None,
        check: bool = False,
    ) -> Result:
        """Run a program inside, to its end.

        *env* goes over what *env_file*, a path or several, says, and that over the container's
        own. *stdin* is bytes, a text or a file. After *timeout* seconds everything it has
        started is killed and `TimedOut` raised, with what it had said. With *check* another exit
        code than 0 raises `ProgramFailed`. Raises `WrongState`, `ExecutableNotFound`,
        `NotExecutable` and `InvalidRequest`.
        """
        options = join_options(argv, env, env_file, workdir, user, tty, privileged)
        given = None if stdin is None else read.standard_input(stdin)
        result = executing.execute(self._house, self.id, options, stdin=given, timeout=timeout)
        return result.check() if check else result

    def popen(
        self,
        argv: str | list[str] | tuple[str, ...],
        *,
        env: object = None,
        env_file: object = None,
        workdir: str | None = None,
        user: str | int | None = None,
        stdin: bool = False,
        tty: bool = False,
        privileged: bool = False,
        console_size: tuple[int, int] | None = None,
    ) -> Process:
        """Start a program inside, and answer at once with its streams.

        With *stdin* it has an input to write to; with *tty* a terminal of *console_size* rows
        and columns. Raises as `exec`.
        """
        options = join_options(
            argv, env, env_file, workdir, user, tty, privileged, console_size, stdin
        )
        self._house.supervisor.begin()
        return Process(Executed(self._house, joining.join(self._house, self.id, options)))

    def exec_detached(
        self,
        argv: str | list[str] | tuple[str, ...],
        *,
        env: object = None,
        env_file: object = None,
        workdir: str | None = None,
        user: str | int | None = None,
        tty: bool = False,
        privileged: bool = False,
    ) -> int:
        """Start a program inside that nobody listens to, and answer its pid on the host.

        It ends with the container; where that belongs to nobody it outlives this process. Raises
        as `exec`, and `Unsupported` where the container's watcher cannot be asked.
        """
        options = join_options(argv, env, env_file, workdir, user, tty, privileged)
        return joining.join_detached(self._house, self.id, options)

    def attach(
        self, *, stdin: bool = False, stdout: bool = True, stderr: bool = True, logs: bool = False
    ) -> Process:
        """Hear the container's own program from now on, and with *stdin* write to it.

        Attached before its start, nothing it says is missed; with *logs* what it has said until
        now comes first. Raises `WrongState` and `Unsupported`.
        """
        attachment = attaching.attach(self._house, self.id, stdout=stdout, stderr=stderr, logs=logs)
        return Process(Attached(attachment, stdin=flag(stdin, "stdin")))

    def resize(self, rows: int, columns: int) -> None:
        """Tell its terminal how large it is. Raises `WrongState` where it has none."""
        attaching.resize(self._house, self.id, rows, columns)

    def top(self) -> list[ProcessInfo]:
        """Its processes. Raises `WrongState` where it does not run."""
        return looking.processes(self._house, self.id)

    def top_table(self, ps_args: str = "-ef") -> ProcessTable:
        """Its processes as ps(1) with *ps_args* would show them (row O17)."""
        from pyengine.containers.process_table import process_table

        return process_table(self.top(), ps_args)

    # --- output ---

    def logs(
        self,
        *,
        stdout: bool = True,
        stderr: bool = True,
        since: object = None,
        until: object = None,
        tail: int | str | None = None,
        timestamps: bool = False,
    ) -> str:
        """What it has said: the last *tail* lines of it, from *since* until *until*.

        Times are seconds since 1970, a `datetime.datetime`, or texts such as ``"10m"`` (ago) and
        RFC 3339. With *timestamps* each line begins with its own.
        """
        return outputs.text(
            self._house,
            self.id,
            stdout=stdout,
            stderr=stderr,
            since=since,
            until=until,
            tail=tail,
            timestamps=timestamps,
        )

    def read_logs(
        self,
        *,
        stdout: bool = True,
        stderr: bool = True,
        since: object = None,
        until: object = None,
        tail: int | str | None = None,
    ) -> Iterator[LogLine]:
        """What it has said, line by line; as `logs`."""
        return outputs.read(
            self._house, self.id, stdout=stdout, stderr=stderr, since=since, until=until, tail=tail
        )

    def follow_logs(
        self,
        *,
        stdout: bool = True,
        stderr: bool = True,
        since: object = None,
        until: object = None,
        tail: int | str | None = None,
        timeout: float | None = None,
    ) -> Iterator[LogLine]:
        """As `read_logs`, and then what it says until it ends. Raises `TimedOut`."""
        return outputs.follow(
            self._house,
            self.id,
            stdout=stdout,
            stderr=stderr,
            since=since,
            until=until,
            tail=tail,
            timeout=timeout,
        )

    # --- numbers, files ---

    def stats(self) -> Stats:
        """What it uses now, in one sample; all zero where it does not run."""
        return looking.stats(self._house, self.id)

    def watch_stats(self, interval: float = 1.0) -> Iterator[Stats]:
        """A sample every *interval* seconds, each compared with the one before, until it ends."""
        return looking.watch_stats(self._house, self.id, _interval(interval))

    def diff(self) -> list[Change]:
        """What it has changed of its image: added, changed and deleted paths (row O23)."""
        return changes.diff(self._house, self.id)

    # --- not in this version ---

    @property
    def ports(self) -> NoReturn:
        """Not in this version: raises `Unsupported`."""
        raise _not_built("ports", _NETWORKS)

    def port(self, port: object) -> NoReturn:
        """Not in this version: raises `Unsupported`."""
        raise _not_built(f"port({port!r})", _NETWORKS)

    def connect(self, port: object) -> NoReturn:
        """Not in this version: raises `Unsupported`."""
        raise _not_built(f"connect({port!r})", _NETWORKS)

    def copy_to(self, source: object, target: object) -> NoReturn:
        """Not in this version: raises `Unsupported`."""
        raise _not_built(f"copying {source!r} to {target!r}", _FILES)

    def copy_from(self, source: object, target: object) -> NoReturn:
        """Not in this version: raises `Unsupported`."""
        raise _not_built(f"copying {source!r} to {target!r}", _FILES)

    def put_archive(self, target: object, archive: object) -> NoReturn:
        """Not in this version: raises `Unsupported`."""
        raise _not_built(f"unpacking {archive!r} into {target!r}", _FILES)

    def get_archive(self, path: object) -> NoReturn:
        """Not in this version: raises `Unsupported`."""
        raise _not_built(f"packing {path!r}", _FILES)

    def path(self, path: object) -> NoReturn:
        """Not in this version: raises `Unsupported`."""
        raise _not_built(f"path({path!r})", _FILES)

    def export(self, target: object) -> NoReturn:
        """Not in this version: raises `Unsupported`."""
        raise _not_built(f"exporting to {target!r}", _FILES)

    def commit(
        self,
        tag: str | None = None,
        *,
        changes: Iterable[str] = (),
        pause: bool = True,
        author: str = "",
        message: str = "",
        durable: bool = True,
    ) -> Image:
        """Make an image of its image and of what it has written, with what it was told (row O24).

        *changes* are instructions of a Dockerfile, such as ``ENV A=1``. Of one that stands still
        the writable layer is taken over, however much is in it, and it goes on with another; of
        one that runs it is copied, while its programs stand still, unless *pause* is `False`.
        With *durable* it gets its name, and this returns, when it would survive a power cut; if
        not, the image can be used at once. What is in its volumes and binds is not in it.

        The image gets its final id when it leaves, by a push or a save: the digest of a layer is
        known once it is packed. Raises `InvalidRequest`, `ContainerNotFound`, `Unsupported` for
        a container of ``host:`` or ``rootfs:``, `StoreError`.
        """
        from pyengine.containers.committing import commit
        from pyengine.image import Image

        named = commit(
            self._house,
            self.id,
            tag=tag,
            changes=tuple(changes),
            pause=flag(pause, "pause"),
            author=author,
            message=message,
            durable=flag(durable, "durable"),
        )
        return Image(named.config, self._house)

    def snapshot(self) -> NoReturn:
        """Not in this version: raises `Unsupported`."""
        raise _not_built("snapshot()", _COPIES)

    def reset(self, snapshot: object) -> NoReturn:
        """Not in this version: raises `Unsupported`."""
        raise _not_built(f"reset({snapshot!r})", _COPIES)

    def fork(self, **options: object) -> NoReturn:
        """Not in this version: raises `Unsupported`."""
        raise _not_built(f"fork({', '.join(options)})", _COPIES)


_NETWORKS = "networks are not built yet", "use network='host', and its ports are the host's"
_FILES = "copying files is not built yet", "bind a directory of the host, or exec() tar inside"
_COPIES = "copies of containers are not built yet", "make another container"


def _not_built(feature: str, why: tuple[str, str]) -> Unsupported:
    return Unsupported(feature, *why)


def _interval(given: float) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 < given < 86_400:
        raise InvalidRequest("interval", given, expected="seconds above 0")
    return float(given)
