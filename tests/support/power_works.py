"""What an engine does while the power is cut: ``python -m support.power_works`` does it, and looks.

``work GIVEN ROOT RUN SEED SECONDS`` brings and makes images, tells of each on its standard output
(``try WHAT`` before, ``ack WHAT ID`` once the engine has said that it is done), and ends with its
standard input. ``look GIVEN ROOT RUN`` is told by its standard input what was acknowledged, and
answers what is wrong with the store that the cut left. GIVEN is a JSON file: see `Given`.
"""

from __future__ import annotations

import hashlib
import json
import random
import select
import sys
import time

from attrs import asdict, define, field, frozen

from pyengine import Engine, EngineError, ready
from pyengine.image import Image

USUAL = "the power may have been cut before its files were on the disk"
"""What is said of a layer that is unpacked again from its blob: nothing is lost."""

_PLACES = ("/dev", "/proc", "/sys", "/etc/host", "/etc/resolv", "/run", "/.dockerenv")
_FILES, _LARGE = 150, 2_000_000


@frozen
class Given:
    """Where images come from, and what is in them: sha256 by path, for each *content*."""

    registry: str
    archives: str
    pulls: int
    loads: int
    content: dict[str, dict[str, str]]


def given(path: str) -> Given:
    with open(path) as file:
        return Given(**json.load(file))


def name_of(what: str, given: Given) -> str:
    """What the image of a work is called."""
    kind, _, number = what.partition(":")
    return f"{given.registry}/{kind}{number}:1" if kind in ("base", "pull") else f"{kind}{number}:1"


def do(engine: Engine, what: str, given: Given) -> Image:
    """Bring or make that image."""
    kind, _, number = what.partition(":")
    match kind:
        case "base" | "pull":
            return engine.pull(name_of(what, given))
        case "load":
            return engine.images.load(f"{given.archives}/load{number}.tar")[0]
    shell = (
        f"mkdir /w; for i in $(seq {_FILES}); do echo {number}-$i > /w/$i; done;"
        f" head -c {_LARGE} /dev/zero | tr '\\0' {int(number) % 10} > /w/large; rm /etc/group"
    )
    base = name_of("base:", given)
    if kind == "moved":  # of one that stands still
        container = engine.create(base, ["sh", "-c", shell])
        container.start()
        container.wait()
    else:
        words = ["sh", "-c", f"{shell}; echo done; exec sleep 1000"]
        container = engine.start(base, words, ready=ready.log("done"))
    image = container.commit(name_of(what, given))
    container.remove(force=True)
    return image


def expected(what: str, given: Given) -> dict[str, str]:
    """sha256 by path of every file of that image."""
    kind, _, number = what.partition(":")
    if kind in ("base", "pull", "load"):
        return given.content[what]
    files = {f"/w/{i}": f"{number}-{i}\n".encode() for i in range(1, _FILES + 1)}
    files["/w/large"] = str(int(number) % 10).encode() * _LARGE
    found = {**given.content["base:"]}
    found.update({path: hashlib.sha256(data).hexdigest() for path, data in files.items()})
    del found["/etc/group"]
    return found


def work(engine: Engine, given: Given, seed: int, seconds: float) -> None:
    """Do one after the other for that long, with pauses; then wait."""
    choice = random.Random(seed)
    todo = [f"pull:{i}" for i in range(given.pulls)] + [f"load:{i}" for i in range(given.loads)]
    todo += [f"{kind}:{i}" for kind in ("moved", "copied") for i in range(5)]
    choice.shuffle(todo)
    end = time.monotonic() + seconds
    for what in ("base:", *todo):
        print("try", what, flush=True)
        print("ack", what, do(engine, what, given).id, flush=True)
        if time.monotonic() > end or _is_over(choice.uniform(0, 3) * choice.randrange(2)):
            break
    while not _is_over(None):
        pass


def _is_over(seconds: float | None) -> bool:
    """Wait so long for the end of standard input."""
    return bool(select.select([sys.stdin], [], [], seconds)[0])


@define
class Seen:
    """What was found after a cut."""

    damage: list[str] = field(factory=list)  # that nobody says is usual
    usual: int = 0
    wrong: list[str] = field(factory=list)  # images, acknowledged or only named
    failed: list[str] = field(factory=list)  # what could not be done again
    left: list[str] = field(factory=list)  # after a repair
    images: int = 0


def look(engine: Engine, given: Given, acked: dict[str, str], tried: list[str]) -> Seen:
    """What is wrong with the store: before anything was done, and after the same again."""
    seen = Seen()
    for found in engine.check():
        if found.what == USUAL:
            seen.usual += 1
        elif found.is_damage:
            seen.damage.append(f"{found.kind}: {found.path}: {found.what}")
    for what, image_id in acked.items():
        _tried(seen.wrong, what, lambda what=what, i=image_id: _check(engine, given, what, i))
    others = [what for what in tried if what not in acked]
    there = {tag for image in engine.images.list() for tag in image.tags}
    for what in others:
        if name_of(what, given) in there:
            _tried(seen.wrong, f"unacknowledged {what}", lambda w=what: _check(engine, given, w))
    for what in (*others, "moved:99"):
        _tried(seen.failed, what, lambda what=what: do(engine, what, given))
        _tried(seen.failed, what, lambda what=what: _check(engine, given, what))
    _tried(seen.failed, "listing", lambda: engine.containers.list(all=True))
    _tried(seen.failed, "containers", lambda: engine.containers.prune())
    _tried(seen.failed, "prune", lambda: engine.images.prune())
    seen.images = len(acked)
    engine.check(repair=True, quick=True)  # the bytes were looked at before
    seen.left = [f"{one.kind}: {one.path}: {one.what}" for one in engine.check(quick=True)]
    return seen


def _tried(told: list[str], what: str, function: object) -> None:
    try:
        said = function()  # type: ignore[operator]
    except (EngineError, OSError, AssertionError) as error:
        said = f"{type(error).__name__}: {error}"
    if isinstance(said, str) and said:
        told.append(f"{what}: {said}"[:600])


def _check(engine: Engine, given: Given, what: str, image_id: str = "") -> str:
    """What is wrong with an image, as its container sees it."""
    image = engine.images.get(name_of(what, given))
    if image_id and image.id != image_id:
        return f"it is {image.id}, and not {image_id}"
    find = "find / -type d \\( -path /proc -o -path /sys -o -path /dev \\) -prune -o"
    told = engine.run(image.id, ["sh", "-c", f"{find} -type f -exec sha256sum {{}} +"])
    if told.exit_code:
        return f"exit code {told.exit_code}: {told.stderr[:200]}"
    found = {}
    for line in told.stdout.splitlines():
        digest, _, path = line.partition("  ")
        if not path.startswith(_PLACES):
            found[path] = digest
    wanted = {p: d for p, d in expected(what, given).items() if not p.startswith(_PLACES)}
    wrong = sorted(p for p in {*found, *wanted} if found.get(p) != wanted.get(p))
    return f"{len(wrong)} files are wrong: {wrong[:3]}" if wrong else ""


def main() -> None:
    action, path, root, run, *more = sys.argv[1:]
    told = given(path)
    with Engine(root=root, run_root=run) as engine:
        if action == "work":
            work(engine, told, int(more[0]), float(more[1]))
        else:
            wanted = json.load(sys.stdin)
            print(json.dumps(asdict(look(engine, told, wanted["acked"], wanted["tried"]))))


if __name__ == "__main__":
    main()
