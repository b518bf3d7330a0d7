"""Mounts as people write them: ``-v`` and ``--mount`` texts, tmpfs options, and the helpers.

Here a text becomes a `Mount`; whether its source exists is found out when it is mounted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from attrs import evolve

from pyengine.errors import InvalidRequest, Unsupported
from pyengine.model.mounts import Mount, MountKind, Recursion
from pyengine.model.options_words import absolute_path, flag, several, text
from pyengine.model.tmpfs_options import parse_tmpfs_options

_PROPAGATION = frozenset(("private", "rprivate", "shared", "rshared", "slave", "rslave"))
_RECURSION = {kind.value: kind for kind in Recursion}
_VOLUME_FIRST = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
_VOLUME_REST = _VOLUME_FIRST | frozenset("_.-")

# each word of `-v src:dst:words` belongs to a class, and each class may be given once
_MODE_CLASS = {
    **dict.fromkeys(("ro", "rw", "O"), "access"),
    **dict.fromkeys(("z", "Z"), "label"),
    **dict.fromkeys(("copy", "nocopy"), "copying"),
    **dict.fromkeys(("default", "consistent", "cached", "delegated"), "consistency"),
    **dict.fromkeys(sorted(_PROPAGATION), "propagation"),
}

# lxcfs shows a container its own numbers in these files; nothing else below /proc may be
# covered: a program would trust what it reads there (CVE-2019-16884, CVE-2023-28642)
_PROC_FILES = frozenset(
    f"/proc/{name}"
    for name in (
        "cpuinfo",
        "diskstats",
        "loadavg",
        "meminfo",
        "slabinfo",
        "stat",
        "swaps",
        "uptime",
    )
)


def bind(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    read_only: bool = False,
    propagation: str = "rprivate",
    recursive: bool | str | Recursion = True,
    create_source: bool = False,
) -> Mount:
    """The host's file or directory *source*, seen at *target*.

    A relative *source* starts from the current directory, ``~`` is the home directory.
    *read_only* goes down into the mounts below where the kernel can (5.12); *recursive* may
    be ``"readonly"`` (an error where it cannot), ``"writable"`` (it does not) or `False`
    (the mounts below do not come along). With *create_source* a missing one becomes an empty
    directory. Raises `InvalidRequest`.

    >>> bind("/srv/data", "/data", read_only=True).target
    '/data'
    """
    if recursive is True:
        recursive = Recursion.READONLY_IF_POSSIBLE
    elif recursive is False:
        recursive = Recursion.DISABLED
    mount = Mount(
        MountKind.BIND,
        mount_target(target),
        host_path(source),
        read_only=flag(read_only, "read_only"),
        propagation=propagation,
        recursive=_recursion(recursive),
        create_source=flag(create_source, "create_source"),
    )
    _check_bind(mount)
    return mount


def volume(
    source: str,
    target: str | os.PathLike[str],
    *,
    read_only: bool = False,
    nocopy: bool = False,
    subpath: str = "",
) -> Mount:
    """The volume named *source*, seen at *target*; an empty name asks for an anonymous one.

    >>> volume("data", "/var/lib/data").kind.value
    'volume'
    """
    return Mount(
        MountKind.VOLUME,
        mount_target(target),
        volume_name(source) if source else "",
        read_only=flag(read_only, "read_only"),
        nocopy=flag(nocopy, "nocopy"),
        subpath=_subpath(subpath),
    )


def tmpfs(
    target: str | os.PathLike[str],
    *,
    size: int | str | None = None,
    mode: int | str | None = None,
    options: str | tuple[str, ...] = (),
) -> Mount:
    """An empty file system in memory at *target*, gone with the container.

    *size* is in bytes, or such as ``"64m"`` (default: half of the host's memory); *mode* the
    permissions of its root (default: 1777), a number or octal digits. *options* are more words
    of tmpfs(5); ``noexec,nosuid,nodev`` hold unless their opposites are among them.

    >>> tmpfs("/tmp", size="64m", mode=0o700).options
    ('size=64m', 'mode=700')
    """
    words = list(options.split(",")) if isinstance(options, str) else list(options)
    if size is not None:
        words.append(f"size={size}")
    if mode is not None:
        words.append(f"mode={mode:o}" if isinstance(mode, int) else f"mode={mode}")
    return _tmpfs(target, words)


def image_mount(image: str, target: str | os.PathLike[str], *, subpath: str = "") -> Mount:
    """The content of *image*, read-only, seen at *target*.

    >>> image_mount("alpine:3.20", "/alpine").read_only
    True
    """
    if not text(image, "image"):
        raise InvalidRequest("image", image, why="it is empty")
    where = mount_target(target)
    return Mount(MountKind.IMAGE, where, image, read_only=True, subpath=_subpath(subpath))


def overlay(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> Mount:
    """A throw-away writable view of the host's directory *source*: writes never reach it.

    >>> overlay("/srv/data", "/data").source
    '/srv/data'
    """
    return Mount(MountKind.OVERLAY, mount_target(target), host_path(source))


def parse_volume(given: str) -> Mount:
    """Read what ``-v`` takes: ``[SOURCE:]TARGET[:WORDS]`` (row C90).

    An absolute, ``./`` or ``~`` source is bound (and made where it is missing), another is a
    volume's name. The word ``O`` asks for a throw-away writable view, as in podman.

    >>> parse_volume("/srv:/data:ro").read_only
    True
    """
    parts = text(given, "volume").split(":")
    if len(parts) == 1 and parts[0]:
        return volume("", parts[0])
    if len(parts) == 2 and parts[1].split(",")[0] in _MODE_CLASS:
        raise InvalidRequest("volume", given, why="words without a source", expected=_VOLUME_FORM)
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise InvalidRequest("volume", given, expected=_VOLUME_FORM)
    source, target = parts[:2]
    words = _volume_words(given, parts[2] if len(parts) == 3 else "")
    read_only = words.get("access") == "ro"
    if not _is_path(source):
        if "propagation" in words or words.get("access") == "O":
            raise InvalidRequest("volume", given, why="those words are for directories of the host")
        return volume(source, target, read_only=read_only, nocopy="nocopy" in words.values())
    if "copying" in words:
        raise InvalidRequest("volume", given, why="copy and nocopy are for volumes with a name")
    if words.get("access") == "O":
        return overlay(source, target)
    propagation = words.get("propagation", "rprivate")
    return bind(source, target, read_only=read_only, propagation=propagation, create_source=True)


_VOLUME_FORM = "'/host/path:/container/path[:ro,…]' or 'name:/container/path[:ro,…]'"


def _volume_words(given: str, words: str) -> dict[str, str]:
    """The words by their classes."""
    found: dict[str, str] = {}
    for one in words.split(",") if words else ():
        if (kind := _MODE_CLASS.get(one)) is None:
            known = ", ".join(_MODE_CLASS)
            raise InvalidRequest("volume", given, why=f"unknown word {one!r}", expected=known)
        if kind in found:
            raise InvalidRequest("volume", given, why=f"{found[kind]!r} and {one!r} together")
        found[kind] = one
    return found


def parse_volumes(given: object) -> tuple[Mount, ...]:
    """Read a list of ``-v`` texts, or a mapping of sources to targets as docker-py takes it."""
    if not isinstance(given, Mapping):
        return tuple(parse_volume(text(one, "volume")) for one in several(given, "volumes"))
    found = []
    for source, target in given.items():
        if isinstance(target, Mapping):
            if not target.keys() <= {"bind", "mode"} or "bind" not in target:
                raise InvalidRequest("volumes", given, expected="{source: {'bind': …, 'mode': …}}")
            mode = text(target.get("mode") or "rw", "volumes")
            target = f"{text(target['bind'], 'volumes')}:{mode}"
        found.append(parse_volume(f"{text(source, 'volumes')}:{text(target, 'volumes')}"))
    return tuple(found)


def parse_tmpfs(given: object) -> tuple[Mount, ...]:
    """Read ``{"/tmp": "size=64m"}`` or a list of ``--tmpfs`` texts, ``"/tmp:size=64m"``."""
    if isinstance(given, Mapping):
        found = [(text(target, "tmpfs"), options) for target, options in given.items()]
    else:
        cut = (text(one, "tmpfs").partition(":") for one in several(given, "tmpfs"))
        found = [(target, options) for target, _, options in cut]
    return tuple(
        _tmpfs(target, text(options or "", "tmpfs").split(",")) for target, options in found
    )


def _tmpfs(target: str | os.PathLike[str], words: list[str]) -> Mount:
    parsed = parse_tmpfs_options(words)
    return Mount(
        MountKind.TMPFS,
        mount_target(target),
        read_only=parsed.read_only,
        propagation=parsed.propagation or "rprivate",
        options=parsed.words,
    )


def check_mount(mount: object) -> Mount:
    """*mount*, which may have been made by hand, in the form that the helpers make."""
    if not isinstance(mount, Mount):
        raise InvalidRequest("mount", mount, expected="a Mount: pyengine.bind(…), tmpfs(…), …")
    if mount.kind is MountKind.TMPFS:
        if mount.source:
            raise InvalidRequest("mount", mount, why="a tmpfs has no source")
        made = _tmpfs(mount.target, list(mount.options))
        return evolve(made, read_only=mount.read_only or made.read_only)
    if mount.options:
        raise InvalidRequest("mount", mount, why="only a tmpfs has options")
    target = mount_target(mount.target)
    if mount.kind is MountKind.BIND:
        _check_bind(mount)
    if mount.kind in (MountKind.BIND, MountKind.OVERLAY):
        return evolve(mount, target=target, source=host_path(mount.source))
    return evolve(mount, target=target, subpath=_subpath(mount.subpath))


def require_built(mount: Mount) -> Mount:
    """*mount*, if this version can make it; else `Unsupported`."""
    if mount.kind is MountKind.VOLUME:
        feature = f"the volume {mount.source!r}" if mount.source else "an anonymous volume"
        remedy = "bind a directory of the host with pyengine.bind(source, target)"
        raise Unsupported(feature, "volumes are not built yet", remedy)
    if mount.kind is MountKind.IMAGE:
        missing = "mounts of images are not built yet"
        raise Unsupported(f"a mount of the image {mount.source!r}", missing, "unpack and bind it")
    return mount


def mount_target(target: object) -> str:
    """The absolute, clean path of a mount point; ``/`` and what is in /proc is refused."""
    path = absolute_path(target, "mount target")
    if path == "/":
        raise InvalidRequest("mount target", target, why="the destination can't be '/'")
    if path == "/proc" or (path.startswith("/proc/") and path not in _PROC_FILES):
        raise InvalidRequest("mount target", target, why="programs trust what they read in /proc")
    return path


def host_path(source: object) -> str:
    """The absolute path of the host that *source* names, relative or with ``~`` as it may be."""
    path = text(source, "mount source")
    if not path:
        raise InvalidRequest("mount source", source, why="it is empty")
    return os.path.abspath(os.path.expanduser(path) if path[0] == "~" else path)


def volume_name(name: object) -> str:
    """*name*, if a volume may be called so (row V01)."""
    word = text(name, "volume name")
    if len(word) < 2 or word[0] not in _VOLUME_FIRST or not _VOLUME_REST.issuperset(word):
        expected = "[a-zA-Z0-9][a-zA-Z0-9_.-]+, or an absolute path for a directory of the host"
        raise InvalidRequest("volume name", name, expected=expected)
    return word


def _is_path(source: str) -> bool:
    return source[0] in "/~" or source in (".", "..") or source.startswith(("./", "../"))


def _recursion(value: str | Recursion) -> Recursion:
    if (found := _RECURSION.get(value)) is None:
        raise InvalidRequest("recursive", value, expected=f"one of {', '.join(_RECURSION)}")
    return found


def _check_bind(mount: Mount) -> None:
    if mount.propagation not in _PROPAGATION:
        expected = ", ".join(sorted(_PROPAGATION))
        raise InvalidRequest("propagation", mount.propagation, expected=expected)
    strict = mount.recursive is Recursion.READONLY
    if (strict or mount.recursive is Recursion.WRITABLE) and not mount.read_only:
        raise InvalidRequest("recursive", mount.recursive.value, why="the mount is not read-only")
    if strict and mount.propagation != "rprivate":
        why = "mounts that propagate into it would not be read-only"
        raise InvalidRequest("propagation", mount.propagation, expected="rprivate", why=why)


def _subpath(path: object) -> str:
    """A relative path without ``..`` (row V11), or nothing."""
    given = text(path, "subpath")
    if given.startswith("/") or ".." in given.split("/"):
        raise InvalidRequest("subpath", path, expected="a relative path without '..'")
    return given
