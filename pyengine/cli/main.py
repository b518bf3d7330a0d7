"""The command ``pyengine``: which verb is meant, and how it ended."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from pyengine.cli import catalog
from pyengine.cli.flags import Flag, Given, parse
from pyengine.cli.interrupts import Interrupted, end_by, listen
from pyengine.cli.say import complain, say
from pyengine.cli.usage import COUNT_FAULT, TemplateError, UsageError
from pyengine.cli.verb import Call, Verb
from pyengine.errors import EngineError, InvalidRequest, Unsupported

if TYPE_CHECKING:
    from pyengine import Engine

_SIGPIPE = 13

_REMOTE = ("the engine is this process", "use docker's own command for other hosts")
_GLOBAL = (
    Flag("config", "string", "Directory of docker's settings (not read)", hidden=True),
    Flag("context", "string", "As docker's: only default", "c", hidden=True),
    Flag("debug", "bool", "As --log-level debug", "D"),
    Flag("host", "list", "As docker's: there is no other host", "H", hidden=True),
    Flag(
        "log-level",
        "string",
        "How much is told: debug, info, warn, error, fatal",
        "l",
        default="info",
    ),
    Flag("root", "string", "Directory in which the engine keeps what it has"),
    Flag("tls", "bool", "As docker's", hidden=True),
    Flag("tlscacert", "string", "As docker's", hidden=True),
    Flag("tlscert", "string", "As docker's", hidden=True),
    Flag("tlskey", "string", "As docker's", hidden=True),
    Flag("tlsverify", "bool", "As docker's", hidden=True),
    Flag("version", "bool", "Print the version, and no more", "v"),
)
_REFUSED = ("config", "host", "tls", "tlscacert", "tlscert", "tlskey", "tlsverify")


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the words of the command line say; answers the exit code."""
    listen()
    words = sys.argv[1:] if argv is None else argv
    try:
        return _main(words)
    except Interrupted as interrupted:
        return end_by(interrupted.number)
    except BrokenPipeError:  # whoever read what we say has gone: as if SIGPIPE had told us
        return end_by(_SIGPIPE)
    except (UsageError, TemplateError) as error:
        complain(str(error))
        return error.status
    except EngineError as error:
        complain(str(error))
        return COUNT_FAULT
    except OSError as error:
        complain(f"cannot write: {error.strerror}")
        return COUNT_FAULT


def _main(words: Sequence[str]) -> int:
    given = parse(words, _GLOBAL, command="pyengine", interspersed=False)
    if given.is_set("version"):
        say(f"pyengine version {_version()}")
        return 0
    _refuse(given)
    rest = given.arguments
    if rest[:1] == ("help",):
        rest, wants_help = rest[1:], True
    else:
        wants_help = given.is_set("help")
    if not rest:
        say(_overview(), end="")
        return 0
    found = catalog.find(rest)
    if found is None:
        return _unknown(rest)
    verb, name, after = found
    return _call(verb, f"pyengine {name}", ("--help",) if wants_help else after, given)


def _call(verb: Verb, command: str, words: tuple[str, ...], globals_: Given) -> int:
    if verb.flags is None:
        given = Given({"help": True} if words[:1] in (("--help",), ("-h",)) else {}, words)
    else:
        given = parse(words, verb.flags, command=command, interspersed=verb.interspersed)
    if given.is_set("help"):
        from pyengine.cli.help import verb_help

        aliases = catalog.aliases(command.removeprefix("pyengine "))
        say(verb_help(command, verb, aliases), end="")
        return 0
    verb.check_count(len(given.arguments), command)
    call = Call(command, given, partial(_open, globals_))
    try:
        return verb.act(call)
    except (UsageError, TemplateError):
        raise
    except EngineError as error:
        complain(str(error))
        return verb.fault(error)


def _open(given: Given) -> Engine:
    from pyengine import Engine

    level = "debug" if given.is_set("debug") else given.text("log-level") or None
    return Engine(given.text("root") or None, log_level=level)


def _refuse(given: Given) -> None:
    """`Unsupported` for what docker's command takes to reach other hosts and its settings."""
    for name in _REFUSED:
        if given.values.get(name):
            raise Unsupported(f"--{name}", *_REMOTE)
    if given.text("context", "default") not in ("default", ""):
        raise InvalidRequest("context", given.text("context"), expected="default")


def _unknown(words: tuple[str, ...]) -> int:
    if words[0] not in catalog.GROUPS:
        complain(f"'{words[0]}' is not a pyengine command.\nSee 'pyengine --help'")
        return COUNT_FAULT
    from pyengine.cli.help import group_help

    about, verbs = catalog.GROUPS[words[0]]
    says = group_help(f"pyengine {words[0]}", about, catalog.abouts(verbs))
    is_asked = words[1:] in ((), ("--help",), ("-h",))
    if not is_asked:
        complain(f"'{words[1]}' is not a command of 'pyengine {words[0]}'")
    say(says, end="")
    return 0 if is_asked else COUNT_FAULT


def _overview() -> str:
    from pyengine.cli.help import flag_lines, word_lines

    verbs = {name: (module, name) for name, module in catalog.VERBS.items()}
    every = catalog.abouts(verbs)
    common = {name: every.pop(name) for name in catalog.COMMON}
    groups = {name: about for name, (about, _) in catalog.GROUPS.items()}
    shown = [flag for flag in _GLOBAL if not flag.hidden]
    lines = [
        "",
        "Usage:  pyengine [OPTIONS] COMMAND",
        "",
        "A container engine that is this very process",
    ]
    lines += ["", "Common Commands:", *word_lines(common)]
    lines += ["", "Management Commands:", *word_lines(groups)]
    lines += ["", "Commands:", *word_lines(every)]
    lines += ["", "Global Options:", *flag_lines(shown)]
    lines += ["", "Run 'pyengine COMMAND --help' for more information on a command."]
    return "\n".join(lines) + "\n"


def _version() -> str:
    from pyengine import __version__

    return __version__
