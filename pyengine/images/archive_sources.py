"""Images that are run right out of an archive: ``oci:/path[:tag]``, ``docker-archive:/path[:ref]``.

The image comes into the store without a name. What the archive was like is noted, so that the
next run does not read it again unless it has changed.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable

from attrs import frozen

from pyengine.errors import ImageNotFound, InvalidRequest, StoreError
from pyengine.images.catalog import Images
from pyengine.model.platform import Platform
from pyengine.model.progress import ProgressEvent
from pyengine.store import disk, records
from pyengine.store.image_names import Named
from pyengine.store.locks import Waiting

OCI, DOCKER_ARCHIVE = "oci:", "docker-archive:"
_INDEX = "index.json"
SCHEMES = (OCI, "oci-archive:", DOCKER_ARCHIVE)
EXPECTED = "oci:/path[:tag] or docker-archive:/path[:reference]"
_SETTLED = 0.05  # seconds after which another change would have another time, in any kernel


@frozen
class Text:
    """What names an image in an archive: *word* is its tag or name there; empty for the only one.

    An ``@`` and a number stand for the image at that place, counted from 0.
    """

    scheme: str
    path: str
    word: str = ""


@frozen
class Noted:
    """What came of an archive that was as *stamp* tells."""

    source: str
    stamp: str
    config: str
    manifest: str


def is_source(text: str) -> bool:
    """Whether *text* names an image in an archive, and none in the store or a registry."""
    return text.startswith(SCHEMES)


def parse(text: str) -> Text:
    """Read *text*: the path is the shortest beginning that is there. Raises `InvalidRequest`."""
    scheme = next((one for one in SCHEMES if text.startswith(one)), "")
    rest = text.removeprefix(scheme)
    if not scheme or not rest or "\0" in rest:
        raise InvalidRequest("image", text, expected=EXPECTED)
    colon = rest.find(":")
    while colon > 0:
        if os.path.lexists(rest[:colon]):
            return Text(scheme, rest[:colon], rest[colon + 1 :])
        colon = rest.find(":", colon + 1)
    return Text(scheme, rest)


def resolve_source(
    images: Images,
    text: str,
    *,
    platform: Platform | None = None,
    progress: Callable[[ProgressEvent], object] | None = None,
    waiting: Waiting | None = None,
) -> Named:
    """The image that *text* names, in the store, unpacked.

    An archive that has not changed since is not read again. Raises `InvalidRequest` for another
    text and where the archive has several images, `ImageNotFound` where it is not there or has
    none of that name, and as `archive_load.load`.

    >>> resolve_source(images, "oci:/srv/busybox").config  # doctest: +SKIP
    'sha256:…'
    """
    meant = parse(text)
    stamp = _stamp(meant.path, text)
    note = _note_path(images, meant, platform)
    if (known := _known(images, note, stamp)) is not None:
        return known
    # whatever reads archives is imported for those that have changed only
    from pyengine.images.archive_choice import Choice
    from pyengine.images.archive_layout import Wish
    from pyengine.images.archive_load import bringing, here

    wish, choice = Wish(here(), platform, is_whole=False), Choice(meant, text)
    with bringing(images, meant.path, wish, choice, progress, waiting) as brought:
        found = brought[0]
        named = images.add(None, found.target, found.manifest, found.image.platform)
    if _stamp(meant.path, text) == stamp and _is_settled(stamp):
        disk.make_directories(images.content.layout.sources)
        with images.names.changing():  # or two would write one file
            records.write(note, Noted(text, stamp, named.config, named.manifest))
    return named


def _known(images: Images, note: str, stamp: str) -> Named | None:
    """What came of the archive before, if it is the same, and all of it is still there."""
    try:
        noted = records.read(note, Noted)
    except StoreError:  # a power cut left half of it
        return None
    if noted is None or noted.stamp != stamp:
        return None
    named = next(
        (one for one in images.of_id(noted.config) if one.manifest == noted.manifest), None
    )
    if named is None or not images.content.blobs.has(noted.manifest):
        return None
    chain = images.reach.of_manifest(noted.manifest).layers
    return named if all(images.content.layers.find(chain_id) for chain_id in chain) else None


def _note_path(images: Images, meant: Text, platform: Platform | None) -> str:
    key = "\0".join((meant.scheme, os.path.realpath(meant.path), meant.word, str(platform or "")))
    name = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{images.content.layout.sources}/{name}.json"


def _stamp(path: str, text: str) -> str:
    """What tells one state of an archive from another; a layout's blobs are what its index says."""
    try:
        found = os.stat(path)
        if os.path.isdir(path):
            found = os.stat(f"{path}/{_INDEX}")
    except OSError as error:
        raise ImageNotFound(text, f"{path}: {error.strerror}") from error
    return f"{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}"


def _is_settled(stamp: str) -> bool:
    """Whether a change from now on gives the file another time."""
    return abs(time.time() - int(stamp.rpartition(":")[2]) / 1e9) > _SETTLED
