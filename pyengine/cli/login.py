"""``login`` and ``logout``: who we are to registries."""

from __future__ import annotations

import sys

from pyengine.cli.flags import Flag
from pyengine.cli.say import STDERR, encoded, say, write
from pyengine.cli.terminal import STDIN, is_terminal
from pyengine.cli.usage import COUNT_FAULT, UsageError
from pyengine.cli.verb import Call, Verb
from pyengine.errors import InvalidRequest

_HUB = "docker.io"
_LONGEST = 1 << 20  # bytes of a password: tokens are long, and no more than that


def login(call: Call) -> int:
    """Show a registry who we are, and have it remembered."""
    given = call.given
    registry = call.arguments[0] if call.arguments else _HUB
    username, password = given.text("username"), given.text("password")
    if given.is_set("password-stdin"):
        if password:
            why = "--password and --password-stdin are mutually exclusive"
            raise UsageError(why, call.command, COUNT_FAULT)
        if not username:
            raise UsageError("must provide --username with --password-stdin", call.command, 1)
        password = _from_stdin()
    elif password:
        warning = "WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n"
        write(encoded(warning), STDERR)
    username = username or _asked("Username: ")
    password = password or _asked_for_secret()
    with call.engine() as engine:
        engine.login(registry, username, password)
    say("Login Succeeded")
    return 0


def _from_stdin() -> str:
    text = sys.stdin.read(_LONGEST + 1)
    if len(text) > _LONGEST:
        raise InvalidRequest("password", f"{len(text)} characters", why="it is too long")
    return text.removesuffix("\n").removesuffix("\r")


def _asked(prompt: str) -> str:
    _require_terminal()
    write(encoded(prompt), STDERR)
    if answer := sys.stdin.readline().strip():
        return answer
    raise InvalidRequest("username", "", why="it is empty")


def _asked_for_secret() -> str:
    from getpass import getpass

    _require_terminal()
    if answer := getpass("Password: "):
        return answer
    raise InvalidRequest("password", "", why="it is empty")


def _require_terminal() -> None:
    if not is_terminal(STDIN):
        why = "cannot perform an interactive login from a non TTY device"
        raise InvalidRequest("login", "standard input", why=why, expected="--password-stdin")


def logout(call: Call) -> int:
    """Have forgotten who we are to a registry."""
    registry = call.arguments[0] if call.arguments else _HUB
    with call.engine() as engine:
        known = engine.logout(registry)
    say(f"Removing login credentials for {registry}" if known else f"Not logged in to {registry}")
    return 0


VERBS = {
    "login": Verb(
        "[OPTIONS] [SERVER]",
        "Log in to a registry",
        login,
        (
            Flag("password", "string", "Password or token (everybody on this host sees it)", "p"),
            Flag("password-stdin", "bool", "Read the password from standard input"),
            Flag("username", "string", "User's name", "u"),
        ),
        most=1,
    ),
    "logout": Verb("[SERVER]", "Log out from a registry", logout, most=1),
}
