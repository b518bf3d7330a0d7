"""``exec``: another program inside a running container."""

from __future__ import annotations

from pyengine.cli import terminal
from pyengine.cli.attached import converse
from pyengine.cli.flags import Flag
from pyengine.cli.request import environment
from pyengine.cli.running import exit_code_of
from pyengine.cli.session import require_terminal, session, tell_size, watcher_of
from pyengine.cli.verb import Call, Verb
from pyengine.errors import EngineError

_NOT_STARTED = (126, 127)


def run(call: Call) -> int:
    """Run the program to its end, and end as it did."""
    given = call.given
    name, *argv = call.arguments
    if given.is_set("detach"):
        return _run_detached(call, name, argv)
    tty, reads = given.is_set("tty"), given.is_set("interactive")
    require_terminal(tty=tty, reads=reads)
    watcher = watcher_of(given, tty=tty and reads)
    with call.engine() as engine:
        process = engine.containers.get(name).popen(
            argv,
            env=environment(given.several("env")) or None,
            env_file=given.several("env-file") or None,
            workdir=given.text("workdir") or None,
            user=given.text("user") or None,
            stdin=reads,
            tty=tty,
            privileged=given.is_set("privileged"),
            console_size=terminal.size() if tty else None,
        )
        # signals are not passed on, as docker does not: they end the command, and so the program
        with process, session(tty=tty, reads=reads, forward=None, resize=process.resize):
            if tty:
                tell_size(process.resize)
            converse(process, reads=reads, watcher=watcher)
            return exit_code_of(process.wait())


def _run_detached(call: Call, name: str, argv: list[str]) -> int:
    given = call.given
    with call.engine() as engine:
        engine.containers.get(name).exec_detached(
            argv,
            env=environment(given.several("env")) or None,
            env_file=given.several("env-file") or None,
            workdir=given.text("workdir") or None,
            user=given.text("user") or None,
            tty=given.is_set("tty"),
            privileged=given.is_set("privileged"),
        )
    return 0


def _fault(error: EngineError) -> int:
    return error.exit_code if error.exit_code in _NOT_STARTED else 1


VERBS = {
    "exec": Verb(
        "[OPTIONS] CONTAINER COMMAND [ARG...]",
        "Run another program inside a running container",
        run,
        (
            Flag("detach", "bool", "Leave it running in the background", "d"),
            Flag(
                "detach-keys", "string", "Keys that let go of the program", default="ctrl-p,ctrl-q"
            ),
            Flag("env", "list", "Set a variable; a name alone hands on yours", "e"),
            Flag("env-file", "list", "Set the variables that a file lists"),
            Flag("interactive", "bool", "Keep standard input open", "i"),
            Flag("privileged", "bool", "Give the program every capability"),
            Flag("tty", "bool", "Give the program a terminal", "t"),
            Flag("user", "string", "Run as name|uid[:group|gid]", "u"),
            Flag("workdir", "string", "Working directory inside the container", "w"),
        ),
        least=2,
        most=None,
        interspersed=False,
        fault=_fault,
    ),
}
