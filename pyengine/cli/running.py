"""``run`` and ``create``: a container made from a command line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attrs import frozen

from pyengine.cli import terminal
from pyengine.cli.attached import converse
from pyengine.cli.container_flags import CREATE_FLAGS, RUN_FLAGS
from pyengine.cli.flags import Given
from pyengine.cli.request import Request, read_request
from pyengine.cli.say import complain, say
from pyengine.cli.session import require_terminal, session, tell_size, watcher_of
from pyengine.cli.verb import Call, Verb
from pyengine.errors import ContainerNotFound, EngineError, InvalidRequest

if TYPE_CHECKING:
    from pyengine import Container, Engine, ExitStatus


@frozen
class Streams:
    """Which of the program's streams the command is joined to."""

    stdin: bool
    stdout: bool
    stderr: bool


def create(call: Call) -> int:
    """Make a container and print its id."""
    request = read_request(call.given)
    streams_of(call.given)
    owner = "none"
    with call.engine() as engine:
        say(_make(engine, call.given, request, owner).id)
    return 0


def run(call: Call) -> int:
    """Make a container, run its program to the end, and end as it did."""
    given = call.given
    request = read_request(given)
    if given.is_set("detach"):
        return _run_detached(call, request)
    streams, tty = streams_of(given), given.is_set("tty")
    require_terminal(tty=tty, reads=streams.stdin)
    watcher = watcher_of(given, tty=tty and streams.stdin)
    if tty and (size := terminal.size()) is not None:
        request.options["console_size"] = size
    removes = given.is_set("rm")
    # what shall start again outlives this command: then a keeper watches it from the beginning
    watched_by = "process" if given.text("restart") in ("", "no") else "none"
    with call.engine() as engine:
        container = _make(engine, given, request, "process" if removes else "none")
        forward = container.kill if given.is_set("sig-proxy", default=True) else None
        with session(tty=tty, reads=streams.stdin, forward=forward, resize=container.resize):
            process = container.attach(
                stdin=streams.stdin, stdout=streams.stdout, stderr=streams.stderr
            )
            try:
                container.start(owner=watched_by)
            except EngineError:
                if removes:
                    _remove(container)
                raise
            if tty:
                tell_size(container.resize)
            converse(process, reads=streams.stdin, watcher=watcher)
            status = process.wait()
        if removes:
            _await_removal(container)
    return exit_code_of(status)


def _run_detached(call: Call, request: Request) -> int:
    """Make a container, have its program started, and print its id."""
    given = call.given
    if given.several("attach"):
        why = "Conflicting options: -a (attach) and -d (detach) cannot be used together"
        raise InvalidRequest("attach", ",".join(given.several("attach")), why=why)
    with call.engine() as engine:
        container = _make(engine, given, request, "none")
        try:
            container.start(owner="none")
        except EngineError:
            if given.is_set("rm"):
                _remove(container)
            raise
    say(container.id)
    return 0


def exit_code_of(status: ExitStatus) -> int:
    """What the command ends with when the program has ended with *status*."""
    if status.error:
        complain(status.error)
    return status.exit_code


def streams_of(given: Given) -> Streams:
    """What ``-a`` and ``-i`` ask for: without ``-a`` the output, and with ``-i`` the input."""
    names = [name.lower() for name in given.several("attach")]
    for name in names:
        if name not in ("stdin", "stdout", "stderr"):
            raise InvalidRequest("attach", name, expected="stdin, stdout or stderr")
    reads = given.is_set("interactive")
    if not names:
        return Streams(reads, True, True)
    return Streams(reads and "stdin" in names, "stdout" in names, "stderr" in names)


def _make(engine: Engine, given: Given, request: Request, owner: str) -> Container:
    path = given.text("cidfile")
    if path and os.path.lexists(path):
        why = "container ID file found, make sure the other container isn't running or delete it"
        raise InvalidRequest("cidfile", path, why=why)
    options = {**request.options, "progress": _teller(given, request)}
    container = engine.create(request.image, request.command, owner=owner, **options)
    if path:
        _write_id(path, container)
    return container


def _teller(given: Given, request: Request) -> object:
    """Who tells of a pull."""
    if given.is_set("quiet"):
        return "none"
    from pyengine.cli.pulling import run_teller

    return run_teller(request.image, given.text("pull"))


def _write_id(path: str, container: Container) -> None:
    try:
        with open(path, "x", encoding="ascii") as file:
            file.write(container.id)
    except OSError as error:
        _remove(container)
        why = f"failed to write the container ID to it: {error.strerror}"
        raise InvalidRequest("cidfile", path, why=why) from error


def _remove(container: Container) -> None:
    try:
        container.remove(force=True)
    except ContainerNotFound:
        pass


def _await_removal(container: Container) -> None:
    try:
        container.wait("removed")
    except ContainerNotFound:
        pass


VERBS = {
    "run": Verb(
        "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        "Make a container and run its program",
        run,
        RUN_FLAGS,
        least=1,
        most=None,
        interspersed=False,
        fault=lambda error: error.exit_code,
    ),
    "create": Verb(
        "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        "Make a container that does not run yet",
        create,
        CREATE_FLAGS,
        least=1,
        most=None,
        interspersed=False,
    ),
}
