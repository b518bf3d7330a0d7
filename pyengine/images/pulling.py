"""Pulling: an image comes from a registry, several layers at a time, and gets its name last."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

from attrs import evolve, frozen

from pyengine.errors import (
    DigestMismatch,
    ImageNotFound,
    InvalidContent,
    InvalidRequest,
)
from pyengine.images.catalog import Images
from pyengine.images.fetching import LayerFetch, Telling
from pyengine.images.registry import Found, Repository
from pyengine.images.servers import Means
from pyengine.images.unpacking import LayerPlan, Progress, layer_plans
from pyengine.model import content as contents
from pyengine.model import digests, image_config
from pyengine.model.content import Descriptor, Index, Manifest
from pyengine.model.image_config import ImageFile
from pyengine.model.platform import Platform, rank
from pyengine.model.reference import Reference
from pyengine.store.image_names import Named
from pyengine.store.pins import Hold

AT_ONCE = 3
"""Layers that are fetched at the same time (row I07)."""

_DEEPEST = 4  # indexes within indexes
T = TypeVar("T")


def pull(
    images: Images,
    reference: Reference,
    means: Means,
    *,
    platform: Platform | None = None,
    progress: Progress | None = None,
    at_once: int = AT_ONCE,
) -> Named:
    """Have the image of *reference* in the store, and answer what its name means then.

    Without tag and digest it is ``latest``. Of an index it is the image for *platform* (this
    machine's). What is there already is not fetched again; what fails leaves what has come for the
    next attempt, and no name. *progress* is called by one thread at a time.

    Raises `ImageNotFound`, `InvalidContent`, `RegistryError` and its others, `TimedOut`,
    `NoSpace`, `StoreError`.

    >>> pull(images, Reference.parse("alpine"), Means()).reference          # doctest: +SKIP
    'docker.io/library/alpine:latest'
    """
    with _opened(reference, means) as repository:
        return _Pull(images, repository, reference, platform, progress, at_once).run()


def pull_all_tags(
    images: Images,
    reference: Reference,
    means: Means,
    *,
    platform: Platform | None = None,
    progress: Progress | None = None,
    at_once: int = AT_ONCE,
) -> tuple[Named, ...]:
    """As `pull`, for every tag that the repository of *reference* has (row I04)."""
    with _opened(reference, means) as repository:
        tags = repository.tags()
        if not tags:
            raise ImageNotFound(reference.repository, "its repository has no tags")
        return tuple(
            _Pull(
                images, repository, reference.with_tag(tag), platform, progress, at_once
            ).run()
            for tag in tags
        )  # fmt: skip


def _opened(reference: Reference, means: Means) -> Repository:
    if reference.repository == "docker.io/library/scratch":
        raise InvalidRequest("image", "scratch", why="the name is reserved: there is none")
    return Repository(reference.domain, reference.remote_name, means)


@frozen
class _Image:
    """What was resolved: *target* is what the name means, *manifest* what will run."""

    target: Descriptor
    manifest: Manifest
    image: ImageFile
    plans: tuple[LayerPlan, ...]

    @property
    def digests(self) -> Iterable[str]:
        """All that must not be swept away."""
        yield self.target.digest
        yield from (self.manifest.digest, self.manifest.config.digest)
        for plan in self.plans:
            yield from (plan.blob, plan.chain_id)


class _Pull:
    """One image on its way."""

    def __init__(
        self,
        images: Images,
        repository: Repository,
        reference: Reference,
        platform: Platform | None,
        progress: Progress | None,
        at_once: int,
    ) -> None:
        self._images, self._content = images, images.content
        self._repository = repository
        self._reference = reference.with_default_tag()
        self._name = self._reference.familiar
        self._wanted, self._is_chosen = platform or here(), platform is not None
        self._at_once = at_once
        self._telling = Telling(self._name, progress)

    def run(self) -> Named:
        """See `pull`."""
        tell = self._telling
        tell("resolving", detail=self._reference.target)
        try:
            with self._content.pins.hold() as hold:
                known = self._known()
                if known is not None:
                    tell("exists", detail=known.target.digest)
                    return known
                resolved = self._resolve(hold)
                hold.add(*resolved.digests)
                self._fetch_layers(resolved)
                named = self._images.add(
                    self._reference,
                    resolved.target,
                    resolved.manifest,
                    resolved.image.platform,
                    pulled=True,
                )
        except (InvalidContent, DigestMismatch) as error:
            error.image = error.image or self._name
            raise
        tell("done", detail=resolved.target.digest)
        return named

    def _known(self) -> Named | None:
        """What we have under this name, if it is whole, for this platform, and still meant."""
        reference = self._reference
        if reference.digest is not None:
            reference = evolve(reference, tag=None)
        named = self._images.names.find(str(reference))
        if named is None or not self._is_whole(named):
            return None
        offered = named.platform
        if self._is_chosen and (offered is None or rank(self._wanted, offered) is None):
            return None
        if reference.digest is None:
            tag = reference.target
            if self._repository.digest_of(tag, self._telling.retrying) != named.target.digest:
                return None
        self._images.names.touch(named)
        return named

    def _is_whole(self, named: Named) -> bool:
        content = self._content
        try:
            resolved = self._local(named)
        except Exception:  # noqa: BLE001 — whatever is wrong with it, it is pulled anew
            return False
        return all(
            content.blobs.has(plan.blob) and content.layers.find(plan.chain_id) is not None
            for plan in resolved.plans
        )

    def _local(self, named: Named) -> _Image:
        blobs, limits = self._content.blobs, self._content.limits
        manifest = contents.parse(blobs.read(named.manifest, limits.manifest_bytes))
        if not isinstance(manifest, Manifest) or not blobs.has(named.target.digest):
            raise InvalidContent("manifest", "it is none", named.manifest)
        image = image_config.parse(blobs.read(named.config, limits.config_bytes))
        return _Image(named.target, manifest, image, layer_plans(manifest, image, limits))

    def _resolve(self, hold: Hold) -> _Image:
        found = self._repository.manifest(self._reference.target, self._telling.retrying)
        target, parsed = self._kept(found, found.media_type, hold)
        for _ in range(_DEEPEST):
            if isinstance(parsed, Manifest):
                break
            parsed = self._from(parsed, hold)
        if isinstance(parsed, Index):
            raise InvalidContent("index", f"it is more than {_DEEPEST} deep", parsed.digest)
        image = self._config(parsed, hold)
        image_config.check_match(parsed, image)
        self._check_platform(image)
        for layer in parsed.layers:
            if layer.size > self._content.limits.layer_bytes:
                why = f"it has {layer.size} bytes: more than a layer may have"
                raise InvalidContent("layer", why, layer.digest)
        return _Image(target, parsed, image, layer_plans(parsed, image, self._content.limits))

    def _from(self, index: Index, hold: Hold) -> Manifest | Index:
        chosen = contents.choose(index, self._wanted, image=self._name)
        if self._content.blobs.has(chosen.digest):
            data = self._content.blobs.read(chosen.digest, self._content.limits.manifest_bytes)
            found = Found(data, chosen.media_type, chosen.digest)
        else:
            found = self._repository.manifest(chosen.digest, self._telling.retrying)
        if len(found.data) != chosen.size:
            why = f"it has {len(found.data)} bytes, and the index says {chosen.size}"
            raise InvalidContent("manifest", why, chosen.digest)
        return self._kept(found, chosen.media_type, hold)[1]

    def _kept(
        self, found: Found, media_type: str, hold: Hold
    ) -> tuple[Descriptor, Manifest | Index]:
        """*found*, as a blob; what it is called now, and what it says."""
        parsed = contents.parse(found.data, media_type)
        hold.add(found.digest, parsed.digest)
        self._content.blobs.put(found.data, found.digest)
        if found.digest != parsed.digest:  # it was asked for by sha512
            self._content.blobs.put(found.data, parsed.digest)
        return evolve(parsed.descriptor, digest=found.digest), parsed

    def _config(self, manifest: Manifest, hold: Hold) -> ImageFile:
        wanted, content = manifest.config, self._content
        if wanted.size > content.limits.config_bytes:
            why = f"it has {wanted.size} bytes: more than {content.limits.config_bytes}"
            raise InvalidContent("image config", why, wanted.digest)
        hold.add(wanted.digest)
        with content.blobs.ingest(wanted.digest, wanted.size, self._ask) as ingest:
            if not ingest.done:  # nobody else has brought it meanwhile
                data = self._fetched_config(wanted)
                ingest.restart()  # it is small: what an earlier attempt left is no help
                ingest.write(data)
                ingest.commit()
        return image_config.parse(content.blobs.read(wanted.digest, wanted.size))

    def _ask(self) -> None:
        """Called while we wait for others."""
        self._repository.means.check(f"pulling {self._name}")

    def _fetched_config(self, wanted: Descriptor) -> bytes:
        repository, telling = self._repository, self._telling

        def get(_: object) -> bytes:
            pieces = repository.blob(wanted.digest, wanted.size, 0, telling.retrying)
            data = b"".join(pieces)
            if not digests.verify(data, wanted.digest):
                why = "get the config: what came is not it"
                raise DigestMismatch(repository.server.host, why, self._name, wanted.digest)
            return data

        return repository.tried(repository.server, "get the config", get, telling.retrying)

    def _check_platform(self, image: ImageFile) -> None:
        if self._is_chosen and rank(self._wanted, image.platform) is None:
            hint = f"it is for {image.platform}, and not for {self._wanted}"
            raise ImageNotFound(self._name, hint)

    def _fetch_layers(self, resolved: _Image) -> None:
        layers = resolved.manifest.layers
        fetches = [
            LayerFetch(self._content, self._repository, plan, layer, self._telling)
            for plan, layer in zip(resolved.plans, layers, strict=True)
        ]
        together([fetch.run for fetch in fetches], self._at_once, self._repository.stop)


def together(works: list[Callable[[], T]], at_once: int, stop: Callable[[], object]) -> list[T]:
    """What *works* return, so many of them at the same time.

    If one raises, or somebody interrupts us, *stop* ends the others, and that is raised.
    """
    if not works:
        return []
    with ThreadPoolExecutor(min(at_once, len(works)), "transfer") as pool:
        tasks = [pool.submit(work) for work in works]
        try:
            done, waiting = wait(tasks, return_when=FIRST_EXCEPTION)
            failed = [task for task in done if task.exception() is not None]
            if waiting or failed:
                stop()
        except BaseException:
            stop()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
    for task in failed:  # the others have ended because of this
        task.result()
    return [task.result() for task in tasks]


def here() -> Platform:
    """What runs on this machine."""
    return Platform.of_machine(os.uname().machine)
