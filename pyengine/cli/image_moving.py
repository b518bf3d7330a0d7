"""``pull`` and ``push``: images come from registries, and go there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pyengine.cli.flags import Flag
from pyengine.cli.pulling import Teller
from pyengine.cli.say import say
from pyengine.cli.verb import Call, Verb
from pyengine.errors import InvalidRequest, Unsupported

if TYPE_CHECKING:
    from pyengine import Reference


def pull(call: Call) -> int:
    """Bring an image, or all that a repository has."""
    given = call.given
    quiet, every = given.is_set("quiet"), given.is_set("all-tags")
    reference = _named(call, every)
    with call.engine() as engine:
        engine.pull(
            reference.familiar,
            platform=platform_of(call) or None,
            all_tags=every,
            progress=None if quiet else Teller(),
        )
    say(str(reference))
    return 0


def push(call: Call) -> int:
    """Send an image, or all tags of a repository."""
    given = call.given
    if given.text("platform"):
        what = "push --platform"
        raise Unsupported(what, "an image is pushed as it is here", "pull that platform and tag it")
    every = given.is_set("all-tags")
    reference = _named(call, every)
    quiet = given.is_set("quiet")
    with call.engine() as engine:
        engine.images.push(
            reference.familiar,
            all_tags=every,
            progress=None if quiet else Teller(pushing=True),
        )
    if quiet:
        say(str(reference))
    return 0


def _named(call: Call, every: bool) -> Reference:
    """What the one argument names; without a tag it is ``latest``, and that is said."""
    from pyengine import Reference

    reference = Reference.parse(call.arguments[0])
    if every:
        if reference.tag or reference.digest:
            why = "tag can't be used with --all-tags/-a"
            raise InvalidRequest("reference", call.arguments[0], why=why)
        return reference
    if not reference.tag and not reference.digest:
        reference = reference.with_default_tag()
        if not call.given.is_set("quiet"):
            say(f"Using default tag: {reference.tag}")
    return reference


def platform_of(call: Call) -> str:
    """The platform that is asked for, by the flag or as docker's environment says."""
    return call.given.text("platform") or os.environ.get("DOCKER_DEFAULT_PLATFORM", "")


_ALL_TAGS = Flag("all-tags", "bool", "All tags of the repository", "a")
_QUIET = Flag("quiet", "bool", "Do not show how far it is", "q")

VERBS = {
    "pull": Verb(
        "[OPTIONS] NAME[:TAG|@DIGEST]",
        "Bring an image from its registry",
        pull,
        (_ALL_TAGS, Flag("platform", "string", "System and processor it is for"), _QUIET),
        least=1,
        most=1,
    ),
    "push": Verb(
        "[OPTIONS] NAME[:TAG]",
        "Send an image to its registry",
        push,
        (_ALL_TAGS, Flag("platform", "string", "Only what is for this platform"), _QUIET),
        least=1,
        most=1,
    ),
}
