"""The verbs of a container's life: stop, restart, kill, pause, unpause, wait, rm, prune."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyengine.cli.each import for_each
from pyengine.cli.filters import read_filters
from pyengine.cli.flags import Flag
from pyengine.cli.say import say
from pyengine.cli.sure import is_sure
from pyengine.cli.verb import Call, Verb
from pyengine.errors import ContainerNotFound, Unsupported

if TYPE_CHECKING:
    from pyengine import Container

_SIGNAL = Flag("signal", "string", "Signal to send", "s")
_TIMEOUT = Flag("timeout", "int", "Seconds until it is killed; -1: never", "t")
_TIME = Flag("time", "int", "As --timeout", hidden=True)


def stop(call: Call) -> int:
    """Ask each to end, and end it when its time is up."""
    timeout, signal = _patience(call)
    return for_each(call, lambda container: container.stop(timeout, signal=signal))


def restart(call: Call) -> int:
    """Ask each to end, end it when its time is up, and start it again."""
    timeout, signal = _patience(call)
    return for_each(call, lambda container: container.restart(timeout, signal=signal))


def kill(call: Call) -> int:
    """Send each a signal."""
    signal = call.given.text("signal") or "SIGKILL"
    return for_each(call, lambda container: container.kill(signal))


def pause(call: Call) -> int:
    """Freeze each."""
    return for_each(call, lambda container: container.pause())


def unpause(call: Call) -> int:
    """Let each go on."""
    return for_each(call, lambda container: container.unpause())


def wait(call: Call) -> int:
    """Wait until each has ended, and print how."""
    return for_each(call, lambda container: str(container.wait().exit_code))


def rename(call: Call) -> int:
    """Call a container something else."""
    name, new = call.arguments
    with call.engine() as engine:
        engine.containers.get(name).rename(new)
    return 0


def remove(call: Call) -> int:
    """Remove each."""
    given = call.given
    if given.is_set("link"):
        raise Unsupported("rm --link", "networks are not built yet", "leave it out")
    force, volumes = given.is_set("force"), given.is_set("volumes")

    def one(container: Container) -> None:
        container.remove(force=force, volumes=volumes)

    # what is gone already needs no more force
    return for_each(call, one, forgives=ContainerNotFound if force else None)


def prune(call: Call) -> int:
    """Remove every container that does not run."""
    from pyengine import format_size

    given = call.given
    filters = read_filters(given.several("filter"))
    if not given.is_set("force") and not is_sure("This will remove all stopped containers."):
        return 0
    with call.engine() as engine:
        report = engine.containers.prune(filters)
    if report.deleted:
        say("Deleted Containers:\n" + "\n".join(report.deleted) + "\n")
    say(f"Total reclaimed space: {format_size(report.reclaimed)}")
    return 0


def _patience(call: Call) -> tuple[int | None, str | None]:
    """Seconds (`None`: the container's own) and the signal (`None`: its own)."""
    timeout = call.given.number("timeout")
    if timeout is None:
        timeout = call.given.number("time")
    return timeout, call.given.text("signal") or None


_MANY = "CONTAINER [CONTAINER...]"

VERBS = {
    "stop": Verb(
        f"[OPTIONS] {_MANY}",
        "Ask containers to end, and end them",
        stop,
        (_SIGNAL, _TIMEOUT, _TIME),
        least=1,
        most=None,
    ),
    "restart": Verb(
        f"[OPTIONS] {_MANY}",
        "Stop containers and start them again",
        restart,
        (_SIGNAL, _TIMEOUT, _TIME),
        least=1,
        most=None,
        fault=lambda error: error.exit_code,
    ),
    "kill": Verb(
        f"[OPTIONS] {_MANY}",
        "Send containers a signal, SIGKILL if no other",
        kill,
        (_SIGNAL,),
        least=1,
        most=None,
    ),
    "pause": Verb(_MANY, "Freeze all programs of containers", pause, least=1, most=None),
    "unpause": Verb(_MANY, "Let frozen containers go on", unpause, least=1, most=None),
    "wait": Verb(_MANY, "Wait for containers to end, and print how", wait, least=1, most=None),
    "rename": Verb(
        "CONTAINER NEW_NAME", "Call a container something else", rename, least=2, most=2
    ),
    "rm": Verb(
        f"[OPTIONS] {_MANY}",
        "Remove containers, with what they have written",
        remove,
        (
            Flag("force", "bool", "End those that run", "f"),
            Flag("link", "bool", "Remove a link instead", "l"),
            Flag("volumes", "bool", "Remove their anonymous volumes too", "v"),
        ),
        least=1,
        most=None,
    ),
    "prune": Verb(
        "[OPTIONS]",
        "Remove every container that does not run",
        prune,
        (
            Flag("filter", "filter", "Only such containers: label=…, label!=…, until=…"),
            Flag("force", "bool", "Do not ask", "f"),
        ),
    ),
}
