"""``tag``, ``rmi`` and ``image prune``: names of images come and go."""

from __future__ import annotations

from pyengine.cli.filters import read_filters
from pyengine.cli.flags import Flag
from pyengine.cli.say import complain, say
from pyengine.cli.sure import is_sure
from pyengine.cli.verb import Call, Verb
from pyengine.errors import EngineError, ImageNotFound, Unsupported


def tag(call: Call) -> int:
    """Give an image another name."""
    source, target = call.arguments
    with call.engine() as engine:
        engine.images.tag(source, target)
    return 0


def remove(call: Call) -> int:
    """Take names away, and the images that have none then."""
    given = call.given
    if given.several("platform"):
        what = "rmi --platform"
        raise Unsupported(what, "an image is removed as a whole", "leave it out")
    if given.is_set("no-prune"):
        what = "rmi --no-prune"
        raise Unsupported(what, "there are no images between that could stay", "leave it out")
    force, code = given.is_set("force"), 0
    with call.engine() as engine:
        for name in call.arguments:
            try:
                removals = engine.images.remove(name, force=force)
            except EngineError as error:
                complain(str(error))
                if not (force and isinstance(error, ImageNotFound)):
                    code = 1
                continue
            for one in removals:
                say(f"Untagged: {one.untagged}" if one.untagged else f"Deleted: {one.deleted}")
    return code


def prune(call: Call) -> int:
    """Remove images without a name, or all that no container uses."""
    from pyengine import format_size

    given = call.given
    filters = read_filters(given.several("filter"))
    what = "all dangling images"
    if given.is_set("all"):
        filters["dangling"] = ["false"]
        what = "all images without at least one container associated to them"
    if not given.is_set("force") and not is_sure(f"This will remove {what}."):
        return 0
    with call.engine() as engine:
        report = engine.images.prune(filters)
    say_deleted(report.deleted)
    say(f"Total reclaimed space: {format_size(report.reclaimed)}")
    return 0


def say_deleted(deleted: tuple[str, ...]) -> None:
    """Print which images a prune has removed."""
    if deleted:
        say("Deleted Images:")
        for one in deleted:
            say(f"deleted: {one}")
        say("")


VERBS = {
    "tag": Verb(
        "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
        "Give an image another name",
        tag,
        least=2,
        most=2,
    ),
    "rmi": Verb(
        "[OPTIONS] IMAGE [IMAGE...]",
        "Remove images",
        remove,
        (
            Flag("force", "bool", "Also those with several names, or with stopped containers", "f"),
            Flag("no-prune", "bool", "Keep the images below that have no name"),
            Flag("platform", "stringSlice", "Remove only what is for this platform"),
        ),
        least=1,
        most=None,
    ),
    "image prune": Verb(
        "[OPTIONS]",
        "Remove images that nobody needs",
        prune,
        (
            Flag("all", "bool", "All that no container uses, not only those without a name", "a"),
            Flag("filter", "filter", "Only such images: label=…, label!=…, until=…"),
            Flag("force", "bool", "Do not ask", "f"),
        ),
    ),
}
