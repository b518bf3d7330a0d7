"""What is wrong with a store: damaged, missing, half-made and foreign things, found by looking.

Nothing is changed here: see `images.mending`. Others may add and remove meanwhile, so what was
found is looked at again before anything is done about it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from typing import Literal

from attrs import frozen

from pyengine.errors import StoreError
from pyengine.model import digests
from pyengine.model.image_config import chain_ids
from pyengine.store import disk, locks
from pyengine.store.blobs import DRAFT, PART, Blobs
from pyengine.store.image_names import ImageNames
from pyengine.store.layers import CONTENT, DEAD, LOCK, MARKER, RECORD, STAGED, LayerRecord, Layers
from pyengine.store.layout import Layout

Kind = Literal[
    "damaged blob",
    "missing blob",
    "damaged layer",
    "missing layer",
    "damaged name",
    "broken image",
    "leftover",
    "foreign",
    "open to others",
]


@frozen
class Finding:
    """One thing that is wrong: at *path*, *what* it is in a sentence.

    *digest* is the blob's, or the chain id; *done* what was done about it, empty for nothing;
    *advice* what the user can do. What a killed process left is no damage.
    """

    kind: Kind
    path: str
    what: str
    digest: str = ""
    done: str = ""
    advice: str = ""

    @property
    def is_damage(self) -> bool:
        """Whether something is lost, or was: not what a crash leaves, and the next sweep takes."""
        return self.kind != "leftover"


def blobs(store: Blobs, *, quick: bool = False) -> Iterator[Finding]:
    """Blobs whose bytes are not those of their name, and what else is among them.

    *quick*: the bytes are not read. Raises `StoreError` for a directory that cannot be read.
    """
    root = store.layout.blobs
    yield from _foreign(root, {"oci-layout", "index.json", "blobs"})
    yield from _foreign(f"{root}/blobs", digests.LENGTHS)
    for algorithm in digests.LENGTHS:
        directory = f"{root}/blobs/{algorithm}"
        for name in disk.names(directory):
            digest = f"{algorithm}:{name}"
            if digests.why_not(digest):
                yield _stranger(f"{directory}/{name}")
            else:
                yield from blob(store, digest, quick=quick)


def blob(store: Blobs, digest: str, *, quick: bool = False) -> Iterator[Finding]:
    """What is wrong with one blob; nothing if it is not there."""
    path = store.path(digest)
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(found.st_mode):
        yield _stranger(path)
    elif not stat.S_ISREG(found.st_mode):
        yield Finding("damaged blob", path, "it is not a regular file", digest)
    elif not quick:
        try:
            is_whole = store.verify(digest)
        except StoreError as error:
            if os.path.lexists(path):
                yield Finding("damaged blob", path, f"it cannot be read: {error.why}", digest)
            return
        if not is_whole:
            yield Finding("damaged blob", path, "its bytes are not those of its name", digest)


def layers(store: Layers) -> Iterator[Finding]:
    """Layers whose record is damaged, or that cannot be believed, and what else is there.

    Raises `StoreError` for a directory that cannot be read.
    """
    directory = store.layout.unpacked
    for name in disk.names(directory):
        if name.startswith((STAGED, DEAD, LOCK)):
            yield from _left(directory, name)
    known = {digests.hex_of(chain_id) for chain_id in store.all()}
    for name in disk.names(directory):
        if name not in known and not name.startswith((STAGED, DEAD, LOCK)):
            yield _stranger(f"{directory}/{name}")
    for chain_id in store.all():
        yield from layer(store, chain_id)


def layer(store: Layers, chain_id: str) -> Iterator[Finding]:
    """What is wrong with one layer, its files aside; nothing if it is not there."""
    home = store.home(chain_id)
    if not os.path.lexists(home):
        return
    yield from _foreign(home, {RECORD, CONTENT, MARKER, f"{RECORD}.new"})
    record = store.read(chain_id)
    why = ""
    if record is not None and not _fits(record):
        why = f"its {RECORD} is not that of the layer"
    elif not (store.is_durable(chain_id) or (record is not None and store.is_believed(record))):
        why = "the power may have been cut before its files were on the disk"  # its record's, too
    elif record is None:
        why = f"its {RECORD} is missing or damaged"
    if not os.path.isdir(f"{home}/{CONTENT}") or os.path.islink(f"{home}/{CONTENT}"):
        why = "its files are missing"
    if why:
        yield Finding("damaged layer", home, why, chain_id)


def _fits(record: LayerRecord) -> bool:
    """Whether parent and diff id make the chain id."""
    if digests.why_not(record.diff_id):
        return False
    return chain_ids([record.parent, record.diff_id] if record.parent else [record.diff_id])[
        -1
    ] == (record.chain_id)


def _left(directory: str, name: str) -> Iterator[Finding]:
    path = f"{directory}/{name}"
    lock = path if name.startswith(LOCK) else f"{directory}/{LOCK}{_owner_of(name)}"
    if name.startswith(DEAD) or not _is_held(lock):
        yield Finding("leftover", path, "a process that was killed left it")


def _owner_of(name: str) -> str:
    return name.removeprefix(STAGED).partition("-")[0]


def _is_held(path: str) -> bool:
    fd = locks.try_acquire(path)
    if fd is not None:
        locks.release(fd)
        return False
    return os.path.lexists(path)


def ingest(store: Blobs) -> Iterator[Finding]:
    """What is among blobs that are not whole; a part that the next pull goes on with is fine."""
    for name in disk.names(store.layout.ingest):
        path = f"{store.layout.ingest}/{name}"
        if os.path.isdir(path):
            yield _stranger(path)
        elif name.endswith(DRAFT):
            if not _is_held(path):
                yield Finding("leftover", path, "a process that was killed left it")
        elif not name.endswith(PART):
            yield _stranger(path)


def names(store: ImageNames) -> Iterator[Finding]:
    """Names whose records are damaged, and what else is among them."""
    for path, named in store.read_all():
        if named is None and os.path.isdir(path) and not os.path.islink(path):
            yield _stranger(path)  # nobody knows what is in it
        elif named is None:
            yield Finding("damaged name", path, "its record is damaged")
    directory = store.layout.image_names
    for place in (directory, f"{directory}/.ids"):
        for name in disk.names(place):
            path = f"{place}/{name}"
            if name.endswith(".json.new") and not os.path.isdir(path):
                yield Finding("leftover", path, "a process that was killed left it")
            elif not name.endswith(".json") and name not in (".ids", ".lock"):
                yield _stranger(path)


def privacy(layout: Layout) -> Iterator[Finding]:
    """Directories and files of the store that others may look into, the content of layers aside."""
    tops = (layout.blobs, layout.ingest, layout.unpacked, layout.image_names, layout.pins)
    for top in tops:
        for path in _below(top, deep=top != layout.unpacked):
            try:
                found = os.lstat(path)
            except FileNotFoundError:
                continue
            if not stat.S_ISLNK(found.st_mode) and found.st_mode & 0o077:
                yield Finding("open to others", path, f"its mode is {found.st_mode & 0o7777:04o}")


def _below(top: str, *, deep: bool) -> list[str]:
    if not os.path.isdir(top):
        return []
    if not deep:
        return [top, *(f"{top}/{name}" for name in disk.names(top))]
    return [top] + [
        f"{directory}/{name}"
        for directory, directories, files in os.walk(top)
        for name in (*directories, *files)
    ]


def _foreign(directory: str, known: Iterable[str]) -> Iterator[Finding]:
    for name in disk.names(directory) if os.path.isdir(directory) else ():
        if name not in known:
            yield _stranger(f"{directory}/{name}")


def _stranger(path: str) -> Finding:
    return Finding("foreign", path, "it is none of this store's", advice="move it away")
