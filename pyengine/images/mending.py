"""A store is looked through, and what can be repaired without a network is: ``system check``.

Blobs are what everything else can be made of again: a layer is unpacked from its blob. What a
blob held that is damaged only a registry or an archive has; it is removed, so that the next pull
fetches it. A name goes only when nothing here can make its image run again.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from attrs import evolve

from pyengine.errors import EngineError
from pyengine.images import tree_compare
from pyengine.images.catalog import Images, familiar
from pyengine.images.unpacking import LayerPlan, layer_plans, unpack_one
from pyengine.model import content as model
from pyengine.model import image_config
from pyengine.model.content import Manifest
from pyengine.store import check, locks
from pyengine.store.check import Finding
from pyengine.store.gc import MOST_CONFIG, MOST_MANIFEST
from pyengine.store.image_names import Named
from pyengine.store.layers import RECORD, LayerRecord

_PULL = "pull or load it again"


def look(images: Images, *, repair: bool = True, quick: bool = False) -> list[Finding]:
    """Everything that is wrong with the images, with what was done about it.

    Without *repair* nothing is changed. *quick*: neither the bytes of blobs nor the files of
    layers are read, only whether they are there. Raises `StoreError` where a directory cannot be
    read at all.
    """
    mender = _Mender(images, repair, quick)
    return list(mender.work())


class _Mender:
    """One look through one store."""

    def __init__(self, images: Images, repair: bool, quick: bool) -> None:
        self._images = images
        self._content = images.content
        self._repair = repair
        self._quick = quick
        self._bad: set[str] = set()  # blobs that are damaged

    def work(self) -> Iterator[Finding]:
        """In this order: a layer is made of its blob, a name needs its layers."""
        content = self._content
        for found in check.privacy(content.layout):
            yield self._closed(found)
        for found in check.ingest(content.blobs):
            yield found if found.is_damage else self._tidied(found)
        for found in check.blobs(content.blobs, quick=self._quick):
            yield self._without(found) if found.kind == "damaged blob" else found
        plans = self._plans()
        for found in list(check.layers(content.layers)):
            yield self._layer(found, plans)
        yield from self._contents(plans)
        for found in check.names(content.names):
            yield self._name(found)
        yield from self._images_that_run()
        if self._repair:
            content.layers.bury()

    def _closed(self, found: Finding) -> Finding:
        if not self._repair:
            return found
        is_directory = stat.S_ISDIR(os.lstat(found.path).st_mode)
        os.chmod(found.path, 0o700 if is_directory else 0o600)
        return evolve(found, done="closed to others")

    def _tidied(self, found: Finding) -> Finding:
        if not self._repair:
            return found
        fd = locks.try_acquire(found.path)
        if fd is None:
            return found
        try:
            os.unlink(found.path)
        finally:
            locks.release(fd)
        return evolve(found, done="removed")

    def _has(self, digest: str) -> bool:
        """Whether there is such a blob, and a good one as far as we know."""
        return digest not in self._bad and self._content.blobs.has(digest)

    def _without(self, found: Finding) -> Finding:
        """Remove a damaged blob: it is none, and is in the way of a good one."""
        self._bad.add(found.digest)
        if not self._repair:
            return evolve(found, advice=_PULL)
        with locks.exclusive(self._content.layout.engine_lock):
            if not list(check.blob(self._content.blobs, found.digest)):  # another is there by now
                self._bad.discard(found.digest)
                return evolve(found, done="replaced by another process")
            self._content.blobs.remove(found.digest)
            self._bad.discard(found.digest)
        return evolve(found, done="removed", advice=f"what needs it: {_PULL}")

    def _plans(self) -> dict[str, LayerPlan]:
        """How each layer that a name needs is made, by chain id."""
        plans: dict[str, LayerPlan] = {}
        for named in self._content.names.all():
            try:
                for plan in self._plans_of(named):
                    plans.setdefault(plan.chain_id, plan)
            except EngineError:  # told of where the names are looked at
                continue
        return plans

    def _plans_of(self, named: Named) -> tuple[LayerPlan, ...]:
        blobs = self._content.blobs
        manifest = model.parse(blobs.read(named.manifest, MOST_MANIFEST))
        if not isinstance(manifest, Manifest):
            return ()
        image = image_config.parse(blobs.read(named.config, MOST_CONFIG))
        return layer_plans(manifest, image, self._content.limits)

    def _layer(self, found: Finding, plans: dict[str, LayerPlan]) -> Finding:
        if found.kind == "leftover":
            return evolve(found, done="removed") if self._repair else found
        if found.kind != "damaged layer" or not self._repair:
            return found
        chain_id = found.digest
        if self._is_running(chain_id):
            return evolve(found, advice="end the containers that use it, and check again")
        plan = plans.get(chain_id)
        if plan is not None and self._has(plan.blob):
            return self._unpacked_again(found, plan)
        if plan is not None and self._rewritten(plan):
            return evolve(found, done=f"{RECORD} was written anew")
        if plan is None:  # no name needs it; what a container needs only its record tells
            if chain_id in self._needed():
                return evolve(found, advice="a container needs it: remove that container")
            self._content.layers.discard(chain_id)
            return evolve(found, done="removed: no image needs it")
        return evolve(found, advice=_PULL)

    def _unpacked_again(self, found: Finding, plan: LayerPlan) -> Finding:
        try:
            self._content.layers.discard(plan.chain_id)
            unpack_one(self._content, plan)
        except EngineError as error:
            return evolve(found, advice=f"unpacking it again failed: {error}; {_PULL}")
        return evolve(found, done="unpacked again from its blob")

    def _rewritten(self, plan: LayerPlan) -> bool:
        """Whether a layer without a blob, but with all its files, has its record again."""
        layers = self._content.layers
        is_whole = layers.is_durable(plan.chain_id) and os.path.isdir(
            layers.directory(plan.chain_id)
        )
        if is_whole:
            directory = layers.directory(plan.chain_id)
            size, entries = tree_compare.measure_layer(self._content, directory)
            layers.rewrite(LayerRecord(plan.chain_id, plan.diff_id, plan.parent, size, entries, ""))
        return is_whole

    def _is_running(self, chain_id: str) -> bool:
        return any(
            use.is_running
            and (
                chain_id in use.layers or chain_id in self._images.reach.of_config(use.image).layers
            )
            for uses in self._images.uses().values()
            for use in uses
        )

    def _needed(self) -> set[str]:
        return {
            chain_id
            for uses in self._images.uses().values()
            for use in uses
            for chain_id in (*use.layers, *self._images.reach.of_config(use.image).layers)
        }

    def _contents(self, plans: dict[str, LayerPlan]) -> Iterator[Finding]:
        """Layers that are not there, and those whose files are not what their blob says."""
        content = self._content
        for plan in plans.values():
            record = content.layers.find(plan.chain_id)
            has_blob = self._has(plan.blob)
            if record is None:
                path = content.layers.home(plan.chain_id)
                if os.path.lexists(path):  # told already
                    continue
                found = Finding("missing layer", path, "it is not unpacked", plan.chain_id)
                can = self._repair and has_blob
                yield self._unpacked_again(found, plan) if can else evolve(found, advice=_PULL)
            elif not has_blob and record.blob:
                path = content.blobs.path(plan.blob)
                what = "a layer was unpacked from it: the image runs, and cannot be pushed"
                yield Finding("missing blob", path, what, plan.blob, advice=_PULL)
            elif has_blob and not self._quick:
                yield from self._compared(plan)

    def _compared(self, plan: LayerPlan) -> Iterator[Finding]:
        """Unpack the layer once more, aside, and see whether it is the same."""
        try:
            difference = tree_compare.against_blob(self._content, plan)
        except EngineError as error:
            path = self._content.layers.home(plan.chain_id)
            yield Finding("damaged layer", path, f"it cannot be compared: {error}", plan.chain_id)
            return
        if difference:
            path = self._content.layers.directory(plan.chain_id)
            what = f"{difference} is not what its blob says"
            found = Finding("damaged layer", path, what, plan.chain_id)
            yield self._layer(found, {plan.chain_id: plan})

    def _name(self, found: Finding) -> Finding:
        if not self._repair or found.kind == "foreign":
            return found
        with self._content.names.changing():
            if found.path in {path for path, named in self._content.names.read_all() if named}:
                return evolve(found, done="replaced by another process")
            try:
                os.unlink(found.path)
            except FileNotFoundError:
                pass
        if not found.is_damage:
            return evolve(found, done="removed")
        return evolve(found, done="removed: nothing tells what it stood for", advice=_PULL)

    def _images_that_run(self) -> Iterator[Finding]:
        """Names whose image cannot run, and never will without a network."""
        for named in self._content.names.all():
            path = self._content.names.path(named)
            name = familiar(named) or named.config
            why = self._why_not(named)
            if why:
                found = Finding("broken image", path, f"{name} cannot run: {why}", named.config)
                if self._repair:
                    with self._images.removing():
                        self._content.names.drop(named)
                    found = evolve(found, done="its name was removed")
                yield evolve(found, advice=f"{_PULL}: {name}")
                continue
            for digest in dict.fromkeys((named.target.digest, named.manifest)):
                if not self._content.blobs.has(digest):
                    what = f"{name} runs, and cannot be pushed"
                    path = self._content.blobs.path(digest)
                    yield Finding("missing blob", path, what, digest, advice=f"{_PULL}: {name}")

    def _why_not(self, named: Named) -> str:
        try:
            image = image_config.parse(self._content.blobs.read(named.config, MOST_CONFIG))
        except EngineError as error:
            return str(error)
        for chain_id in image_config.chain_ids(image.diff_ids):
            if self._content.layers.find(chain_id) is None:
                blob = self._blob_of(named, chain_id)
                if not blob or not self._has(blob):
                    return f"layer {chain_id} is lost"
        return ""

    def _blob_of(self, named: Named, chain_id: str) -> str:
        try:
            return next(plan.blob for plan in self._plans_of(named) if plan.chain_id == chain_id)
        except (EngineError, StopIteration):
            return ""
