"""What ``--mount`` takes: ``type=bind,source=/srv,target=/data,readonly`` (row V09)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import evolve

from pyengine.errors import InvalidRequest, Unsupported
from pyengine.model import mounting
from pyengine.model.mounts import Mount
from pyengine.model.options_words import text
from pyengine.model.units import parse_size

_ALIASES = {
    "src": "source",
    "dst": "target",
    "destination": "target",
    "ro": "readonly",
}
_COMMON = frozenset(("type", "source", "target", "readonly", "consistency"))
_OWN_KEYS = {
    "bind": frozenset(("bind-propagation", "bind-recursive", "bind-create-src")),
    "volume": frozenset(
        ("volume-nocopy", "volume-subpath", "volume-driver", "volume-opt", "volume-label")
    ),
    "tmpfs": frozenset(("tmpfs-size", "tmpfs-mode")),
    "image": frozenset(("image-subpath",)),
    "overlay": frozenset(),
}
_KEYS = _COMMON.union(*_OWN_KEYS.values())
_TRUE = frozenset(("", "1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))
_CONSISTENCY = frozenset(("default", "consistent", "cached", "delegated"))


def parse_mount(given: str) -> Mount:
    """Read a ``--mount`` text; without a type it is a volume. Raises `InvalidRequest`.

    >>> parse_mount("type=tmpfs,target=/tmp,tmpfs-size=64m").options
    ('size=67108864',)
    """
    words = _words(given)
    kind = words.get("type", "volume").lower()
    if (own := _OWN_KEYS.get(kind)) is None:
        expected = ", ".join(_OWN_KEYS)
        raise InvalidRequest("mount", given, why=f"mount type unknown: {kind!r}", expected=expected)
    if foreign := words.keys() - _COMMON - own:
        raise InvalidRequest("mount", given, why=f"{min(foreign)!r} is not for type {kind}")
    if "target" not in words:
        raise InvalidRequest("mount", given, why="it has no target")
    if words.get("consistency", "default") not in _CONSISTENCY:
        raise InvalidRequest("mount", given, expected=f"consistency={'|'.join(_CONSISTENCY)}")
    if kind in ("bind", "image", "overlay") and not words.get("source"):
        raise InvalidRequest("mount", given, why=f"type {kind} needs a source")
    return _MAKERS[kind](given, words)


def _words(given: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for field in _fields(text(given, "mount")):
        name, equals, value = field.partition("=")
        key = _ALIASES.get(name.lower(), name.lower())
        if key not in _KEYS:
            expected = ", ".join(sorted(_KEYS))
            raise InvalidRequest("mount", given, why=f"unknown key {name!r}", expected=expected)
        if not equals and key not in ("readonly", "volume-nocopy", "bind-create-src"):
            raise InvalidRequest("mount", given, why=f"{name!r} has no value")
        if key in found and key not in ("volume-opt", "volume-label"):
            raise InvalidRequest("mount", given, why=f"{key!r} is given twice")
        found[key] = value
    return found


def _fields(given: str) -> list[str]:
    """The fields of one line of comma-separated values, where quotes keep commas together."""
    if '"' not in given:
        return given.split(",")
    import csv

    if "\n" in given or "\r" in given:
        raise InvalidRequest("mount", given, why="it has more than one line")
    try:
        return next(csv.reader([given], strict=True))
    except csv.Error as error:
        raise InvalidRequest("mount", given, why=str(error)) from error


def _is_true(given: str, name: str, value: str) -> bool:
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise InvalidRequest("mount", given, expected=f"{name}=true or {name}=false")


def _flag(given: str, words: Mapping[str, str], name: str) -> bool:
    return name in words and _is_true(given, name, words[name])


def _bind(given: str, words: Mapping[str, str]) -> Mount:
    return mounting.bind(
        words["source"],
        words["target"],
        read_only=_flag(given, words, "readonly"),
        propagation=words.get("bind-propagation", "rprivate"),
        recursive=words.get("bind-recursive", "enabled"),
        create_source=_flag(given, words, "bind-create-src"),
    )


def _volume(given: str, words: Mapping[str, str]) -> Mount:
    mount = mounting.volume(
        words.get("source", ""),
        words["target"],
        read_only=_flag(given, words, "readonly"),
        nocopy=_flag(given, words, "volume-nocopy"),
        subpath=words.get("volume-subpath", ""),
    )
    for key in ("volume-driver", "volume-opt", "volume-label"):
        if key in words:
            raise Unsupported(f"{key} of a mount", "volumes are not built yet", "leave it out")
    return mount


def _tmpfs(given: str, words: Mapping[str, str]) -> Mount:
    if words.get("source"):
        raise InvalidRequest("mount", given, why="a tmpfs has no source")
    size = words.get("tmpfs-size")
    mount = mounting.tmpfs(
        words["target"],
        size=None if size is None else parse_size(size, "tmpfs-size"),
        mode=words.get("tmpfs-mode"),
    )
    return evolve(mount, read_only=_flag(given, words, "readonly"))


def _image(given: str, words: Mapping[str, str]) -> Mount:
    if "readonly" in words and not _flag(given, words, "readonly"):
        raise InvalidRequest("mount", given, why="an image is always mounted read-only")
    subpath = words.get("image-subpath", "")
    return mounting.image_mount(words["source"], words["target"], subpath=subpath)


def _overlay(given: str, words: Mapping[str, str]) -> Mount:
    if _flag(given, words, "readonly"):
        raise InvalidRequest("mount", given, why="a read-only view needs no overlay: use bind")
    return mounting.overlay(words["source"], words["target"])


_MAKERS: dict[str, Callable[[str, Mapping[str, str]], Mount]] = {
    "bind": _bind,
    "volume": _volume,
    "tmpfs": _tmpfs,
    "image": _image,
    "overlay": _overlay,
}
