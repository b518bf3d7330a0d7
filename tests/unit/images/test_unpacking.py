"""A layer is what its image says it is, unpacked once, or it is not there."""

from __future__ import annotations

import gzip
import os
import threading

import pytest
from attrs import evolve
from support.images import TarKeeper, content_in, make_image, store_blobs, tar_of

from pyengine.errors import InvalidContent, NoSpace
from pyengine.images.unpacking import LayerSink, layer_plans, unpack
from pyengine.model import digests, image_config
from pyengine.store.blobs import BlobMissing

TARS = tuple(tar_of({f"file{number}": os.urandom(200_000)}) for number in range(3))


@pytest.fixture
def content(tmp_path):
    return content_in(tmp_path)


@pytest.fixture
def image():
    return make_image(TARS)


def plans_of(image):
    return layer_plans(image.manifest, image_config.parse(image.config))


def tar_in(content, plan):
    with open(f"{content.layers.directory(plan.chain_id)}/tar", "rb") as file:
        return file.read()


def left(content):
    return [name for name in os.listdir(content.layout.unpacked) if name.startswith(".")]


def fed(sink, data, step=50_000):
    for at in range(0, len(data), step):
        sink.feed(data[at : at + step])


def test_plans_are_the_chain_of_the_layers(image):
    plans = plans_of(image)
    assert [plan.diff_id for plan in plans] == [digests.of(tar) for tar in TARS]
    assert [plan.blob for plan in plans] == [digests.of(blob) for blob in image.layers]
    assert [plan.parent for plan in plans] == ["", plans[0].chain_id, plans[1].chain_id]
    assert plans[0].chain_id == plans[0].diff_id


def test_a_manifest_that_does_not_agree_with_the_configuration_is_refused(image):
    file = image_config.parse(image.config)
    with pytest.raises(InvalidContent, match="it has 2 layers, and its configuration has 3"):
        layer_plans(evolve(image.manifest, layers=image.manifest.layers[:2]), file)


def test_an_image_is_unpacked_from_its_blobs(content, image):
    store_blobs(content, image)
    seen = []
    plans = plans_of(image)
    unpack(content, plans, seen.append)
    for plan, tar in zip(plans, TARS, strict=True):
        assert tar_in(content, plan) == tar
        record = content.layers.find(plan.chain_id)
        assert (record.diff_id, record.parent, record.blob) == (
            plan.diff_id, plan.parent, plan.blob,
        )  # fmt: skip
        assert (record.entries, record.size) == (1, 200_000)
    assert {event.id for event in seen} == {plan.blob[7:19] for plan in plans}
    assert all(0 <= event.current <= event.total for event in seen)
    assert left(content) == []


def test_a_layer_is_unpacked_while_its_bytes_come(content, image):
    plan = plans_of(image)[0]
    with LayerSink(content, plan) as sink:
        fed(sink, image.layers[0])
        assert content.layers.find(plan.chain_id) is None
        sink.finish()
    assert tar_in(content, plan) == TARS[0]


def test_a_layer_that_is_not_what_the_configuration_says_leaves_nothing(content, image):
    plan = evolve(plans_of(image)[0], diff_id=digests.of(b"other"))
    with LayerSink(content, plan) as sink:
        fed(sink, image.layers[0])
        with pytest.raises(InvalidContent, match="its content is not sha256:"):
            sink.finish()
    assert (content.layers.find(plan.chain_id), left(content)) == (None, [])


@pytest.mark.parametrize("damage", [lambda data: data[:5000], lambda data: data + b"garbage"])
def test_a_layer_that_cannot_be_inflated_leaves_nothing(content, image, damage):
    plan = plans_of(image)[0]
    with pytest.raises(InvalidContent) as caught, LayerSink(content, plan) as sink:  # noqa: PT012
        fed(sink, damage(image.layers[0]))
        sink.finish()
    assert caught.value.digest == plan.blob
    assert (content.layers.find(plan.chain_id), left(content)) == (None, [])


def test_who_feeds_a_sink_that_failed_hears_why_and_does_not_wait(content, image):
    plan = plans_of(image)[0]
    with pytest.raises(InvalidContent), LayerSink(content, plan) as sink:  # noqa: PT012
        sink.feed(gzip.compress(b"x")[:-1] + b"!")
        while True:
            sink.feed(bytes(1 << 20))


def test_a_full_disk_while_unpacking_is_told_and_leaves_nothing(tmp_path, image):
    class Full(TarKeeper):
        def feed(self, data):
            raise NoSpace("entry", "no space left on the device")

    content = evolve(content_in(tmp_path), unpacker=lambda fd, limits: Full(fd))
    store_blobs(content, image)
    threads = threading.active_count()
    with pytest.raises(NoSpace):
        unpack(content, plans_of(image))
    assert left(content) == []
    assert threading.active_count() == threads


def test_a_sink_that_is_left_ends_its_threads(content, image):
    class Failure(Exception):
        pass

    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    with pytest.raises(Failure), LayerSink(content, plans_of(image)[0]) as sink:  # noqa: PT012
        sink.feed(image.layers[0][:1000])
        raise Failure
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert left(content) == []


def test_a_sink_begins_anew_when_it_is_told_to(content, image):
    plan = plans_of(image)[0]
    with LayerSink(content, plan) as sink:
        sink.feed(b"\x1f\x8b\x08 what is no gzip at all")
        sink.restart()
        fed(sink, image.layers[0])
        sink.finish()
    assert tar_in(content, plan) == TARS[0]


def test_a_layer_that_is_there_is_not_unpacked_again(content, image):
    store_blobs(content, image)
    unpack(content, plans_of(image))
    made = []
    watched = evolve(content, unpacker=lambda fd, limits: made.append(fd))
    unpack(watched, plans_of(image))
    with LayerSink(watched, plans_of(image)[0]) as sink:
        sink.feed(b"whatever it is: the blob has a digest of its own")
        sink.finish()
    assert made == []


def test_another_blob_for_a_layer_that_is_there_is_verified(content, image):
    store_blobs(content, image)
    unpack(content, plans_of(image))
    other = make_image(TARS, compress=lambda tar: gzip.compress(tar, 1))
    plan = evolve(plans_of(other)[0], blob=digests.of(b"another"))
    with LayerSink(content, plan) as sink:
        fed(sink, other.layers[0])
        sink.finish()
    with LayerSink(content, plan) as sink:
        fed(sink, gzip.compress(b"other content"))
        with pytest.raises(InvalidContent, match="its content is not"):
            sink.finish()
    assert content.layers.find(plan.chain_id).blob == digests.of(image.layers[0])


def test_a_missing_blob_is_said_and_what_could_be_unpacked_stays(content, image):
    store_blobs(content, image)
    plans = plans_of(image)
    content.blobs.remove(plans[1].blob)
    with pytest.raises(BlobMissing, match=plans[1].blob):
        unpack(content, plans)
    assert content.layers.find(plans[1].chain_id) is None
    assert left(content) == []


def test_unpacking_can_be_told_to_stop(content, image):
    class Enough(Exception):
        pass

    def stop():
        raise Enough

    store_blobs(content, image)
    with pytest.raises(Enough):
        unpack(content, plans_of(image), waiting=stop)
    assert left(content) == []


def test_several_threads_that_want_an_image_unpack_each_layer_once(tmp_path, image):
    made = []

    def unpacker(fd, limits):
        made.append(fd)
        return TarKeeper(fd)

    content = evolve(content_in(tmp_path), unpacker=unpacker)
    store_blobs(content, image)
    errors = []

    def want():
        try:
            unpack(content, plans_of(image))
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (errors, len(made)) == ([], 3)
