"""``update``: other limits for containers that are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyengine.cli.container_flags import UPDATE_FLAGS
from pyengine.cli.each import for_each
from pyengine.cli.request import keywords
from pyengine.cli.say import complain
from pyengine.cli.usage import COUNT_FAULT, UsageError
from pyengine.cli.verb import Call, Verb

if TYPE_CHECKING:
    from pyengine import Container


def update(call: Call) -> int:
    """Give each the limits that the flags name."""
    changes = keywords(call.given, UPDATE_FLAGS)
    if not changes:
        why = "you must provide one or more flags when using this command"
        raise UsageError(why, call.command, COUNT_FAULT)

    def one(container: Container) -> None:
        for warning in container.update(**changes):
            complain(warning)

    return for_each(call, one)


VERBS = {
    "update": Verb(
        "[OPTIONS] CONTAINER [CONTAINER...]",
        "Change the limits of containers",
        update,
        UPDATE_FLAGS,
        least=1,
        most=None,
    ),
}
