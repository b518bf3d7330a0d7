"""Hundreds of wrong images, from a registry and from an archive: refused, and nothing is left."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator

import pytest
from support.hostile import Exchange, Hostile, hostile_server
from support.image_archives import TAG, VERSION, tar
from support.mutations import Wrong, mutations, sample

from pyengine.errors import DigestMismatch, InvalidContent, RegistryError
from pyengine.images.archive_load import load
from pyengine.images.catalog import Images
from pyengine.images.content import Content
from pyengine.images.pulling import pull
from pyengine.images.servers import Means
from pyengine.model import digests, image_config
from pyengine.model import media_types as media
from pyengine.model.reference import Reference
from pyengine.store.layout import Layout

EVERY = list(mutations())
NOT_SENT = ("does not have the blob that its manifest names", "is larger than")


@pytest.fixture(scope="module")
def server() -> Iterator[Hostile]:
    with hostile_server() as running:
        yield running


@pytest.fixture
def images():
    """The images of a store in memory, unpacked by who unpacks them for everybody."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        yield Images(Content.at(Layout(f"{directory}/root", f"{directory}/run")))


def serve(server: Hostile, image: Wrong) -> str:
    """Hand out *image*; what it is called."""

    def answer(exchange: Exchange) -> None:
        *_, kind, name = exchange.asked.path.split("/")
        if kind == "manifests":
            exchange.say(200, {"Content-Type": image.media_type}, image.manifest)
        elif name in image.blobs:
            exchange.say(200, {}, image.blobs[name])
        else:
            exchange.say(404, {})

    server.forget()
    server.default = answer
    return f"{server.address}/wrong:1"


def pulled(images, server, image):
    reference = Reference.parse(serve(server, image))
    return pull(images, reference, Means(wait=lambda seconds: None, environ={}))


def archive(image: Wrong) -> bytes:
    """*image* as an OCI layout."""
    target = {
        "mediaType": image.media_type,
        "digest": digests.of(image.manifest),
        "size": len(image.manifest),
        "annotations": {TAG: "wrong:1"},
    }
    index = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [target]}
    blobs = {**image.blobs, digests.of(image.manifest): image.manifest}
    files = {f"blobs/sha256/{name.partition(':')[2]}": data for name, data in blobs.items()}
    said = {"oci-layout": VERSION, "index.json": json.dumps(index).encode()}
    return tar({**said, **files})


def left(images):
    """Every blob, layer, name and half of one that is in the store."""
    layout = images.content.layout
    places = (layout.ingest, layout.unpacked, layout.image_names, layout.pins)
    found = [
        f"{place}/{name}"
        for place in places
        if os.path.isdir(place)
        for name in os.listdir(place)
        if name not in (".lock", ".ids")
    ]
    return found + [digest for digest, _ in images.content.blobs.all()]


def assert_for_the_next_attempt(images):
    """A refused pull leaves blobs that are what their names say, and layers of the right files."""
    right = sample()
    data = right.blobs[json.loads(right.manifest)["config"]["digest"]]
    diff_ids = image_config.parse(data).diff_ids
    layers = images.content.layers
    assert all(images.content.blobs.verify(digest) for digest, _ in images.content.blobs.all())
    assert all(layers.find(chain_id).diff_id in diff_ids for chain_id in layers.all())


def test_the_right_one_is_pulled(images, server):
    assert pulled(images, server, sample()).reference.endswith("/wrong:1")
    assert len(list(images.content.layers.all())) == 3


def test_the_right_one_is_loaded(images):
    assert len(load(images, archive(sample()))) == 1
    assert len(list(images.content.layers.all())) == 3


@pytest.mark.parametrize("image", EVERY, ids=lambda image: image.name[:60])
def test_a_wrong_image_is_not_pulled(images, server, image):
    with pytest.raises((InvalidContent, DigestMismatch, RegistryError)) as caught:
        pulled(images, server, image)
    if type(caught.value) is RegistryError:
        assert any(one in caught.value.why for one in NOT_SENT)
    assert caught.value.image
    assert images.names.all() == []
    assert_for_the_next_attempt(images)
    images.prune()
    assert left(images) == []


@pytest.mark.parametrize("image", EVERY, ids=lambda image: image.name[:60])
def test_a_wrong_image_is_not_loaded(images, image):
    with pytest.raises((InvalidContent, DigestMismatch)):
        load(images, archive(image))
    assert left(images) == []
