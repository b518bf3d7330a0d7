"""``save``, ``load`` and ``import``: images and file systems as archives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from pyengine.cli.flags import Flag
from pyengine.cli.image_moving import platform_of
from pyengine.cli.pulling import Teller
from pyengine.cli.say import STDOUT, say
from pyengine.cli.terminal import STDIN, is_terminal
from pyengine.cli.usage import COUNT_FAULT, UsageError
from pyengine.cli.verb import Call, Verb
from pyengine.errors import InvalidRequest, Unsupported


def save(call: Call) -> int:
    """Write images as an archive, to a file or to standard output."""
    given = call.given
    platform = _platform(call, "save")
    path = given.text("output")
    if not path and is_terminal(STDOUT):
        why = "cowardly refusing to save to a terminal. Use the -o flag or redirect"
        raise UsageError(why, call.command, COUNT_FAULT)
    with call.engine() as engine:
        if path:
            engine.images.save(call.arguments, path, platform=platform)
            return 0
        with open(STDOUT, "wb", closefd=False) as out:
            engine.images.save(call.arguments, out, platform=platform)
    return 0


def load(call: Call) -> int:
    """Bring the images of an archive, from a file or from standard input."""
    given = call.given
    platform = _platform(call, "load")
    path = given.text("input")
    if not path and is_terminal(STDIN):
        why = "requested load from stdin, but stdin is empty"
        raise UsageError(why, call.command, COUNT_FAULT)
    shows = not given.is_set("quiet") and is_terminal(STDOUT)
    with call.engine() as engine, _source(path or "-") as source:
        found = engine.images.load(
            source,
            platform=platform,
            progress=Teller(steps=False) if shows else None,
        )
    for image in found:
        say(f"Loaded image: {image.name}" if image.name else f"Loaded image ID: {image.id}")
    return 0


def _platform(call: Call, verb: str) -> str | None:
    """The one platform that is asked for."""
    platforms = call.given.several("platform")
    if len(platforms) > 1:
        what = f"{verb} --platform with several"
        raise Unsupported(what, "it is one, or all", f"{verb} once for each")
    return platforms[0] if platforms else None


def import_(call: Call) -> int:
    """Make an image of a file system's archive, and print its id."""
    given = call.given
    source, *names = call.arguments
    if source.startswith(("http://", "https://", "ftp://")):
        what, why = "import from a URL", "the engine fetches nothing but images"
        raise Unsupported(what, why, "fetch it, and pipe it into 'import -'")
    with call.engine() as engine, _source(source) as opened:
        image = engine.images.import_(
            opened,
            tag=names[0] if names else None,
            changes=given.several("change"),
            message=given.text("message"),
            platform=platform_of(call) or None,
        )
    say(image.id)
    return 0


@contextmanager
def _source(path: str) -> Iterator[str | IO[bytes]]:
    """*path*, or what comes on standard input for ``-``."""
    if path != "-":
        yield path
        return
    if is_terminal(STDIN):
        raise InvalidRequest("source", path, why="standard input is a terminal")
    with open(STDIN, "rb", closefd=False) as file:
        yield file


_PLATFORMS = Flag("platform", "stringSlice", "Only what is for this platform")

VERBS = {
    "save": Verb(
        "[OPTIONS] IMAGE [IMAGE...]",
        "Write images as an archive",
        save,
        (Flag("output", "string", "Write to a file, not to standard output", "o"), _PLATFORMS),
        least=1,
        most=None,
    ),
    "load": Verb(
        "[OPTIONS]",
        "Bring the images of an archive",
        load,
        (
            Flag("input", "string", "Read from a file, not from standard input", "i"),
            _PLATFORMS,
            Flag("quiet", "bool", "Do not show how far it is", "q"),
        ),
    ),
    "import": Verb(
        "[OPTIONS] file|- [REPOSITORY[:TAG]]",
        "Make an image of a file system's archive",
        import_,
        (
            Flag("change", "list", "Instruction of a Dockerfile to apply, such as CMD", "c"),
            Flag("message", "string", "What its history says of it", "m"),
            Flag("platform", "string", "System and processor it is for"),
        ),
        least=1,
        most=2,
    ),
}
