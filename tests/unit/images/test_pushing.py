"""Images go to a registry whole, each blob once, whatever the network does."""

from __future__ import annotations

import json
import os
import tarfile

import pytest
from attrs import evolve
from support.hostile import Exchange, status
from support.images import content_in, make_image, store_blobs, tar_of
from support.registries import INDEX, sha256

from pyengine.errors import (
    ImageNotFound,
    InvalidRequest,
    RegistryError,
    RegistryUnavailable,
    Unauthorized,
)
from pyengine.images.catalog import Images
from pyengine.images.connections import Patience
from pyengine.images.pulling import pull
from pyengine.images.pushing import PushOptions, push, push_all_tags
from pyengine.images.servers import Means
from pyengine.images.settling import chance_diff_id
from pyengine.images.unpacking import layer_plans, unpack
from pyengine.model import content as contents
from pyengine.model import image_config, media_types
from pyengine.model.platform import Platform
from pyengine.model.reference import Reference
from pyengine.store.layers import LayerRecord

LARGE = os.urandom(3 << 20)
TARS = (tar_of({"small": b"hello"}), tar_of({"large": LARGE}))
SHORT = Patience(connect=5, silence=0.3, headers=2)


@pytest.fixture
def images(tmp_path):
    return Images(content_in(tmp_path))


@pytest.fixture
def image(images):
    """An image that is in the store, and at no registry."""
    made = make_image((*TARS, tar_of({"own": os.urandom(100)})))
    store_blobs(images.content, made)
    return made


def means(**more) -> Means:
    return Means(wait=lambda seconds: None, environ={}, **more)


def named(images, image, name):
    """Give *image* a name."""
    reference = Reference.parse(name)
    images.add(reference, image.target, image.manifest, Platform("linux", "amd64"))
    return reference


def send(images, image, name, options=None, progress=None, **more):
    """Name it, and push it."""
    reference = named(images, image, name)
    return push(images, reference, means(**more), options, progress=progress)


def has_all(registry, repository, image) -> bool:
    """Whether the registry has every blob of *image*, as it was."""
    blobs = (*image.layers, image.config)
    return all(
        registry.request("GET", f"/v2/{repository}/blobs/{sha256(one)}")[2] == one for one in blobs
    )


def test_an_image_is_pushed_whole_under_its_tag(images, image, registry):
    digest = send(images, image, f"{registry.address}/push/whole:1")
    assert digest == image.manifest.digest
    status_, headers, _ = registry.request("HEAD", "/v2/push/whole/manifests/1", headers={
        "Accept": image.manifest.media_type})  # fmt: skip
    assert (status_, headers["docker-content-digest"]) == (200, digest)
    assert has_all(registry, "push/whole", image)


def test_what_was_pushed_is_pulled_as_the_same_image(images, image, registry, tmp_path):
    name = f"{registry.address}/push/back:1"
    digest = send(images, image, name)
    other = Images(content_in(tmp_path / "other"))
    found = pull(other, Reference.parse(name), means(), platform=Platform("linux", "amd64"))
    assert (found.manifest, found.config) == (digest, image.id)


def test_what_is_there_is_not_sent_again(images, image, hostile):
    name = f"{hostile.address}/push/again:1"
    send(images, image, name)
    hostile.forget()
    events = []
    send(images, image, name, progress=events.append)
    assert {one.method for one in hostile.asked} == {"HEAD", "PUT"}
    assert [one.path for one in hostile.heard("PUT")] == ["/v2/push/again/manifests/1"]
    kinds = [event.action for event in events if event.id]
    assert kinds.count("exists") == 4


def test_a_blob_of_another_repository_is_mounted(images, image, hostile):
    send(images, image, f"{hostile.address}/push/first:1")
    hostile.forget()
    events = []
    send(images, image, f"{hostile.address}/push/second:1", progress=events.append)
    mounted = [event.detail for event in events if event.action == "mounted"]
    assert mounted == ["push/first"] * 4
    assert hostile.heard("PATCH") == []


def test_the_name_comes_last(images, image, hostile):
    send(images, image, f"{hostile.address}/push/order:1")
    assert str(hostile.asked[-1]) == "PUT /v2/push/order/manifests/1"
    assert len(hostile.heard("manifests")) == 1


def test_progress_tells_of_each_blob_until_it_is_pushed(images, image, registry):
    events = []
    send(images, image, f"{registry.address}/push/told:1", progress=events.append)
    assert events[0].action == "resolving"
    assert (events[-1].action, events[-1].detail) == ("done", image.manifest.digest)
    large = sha256(image.layers[1])[7:19]
    kinds = list(dict.fromkeys(event.action for event in events if event.id == large))
    assert kinds == ["waiting", "pushing", "pushed"]


@pytest.mark.parametrize("chunk", [0, 1 << 20])
@pytest.mark.parametrize("action", [status(503), Exchange.cut, Exchange.reset, Exchange.stall])
@pytest.mark.parametrize("what", ["POST .*uploads", "PATCH", "PUT .*digest", "PUT .*manifests"])
def test_what_fails_once_is_tried_again(images, image, hostile, registry, what, action, chunk):
    repository = f"push/retried-{os.urandom(4).hex()}"
    hostile.when(what, action, times=1)
    options = PushOptions(chunk=chunk)
    send(images, image, f"{hostile.address}/{repository}:1", options, patience=SHORT)
    assert has_all(registry, repository, image)
    assert registry.tags(repository) == ["1"]


def test_an_answer_that_was_lost_is_no_reason_to_send_again(images, image, hostile, registry):
    def lost(exchange):
        exchange.ask()
        exchange.cut()

    hostile.when("PUT .*digest", lost)
    send(images, image, f"{hostile.address}/push/lost:1")
    assert has_all(registry, "push/lost", image)


def test_a_chunk_that_is_out_of_order_goes_on_where_the_registry_is(images, hostile):
    """A registry of the test's own, which keeps what came before the connection broke."""
    data = bytearray()
    place = "/v2/push/strict/blobs/uploads/1"

    def begin(exchange):
        exchange.say(202, {"Location": place, "OCI-Chunk-Min-Length": "600000"})

    def patch(exchange):
        start = int(exchange.asked.headers.get("content-range", "0-").partition("-")[0])
        if start != len(data):
            exchange.say(416, {})
            return
        data.extend(exchange.asked.body)
        if len(hostile.heard("PATCH")) == 2:
            exchange.cut()  # it has the chunk, and its answer is lost
            return
        exchange.say(202, {"Location": place, "Range": f"0-{len(data) - 1}"})

    hostile.default = lambda it: it.say(404, {})
    hostile.when("POST", begin)
    hostile.when("PATCH", patch)
    hostile.when(f"GET {place}", lambda it: it.say(
        204, {"Location": place, "Range": f"0-{len(data) - 1}"}))  # fmt: skip
    hostile.when("PUT", status(201))
    made = make_image([TARS[1]])
    store_blobs(images.content, made)
    hostile.when(f"HEAD .*{made.id}", status(200))
    send(images, made, f"{hostile.address}/push/strict:1", PushOptions(chunk=100_000))
    assert sha256(bytes(data)) == made.manifest.layers[0].digest
    sizes = [int(one.headers["content-length"]) for one in hostile.heard("PATCH")]
    assert sizes[0] == 600_000


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("http://127.0.0.1:1/v2/push/sent/blobs/uploads/1", "to go on"),
        ("http://evil.test/v2/push/sent/blobs/uploads/1", "to go on"),
        ("/v2/another/repository/blobs/uploads/1", "another repository"),
        ("/v2/push/sent/../../other/blobs/uploads/1", "another repository"),
        ("", "does not say where"),
    ],
)
def test_an_upload_goes_to_nobody_else(images, image, hostile, place, why):
    hostile.when("POST .*uploads", status(202, Location=place))
    with pytest.raises(RegistryError, match=why):
        send(images, image, f"{hostile.address}/push/sent:1")
    assert hostile.heard("PATCH|PUT") == []


@pytest.mark.parametrize(
    ("code", "error"), [(401, Unauthorized), (403, Unauthorized), (503, RegistryUnavailable)]
)
def test_a_registry_that_takes_nothing_is_named(images, image, hostile, code, error):
    hostile.when("POST", status(code))
    with pytest.raises(error) as caught:
        send(images, image, f"{hostile.address}/push/refused:1", attempts=2)
    assert "push/refused" in str(caught.value)


def test_an_image_that_is_not_here_cannot_be_pushed(images, registry):
    with pytest.raises(ImageNotFound):
        push(images, Reference.parse(f"{registry.address}/no/such"), means())


def test_a_digest_is_no_name_to_push_to(images, image, registry):
    reference = Reference.parse(f"{registry.address}/push/x@{image.manifest.digest}")
    with pytest.raises(InvalidRequest, match="push a tag"):
        push(images, reference, means())


def test_all_tags_of_a_repository_go(images, image, registry):
    for tag in ("a", "b"):
        named(images, image, f"{registry.address}/push/tags:{tag}")
    reference = Reference.parse(f"{registry.address}/push/tags")
    assert set(push_all_tags(images, reference, means())) == {"a", "b"}
    assert sorted(registry.tags("push/tags")) == ["a", "b"]


def test_a_pushed_name_is_one_that_the_registry_has(images, image, registry):
    name = f"{registry.address}/push/noted:1"
    send(images, image, name)
    assert images.find(name).pulled


def test_foreign_layers_stay_where_they_are(images, registry, hostile):
    made = make_image(TARS)
    store_blobs(images.content, made)
    foreign = contents.Descriptor(media_types.DOCKER_FOREIGN_GZIP, made.manifest.layers[1].digest,
                                  made.manifest.layers[1].size, ("http://a.test/x",))  # fmt: skip
    data = contents.print_manifest(
        made.manifest.config, [made.manifest.layers[0], foreign], oci=False
    )
    manifest = contents.parse(data)
    images.content.blobs.put(data)
    reference = Reference.parse(f"{hostile.address}/push/foreign:1")
    images.add(reference, manifest.descriptor, manifest)
    hostile.when("PUT .*manifests", status(201))
    push(images, reference, means())
    assert hostile.heard(foreign.digest.partition(":")[2]) == []


def index_of(images, whole):
    """An index of two images; unless *whole*, one of them is not here."""
    entries = []
    for architecture in ("amd64", "arm64"):
        made = make_image([tar_of({architecture: b"x"})], {"for": architecture})
        if whole or architecture == "amd64":
            store_blobs(images.content, made)
        entries.append((made, Platform("linux", architecture)))
    plain = [
        {**contents.print_descriptor(made.target), "platform": contents.print_platform(platform)}
        for made, platform in entries
    ]
    data = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": plain}).encode()
    images.content.blobs.put(data)
    return contents.parse(data), entries


@pytest.mark.parametrize("whole", [True, False])
def test_an_index_goes_as_a_whole_or_its_image_alone(images, hostile, whole):
    index, entries = index_of(images, whole)
    repository = f"push/index-{whole}".lower()
    reference = Reference.parse(f"{hostile.address}/{repository}:1")
    images.add(reference, index.descriptor, entries[0][0].manifest, entries[0][1])
    digest = push(images, reference, means())
    assert digest == (index.digest if whole else entries[0][0].manifest.digest)
    names = [one.path.rpartition("/")[2] for one in hostile.heard("PUT .*manifests")]
    each = [made.manifest.digest for made, _ in entries]
    assert names == ([*each, "1"] if whole else ["1"])


# --- layers without blobs ---


@pytest.mark.parametrize(
    ("compression", "level"), [("gzip", None), ("gzip", 1), ("zstd", 9), ("none", None)]
)
def test_a_layer_that_a_container_wrote_is_packed_as_was_asked_for(
    images, image, registry, tmp_path, compression, level
):
    base = image_config.parse(image.config)
    unpack(images.content, layer_plans(image.manifest, base))
    diff_ids = (*base.diff_ids, chance_diff_id())
    written = tmp_path / "root" / "written"
    written.mkdir()
    (written / "new").write_text("by a container")
    *_, below, chain = image_config.chain_ids(diff_ids)
    images.content.layers.adopt(str(written), LayerRecord(chain, diff_ids[-1], below))
    config = image_config.print_config(evolve(base, diff_ids=diff_ids))
    named = contents.Descriptor(
        media_types.OCI_CONFIG, images.content.blobs.put(config), len(config)
    )
    later = contents.Descriptor(media_types.OCI_LAYER, diff_ids[-1], 0)
    printed = contents.print_manifest(named, (*image.manifest.layers, later))
    images.content.blobs.put(printed)
    manifest = contents.parse(printed)
    reference = Reference.parse(f"{registry.address}/push/committed:{compression}{level}")
    images.add(reference, manifest.descriptor, manifest)

    digest = push(images, reference, means(), PushOptions(compression, level))
    other = Images(content_in(tmp_path / "other"))
    found = pull(other, reference, means(), platform=Platform("linux", "amd64"))
    assert found.manifest == digest == images.find(str(reference)).manifest
    layer = contents.parse(other.content.blobs.read(digest, 1 << 20)).layers[-1]
    assert media_types.compression_of(layer.media_type) == compression.replace("none", "")
    true = image_config.parse(other.content.blobs.read(found.config, 1 << 20)).diff_ids
    packed = f"{other.content.layers.directory(image_config.chain_ids(true)[-1])}/tar"
    with tarfile.open(packed) as archive:
        assert archive.extractfile("new").read() == b"by a container"


@pytest.mark.parametrize(("compression", "level"), [("lzma", None), ("gzip", 10), ("zstd", 0)])
def test_a_compression_that_there_is_not_is_refused(images, image, compression, level):
    options = PushOptions(compression, level)
    with pytest.raises(InvalidRequest):
        push(images, Reference.parse("a.test/b"), means(), options)
