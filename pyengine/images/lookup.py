"""Which image a text means: by name, by digest, by id or its beginning (rows I01, I02, I22)."""

from __future__ import annotations

from collections.abc import Iterable

from pyengine.errors import ImageNotFound, InvalidRequest
from pyengine.model.reference import Reference, is_id, is_id_prefix
from pyengine.store.image_names import ImageNames, Named


def find(names: ImageNames, text: str) -> Named:
    """What *text* stands for: a name, with ``latest`` where it has no tag, or an id.

    An id is that of the configuration, or the digest of a manifest or an index; its beginning
    will do, with ``sha256:`` or without, where no other begins so. A name comes first. Raises
    `ImageNotFound`, `InvalidRequest` for what can be neither or means several.
    """
    return find_by(names, text)[0]


def find_by(names: ImageNames, text: str) -> tuple[Named, bool]:
    """As `find`, and whether *text* is its name, and no id."""
    if not isinstance(text, str) or not text:
        raise InvalidRequest("image", text, expected="a name or an id")
    if is_id(text):
        return _by_id(names, text), False
    try:
        named = by_reference(names, Reference.parse(text))
    except InvalidRequest:
        if not is_id_prefix(text):
            raise
        named = None
    if named is not None:
        return named, True
    if is_id_prefix(text):
        return _by_id(names, text), False
    raise ImageNotFound(text)


def by_reference(names: ImageNames, reference: Reference) -> Named | None:
    """The image that has this name: of one with a digest, the digest decides."""
    if reference.digest is None:
        return names.find(str(reference.with_default_tag()))
    digest = reference.digest
    found = [
        named
        for named in names.all()
        if repository_of(named) == reference.repository
        and digest in (named.target.digest, named.manifest)
    ]
    return best(found) if found else None


def _by_id(names: ImageNames, text: str) -> Named:
    start = f"sha256:{text.removeprefix('sha256:')}"
    found = [
        named
        for named in names.all()
        if any(one.startswith(start) for one in (named.config, named.manifest, named.target.digest))
    ]
    exact = [named for named in found if named.config == start]
    found = exact or found
    if len({named.config for named in found}) > 1:
        why = "Multiple IDs found with provided prefix"
        raise InvalidRequest("image", text, why=why, expected="more of the id")
    if not found:
        raise ImageNotFound(text)
    return best(found)


def best(found: Iterable[Named]) -> Named:
    """Of several names of an image, the one to call it by: with a tag if there is one, the newest.

    It does not depend on the order in which a directory was read.
    """
    return min(found, key=lambda named: (not is_tag(named), -named.tagged, named.reference))


def is_tag(named: Named) -> bool:
    """Whether it is a name with a tag: not one by digest, and not none."""
    return bool(named.reference) and "@" not in named.reference


def repository_of(named: Named) -> str:
    """The repository of a name, such as ``docker.io/library/alpine``; empty for none."""
    text = named.reference.partition("@")[0]
    path_starts = text.rfind("/")
    return text[:path_starts] + text[path_starts:].partition(":")[0] if text else ""
