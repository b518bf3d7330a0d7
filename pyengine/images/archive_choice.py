"""Which image of an archive is meant, where one is run right out of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import frozen

from pyengine.errors import ImageNotFound, InvalidRequest
from pyengine.images import archive_docker, archive_layout
from pyengine.images.archive_layout import Found, Wish
from pyengine.images.archive_load import no_archive
from pyengine.images.archive_sources import DOCKER_ARCHIVE, EXPECTED, Text
from pyengine.images.shelves import DOCKER, Shelf
from pyengine.images.taking import Taker
from pyengine.model.reference import Reference


@frozen
class Choice:
    """Finds the one image that *text*, which was read as *meant*, names: see `archive_load`."""

    meant: Text
    text: str

    def __call__(self, shelf: Shelf, taker: Taker, wish: Wish) -> Iterator[Found]:
        """The image, whose blobs are taken. Raises `ImageNotFound`, `InvalidRequest`."""
        document = shelf.document(DOCKER)
        if self.meant.scheme != DOCKER_ARCHIVE and archive_layout.is_layout(shelf):
            entries = archive_layout.entries(shelf)
            at = self._which([(*entry.words, *_names(entry.names)) for entry in entries])
            yield from archive_layout.read(shelf, taker, (entries[at],), wish)
        elif self.meant.scheme == DOCKER_ARCHIVE and document is not None:
            listed = archive_docker.listed(document)
            at = self._which([_names(image.names) for image in listed])
            yield from archive_docker.read(shelf, taker, (listed[at],), wish)
        else:
            raise no_archive()

    def _which(self, words: list[tuple[str, ...]]) -> int:
        """The place of the image that is meant, among those that are called *words*."""
        wanted = self.meant.word
        if wanted.startswith("@") and wanted[1:].isdecimal() and wanted.isascii():
            found = [at for at in range(len(words)) if at == int(wanted[1:7])]
        elif wanted:
            forms = {wanted, *_forms(wanted)}
            found = [at for at, one in enumerate(words) if forms & set(one)]
        else:
            found = list(range(len(words)))
        if len(found) == 1:
            return found[0]
        there = ", ".join(one[0] if one else f"@{at}" for at, one in enumerate(words))
        if not found:
            raise ImageNotFound(self.text, f"there is {there}")
        why = f"the archive has several images: {there}"
        raise InvalidRequest("image", self.text, why=why, expected=EXPECTED)


def _names(names: Iterable[Reference]) -> tuple[str, ...]:
    return tuple(word for name in names for word in (name.familiar, str(name)))


def _forms(word: str) -> tuple[str, ...]:
    """A name as it is called in full."""
    try:
        return (str(Reference.parse(word).with_default_tag()),)
    except InvalidRequest:
        return ()
