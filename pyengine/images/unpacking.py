"""Layers become directories, while they are downloaded or from their blobs.

Of one layer, whoever brings its bytes, a thread that inflates and hashes them, and one that makes
files of them work at the same time; of an image, several layers. Pipes of a few megabytes are
between them, so that memory does not depend on what a layer holds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Self

from attrs import frozen

from pyengine.errors import InvalidContent
from pyengine.images.content import Content, Counted
from pyengine.images.inflating import Inflater
from pyengine.images.limits import DEFAULT, Limits
from pyengine.images.pipes import Broken, Pipe
from pyengine.model import digests
from pyengine.model.content import Manifest
from pyengine.model.image_config import ImageFile, chain_ids
from pyengine.model.progress import ProgressEvent
from pyengine.store.layers import LayerRecord
from pyengine.store.locks import Waiting

Progress = Callable[[ProgressEvent], object]

AT_ONCE = 2
"""Layers that are unpacked at the same time: each keeps a core busy."""

_COMPRESSED_ROOM, _PLAIN_ROOM = 2 << 20, 4 << 20  # bytes
_CHUNK = 256 << 10


@frozen
class LayerPlan:
    """One layer of an image: what its blob is, and what becomes of it. *size* is the blob's."""

    chain_id: str
    diff_id: str
    parent: str
    blob: str
    size: int


def layer_plans(
    manifest: Manifest, image: ImageFile, limits: Limits = DEFAULT
) -> tuple[LayerPlan, ...]:
    """The layers of an image, the lowest first.

    Raises `InvalidContent` where manifest and configuration do not agree how many there are, or
    there are too many.
    """
    blobs, diff_ids = manifest.layers, image.diff_ids
    if len(blobs) != len(diff_ids):
        why = f"it has {len(blobs)} layers, and its configuration has {len(diff_ids)}"
        raise InvalidContent("manifest", why, digest=manifest.digest)
    if len(blobs) > limits.layers:
        why = f"it has {len(blobs)} layers: more than {limits.layers}"
        raise InvalidContent("manifest", why, digest=manifest.digest)
    chain = chain_ids(diff_ids)
    return tuple(
        LayerPlan(chain_id, diff_id, parent, blob.digest, blob.size)
        for chain_id, diff_id, parent, blob in zip(
            chain, diff_ids, ("", *chain), blobs, strict=False
        )
    )


class LayerSink:
    """Takes the compressed bytes of a layer's blob as they come; use it in a ``with``.

    A block that ends without `finish` leaves nothing. Where the layer is there already, from the
    same blob, what is fed is dropped; from another, it is verified all the same.

    >>> with LayerSink(content, plan) as sink:  # doctest: +SKIP
    ...     for data in response:
    ...         ingest.write(data)
    ...         sink.feed(data)
    ...     ingest.commit()
    ...     sink.finish()
    """

    def __init__(self, content: Content, plan: LayerPlan, waiting: Waiting | None = None) -> None:
        self.plan = plan
        self._content = content
        self._staging = content.layers.stage(plan.chain_id, waiting)
        self._work: _Work | None = None

    @property
    def taken(self) -> int:
        """How many compressed bytes were inflated so far."""
        return self._work.inflater.taken if self._work is not None else 0

    def __enter__(self) -> Self:
        self._staging.__enter__()
        try:
            self._begin()
        except BaseException:
            self._staging.__exit__()
            raise
        return self

    def _begin(self) -> None:
        if not self._staging.done:
            self._work = _Work(self._content, self.plan, self._staging.fd)
            return
        found = self._content.layers.find(self.plan.chain_id)
        if found is None or found.blob != self.plan.blob:
            self._work = _Work(self._content, self.plan, None)

    def __exit__(self, *_: object) -> None:
        try:
            self._stop()
        finally:
            self._staging.__exit__()

    def _stop(self) -> None:
        if self._work is not None:
            self._work.stop()
            self._work = None

    def feed(self, data: bytes) -> None:
        """Take the next bytes; waits while the others are behind.

        Raises what went wrong with those before: `InvalidContent`, `NoSpace`, `Unsupported`…
        """
        if self._work is not None:
            self._work.feed(data)

    def restart(self) -> None:
        """Forget all that came: the blob begins anew. Raises `StoreError`, `KernelError`."""
        self._stop()
        if not self._staging.done:
            self._staging.empty()
        self._begin()

    def finish(self) -> None:
        """All has come: wait until it is unpacked, verify the diff id, and make it a layer.

        Commit the blob before. Raises as `feed`, and `InvalidContent` where the layer is not what
        the image's configuration says.
        """
        if self._work is None:
            return
        unpacked = self._work.finish()
        self._work = None
        if not self._staging.done:
            plan = self.plan
            record = LayerRecord(
                plan.chain_id,
                plan.diff_id,
                plan.parent,
                size=unpacked.bytes,
                entries=unpacked.entries,
                blob=plan.blob,
                hides_all=unpacked.hides_all,
            )
            self._staging.commit(record)


@frozen
class _Nothing:
    """What a layer counts that was verified only."""

    entries: int = 0
    bytes: int = 0
    hides_all: bool = False


class _Work:
    """The threads that work on one attempt at one layer."""

    def __init__(self, content: Content, plan: LayerPlan, directory: int | None) -> None:
        self.inflater = Inflater("layer", plan.blob, content.limits)
        self._plan = plan
        self._compressed, self._plain = Pipe(_COMPRESSED_ROOM), Pipe(_PLAIN_ROOM)
        self._error: BaseException | None = None
        self._unpacked: Counted = _Nothing()
        self._hash = digests.hasher(plan.diff_id)
        self._unpacker = (
            content.unpacker(directory, content.limits) if directory is not None else None
        )
        jobs = (self._inflate, self._unpack)[: 1 if self._unpacker is None else 2]
        self._threads = [
            threading.Thread(target=self._run, args=(job,), name=job.__name__, daemon=True)
            for job in jobs
        ]
        for thread in self._threads:
            thread.start()

    def feed(self, data: bytes) -> None:
        try:
            self._compressed.put(data)
        except Broken:
            self._end()

    def finish(self) -> Counted:
        self._compressed.end()
        self._end()
        wanted = self._plan.diff_id
        if self._hash.hexdigest() != digests.hex_of(wanted):
            why = f"its content is not {wanted}, which the image's configuration says it is"
            raise InvalidContent("layer", why, digest=self._plan.blob)
        return self._unpacked

    def stop(self) -> None:
        self._break_off()
        for thread in self._threads:
            thread.join()
        self._close()

    def _end(self) -> None:
        """Wait for all; raise what one of them raised."""
        for thread in self._threads:
            thread.join()
        self._close()
        if self._error is not None:
            raise self._error

    def _close(self) -> None:
        if self._unpacker is not None:
            self._unpacker.close()
            self._unpacker = None

    def _break_off(self) -> None:
        self._compressed.break_off()
        self._plain.break_off()

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Broken:  # another has the reason
            pass
        except BaseException as error:  # noqa: BLE001  # raised where somebody waits for it
            if isinstance(error, InvalidContent):
                error.digest = error.digest or self._plan.blob
            self._error = self._error or error
            self._break_off()

    def _inflate(self) -> None:
        while (data := self._compressed.get()) is not None:
            self._give(self.inflater.feed(data))
        self._give(self.inflater.finish())
        self._plain.end()

    def _give(self, pieces: Iterable[bytes | memoryview]) -> None:
        for piece in pieces:
            self._hash.update(piece)
            if self._unpacker is not None:
                self._plain.put(piece)

    def _unpack(self) -> None:
        assert self._unpacker is not None
        while (piece := self._plain.get()) is not None:
            self._unpacker.feed(piece)
        self._unpacked = self._unpacker.finish()


def unpack(
    content: Content,
    plans: Iterable[LayerPlan],
    progress: Progress | None = None,
    waiting: Waiting | None = None,
) -> None:
    """Unpack the layers of *plans* that are not there yet from their blobs.

    Raises `BlobMissing`, and as `LayerSink.finish`; what was unpacked by then stays.
    """
    lacking = [plan for plan in plans if content.layers.find(plan.chain_id) is None]
    if len(lacking) <= 1:
        for plan in lacking:
            unpack_one(content, plan, progress, waiting)
        return
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    stopping = threading.Event()

    def ask() -> None:
        if stopping.is_set():
            raise Broken
        if waiting is not None:
            waiting()

    with ThreadPoolExecutor(AT_ONCE, "unpack") as pool:
        tasks = [pool.submit(unpack_one, content, plan, progress, ask) for plan in lacking]
        try:
            wait(tasks, return_when=FIRST_EXCEPTION)
        finally:
            stopping.set()
            pool.shutdown(cancel_futures=True)
    errors = [error for task in tasks if not task.cancelled() and (error := task.exception())]
    for error in errors:
        if not isinstance(error, Broken):
            raise error


def unpack_one(
    content: Content,
    plan: LayerPlan,
    progress: Progress | None = None,
    waiting: Waiting | None = None,
) -> None:
    """Unpack one layer from its blob; *waiting* is called while it is done, too."""
    name = digests.hex_of(plan.blob)[:12]
    with content.blobs.open(plan.blob) as file, LayerSink(content, plan, waiting) as sink:
        while data := file.read(_CHUNK):
            if waiting is not None:
                waiting()
            sink.feed(data)
            if progress is not None:
                progress(ProgressEvent("unpacking", name, sink.taken, plan.size))
        sink.finish()


@contextmanager
def unpack_aside(content: Content, plan: LayerPlan) -> Iterator[str]:
    """A directory with the files that the blob of a layer holds, until the end of the ``with``.

    Raises as `unpack_one`.
    """
    with content.layers.aside(plan.chain_id) as (path, directory):
        work = _Work(content, plan, directory)
        try:
            with content.blobs.open(plan.blob) as file:
                while data := file.read(_CHUNK):
                    work.feed(data)
            work.finish()
        finally:
            work.stop()
        yield path
