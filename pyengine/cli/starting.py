"""``start`` and ``attach``: the program that a container has already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyengine.cli.attached import converse
from pyengine.cli.each import for_each
from pyengine.cli.flags import Flag
from pyengine.cli.running import exit_code_of
from pyengine.cli.say import complain
from pyengine.cli.session import require_terminal, session, tell_size, watcher_of
from pyengine.cli.usage import FLAG_FAULT
from pyengine.cli.verb import Call, Verb
from pyengine.errors import InvalidRequest, Unsupported, WrongState

if TYPE_CHECKING:
    from pyengine import Container

_DETACH_KEYS = Flag(
    "detach-keys", "string", "Keys that let go of the container", default="ctrl-p,ctrl-q"
)
_SIG_PROXY = Flag("sig-proxy", "bool", "Pass signals on to the program", default="true")


def start(call: Call) -> int:
    """Start containers, or start one and be its command until it ends."""
    given = call.given
    for name in ("checkpoint", "checkpoint-dir"):
        if given.text(name):
            raise Unsupported(f"start --{name}", "checkpoints are not built yet", "leave it out")
    interactive = given.is_set("interactive")
    if not given.is_set("attach") and not interactive:
        return for_each(call, _start_detached)
    if len(call.arguments) > 1:
        raise InvalidRequest("containers", call.arguments, why="only one can be attached to")
    with call.engine() as engine:
        container = engine.containers.get(call.arguments[0])
        spec = container.inspect().spec
        tty, reads = spec.tty, interactive and spec.open_stdin
        require_terminal(tty=tty, reads=reads)
        watcher = watcher_of(given, tty=tty and reads)
        if container.status in ("running", "paused"):
            raise WrongState(container.name, str(container.status), "start")
        with session(tty=tty, reads=reads, forward=container.kill, resize=container.resize):
            process = container.attach(stdin=reads)
            container.start(owner="process")
            if tty:
                tell_size(container.resize)
            converse(process, reads=reads, watcher=watcher)
            return exit_code_of(process.wait())


def attach(call: Call) -> int:
    """Join the streams of a running container, and end as its program does."""
    given = call.given
    with call.engine() as engine:
        container = engine.containers.get(call.arguments[0])
        spec = container.inspect().spec
        if container.status != "running":
            hint = "you cannot attach to a stopped container, start it first"
            raise WrongState(container.name, str(container.status), "attach to", hint)
        tty, reads = spec.tty, spec.open_stdin and not given.is_set("no-stdin")
        require_terminal(tty=tty, reads=reads)
        watcher = watcher_of(given, tty=tty and reads)
        proxies = given.is_set("sig-proxy", default=True) and not tty
        forward = container.kill if proxies else None
        process = container.attach(stdin=reads)
        with session(tty=tty, reads=reads, forward=forward, resize=container.resize):
            if tty:
                tell_size(container.resize)
            if not converse(process, reads=reads, watcher=watcher, may_leave=True):
                complain("read escape sequence")
                return 0
            return exit_code_of(process.wait())


def _start_detached(container: Container) -> None:
    if container.status != "running":  # docker starts what runs without a word (row O02)
        container.start(owner="none")


VERBS = {
    "start": Verb(
        "[OPTIONS] CONTAINER [CONTAINER...]",
        "Start containers' programs again",
        start,
        (
            Flag("attach", "bool", "Join its output, and pass signals on", "a"),
            Flag("checkpoint", "string", "Go on from this checkpoint"),
            Flag("checkpoint-dir", "string", "Where checkpoints are"),
            _DETACH_KEYS,
            Flag("interactive", "bool", "Hand it what is read here", "i"),
        ),
        least=1,
        most=None,
        fault=lambda error: FLAG_FAULT if isinstance(error, Unsupported) else 1,
    ),
    "attach": Verb(
        "[OPTIONS] CONTAINER",
        "Join the streams of a running container",
        attach,
        (
            _DETACH_KEYS,
            Flag("no-stdin", "bool", "Hand it nothing that is read here"),
            _SIG_PROXY,
        ),
        least=1,
        most=1,
    ),
}
