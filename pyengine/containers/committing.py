"""Images of what containers have written (row O24).

The writable layer of a container that stands still becomes the image's in one rename, whatever is
in it, and the container goes on with an empty one on top of that. Of one that runs it is copied,
while its programs wait if that is wanted.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from pyengine.containers.image_roots import chain_id_of
from pyengine.containers.looking import cgroup_of, state_of
from pyengine.containers.rootfs import completing_layer
from pyengine.errors import EngineError, Unsupported
from pyengine.images.settling import chance_diff_id, packed, read_image
from pyengine.images.tree_compare import measure_layer
from pyengine.model import media_types
from pyengine.model.config_changes import apply_changes
from pyengine.model.content import Descriptor, Manifest, parse, print_manifest
from pyengine.model.image_config import HistoryEntry, ImageFile, chain_ids, print_config
from pyengine.model.reference import Reference
from pyengine.model.signals import SIGTERM, signal_name
from pyengine.model.spec import DEFAULT_PATH
from pyengine.model.state import LIVELY, Status
from pyengine.store import records
from pyengine.store.image_names import Named
from pyengine.store.layers import LayerRecord

if TYPE_CHECKING:
    from pyengine.containers.house import House
    from pyengine.images.content import Content
    from pyengine.model.config import ImageConfig
    from pyengine.model.record import ContainerRecord
    from pyengine.model.spec import ContainerSpec
    from pyengine.store.layout import Home

_BARE = "its image is a directory of the host, which others may change"


@frozen
class _Base:
    """What a container's own layers lie on: its image, and what was committed of it before."""

    image: ImageFile
    layers: tuple[Descriptor, ...]
    named: Named

    @property
    def chain(self) -> tuple[str, ...]:
        return chain_ids(self.image.diff_ids)


@frozen
class _Taken:
    """The layer that a container wrote; *size* is that of its archive, -1 where nobody knows."""

    diff_id: str
    chain_id: str
    size: int = -1


def commit(
    house: House,
    container_id: str,
    *,
    tag: str | None = None,
    changes: tuple[str, ...] = (),
    pause: bool = True,
    author: str = "",
    message: str = "",
    durable: bool = True,
) -> Named:
    """See `container.Container.commit`."""
    house.enter()
    record = house.catalog.record(container_id)
    reference = None if tag is None else Reference.parse(tag).with_default_tag()
    images = house.images
    with images.content.pins.hold() as hold:
        base = _base(house, record)
        hold.add(base.named.config, base.named.manifest, *base.chain)
        config = apply_changes(_config_of(record.spec, base.image.config), changes)
        taken = _take(house, container_id, base, pause)
        hold.add(taken.chain_id)
        made = evolve(
            base.image,
            config=config,
            created=time.time(),
            created_text="",
            author=author,
            comment=message,
            diff_ids=(*base.image.diff_ids, taken.diff_id),
            history=(*base.image.history, _step(record.spec, author, message)),
        )
        if durable:  # before it has a name: no cut leaves a name whose files are lost
            _finish(images.content, taken, base.chain)
        named = _name(house, base, made, taken, reference)
    if not durable:  # who uses it does not wait for what is left; who closes the engine does
        house.sweeper.later(lambda: _finish_later(images.content, taken))
    house.tell("commit", record, imageID=named.config, comment=message)
    return named


def _base(house: House, record: ContainerRecord) -> _Base:
    """Raises `Unsupported` for a container that is not made of an image of the store."""
    if not record.image_id:
        missing = "its image is a directory of the host, which anybody may change"
        raise Unsupported(f"committing a container of {record.spec.image!r}", missing, _IMPORT)
    images = house.images
    named = next(iter(images.of_id(record.image_id)), None)
    if named is None:  # it has lost its last name; what it is made of is kept for the container
        missing = f"its image {record.image_id} has been removed"
        raise Unsupported(f"committing container {record.spec.name}", missing, _IMPORT)
    manifest, image = read_image(images.content, named)
    diff_ids, layers = list(image.diff_ids), list(manifest.layers)
    for path in reversed(record.layers[: record.committed]):
        layer = images.content.layers.find(chain_id_of(path))
        assert layer is not None  # it is mounted when the container runs
        diff_ids.append(layer.diff_id)
        layers.append(_unpacked(layer.diff_id, 0))
    return _Base(evolve(image, diff_ids=tuple(diff_ids)), tuple(layers), named)


_IMPORT = "pack its files with a tar of its own (exec), and import that: images.import_(tar)"


def _unpacked(diff_id: str, size: int) -> Descriptor:
    """A layer that nobody has packed: its archive as it is would have its diff id."""
    return Descriptor(media_types.OCI_LAYER, diff_id, size)


# --- the layer ---


def _take(house: House, container_id: str, base: _Base, pause: bool) -> _Taken:
    with house.catalog.locked(container_id) as home:
        record = house.catalog.record(container_id)
        _check_users(house, record)
        status = state_of(house, container_id).status
        if status not in LIVELY:
            return _move(house, record, home, base)
        with _standing_still(house, container_id, pause and status is Status.RUNNING):
            return _copy(house, record, home, base)


def _move(house: House, record: ContainerRecord, home: Home, base: _Base) -> _Taken:
    """Its writable layer becomes the image's, and it gets another.

    The record is first: one that names a layer which is not there yet is read without it.
    """
    layers = house.images.content.layers
    diff_id = chance_diff_id()
    chain_id = chain_ids((*base.image.diff_ids, diff_id))[-1]
    own = (layers.directory(chain_id), *record.layers)
    lowers = (completing_layer((home.upper, *record.layers), house.layout), *own)
    house.catalog.write_record(
        evolve(record, layers=own, lowers=lowers, committed=record.committed + 1)
    )
    parent = base.chain[-1] if base.chain else ""
    try:
        layers.adopt(home.upper, LayerRecord(chain_id, diff_id, parent))
    except BaseException:
        house.catalog.write_record(record)
        raise
    begin_anew(home)
    return _Taken(diff_id, chain_id)


def begin_anew(home: Home) -> None:
    """Give a container an empty writable layer, where its own has been committed."""
    try:
        os.mkdir(home.upper)
        os.chmod(home.upper, 0o755)
    except FileExistsError:
        return
    except OSError as error:
        records.refuse(home.upper, error)


def _check_users(house: House, record: ContainerRecord) -> None:
    """Raise `Unsupported` where a user of the container's is another in those of images."""
    is_moved = os.geteuid() != 0 and house.joiner_for(record) is not house.joiner
    if record.first_id or (is_moved and not house.joiners.why_single):
        missing = "its files belong to users of its own"
        remedy = "commit one with userns='host'"
        raise Unsupported(f"committing container {record.spec.name}", missing, remedy)


def _copy(house: House, record: ContainerRecord, home: Home, base: _Base) -> _Taken:
    content = house.images.content
    hashed = hashlib.sha256()
    size = 0
    with content.layers.aside(chance_diff_id()) as (path, directory):
        unpacker = content.unpacker(directory, content.limits)
        try:
            with packed(content, home.upper) as pieces:
                for piece in pieces:
                    hashed.update(piece)
                    size += len(piece)
                    unpacker.feed(piece)
            counted = unpacker.finish()
        finally:
            unpacker.close()
        diff_id = f"sha256:{hashed.hexdigest()}"
        chain_id = chain_ids((*base.image.diff_ids, diff_id))[-1]
        parent = base.chain[-1] if base.chain else ""
        known = LayerRecord(chain_id, diff_id, parent, counted.bytes, counted.entries)
        content.layers.adopt(path, known)
    return _Taken(diff_id, chain_id, size)


@contextmanager
def _standing_still(house: House, container_id: str, wanted: bool) -> Iterator[None]:
    """No program of the container goes on meanwhile, where that is *wanted*."""
    if not wanted:
        yield
        return
    cgroup = cgroup_of(house, container_id)
    cgroup.freeze()
    try:
        yield
    finally:
        cgroup.thaw()


def _finish(content: Content, taken: _Taken, below: tuple[str, ...] = ()) -> None:
    """Measure the layer, and have it on disk, with those *below* that nobody can unpack again."""
    if taken.size < 0:
        _measure(content, taken.chain_id)
    layers = content.layers
    known = [layers.find(chain_id) for chain_id in (*below, taken.chain_id)]
    layers.make_durable(*(one.chain_id for one in known if one is not None and not one.blob))


def _finish_later(content: Content, taken: _Taken) -> None:
    try:
        _finish(content, taken)
    except (EngineError, FileNotFoundError):  # the image is gone, or on a disk that is full
        return


def _measure(content: Content, chain_id: str) -> None:
    """Write down how many bytes and entries a layer has."""
    size, entries = measure_layer(content, content.layers.directory(chain_id))
    record = content.layers.read(chain_id)
    if record is not None:
        content.layers.rewrite(evolve(record, size=size, entries=entries))


# --- the image ---


def _name(
    house: House, base: _Base, made: ImageFile, taken: _Taken, reference: Reference | None
) -> Named:
    images = house.images
    blobs = images.content.blobs
    data = print_config(made)
    config = Descriptor(media_types.OCI_CONFIG, blobs.put(data), len(data))
    layer = _unpacked(taken.diff_id, max(taken.size, 0))
    printed = print_manifest(config, (*base.layers, layer))
    blobs.put(printed)
    manifest = parse(printed)
    assert isinstance(manifest, Manifest)
    return images.add(reference, manifest.descriptor, manifest, base.named.platform)


def _config_of(spec: ContainerSpec, base: ImageConfig) -> ImageConfig:
    """What the container was told, as its image shall tell it; not what it got from us."""
    given = {f"PATH={DEFAULT_PATH}", f"HOSTNAME={spec.hostname}", "TERM=xterm"} - set(base.env)
    signal = "" if spec.stop_signal == SIGTERM else signal_name(spec.stop_signal)
    return evolve(
        base,
        entrypoint=spec.entrypoint,
        command=spec.command,
        env=tuple(entry for entry in spec.env if entry not in given),
        user=spec.user or base.user,
        workdir=spec.workdir if spec.workdir != "/" else base.workdir,
        labels=spec.labels,
        exposed=spec.exposed,
        stop_signal=signal or base.stop_signal,
        health=spec.health or base.health,
    )


def _step(spec: ContainerSpec, author: str, message: str) -> HistoryEntry:
    return HistoryEntry(time.time(), " ".join(spec.argv), author, message)
