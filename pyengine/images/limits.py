"""How much of everything an image may have: beyond it somebody is playing tricks."""

from __future__ import annotations

from attrs import frozen

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@frozen
class Limits:
    """What is taken from a registry or an archive; sizes are bytes.

    The defaults are far above what any image is known to have. Who has an image beyond them
    raises them.
    """

    manifest_bytes: int = 4 * MIB
    """A manifest, or an index: the OCI distribution specification's own limit."""

    config_bytes: int = 8 * MIB
    """The configuration of an image."""

    layers: int = 500
    """Layers of one image: overlayfs takes no more (OVL_MAX_STACK)."""

    layer_bytes: int = 256 * GIB
    """A layer, unpacked."""

    layer_entries: int = 5_000_000
    """Files, directories and the like in one layer: each costs an inode."""

    ratio: int = 250
    """How many bytes one byte may unpack to, in a layer of more than `ratio_from`."""

    ratio_from: int = GIB
    """Up to here a layer may unpack to what it wants: zeros are honest content, too."""

    empty_members: int = 100_000
    """Members of a gzip file, or frames of zstd, in which there is nothing."""

    zstd_window_log: int = 25
    """zstd's window, as a power of two: 32 MiB; ``zstd -19`` asks for 8."""

    xz_memory: int = 70 * MIB
    """What xz may use to unpack: ``xz -9`` asks for 65 MiB."""

    archive_entries: int = 50_000
    """Entries of an archive of images; an image has one for each layer, and a few more."""

    archive_name_bytes: int = 8 * MIB
    """The names of all of them: they are held in memory."""


DEFAULT = Limits()
