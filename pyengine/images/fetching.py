"""One layer of a pull: its bytes go from the socket into a blob, and into files, at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from pyengine.errors import DigestMismatch, InvalidContent
from pyengine.images.content import Content
from pyengine.images.registry import Repository
from pyengine.images.unpacking import LayerPlan, LayerSink, Progress
from pyengine.model import digests
from pyengine.model.content import Descriptor
from pyengine.model.progress import Action, ProgressEvent
from pyengine.store.blobs import Ingest

_ATTEMPTS = 3  # at a blob whose bytes were not its digest's
_CHUNK = 256 << 10


class Stopped(Exception):
    """Another piece of the transfer has failed."""


class Telling:
    """Tells *progress* what happens to *reference*, one thing at a time."""

    def __init__(self, reference: str, progress: Progress | None) -> None:
        self._reference, self._progress = reference, progress
        self._lock = threading.Lock()

    def __call__(
        self,
        action: Action,
        digest: str = "",
        current: int = 0,
        total: int | None = None,
        detail: str = "",
    ) -> None:
        """Tell of the piece *digest*; "" is the whole."""
        if self._progress is not None:
            name = digests.hex_of(digest)[:12] if digest else ""
            event = ProgressEvent(action, name, current, total, self._reference, detail)
            with self._lock:
                self._progress(event)

    def retrying(self, why: str) -> None:
        """Something of the whole is tried again."""
        self("retrying", detail=why)


class LayerFetch:
    """The layer of *plan*, which the manifest calls *layer*, out of *repository*."""

    def __init__(
        self,
        content: Content,
        repository: Repository,
        plan: LayerPlan,
        layer: Descriptor,
        telling: Telling,
    ) -> None:
        self._content, self._repository = content, repository
        self._plan, self._layer, self._tell = plan, layer, telling
        telling("waiting", plan.blob, 0, plan.size)

    def run(self) -> None:
        """Have the blob, and the unpacked layer.

        Raises as `registry.Repository.blob` and `unpacking.LayerSink.finish`.
        """
        content, plan = self._content, self._plan
        known = content.layers.find(plan.chain_id)
        if known is not None and known.blob == plan.blob and content.blobs.has(plan.blob):
            self._tell("exists", plan.blob)
            return
        with LayerSink(content, plan, self._ask) as sink:
            self._bring(sink)
            self._tell("unpacking", plan.blob, sink.taken, plan.size)
            sink.finish()
        self._tell("done", plan.blob, plan.size, plan.size)

    def _ask(self) -> None:
        """Called while we wait for others."""
        means = self._repository.means
        if means.stopping.is_set():
            raise Stopped
        means.check(f"pulling {self._repository.image}")

    def _bring(self, sink: LayerSink) -> None:
        plan = self._plan
        for attempt in range(_ATTEMPTS):
            with self._content.blobs.ingest(plan.blob, plan.size, self._ask) as ingest:
                if ingest.done:
                    self._feed_blob(sink)
                    return
                try:
                    self._download(ingest, sink)
                    return
                except DigestMismatch as error:
                    host = self._repository.server.host
                    error.registry = error.registry or host
                    error.digest = plan.blob
                    error.remedy = "the registry, or something before it, damages what it sends"
                    if attempt + 1 == _ATTEMPTS:
                        raise
                    self._tell("retrying", plan.blob, 0, plan.size, error.why)
                    sink.restart()

    def _feed_blob(self, sink: LayerSink) -> None:
        """Somebody else has brought it, and not unpacked it."""
        with self._content.blobs.open(self._plan.blob) as file:
            while data := file.read(_CHUNK):
                self._ask()
                sink.feed(data)

    def _download(self, ingest: Ingest, sink: LayerSink) -> None:
        """All of the blob. What is no layer may be one that was damaged on its way: first of all
        it is known whether it was.
        """
        plan, tell = self._plan, self._tell
        wrong: InvalidContent | None = None
        for data, is_new in self._pieces(ingest):
            if is_new:
                ingest.write(data)
                tell("downloading", plan.blob, ingest.offset, plan.size)
            try:
                if wrong is None:
                    sink.feed(data)
            except InvalidContent as error:
                wrong = error
        tell("verifying", plan.blob, plan.size, plan.size)
        ingest.commit()
        tell("downloaded", plan.blob, plan.size, plan.size)
        if wrong is not None:
            raise wrong

    def _pieces(self, ingest: Ingest) -> Iterator[tuple[bytes, bool]]:
        plan = self._plan
        for data in ingest.resumed():
            yield data, False
        if ingest.offset < plan.size or not plan.size:
            for data in self._repository.blob(
                plan.blob, plan.size, ingest.offset, self._retrying, self._layer.urls
            ):
                yield data, True

    def _retrying(self, why: str) -> None:
        self._tell("retrying", self._plan.blob, 0, self._plan.size, why)
