"""Media types: the words by which Docker and OCI tell kinds of content apart (row I09)."""

from __future__ import annotations

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = f"{OCI_LAYER}+gzip"
OCI_LAYER_ZSTD = f"{OCI_LAYER}+zstd"
OCI_FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar"
OCI_FOREIGN_GZIP = f"{OCI_FOREIGN}+gzip"
OCI_FOREIGN_ZSTD = f"{OCI_FOREIGN}+zstd"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"

DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = f"{DOCKER_LAYER}.gzip"
DOCKER_LAYER_ZSTD = f"{DOCKER_LAYER}.zstd"
DOCKER_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar"
DOCKER_FOREIGN_GZIP = f"{DOCKER_FOREIGN}.gzip"
DOCKER_FOREIGN_ZSTD = f"{DOCKER_FOREIGN}.zstd"

SCHEMA_1 = frozenset(
    (
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
    )
)
"""What Docker 1.9 wrote, and nobody should read any more."""

_PAIRS = {
    OCI_INDEX: DOCKER_INDEX,
    OCI_MANIFEST: DOCKER_MANIFEST,
    OCI_CONFIG: DOCKER_CONFIG,
    OCI_LAYER: DOCKER_LAYER,
    OCI_LAYER_GZIP: DOCKER_LAYER_GZIP,
    OCI_LAYER_ZSTD: DOCKER_LAYER_ZSTD,
    OCI_FOREIGN: DOCKER_FOREIGN,
    OCI_FOREIGN_GZIP: DOCKER_FOREIGN_GZIP,
    OCI_FOREIGN_ZSTD: DOCKER_FOREIGN_ZSTD,
}
_OCI_OF = {docker: oci for oci, docker in _PAIRS.items()}

INDEXES = frozenset((OCI_INDEX, DOCKER_INDEX))
MANIFESTS = frozenset((OCI_MANIFEST, DOCKER_MANIFEST))
CONFIGS = frozenset((OCI_CONFIG, DOCKER_CONFIG))
FOREIGN_LAYERS = frozenset(media for media in (*_PAIRS, *_OCI_OF) if "foreign" in media) | {
    OCI_FOREIGN,
    OCI_FOREIGN_GZIP,
    OCI_FOREIGN_ZSTD,
}
"""Layers that are not to be pushed (row I11)."""
LAYERS = frozenset(
    media for media in (*_PAIRS, *_OCI_OF) if media not in INDEXES | MANIFESTS | CONFIGS
)
"""Every kind of layer, foreign ones among them."""

ACCEPT = (OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST)
"""What to ask a registry for (row I10)."""


def to_oci(media_type: str) -> str:
    """OCI's word for what Docker calls *media_type*; what is no word of Docker's stays.

    >>> to_oci(DOCKER_LAYER_GZIP)
    'application/vnd.oci.image.layer.v1.tar+gzip'
    """
    return _OCI_OF.get(media_type, media_type)


def to_docker(media_type: str) -> str:
    """Docker's word for what OCI calls *media_type*; what is no word of OCI's stays.

    >>> to_docker(OCI_CONFIG)
    'application/vnd.docker.container.image.v1+json'
    """
    return _PAIRS.get(media_type, media_type)


def compression_of(media_type: str) -> str:
    """What a layer's media type says of it: ``gzip``, ``zstd`` or ``""``.

    >>> compression_of(OCI_LAYER_ZSTD), compression_of(DOCKER_LAYER)
    ('zstd', '')
    """
    for name in ("gzip", "zstd"):
        if media_type.endswith((f"+{name}", f".{name}")):
            return name
    return ""


def layer_type(compression: str, *, oci: bool = True) -> str:
    """The media type of a layer of ours: *compression* is ``gzip``, ``zstd`` or ``""``."""
    media_type = {"": OCI_LAYER, "gzip": OCI_LAYER_GZIP, "zstd": OCI_LAYER_ZSTD}[compression]
    return media_type if oci else to_docker(media_type)


def plain(media_type: str) -> str:
    """*media_type* without parameters, as the header ``Content-Type`` may have them.

    >>> plain("Application/JSON; charset=utf-8")
    'application/json'
    """
    return media_type.partition(";")[0].strip().lower()
