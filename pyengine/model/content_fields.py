"""The fields of manifests and configs, read one by one: each is what it must be, or it is said."""

from __future__ import annotations

import re
from typing import Any

from pyengine.errors import InvalidContent

MANIFEST = frozenset(
    [
        "schemaVersion",
        "mediaType",
        "artifactType",
        "config",
        "layers",
        "subject",
        "annotations",
        "manifests",
    ]
)
INDEX = MANIFEST
DESCRIPTOR = frozenset(
    ["mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform"]
)
PLATFORM = frozenset(("architecture", "os", "os.version", "os.features", "variant"))

LARGEST = (1 << 63) - 1
MOST_TEXT = 1 << 16
"""Characters of one value that becomes a word, a path or a line for somebody to read."""

_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_MEDIA_TYPE = re.compile(rf"{_NAME}/{_NAME}", re.ASCII)


def exact_names(plain: dict[str, Any], known: frozenset[str], what: str) -> None:
    """Refuse a key that is *known* but for its case: readers differ on what it means."""
    folded = {name.casefold(): name for name in known}
    for key in plain:
        if key not in known and (meant := folded.get(key.casefold())) is not None:
            raise InvalidContent(what, f"its key {key[:40]!r} is not {meant!r}")


def text(plain: dict[str, Any], name: str, what: str) -> str:
    """A text without NUL bytes; ``""`` where there is none."""
    value = plain.get(name)
    if value is None:
        return ""
    return clean(value, f"its {name}", what)


def clean(value: object, label: str, what: str) -> str:
    """*value*, if it is a text that a C program can hold."""
    if not isinstance(value, str):
        raise InvalidContent(what, f"{label} is no text")
    if "\0" in value:
        raise InvalidContent(what, f"{label} has a NUL byte")
    return value


def texts(plain: dict[str, Any], name: str, what: str) -> tuple[str, ...]:
    """A list of texts; empty where there is none."""
    value = plain.get(name)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise InvalidContent(what, f"its {name} is no list")
    return tuple(clean(one, f"an entry of its {name}", what) for one in value)


def pairs(
    plain: dict[str, Any], what: str, name: str = "annotations"
) -> tuple[tuple[str, str], ...]:
    """Names and values; empty where there are none."""
    value = mapping(plain, name, what)
    label = f"a value of its {name}"
    return tuple((clean(key, label, what), clean(one, label, what)) for key, one in value.items())


def mapping(plain: dict[str, Any], name: str, what: str) -> dict[str, Any]:
    """An object; empty where there is none."""
    value = plain.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidContent(what, f"its {name} is no object")
    return value


def objects(plain: dict[str, Any], name: str, most: int, what: str) -> list[Any]:
    """A list that must be there, of *most* entries."""
    value = plain.get(name)
    if not isinstance(value, list):
        raise InvalidContent(what, f"its {name} is no list")
    if len(value) > most:
        raise InvalidContent(what, f"it has {len(value)} {name}, more than {most}")
    return value


def media_type(plain: dict[str, Any], name: str, what: str) -> str:
    """A media type that must be there."""
    value = plain.get(name)
    if not isinstance(value, str) or _MEDIA_TYPE.fullmatch(value) is None:
        raise InvalidContent(what, f"its {name} is no media type")
    return value


def size(plain: dict[str, Any], what: str) -> int:
    """A number of bytes that must be there."""
    value = plain.get("size")
    if type(value) is not int or not 0 <= value <= LARGEST:
        raise InvalidContent(what, "its size is no number of bytes")
    return value


def flag(plain: dict[str, Any], name: str, what: str) -> bool:
    """True or false; false where nothing is said."""
    value = plain.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidContent(what, f"its {name} is neither true nor false")
    return bool(value)
