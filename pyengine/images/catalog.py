"""The images there are: their names come, move and go, and with them what only they needed.

Rows I28, I29, I37 and I40 of Docker's behaviour. Names change under two locks: the engine's,
shared by who adds and alone for who removes, and that of the names.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from attrs import evolve, frozen

from pyengine.errors import EngineError, InvalidRequest
from pyengine.images import lookup
from pyengine.images.content import Content
from pyengine.images.image_use import ImageUse, Uses
from pyengine.model.content import Descriptor, Manifest
from pyengine.model.event import FilterTexts
from pyengine.model.images import Removal
from pyengine.model.platform import Platform
from pyengine.model.reference import Reference
from pyengine.store import locks
from pyengine.store.gc import Reach, Sweeper
from pyengine.store.image_names import Named


@frozen
class Removed:
    """What a removal did, in its order, and how many *bytes* that freed."""

    removals: tuple[Removal, ...] = ()
    bytes: int = 0


def nobody() -> Iterable[ImageUse]:
    """No container uses any image."""
    return ()


class Images:
    """The images of one engine's root; *uses* tells which containers use which.

    >>> images.find("alpine").config  # doctest: +SKIP
    'sha256:…'
    """

    def __init__(self, content: Content, uses: Uses = nobody) -> None:
        self.content = content
        self.names = content.names
        self.reach = Reach(content.blobs, content.layers)
        self._uses = uses
        self._sweeper = Sweeper(content.blobs, content.layers, content.pins, self.reach)

    def find(self, text: str) -> Named:
        """What *text* means: see `lookup.find`. Raises `ImageNotFound`, `InvalidRequest`."""
        return lookup.find(self.names, text)

    @contextmanager
    def using(self, text: str) -> Iterator[Named]:
        """What *text* means; nobody removes it before the end of the ``with``.

        Who makes a container of it writes down that it does so before that. It counts as used
        now: see `gc`.
        """
        with locks.shared(self.content.layout.engine_lock):
            named = self.find(text)
            self.names.touch(named)
            yield named

    def of_id(self, image_id: str) -> list[Named]:
        """All names of the image with that id, in order."""
        return [named for named in self.names.all() if named.config == image_id]

    def add(
        self,
        reference: Reference | None,
        target: Descriptor,
        manifest: Manifest,
        platform: Platform | None = None,
        *,
        pulled: bool = False,
    ) -> Named:
        """Let *reference* mean this image, whose content is there: the last thing of a pull.

        Without a reference it is an image without a name, unless it has one. With a digest the
        tag does not count. *pulled*: a registry has *target* under that repository. On disk when
        this returns. Raises `StoreError` where content is missing, `NoSpace`.
        """
        if reference is not None:
            reference = reference.with_default_tag()
            reference = evolve(reference, tag=None) if reference.digest else reference
        named = Named(
            "" if reference is None else str(reference),
            target,
            manifest.digest,
            manifest.config.digest,
            platform,
            time.time(),
            pulled,
        )
        with locks.shared(self.content.layout.engine_lock), self.names.changing():
            self._require(target.digest, manifest)
            if named.reference or not self.of_id(named.config):
                self._let_be(named)
        return named

    def _require(self, target: str, manifest: Manifest) -> None:
        """Raise `StoreError` unless all is there; a layer may lack its blob, or be packed yet."""
        blobs = self.content.blobs
        for digest in (target, manifest.digest, manifest.config.digest):
            blobs.size(digest)
        lacking = [layer.digest for layer in manifest.layers if not blobs.has(layer.digest)]
        if not lacking:
            return
        chain = sorted(self.reach.of_config(manifest.config.digest).layers)
        if not chain or any(self.content.layers.find(chain_id) is None for chain_id in chain):
            blobs.size(lacking[0])

    def tag(self, text: str, reference: str) -> Named:
        """Let *reference* mean the image that *text* means (row I28). On disk when this returns.

        Raises `ImageNotFound`, and `InvalidRequest` for a reference with a digest.
        """
        wanted = Reference.parse(reference).with_default_tag()
        if wanted.digest is not None:
            why = "refusing to create a tag with a digest reference"
            raise InvalidRequest("reference", reference, why=why)
        with locks.shared(self.content.layout.engine_lock), self.names.changing():
            source = self.find(text)
            is_same = lookup.repository_of(source) == wanted.repository
            named = evolve(
                source,
                reference=str(wanted),
                tagged=time.time(),
                pulled=source.pulled and is_same,
            )
            self._let_be(named)
        return named

    def _let_be(self, named: Named) -> None:
        """Write *named*; what had the name before keeps one, by its digest, or by its id."""
        before = self.names.find(named.reference) if named.reference else None
        if before is not None and before.target.digest != named.target.digest:
            self._keep(before)  # first, or a kill in between would lose it
        self.names.write(named)
        if named.reference:
            self.names.drop(evolve(named, reference=""))

    def _keep(self, before: Named) -> None:
        if before.pulled and lookup.is_tag(before):
            by_digest = f"{lookup.repository_of(before)}@{before.target.digest}"
            if self.names.find(by_digest) is None:
                self.names.write(evolve(before, reference=by_digest))
        elif self.of_id(before.config) == [before]:
            self.names.write(evolve(before, reference="", pulled=False))

    def remove(self, text: str, *, force: bool = False) -> Removed:
        """Take a name away, and the image with it if it was the last; or an image by its id.

        Row I29: an image with several names, or one that a container uses which does not run, is
        removed by id with *force* only; by name, the name goes. One whose container runs stays.
        Raises `ImageNotFound`, `InUse`.
        """
        from pyengine.images import removing

        with self.removing():
            found, by_name = lookup.find_by(self.names, text)
            every = self.names.all()
            dropped, kept = removing.plan(every, found, force, self._uses, by_name=by_name)
            return self._carry_out(dropped, kept)

    def discard(self, names: Iterable[Named]) -> Removed:
        """Take all of these names away, whoever uses their images, with what only they needed."""
        with self.removing():
            return self._carry_out(tuple(names), ())

    def sweep(self) -> Removed:
        """Free what nobody needs: content without a name, and what killed processes left."""
        return self.discard(())

    @contextmanager
    def removing(self) -> Iterator[None]:
        """Be the only one who adds or removes anything; what takes long is done after that."""
        with locks.exclusive(self.content.layout.engine_lock), self.names.changing():
            yield
        self._sweeper.tidy()

    def _carry_out(self, dropped: tuple[Named, ...], kept: tuple[Named, ...]) -> Removed:
        for named in kept:  # before they go, or a kill in between would lose them
            self.names.write(named)
        self.names.drop(*dropped)
        left = self.names.all()
        swept = self._sweeper.sweep(left, self._used())
        gone = {named.config for named in dropped} - {named.config for named in left}
        removals = [Removal(untagged=familiar(named)) for named in dropped if named.reference]
        removals += [Removal(deleted=image_id) for image_id in sorted(gone)]
        removals += [Removal(deleted=chain_id) for chain_id in swept.layers]
        return Removed(tuple(removals), swept.bytes)

    def _used(self) -> set[str]:
        return {one for use in self._uses() for one in (use.image, *use.layers) if one}

    def uses(self) -> dict[str, list[ImageUse]]:
        """The containers that use an image, by its id."""
        found: dict[str, list[ImageUse]] = {}
        for use in self._uses():
            found.setdefault(use.image, []).append(use)
        return found

    def size(self) -> int:
        """Bytes of all blobs and layers."""
        layers = self.content.layers
        blobs = sum(size for _, size in self.content.blobs.all())
        records = (layers.read(chain_id) for chain_id in layers.all())
        return blobs + sum(record.size for record in records if record is not None)

    def prune(self, filters: FilterTexts | None = None) -> Removed:
        """Remove images that no container uses (row I37), and what nobody needs.

        Those without a tag, or with ``{"dangling": "false"}`` all; *filters* are those of
        `image_filters.PRUNE_FILTERS`. Raises `InvalidRequest`.
        """
        from pyengine.images.telling import Teller
        from pyengine.model.image_filters import PRUNE_FILTERS, ImageFilter

        given = {"dangling": "true", **(filters or {})}
        wanted = ImageFilter.parse(given, PRUNE_FILTERS)
        if not wanted.dangling:  # for prune that means all; for a list, those with a name
            del given["dangling"]
            wanted = ImageFilter.parse(given, PRUNE_FILTERS)
        with self.removing():
            found = wanted.select(Teller(self).summaries(), time.time())
            ids = {summary.id for summary in found} - self.uses().keys()
            dropped = tuple(named for named in self.names.all() if named.config in ids)
            return self._carry_out(dropped, ())

    def gc(self, max_bytes: int | None = None, older_than: float | None = None) -> Removed:
        """Free what nobody needs; then images that no container uses.

        Those that were not used for *older_than* seconds go, and while the store has more than
        *max_bytes* bytes, the one that was not used for longest. `None`: no limit.
        """
        done = [self.sweep()]
        now = time.time()
        for image_id, used in self._idle():
            is_old = older_than is not None and now - used > older_than
            is_much = max_bytes is not None and self.size() > max_bytes
            if is_old or is_much:
                done.append(self._remove_idle(image_id))
        removals = tuple(removal for removed in done for removal in removed.removals)
        return Removed(removals, sum(removed.bytes for removed in done))

    def _idle(self) -> list[tuple[str, float]]:
        """The images that no container uses, the one that was used last at the end."""
        last: dict[str, float] = {}
        for named in self.names.all():
            used = self.names.last_used(named)
            last[named.config] = max(used, last.get(named.config, used))
        in_use = self.uses()
        return sorted(
            ((one, used) for one, used in last.items() if one not in in_use),
            key=lambda pair: (pair[1], pair[0]),
        )

    def _remove_idle(self, image_id: str) -> Removed:
        with self.removing():
            if image_id in self.uses():  # since we looked
                return Removed()
            return self._carry_out(tuple(self.of_id(image_id)), ())

    def settle(self) -> None:
        """Have the layers that were unpacked marked durable: see `store.layers`.

        It takes long, and nobody has to wait for it: until then a power cut costs another
        unpacking, and nothing else.
        """
        try:
            self.content.layers.make_durable()
        except EngineError:  # whoever opens the root after a boot unpacks them again
            return


def familiar(named: Named) -> str:
    """The name as Docker shows it."""
    return Reference.parse(named.reference).familiar if named.reference else ""
