"""What an image is: the JSON that its id is the digest of, read and written."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

from attrs import field, frozen

from pyengine.errors import InvalidContent, InvalidRequest
from pyengine.model import content_fields as fields
from pyengine.model import digests, strict_json
from pyengine.model.config import ImageConfig
from pyengine.model.config_json import read_config, write_config
from pyengine.model.content import MOST_LAYERS, Manifest
from pyengine.model.moments import parse_time, rfc3339
from pyengine.model.platform import Platform

MOST_BYTES = 8 << 20
MOST_HISTORY = 10_000
LONGEST_TEXT = 1 << 20

_KNOWN = frozenset(
    (
        *("created", "author", "architecture", "os", "variant", "os.version", "os.features"),
        *("config", "rootfs", "history", "comment"),
    )
)
_KNOWN_OF_ROOTFS = frozenset(("type", "diff_ids"))
_KNOWN_OF_HISTORY = frozenset(("created", "created_by", "author", "comment", "empty_layer"))
_NEVER = "0001-01-01T"  # how Go writes a moment that has not been
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[-+]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)
_NOTHING = ImageConfig()


@frozen
class HistoryEntry:
    """How a layer came to be, or, with *empty_layer*, what else was said; *created* in seconds."""

    created: float | None = None
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


@frozen
class ImageFile:
    """An image, whose id is *digest*; *created* is seconds since 1970, *raw* what was read."""

    architecture: str
    os: str
    variant: str = ""
    created: float | None = None
    author: str = ""
    config: ImageConfig = _NOTHING
    diff_ids: tuple[str, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    comment: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()
    created_text: str = field(default="", eq=False)  # a float has no nanoseconds to tell
    digest: str = field(default="", eq=False)
    raw: bytes = field(default=b"", eq=False, repr=False)

    @property
    def platform(self) -> Platform:
        """What it was made for."""
        return Platform(self.os, self.architecture, self.variant, self.os_version, self.os_features)


def parse(data: bytes) -> ImageFile:
    """Read an image's config; raises `InvalidContent`, whose *why* says what is wrong."""
    digest = digests.of(data)
    try:
        return _parse(data, digest)
    except InvalidContent as error:
        error.digest = digest
        raise


def _parse(data: bytes, digest: str) -> ImageFile:
    what = "image config"
    plain = strict_json.loads(data, most_bytes=MOST_BYTES, what=what)
    if not isinstance(plain, dict):
        raise InvalidContent(what, "it is no object")
    fields.exact_names(plain, _KNOWN, what)
    texts = {
        name: _text(plain, name, what)
        for name in ("architecture", "os", "variant", "author", "comment", "os.version", "created")
    }
    for name in ("architecture", "os"):
        if not texts[name]:
            raise InvalidContent(what, f"it has no {name}")
    return ImageFile(
        architecture=texts["architecture"],
        os=texts["os"],
        variant=texts["variant"],
        created=_moment(texts["created"], what),
        author=texts["author"],
        config=read_config(plain.get("config"), what),
        diff_ids=_diff_ids(plain.get("rootfs"), what),
        history=_history(plain, what),
        comment=texts["comment"],
        os_version=texts["os.version"],
        os_features=fields.texts(plain, "os.features", what),
        created_text=texts["created"],
        digest=digest,
        raw=data,
    )


def _text(plain: dict[str, Any], name: str, what: str) -> str:
    value = fields.text(plain, name, what)
    if len(value) > LONGEST_TEXT:
        raise InvalidContent(what, f"its {name} has more than {LONGEST_TEXT} characters")
    return value


def _moment(text: str, what: str) -> float | None:
    if not text or text.startswith(_NEVER):
        return None
    if _MOMENT.fullmatch(text):
        try:
            return (
                parse_time(text) // 1000 / 1e6
            )  # microseconds are exact in a float, nanoseconds not
        except InvalidRequest:  # the 30th of February, or before 1970
            pass
    raise InvalidContent(what, f"its created {text[:80]!r} is no moment after 1970")


def _diff_ids(rootfs: object, what: str) -> tuple[str, ...]:
    if not isinstance(rootfs, dict):
        raise InvalidContent(what, "its rootfs is no object")
    fields.exact_names(rootfs, _KNOWN_OF_ROOTFS, what)
    if rootfs.get("type") != "layers":
        raise InvalidContent(what, "the type of its rootfs is not 'layers'")
    if rootfs.get("diff_ids", ()) is None:  # Go writes an empty list as null
        return ()
    found = fields.objects(rootfs, "diff_ids", MOST_LAYERS, what)
    for number, one in enumerate(found):
        if why := digests.why_not(one):
            raise InvalidContent(what, f"its diff id {number} is no digest: {why}")
    return tuple(found)


def _history(plain: dict[str, Any], what: str) -> tuple[HistoryEntry, ...]:
    if plain.get("history") is None:
        return ()
    return tuple(
        _history_entry(one, what) for one in fields.objects(plain, "history", MOST_HISTORY, what)
    )


def _history_entry(plain: object, what: str) -> HistoryEntry:
    if not isinstance(plain, dict):
        raise InvalidContent(what, "an entry of its history is no object")
    fields.exact_names(plain, _KNOWN_OF_HISTORY, what)
    return HistoryEntry(
        _moment(_text(plain, "created", what), what),
        _text(plain, "created_by", what),
        _text(plain, "author", what),
        _text(plain, "comment", what),
        fields.flag(plain, "empty_layer", what),
    )


def print_config(image: ImageFile) -> bytes:
    """*image* as JSON: the same bytes for the same image, whatever it was read from."""
    plain: dict[str, Any] = {
        "created": _printed_moment(image.created),
        "author": image.author,
        "architecture": image.architecture,
        "os": image.os,
        "variant": image.variant,
        "os.version": image.os_version,
        "os.features": list(image.os_features),
        "comment": image.comment,
        "history": [_plain_entry(entry) for entry in image.history],
    }
    kept = {name: value for name, value in plain.items() if value}
    kept["config"] = write_config(image.config)
    kept["rootfs"] = {"type": "layers", "diff_ids": list(image.diff_ids)}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def _plain_entry(entry: HistoryEntry) -> dict[str, Any]:
    plain = {
        "created": _printed_moment(entry.created),
        "created_by": entry.created_by,
        "author": entry.author,
        "comment": entry.comment,
        "empty_layer": entry.empty_layer,
    }
    return {name: value for name, value in plain.items() if value}


def _printed_moment(seconds: float | None) -> str:
    if seconds is None:
        return ""
    text = rfc3339(round(seconds * 1e6) * 1000).removesuffix("Z")
    return f"{text.rstrip('0').rstrip('.')}Z"


def chain_ids(diff_ids: Iterable[str]) -> tuple[str, ...]:
    """What the layers are called when they lie on one another, the lowest first (row I23).

    >>> chain_ids(("sha256:" + 64 * "0",))[0] == "sha256:" + 64 * "0"
    True
    """
    found: list[str] = []
    for diff_id in diff_ids:
        if found:
            both = f"{found[-1]} {diff_id}".encode()
            found.append(f"sha256:{hashlib.sha256(both).hexdigest()}")
        else:
            found.append(diff_id)
    return tuple(found)


def check_match(manifest: Manifest, image: ImageFile) -> None:
    """`InvalidContent` unless *image* is what *manifest* says, and has as many layers."""
    if image.digest != manifest.config.digest:
        raise InvalidContent("image config", f"it is not {manifest.config.digest}", image.digest)
    if len(image.raw) != manifest.config.size:
        why = f"it has {len(image.raw)} bytes, and its manifest says {manifest.config.size}"
        raise InvalidContent("image config", why, image.digest)
    if len(image.diff_ids) != len(manifest.layers):
        why = f"it has {len(image.diff_ids)} layers, and its manifest {len(manifest.layers)}"
        raise InvalidContent("image config", why, image.digest)
