"""A seat for a user without rights: what of this host they see, and nothing they could break.

All of it is arranged in namespaces of its own, so that the host's files stay as they are: the
checkout and this Python lie where they always do, but in reach, also where that is root's home.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
USER, NAME = 47120, "tester"
RANGE = f"{NAME}:1000000:65536\n"
"""What the user of tier ``subids`` may use besides their own id."""

HELPERS = ("newuidmap", "newgidmap")
NODES = ((1, 5), (1, 11), (5, 0))
"""Devices that tests need, and who runs them can make none."""

_NOTHING: Mapping[str, str] = {}
_SEARCH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


def run(place: Path, tier: str, command: Iterable[str], told: Mapping[str, str] = _NOTHING) -> int:
    """The exit code of *command*, run by the user of *tier* in a seat made in *place*.

    *told* are variables that it finds besides what it needs.
    """
    place.chmod(0o755)
    for name in ("home", "run", "tmp"):
        (place / name).mkdir(0o700)
        os.chown(place / name, USER, USER)
    _write_accounts(place / "etc", tier)
    _give(place / "for_tests")
    become = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--inh-caps=-all"]
    theirs = ["env", "-i", *_environment(place, tier)]
    theirs += [f"{name}={value}" for name, value in told.items()]
    # a shell stays, to be process 1: pytest has no children but its own
    script = "\n".join((*_script(place), shlex.join([*theirs, *become, *command]), "exit $?"))
    room = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child"]
    environment = {"PATH": f"{_SEARCH}:{os.environ.get('PATH', '')}"}
    return subprocess.run(
        [*room, "--mount-proc", "sh", "-uc", script], env=environment, cwd=CHECKOUT, check=False
    ).returncode


def _environment(place: Path, tier: str) -> Iterator[str]:
    path = _SEARCH if tier == "subids" else str(_without_helpers(place / "bin"))
    yield f"PATH={path}"
    yield f"HOME={place}/home"
    yield f"USER={NAME}"
    yield "LANG=C.UTF-8"
    yield f"XDG_RUNTIME_DIR={place}/run"
    yield f"TMPDIR={place}/tmp"
    yield f"PYTHONPATH={CHECKOUT}:{CHECKOUT}/tests"
    yield "PYTHONDONTWRITEBYTECODE=1"
    yield f"HYPOTHESIS_STORAGE_DIRECTORY={place}/tmp/hypothesis"
    yield f"PYENGINE_TIER={tier}"
    yield f"PYENGINE_GIVEN={place}/for_tests"


def _write_accounts(etc: Path, tier: str) -> None:
    etc.mkdir()
    lines = f"{NAME}:x:{USER}:{USER}::/nonexistent:/bin/sh\n", f"{NAME}:x:{USER}:\n"
    for name, line in zip(("passwd", "group"), lines, strict=True):
        (etc / name).write_text(Path("/etc", name).read_text() + line)
    for name in ("subuid", "subgid"):
        Path("/etc", name).touch()
        (etc / name).write_text(RANGE if tier == "subids" else "")


def _give(place: Path) -> None:
    """What tests.support.whoever hands out: devices, and a directory with a file system below."""
    (place / "shared/below").mkdir(parents=True)
    for major, minor in NODES:
        node = place / f"{major}:{minor}"
        os.mknod(node, 0o20666, os.makedev(major, minor))
        node.chmod(0o666)
        os.chown(node, USER, USER)  # or they could not link to it
    for path in (place, place / "shared"):
        os.chown(path, USER, USER)


def _without_helpers(place: Path) -> Path:
    """A directory of links to every program of this host, but those that map more ids."""
    place.mkdir()
    for directory in _SEARCH.split(":"):
        for name in os.listdir(directory) if os.path.isdir(directory) else ():
            if name not in HELPERS and not os.path.lexists(place / name):
                (place / name).symlink_to(f"{directory}/{name}")
    return place


def _script(place: Path) -> Iterator[str]:
    yield "set -e"
    for name in os.listdir(place / "etc"):
        yield f"mount --bind {place}/etc/{name} /etc/{name}"
    below = f"{place}/for_tests/shared/below"
    yield f"mount -t tmpfs -o mode=1777 below {below}\nmount --make-shared {below}"
    yield from _in_reach(place / "given", _wanted())
    yield f"cd {shlex.quote(str(CHECKOUT))}\nset +e"


def _wanted() -> list[Path]:
    """What a Python and the checkout consist of: none of these lies within another."""
    paths = {CHECKOUT, Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()}
    return [one for one in paths if not any(other in one.parents for other in paths)]


def _in_reach(stash: Path, wanted: list[Path]) -> Iterator[str]:
    """Cover each directory that is closed to others by one that has nothing but what is wanted."""
    closed = {above for path in wanted if (above := _closed_above(path)) is not None}
    hidden = [path for path in wanted if any(above in path.parents for above in closed)]
    for number, path in enumerate(hidden):
        (stash / str(number)).mkdir(parents=True)
        yield f"mount --rbind {shlex.quote(str(path))} {stash}/{number}"
    for above in closed:
        yield f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(above))}"
    for number, path in enumerate(hidden):
        yield f"mkdir -p {shlex.quote(str(path))}"
        yield f"mount --move {stash}/{number} {shlex.quote(str(path))}"


def _closed_above(path: Path) -> Path | None:
    """The topmost directory above *path* that others cannot look into."""
    for above in reversed(path.parents):
        if above.stat().st_mode & 0o005 != 0o005:
            return above
    return None
