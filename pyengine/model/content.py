"""Descriptors, manifests and indexes: what says which content an image is made of."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from attrs import evolve, frozen

from pyengine.errors import ImageNotFound, InvalidContent
from pyengine.model import content_fields as fields
from pyengine.model import digests, media_types, strict_json
from pyengine.model.media_types import (
    CONFIGS,
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    FOREIGN_LAYERS,
    INDEXES,
    LAYERS,
    MANIFESTS,
    OCI_INDEX,
    OCI_MANIFEST,
    SCHEMA_1,
)
from pyengine.model.platform import Platform, rank

MOST_BYTES = 4 << 20
"""Of a manifest or an index: what registries take."""
MOST_LAYERS = 500
"""What overlayfs takes as lower directories."""
MOST_MANIFESTS = 2000

REFERENCE_TYPE = "vnd.docker.reference.type"
REFERENCE_DIGEST = "vnd.docker.reference.digest"
ATTESTATION = "attestation-manifest"

_VAGUE_CONFIGS = frozenset(("application/octet-stream", "application/json"))  # old registries wrote


@frozen
class Descriptor:
    """What content is, what it is called, and how many bytes it has."""

    media_type: str
    digest: str
    size: int
    urls: tuple[str, ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    platform: Platform | None = None
    artifact_type: str = ""

    @property
    def is_foreign(self) -> bool:
        """Whether it is a layer that is fetched from elsewhere, and never pushed (row I11)."""
        return self.media_type in FOREIGN_LAYERS

    @property
    def is_attestation(self) -> bool:
        """Whether it says something about another entry of its index, and cannot run (row I13)."""
        if (REFERENCE_TYPE, ATTESTATION) in self.annotations:
            return True
        return self.platform is not None and self.platform.os == "unknown"


@frozen
class Manifest:
    """One image for one platform; *digest* and *size* are those of the bytes that were read."""

    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: tuple[tuple[str, str], ...] = ()
    digest: str = ""
    size: int = 0

    @property
    def descriptor(self) -> Descriptor:
        """What names this manifest."""
        return Descriptor(self.media_type, self.digest, self.size)


@frozen
class Index:
    """Images for several platforms, and what is said about them."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    annotations: tuple[tuple[str, str], ...] = ()
    digest: str = ""
    size: int = 0

    @property
    def descriptor(self) -> Descriptor:
        """What names this index."""
        return Descriptor(self.media_type, self.digest, self.size)


def parse(data: bytes, media_type: str = "", *, artifacts: bool = False) -> Manifest | Index:
    """Read a manifest or an index; *media_type* is what announced it, if anything did.

    *artifacts*: also manifests that are no image, such as attestations, which are kept but
    cannot run. Raises `InvalidContent`, whose *why* says what is wrong.
    """
    digest = digests.of(data)
    announced = media_types.plain(media_type)
    try:
        return evolve(_parse(data, announced, artifacts), digest=digest, size=len(data))
    except InvalidContent as error:
        if error.what != "manifest":  # a part of it: the digest is that of the whole
            error.what, error.why = "manifest", f"{error.what}: {error.why}"
        error.digest = digest
        raise


def _parse(data: bytes, announced: str, artifacts: bool) -> Manifest | Index:
    if announced == "text/html" or data[:200].lstrip()[:1] == b"<":
        raise InvalidContent("manifest", "it is HTML: is that address a registry's?")
    plain = strict_json.loads(data, most_bytes=MOST_BYTES, what="manifest")
    if not isinstance(plain, dict):
        raise InvalidContent("manifest", "it is no object")
    kind = _kind(plain, announced)
    fields.exact_names(plain, fields.INDEX if kind in INDEXES else fields.MANIFEST, "manifest")
    annotations = fields.pairs(plain, "manifest")
    artifact_type = fields.text(plain, "artifactType", "manifest")
    if plain.get("subject") is not None:
        parse_descriptor(plain["subject"], "subject")
    if kind in INDEXES:
        listed = fields.objects(plain, "manifests", MOST_MANIFESTS, "manifest")
        manifests = tuple(parse_descriptor(one, f"manifest {n}") for n, one in enumerate(listed))
        return Index(kind, manifests, annotations)
    config = parse_descriptor(plain.get("config"), "config")
    listed = fields.objects(plain, "layers", MOST_LAYERS, "manifest")
    layers = tuple(parse_descriptor(one, f"layer {number}") for number, one in enumerate(listed))
    if not artifacts:
        _must_be_image(config, layers, artifact_type)
    return Manifest(kind, config, layers, annotations)


def _kind(plain: dict[str, Any], announced: str) -> str:
    """The media type of a document that says its own, or is announced as one, or shows it."""
    own = plain.get("mediaType", "")
    if not isinstance(own, str) or (not own and "mediaType" in plain):
        raise InvalidContent("manifest", "its mediaType is no text, or empty")
    if announced in SCHEMA_1 or own in SCHEMA_1 or plain.get("schemaVersion") == 1:
        why = "it is of schema 1, which is not supported: push the image again with a newer tool"
        raise InvalidContent("manifest", why)
    if type(plain.get("schemaVersion")) is not int or plain["schemaVersion"] != 2:
        raise InvalidContent("manifest", "its schemaVersion is not 2")
    known = MANIFESTS | INDEXES
    if own and own not in known:
        raise InvalidContent("manifest", f"its media type {own[:80]!r} is not supported")
    if own and announced in known and own != announced:
        raise InvalidContent("manifest", f"it says it is {own}, and was announced as {announced}")
    kind = own or (announced if announced in known else "")
    has_manifests, has_layers = "manifests" in plain, "layers" in plain or "config" in plain
    if has_manifests and has_layers:  # CVE-2021-41190: one reader's manifest, another's index
        raise InvalidContent("manifest", "it is both a manifest and an index")
    if not has_manifests and not has_layers:
        raise InvalidContent("manifest", "it has neither layers nor manifests")
    if not kind:
        return OCI_INDEX if has_manifests else OCI_MANIFEST
    if (kind in INDEXES) != has_manifests:
        raise InvalidContent("manifest", f"it says it is {kind}, and is not")
    return kind


def _must_be_image(config: Descriptor, layers: tuple[Descriptor, ...], artifact_type: str) -> None:
    if config.media_type not in CONFIGS | _VAGUE_CONFIGS:
        kind = artifact_type or config.media_type
        raise InvalidContent("manifest", f"it is no image but an artifact: {kind[:80]!r}")
    for number, layer in enumerate(layers):
        if layer.media_type not in LAYERS:
            why = f"its media type {layer.media_type[:80]!r} is no layer's"
            raise InvalidContent(f"layer {number}", why)


def parse_descriptor(plain: object, what: str) -> Descriptor:
    """Read a descriptor from JSON; *what* names it in the `InvalidContent` that all else raises."""
    if not isinstance(plain, dict):
        raise InvalidContent(what, "it is no descriptor")
    fields.exact_names(plain, fields.DESCRIPTOR, what)
    digest = plain.get("digest")
    if why := digests.why_not(digest):
        raise InvalidContent(what, f"its digest is none: {why}")
    return Descriptor(
        media_type=fields.media_type(plain, "mediaType", what),
        digest=str(digest),
        size=fields.size(plain, what),
        urls=fields.texts(plain, "urls", what),
        annotations=fields.pairs(plain, what),
        platform=parse_platform(plain.get("platform"), what),
        artifact_type=fields.text(plain, "artifactType", what),
    )


def parse_platform(plain: object, what: str) -> Platform | None:
    """Read a platform from JSON, as it stands there; *what* has it."""
    if plain is None:
        return None
    if not isinstance(plain, dict):
        raise InvalidContent(what, "its platform is no object")
    fields.exact_names(plain, fields.PLATFORM, what)
    os, architecture, variant, version = (
        fields.text(plain, name, what) for name in ("os", "architecture", "variant", "os.version")
    )
    if not isinstance(plain.get("os"), str) or not isinstance(plain.get("architecture"), str):
        raise InvalidContent(what, "its platform has no os or no architecture")
    if not os and not architecture:  # some tools write so that there is none
        return None
    return Platform(os, architecture, variant, version, fields.texts(plain, "os.features", what))


def choose(index: Index, wanted: Platform, *, image: str = "") -> Descriptor:
    """The entry of *index* that runs best on *wanted*; the first of equals.

    Attestations are no candidates; what names no platform, or is an index itself, comes last.
    Raises `ImageNotFound` for *image*, whose hint says what there is.
    """
    best: tuple[int, Descriptor] | None = None
    for entry in index.manifests:
        if entry.media_type not in MANIFESTS | INDEXES or entry.is_attestation:
            continue
        unknown = 1 << 20
        found = unknown if entry.platform is None else rank(wanted, entry.platform)
        if found is not None and (best is None or found < best[0]):
            best = found, entry
    if best is None:
        raise ImageNotFound(image or index.digest, _no_match(index, wanted))
    return best[1]


def _no_match(index: Index, wanted: Platform) -> str:
    offered = dict.fromkeys(
        str(entry.platform)
        for entry in index.manifests
        if entry.platform is not None and not entry.is_attestation
    )
    text = f"no matching manifest for {wanted} in the manifest list entries"
    return f"{text}; there is {', '.join(offered)}" if offered else text


def print_descriptor(descriptor: Descriptor) -> dict[str, Any]:
    """*descriptor* as JSON knows it."""
    plain: dict[str, Any] = {
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size,
    }
    if descriptor.urls:
        plain["urls"] = list(descriptor.urls)
    if descriptor.annotations:
        plain["annotations"] = dict(descriptor.annotations)
    if descriptor.platform is not None:
        plain["platform"] = print_platform(descriptor.platform)
    if descriptor.artifact_type:
        plain["artifactType"] = descriptor.artifact_type
    return plain


def print_platform(platform: Platform) -> dict[str, Any]:
    """*platform* as JSON knows it."""
    plain: dict[str, Any] = {"architecture": platform.architecture, "os": platform.os}
    if platform.os_version:
        plain["os.version"] = platform.os_version
    if platform.os_features:
        plain["os.features"] = list(platform.os_features)
    if platform.variant:
        plain["variant"] = platform.variant
    return plain


def print_manifest(
    config: Descriptor,
    layers: Iterable[Descriptor],
    oci: bool = True,
    annotations: Iterable[tuple[str, str]] = (),
) -> bytes:
    """A manifest in OCI's words or in Docker's, the media types of *layers* among them."""
    word = media_types.to_oci if oci else media_types.to_docker
    plain = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST if oci else DOCKER_MANIFEST,
        "config": print_descriptor(evolve(config, media_type=word(config.media_type))),
        "layers": [
            print_descriptor(evolve(layer, media_type=word(layer.media_type))) for layer in layers
        ],
    }
    return _printed(plain, annotations)


def print_index(
    manifests: Iterable[Descriptor],
    oci: bool = True,
    annotations: Iterable[tuple[str, str]] = (),
) -> bytes:
    """An index of *manifests*, whose media types are left as they are: each is in its digest."""
    plain = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX if oci else DOCKER_INDEX,
        "manifests": [print_descriptor(manifest) for manifest in manifests],
    }
    return _printed(plain, annotations)


def _printed(plain: dict[str, Any], annotations: Iterable[tuple[str, str]]) -> bytes:
    if noted := dict(annotations):
        plain["annotations"] = noted
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode()
