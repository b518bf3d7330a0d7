"""Which content is needed, and the removal of what is not.

Needed is what a name reaches, what a container uses, and what a living process has pinned. Who
removes holds the engine's lock alone, so nobody begins to need anything meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from pyengine.errors import EngineError
from pyengine.model import content, image_config
from pyengine.model.content import Index, Manifest
from pyengine.store.blobs import Blobs
from pyengine.store.image_names import Named
from pyengine.store.layers import Layers
from pyengine.store.pins import Pins

MOST_MANIFEST, MOST_CONFIG = 4 << 20, 8 << 20  # bytes
_DEEPEST = 4  # indexes in indexes


@frozen
class Reached:
    """What something reaches: digests of blobs, and chain ids of layers.

    *is_final*: it will never be more, so it may be remembered.
    """

    blobs: frozenset[str] = frozenset()
    layers: frozenset[str] = frozenset()
    is_final: bool = True

    def __or__(self, other: Reached) -> Reached:
        return Reached(
            self.blobs | other.blobs, self.layers | other.layers, self.is_final and other.is_final
        )


class Reach:
    """What names and digests reach; as content never changes, it is read once."""

    def __init__(self, blobs: Blobs, layers: Layers) -> None:
        self._blobs = blobs
        self._layers = layers
        self._known: dict[str, Reached] = {}

    def of_name(self, named: Named) -> Reached:
        """All that *named* needs, whatever of it is there."""
        return (
            self.of_manifest(named.target.digest)
            | self.of_manifest(named.manifest)
            | self.of_config(named.config)
        )

    def of_manifest(self, digest: str, depth: int = 0) -> Reached:
        """A manifest with all it names; of an index what is there, and it."""
        found = self._known.get(digest)
        if found is None:
            found = self._read_manifest(digest, depth)
            if found.is_final:
                self._known[digest] = found
        return found

    def _read_manifest(self, digest: str, depth: int) -> Reached:
        itself = frozenset((digest,))
        try:
            read = content.parse(self._blobs.read(digest, MOST_MANIFEST), artifacts=True)
        except EngineError:
            return Reached(itself, is_final=False)
        if isinstance(read, Manifest):
            blobs = itself | {layer.digest for layer in read.layers}
            return Reached(blobs) | self.of_config(read.config.digest)
        return Reached(itself) | self._children(read, depth)

    def _children(self, index: Index, depth: int) -> Reached:
        """Other platforms' manifests are seldom there; those that are belong to it."""
        found = Reached(is_final=False)  # another may come
        for child in index.manifests:
            if depth < _DEEPEST and self._blobs.has(child.digest):
                found |= self.of_manifest(child.digest, depth + 1)
        return found

    def of_config(self, digest: str) -> Reached:
        """An image's configuration with the layers it names, and what they were unpacked from."""
        found = self._known.get(digest)
        if found is None:
            itself = frozenset((digest,))
            try:
                image = image_config.parse(self._blobs.read(digest, MOST_CONFIG))
            except EngineError:
                return Reached(itself, is_final=False)
            found = Reached(itself, frozenset(image_config.chain_ids(image.diff_ids)))
            self._known[digest] = found
        return found

    def of_use(self, digest: str) -> Reached:
        """What somebody needs who uses that image id, chain id or blob: of a chain all below."""
        reached = self.of_config(digest) if self._blobs.has(digest) else Reached()
        layers = {digest, *reached.layers}
        blobs = {digest}
        for chain_id in tuple(layers):
            record = self._layers.read(chain_id)
            while record is not None:
                layers.add(record.chain_id)
                blobs.add(record.blob)
                record = self._layers.read(record.parent) if record.parent else None
        return Reached(frozenset(blobs), frozenset(layers)) | reached


@frozen
class Swept:
    """What was removed, and how many *bytes* that frees."""

    blobs: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    bytes: int = 0


class Sweeper:
    """Removes what nobody needs from one engine's root."""

    def __init__(self, blobs: Blobs, layers: Layers, pins: Pins, reach: Reach) -> None:
        self._blobs = blobs
        self._layers = layers
        self._pins = pins
        self._reach = reach

    def sweep(self, names: Iterable[Named], used: Iterable[str]) -> Swept:
        """Remove what neither *names* reach, nor who uses the ids *used*, nor a pin holds.

        The caller holds the engine's lock alone; `tidy` comes after it. Raises `StoreError`.
        """
        kept_blobs, kept_layers = self._pins.held(), set[str]()
        kept_layers |= kept_blobs
        reached = [self._reach.of_name(named) for named in names]
        reached += [self._reach.of_use(digest) for digest in used]
        for each in reached:
            kept_blobs |= each.blobs
            kept_layers |= each.layers
        freed = 0
        blobs, layers = [], []
        for chain_id in tuple(self._layers.all()):
            if chain_id not in kept_layers:
                record = self._layers.read(chain_id)
                if self._layers.discard(chain_id):
                    layers.append(chain_id)
                    freed += record.size if record is not None else 0
        for digest, _ in tuple(self._blobs.all()):
            if digest not in kept_blobs:
                freed += self._blobs.remove(digest)
                blobs.append(digest)
        return Swept(tuple(blobs), tuple(layers), freed)

    def tidy(self) -> int:
        """Remove what was discarded, or given up half way; answers the bytes of half blobs.

        Raises `StoreError`, `KernelError`.
        """
        self._layers.bury()
        return self._blobs.drop_unfinished()
