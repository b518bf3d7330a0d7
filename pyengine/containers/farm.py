"""A root made of many pieces, where the kernel refuses one overlay over all of the host's.

Who is not root copies the host's mounts locked: a layer would show what they cover, so no
directory with a mount below it can be one (mount_namespaces(7)). But those beside them can. Each
gets an overlay of its own; what is between them, the directories and links that lead there, is
written to the container's own layer when it is made.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator

from attrs import field, frozen

from pyengine.containers.surroundings import Root
from pyengine.containers.sweeper import remove
from pyengine.errors import Unsupported
from pyengine.linux import plan as p
from pyengine.linux.mounts import parse_mountinfo
from pyengine.linux.plan import Step, texts
from pyengine.model.record import Farm
from pyengine.store import records

MOST_PIECES = 1000
"""So many are mounted at most: each takes some 50 µs when a container starts."""

_ALWAYS_OURS = ("/proc", "/sys", "/dev")
_EVERYBODY_S = ("/var/tmp",)
_LARGEST_COPY = 1 << 20


@frozen
class Piece:
    """An entry of the root: a ``layer``, an ``empty`` directory, a ``link`` or a ``copy``.

    A ``split`` directory holds further pieces, and a ``file`` is one too large to be copied, or
    one that cannot be read. *mode* is that of a directory or a copy, *target* where a link leads.
    """

    path: str
    kind: str
    mode: int = 0o755
    target: str = field(default="", repr=False)


def survey(directory: str, covered: frozenset[str]) -> Iterator[Piece]:
    """What a root like *directory* is made of; *covered* are the places where mounts are.

    What one may not look into is an empty directory, for so it would be in a layer.
    """
    above = {at for path in covered for at in _ancestors(path)}
    yield from _survey(directory, "", covered | frozenset(_ALWAYS_OURS), above)


def _ancestors(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _survey(
    directory: str, below: str, covered: frozenset[str], above: set[str]
) -> Iterator[Piece]:
    try:
        entries = sorted(os.scandir(f"{directory}{below}/"), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        path = f"{below}/{entry.name}"
        try:
            status = entry.stat(follow_symlinks=False)
            found, mode = status.st_mode, stat.S_IMODE(status.st_mode)
            if stat.S_ISLNK(found):
                yield Piece(path, "link", target=os.readlink(directory + path))
        except OSError:
            continue
        if stat.S_ISREG(found):
            is_copied = status.st_size <= _LARGEST_COPY and os.access(directory + path, os.R_OK)
            yield Piece(path, "copy" if is_copied else "file", mode)
        elif stat.S_ISDIR(found):
            if path in above and path not in covered:
                yield Piece(path, "split", mode)
                yield from _survey(directory, path, covered, above)
            else:
                is_layer = path not in covered and _has_entries(directory + path)
                yield Piece(path, "layer" if is_layer else "empty", mode)


def _has_entries(directory: str) -> bool:
    """Whether it has some that can be seen and reached."""
    try:
        with os.scandir(directory) as entries:
            return os.access(directory, os.X_OK) and next(entries, None) is not None
    except OSError:
        return False


def survey_host() -> tuple[Piece, ...]:
    """`survey` of this host. Raises `Unsupported` where it is made of too many pieces."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        covered = frozenset(mount.path for mount in parse_mountinfo(file.read())) - {"/"}
    pieces = tuple(survey("", covered))
    if len(pieces) > MOST_PIECES:
        missing = f"mounts cut it into {len(pieces)} pieces, more than {MOST_PIECES}"
        raise Unsupported("image 'host:' without root", missing, "use rootfs:/directory")
    return pieces


def farm_of(pieces: Iterable[Piece], store: str) -> Farm:
    """What of *pieces* is mounted; *store* is where containers lie."""
    layers, files = [], []
    for piece in pieces:
        if piece.kind == "layer":
            layers.append(piece.path)
        elif piece.kind == "file":
            files.append(piece.path)
    nested = tuple(path for path in layers if f"{store}/".startswith(f"{path}/"))
    return Farm(tuple(layers), tuple(files), nested)


def lay_ground(pieces: Iterable[Piece], upper: str) -> None:
    """Make in *upper* what is between the pieces that are mounted. Raises `StoreError`."""
    try:
        for piece in pieces:
            path = upper + piece.path
            if piece.kind == "link":
                os.symlink(piece.target, path)
            elif piece.kind in ("file", "copy"):
                _make_file(piece, path)
            else:
                os.mkdir(path)
                os.chmod(path, piece.mode | 0o700)
        for path in _EVERYBODY_S:  # its owner is nobody inside, so nothing could be made there
            above = upper + os.path.dirname(path)
            if os.path.isdir(above) and os.path.isdir(path) and not os.path.islink(path):
                os.makedirs(upper + path, exist_ok=True)
                os.chmod(upper + path, 0o1777)
    except OSError as error:
        records.refuse(upper, error)


def _make_file(piece: Piece, path: str) -> None:
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        if piece.kind == "copy":
            with open(piece.path, "rb") as file:
                while data := file.read(_LARGEST_COPY):
                    os.write(fd, data)
            os.fchmod(fd, piece.mode & 0o777)
    finally:
        os.close(fd)


def taken_away(farm: Farm, upper: str) -> Iterator[str]:
    """What `lay_ground` has put in *upper* that is there no more."""
    for directory in sorted({os.path.dirname(path) for path in (*farm.layers, *farm.files)}):
        if os.path.isdir(upper + directory):
            for name in _names(directory):
                path = os.path.join(directory, name)
                if not os.path.lexists(upper + path):
                    yield path


def _names(directory: str) -> Iterator[str]:
    with os.scandir(directory) as entries:
        for entry in entries:
            is_file = entry.is_file(follow_symlinks=False)
            if is_file or entry.is_symlink() or entry.is_dir(follow_symlinks=False):
                yield entry.name


def is_as_laid(upper: str, path: str) -> bool:
    """Whether what is at *path* in *upper* is what `lay_ground` has put there.

    Of a directory that says nothing about what is in it.
    """
    try:
        here, there = os.lstat(upper + path), os.lstat(path)
        if stat.S_IFMT(here.st_mode) != stat.S_IFMT(there.st_mode):
            return False
        if stat.S_ISLNK(here.st_mode):
            return os.readlink(upper + path) == os.readlink(path)
        if stat.S_ISREG(here.st_mode) and here.st_size:
            with open(upper + path, "rb") as ours, open(path, "rb") as theirs:
                return ours.read() == theirs.read()
    except OSError:
        return False
    return True


def renew_work(farm: Farm, work: str) -> None:
    """Give each overlay an empty work directory, whatever the last of its mounts has left there.

    Raises `StoreError`.
    """
    try:
        for number in range(len(farm.layers)):
            path = f"{work}/{number}"
            if os.path.isdir(path):
                remove(path)
            os.mkdir(path, 0o700)
    except OSError as error:
        records.refuse(work, error)


def farm_steps(root: Root, farm: Farm, marks: int) -> Iterator[Step]:
    """The pieces, put where they are on the host; overlays have *marks*."""
    flags = marks | (p.OVERLAY_VOLATILE if root.volatile else 0)
    yield Step("bind", source=root.upper, kind="private", doing="mount the container's root")
    yield Step("root", target=root.mountpoint, doing=f"put its root on {root.mountpoint}")
    for number, path in enumerate(farm.layers):
        doing = f"mount the container's {path} over the host's"
        over, lowers = 0, texts((path,))
        if path in farm.nested:
            inner = marks | p.OVERLAY_OVER_AT | p.OVERLAY_READONLY
            yield _NOTHING
            yield Step("overlay", source=lowers, flags=inner, doing=doing)
            over, lowers = p.OVERLAY_OVER_AT, _NO_OTHERS
        yield Step(
            "overlay",
            path,
            source=lowers,
            data=os.fsencode(root.upper + path) + b"\0",
            kind=f"{root.work}/{number}",
            flags=flags | over,
            doing=doing,
        )
        if root.read_only:
            yield Step("readonly_root", path, doing=f"make its {path} read-only")
    for path in farm.files:
        doing = f"show the host's {path}"
        yield Step("bind", path, source=path, kind="private", flags=p.RDONLY, doing=doing)


_NO_OTHERS = "\0"  # a list, and empty: no text would be no list
_NOTHING = Step(
    "mount",
    kind="tmpfs",
    flags=p.RDONLY,
    data=texts(("source=tmpfs", "size=0")).encode() + b"\0",
    doing="mount an empty tmpfs",
)
