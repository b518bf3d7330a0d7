"""Which verbs there are, and the module of each: it is imported when its verb is called."""

from __future__ import annotations

from importlib import import_module

from pyengine.cli.verb import Verb

_MODULES = {
    "committing": "commit",
    "doctor": "doctor",
    "executing": "exec",
    "image_files": "save load import",
    "image_listing": "images history",
    "image_moving": "pull push",
    "image_names": "tag rmi",
    "inspecting": "inspect diff top",
    "life": "stop restart kill pause unpause wait rename rm",
    "listing": "ps",
    "login": "login logout",
    "logs": "logs",
    "running": "run create",
    "searching": "search",
    "starting": "start attach",
    "stats": "stats",
    "system": "version info events",
    "updating": "update",
}
VERBS = {verb: module for module, verbs in _MODULES.items() for verb in verbs.split()}
"""The module of each verb."""

COMMON = ("run", "exec", "ps", "logs", "stop", "rm", "inspect", "pull", "push", "images")
"""What the help shows first."""

_CONTAINER = (
    "attach commit create diff exec kill logs pause rename restart rm run start stats stop top "
    "unpause update wait"
)
_IMAGE = "history import load pull push save tag"
GROUPS: dict[str, tuple[str, dict[str, tuple[str, str]]]] = {
    "container": (
        "Manage containers",
        {
            **{verb: (VERBS[verb], verb) for verb in _CONTAINER.split()},
            "inspect": ("inspecting", "container inspect"),
            "ls": ("listing", "ps"),
            "prune": ("life", "prune"),
        },
    ),
    "image": (
        "Manage images",
        {
            **{verb: (VERBS[verb], verb) for verb in _IMAGE.split()},
            "inspect": ("inspecting", "image inspect"),
            "ls": ("image_listing", "images"),
            "prune": ("image_names", "image prune"),
            "rm": ("image_names", "rmi"),
        },
    ),
    "system": (
        "Manage the engine",
        {
            "check": ("disk", "system check"),
            "df": ("disk", "system df"),
            "events": ("system", "events"),
            "info": ("system", "info"),
            "prune": ("disk", "system prune"),
        },
    ),
}
"""What each group is for, and its verbs: the module, and the name there."""

_SYNONYMS = {
    ("container", "list"): "ls",
    ("container", "ps"): "ls",
    ("container", "remove"): "rm",
    ("image", "list"): "ls",
    ("image", "remove"): "rm",
}


def find(words: tuple[str, ...]) -> tuple[Verb, str, tuple[str, ...]] | None:
    """The verb that *words* begin with, how it was called, and the words after it."""
    first, *rest = words
    if first in GROUPS and rest:
        second = _SYNONYMS.get((first, rest[0]), rest[0])
        if (place := GROUPS[first][1].get(second)) is not None:
            return _verb(*place), f"{first} {rest[0]}", tuple(rest[1:])
        return _later(f"{first} {rest[0]}", tuple(rest[1:])) or _later(rest[0], tuple(rest[1:]))
    if first in VERBS:
        return _verb(VERBS[first], first), first, tuple(rest)
    return _later(first, tuple(rest))


def _verb(module: str, name: str) -> Verb:
    found = import_module(f"pyengine.cli.{module}").VERBS[name]
    assert isinstance(found, Verb)
    return found


def _later(name: str, rest: tuple[str, ...]) -> tuple[Verb, str, tuple[str, ...]] | None:
    from pyengine.cli.later import VERBS as LATER

    return (LATER[name], name, rest) if name in LATER else None


def aliases(command: str) -> list[str]:
    """Every way to call the verb that is called *command*."""
    group, _, verb = command.rpartition(" ")
    verb = _SYNONYMS.get((group, verb), verb)
    for one, (_, verbs) in GROUPS.items():
        for name, place in verbs.items():
            if (group or one, verb) in ((one, name), (one, place[1])) and place[1] in VERBS:
                again = [
                    f"{one} {other}"
                    for (g, other), to in _SYNONYMS.items()
                    if (g, to) == (one, name)
                ]
                return [f"pyengine {way}" for way in (f"{one} {name}", *again, place[1])]
    return []


def abouts(names: dict[str, tuple[str, str]]) -> dict[str, str]:
    """What each verb is for, by its name."""
    return {name: _verb(*place).about for name, place in names.items()}
