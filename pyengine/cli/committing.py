"""``commit``: an image of what a container has become."""

from __future__ import annotations

from pyengine.cli.flags import Flag
from pyengine.cli.say import say
from pyengine.cli.verb import Call, Verb


def commit(call: Call) -> int:
    """Make an image of a container, and print its id."""
    given = call.given
    name, *names = call.arguments
    pauses = given.is_set("pause", default=True) and not given.is_set("no-pause")
    with call.engine() as engine:
        image = engine.containers.get(name).commit(
            names[0] if names else None,
            changes=given.several("change"),
            pause=pauses,
            author=given.text("author"),
            message=given.text("message"),
        )
    say(image.id)
    return 0


VERBS = {
    "commit": Verb(
        "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
        "Make an image of what a container has become",
        commit,
        (
            Flag("author", "string", "Who made it", "a"),
            Flag("change", "list", "Instruction of a Dockerfile to apply, such as CMD", "c"),
            Flag("message", "string", "What its history says of it", "m"),
            Flag("no-pause", "bool", "Let the container go on meanwhile"),
            Flag("pause", "bool", "As --no-pause=false", "p", default="true", hidden=True),
        ),
        least=1,
        most=2,
    )
}
