"""What a container's root is made of: a directory of this host, and what every root needs."""

from __future__ import annotations

import os
import stat
from functools import lru_cache
from typing import TYPE_CHECKING

from attrs import frozen

from pyengine.containers.layer_view import look
from pyengine.errors import ImageNotFound, InvalidRequest
from pyengine.model.config import FROM_NOTHING, ImageConfig
from pyengine.store import records
from pyengine.store.layout import Layout

if TYPE_CHECKING:
    from pyengine.containers.farm import Piece

# What every container finds in its root, whatever its image holds (row C74).
_DIRECTORIES = ("dev", "dev/pts", "dev/shm", "etc", "proc", "sys")
_FILES = (".dockerenv", "dev/console", "etc/hosts", "etc/hostname", "etc/resolv.conf")
_LINKS = (("etc/mtab", "/proc/mounts"),)
LAYER_DIRECTORIES = frozenset(f"/{path}" for path in _DIRECTORIES)
LAYER_FILES = frozenset(f"/{path}" for path in (*_FILES, *(link for link, _ in _LINKS)))


@frozen
class Rootfs:
    """The directories of a container's root, the topmost first, with what its image says.

    *layers* are the image's own; *lowers* have one of ours on top, which holds what is missing.
    *pieces*: it cannot be one layer, but only be put together of these. *image_id* is that of an
    image of the store.
    """

    layers: tuple[str, ...]
    lowers: tuple[str, ...]
    config: ImageConfig
    nested: bool = False
    pieces: tuple[Piece, ...] = ()
    image_id: str = ""


def is_of_the_host(image: str) -> bool:
    """Whether *image* is a directory of this host, and nothing of the store.

    >>> is_of_the_host("host:"), is_of_the_host("alpine:3")
    (True, False)
    """
    return image == "host:" or image.startswith("rootfs:")


def host_root(image: str, layout: Layout) -> Rootfs:
    """The root that a directory of this host gives.

    Raises `ImageNotFound` if there is nothing, and `InvalidRequest` if it is no directory.
    """
    if image == "host:":
        if os.geteuid() != 0:
            from pyengine.containers.farm import survey_host

            return Rootfs(("/",), ("/",), FROM_NOTHING, pieces=survey_host())
        directory = "/"
    else:
        directory = image.removeprefix("rootfs:")
        _check_directory(image, directory)
    lowers = (completing_layer((directory,), layout), directory)
    return Rootfs((directory,), lowers, FROM_NOTHING, _is_below(layout.root, directory))


@lru_cache(maxsize=64)
def _is_below(path: str, directory: str) -> bool:
    return os.path.commonpath((os.path.realpath(path), os.path.realpath(directory))) == (
        os.path.realpath(directory)
    )


def _check_directory(image: str, directory: str) -> None:
    if not directory.startswith("/"):
        raise InvalidRequest("image", image, expected="rootfs:/absolute/directory")
    try:
        mode = os.stat(directory).st_mode
    except OSError as error:
        raise ImageNotFound(image, f"{directory}: {error.strerror}") from error
    if not stat.S_ISDIR(mode):
        raise InvalidRequest("image", image, why=f"{directory} is not a directory")


_Found = tuple[int, int, int]  # mode, user, group


def _look(layers: tuple[str, ...], path: str) -> _Found | None:
    try:
        found = look(layers, path)
    except PermissionError:  # it belongs to another of our ids, and is closed to us
        return None
    return None if found is None else (found.st_mode, found.st_uid, found.st_gid)


def completing_layer(layers: tuple[str, ...], layout: Layout) -> str:
    """A layer with what lacks in *layers*, made once for all images that lack the same.

    It names the directories it adds to with their own owner and mode, so it hides nothing; what
    the image has as a link, or as something else than expected, it leaves alone.
    """
    version = _version(layers[0]) if len(layers) == 1 else ()
    known = _known.get((layout.layers, layers))
    if known is not None and known[0] == version and os.path.isdir(known[1]):
        return known[1]
    found = tuple(_look(layers, path) for path in _DIRECTORIES)
    files = tuple(_look(layers, path) is not None for path in _FILES)
    links = tuple(_look(layers, link) is not None for link, _ in _LINKS)
    import hashlib  # it brings OpenSSL, which a keeper that only adopts does without

    name = hashlib.sha256(repr((found, files, links)).encode()).hexdigest()[:32]
    layer = f"{layout.layers}/{name}"
    if not os.path.isdir(layer):
        _make_layer(layer, dict(zip(_DIRECTORIES, found, strict=True)), files, links)
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    _known[layout.layers, layers] = version, layer
    return layer


_MOST_KNOWN = 64
_known: dict[tuple[str, tuple[str, ...]], tuple[tuple[int, ...], str]] = {}


def _version(directory: str) -> tuple[int, ...]:
    """What changes whenever one of the paths we look at comes, goes, or changes its mode."""
    times = []
    for path in ("", "/dev", "/etc", "/proc", "/sys", "/dev/pts", "/dev/shm"):
        try:
            found = os.lstat(directory + path)
        except OSError:
            times.append(0)
        else:
            times += (found.st_ino, found.st_ctime_ns)
    return tuple(times)


def _make_layer(
    layer: str,
    directories: dict[str, tuple[int, int, int] | None],
    files: tuple[bool, ...],
    links: tuple[bool, ...],
) -> None:
    staged = f"{layer}.{os.urandom(4).hex()}"
    try:
        os.mkdir(staged)
        os.chmod(staged, 0o755)
        ours = {""}
        for path, found in directories.items():
            if path.rpartition("/")[0] not in ours:
                continue  # below something that is no directory in the image
            if found is None:
                _make_directory(f"{staged}/{path}", 0o755, 0, 0)
            elif stat.S_ISDIR(found[0]):
                _make_directory(f"{staged}/{path}", *found)
            else:
                continue
            ours.add(path)
        for path, there in zip(_FILES, files, strict=True):
            if not there and path.rpartition("/")[0] in ours:
                os.close(os.open(f"{staged}/{path}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o755))
        for (path, target), there in zip(_LINKS, links, strict=True):
            if not there and path.rpartition("/")[0] in ours:
                os.symlink(target, f"{staged}/{path}")
        os.rename(staged, layer)
    except OSError as error:
        _discard(staged)
        if not os.path.isdir(layer):  # else another process was quicker
            records.refuse(layer, error)


def _make_directory(path: str, mode: int, uid: int, gid: int) -> None:
    os.mkdir(path)
    if os.geteuid() == 0:  # others can give nothing away
        os.chown(path, uid, gid)
    os.chmod(path, stat.S_IMODE(mode))


def _discard(path: str) -> None:
    import shutil

    shutil.rmtree(path, ignore_errors=True)
