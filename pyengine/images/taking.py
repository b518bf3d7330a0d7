"""Files of an archive become blobs, whole and pinned, or they do not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from attrs import frozen

from pyengine.errors import DigestMismatch, EngineError, InvalidContent
from pyengine.images.catalog import Images
from pyengine.images.content import Content
from pyengine.model import digests
from pyengine.model.progress import ProgressEvent
from pyengine.store.locks import Waiting
from pyengine.store.pins import Hold

Progress = Callable[[ProgressEvent], object]


@contextmanager
def taking(
    images: Images, progress: Progress | None = None, waiting: Waiting | None = None
) -> Iterator[Taker]:
    """One who makes blobs, until the end of the ``with``; name the image before that.

    What no image needs is removed at the end: all that came, where something is raised.
    """
    taker: Taker | None = None
    try:
        with images.content.pins.hold() as hold:
            taker = Taker(images.content, hold, progress, waiting)
            yield taker
    except BaseException:
        if taker is not None and taker.made:
            _sweep(images)
        raise
    if taker.made - taker.kept:
        _sweep(images)


def _sweep(images: Images) -> None:
    try:
        images.sweep()
    except EngineError:  # the next one who frees space does it; what is raised now matters more
        return


@frozen
class Taken:
    """A file of an archive that is a blob now."""

    digest: str
    size: int


class Taker:
    """Makes blobs of what comes, pinned before anybody could take them for garbage.

    *made* are those that were not there before, *kept* those of them that an image needs.
    """

    def __init__(
        self,
        content: Content,
        hold: Hold,
        progress: Progress | None = None,
        waiting: Waiting | None = None,
    ) -> None:
        self.content = content
        self.hold = hold
        self.made: set[str] = set()
        self.kept: set[str] = set()
        self._progress = progress
        self._waiting = waiting

    def holds(self, digest: str) -> bool:
        """Whether the blob *digest* is there, and stays."""
        self.hold.add(digest)
        return self.content.blobs.has(digest)

    def take_known(self, digest: str, size: int, pieces: Iterable[bytes | memoryview]) -> Taken:
        """Have *pieces* as the blob *digest*; they are not asked for if it is there."""
        self.hold.add(digest)
        self._tell(digest, size)
        try:
            with self.content.blobs.ingest(digest, size, self._waiting) as ingest:
                if not ingest.done:
                    self.made.add(digest)
                    ingest.restart()  # what a broken download left is slower to read than this
                    for piece in pieces:
                        self._ask()
                        ingest.write(piece)
                    ingest.commit()
        except DigestMismatch:
            why = "its bytes are not those of its name"
            raise InvalidContent("blob of the archive", why, digest) from None
        return Taken(digest, self.content.blobs.size(digest))

    def take_unknown(self, pieces: Iterable[bytes | memoryview]) -> Taken:
        """Have *pieces* as a blob, whatever its digest comes out to be."""
        with self.content.blobs.draft() as draft:
            for piece in pieces:
                self._ask()
                draft.write(piece)
            digest = draft.digest
            if not self.holds(digest):
                self.made.add(digest)
                draft.publish(digest)
            self._tell(digest, draft.offset)
            return Taken(digest, draft.offset)

    def _ask(self) -> None:
        if self._waiting is not None:
            self._waiting()

    def _tell(self, digest: str, size: int) -> None:
        if self._progress is not None:
            self._progress(ProgressEvent("verifying", digests.hex_of(digest)[:12], 0, size))
