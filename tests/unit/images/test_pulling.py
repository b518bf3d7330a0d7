"""Images come from a registry whole, verified and once, whatever the network does."""

from __future__ import annotations

import gzip
import json
import os

import pytest
from support.hostile import Exchange, corrupt, cut_after, redirect, stall_after, status
from support.images import content_in, tar_of
from support.registries import INDEX, describe, sha256

from pyengine.errors import (
    DigestMismatch,
    EngineError,
    ImageNotFound,
    InvalidContent,
    InvalidRequest,
    RateLimited,
    RegistryError,
    RegistryUnavailable,
    TimedOut,
    Unauthorized,
)
from pyengine.images.catalog import Images
from pyengine.images.connections import Patience
from pyengine.images.pulling import pull, pull_all_tags
from pyengine.images.servers import Means
from pyengine.model.platform import Platform
from pyengine.model.reference import Reference

PASSING_FAULTS = (
    "cut",
    "cut-later",
    "stall",
    "corrupt",
    "503",
    "500",
    "429",
    "reset",
    "nothing",
    "garbage",
)
BLOB_FAULTS = (
    "corrupt",
    "503",
    "404",
    "403",
    "401",
    "429",
    "stall",
    "cut",
    "longer",
    "shorter",
    "chunked",
    "flood",
)
MANIFEST_FAULTS = (
    "corrupt",
    "503",
    "404",
    "403",
    "portal",
    "html",
    "deep",
    "giant",
    "header",
    "schema1",
    "302",
    "stall",
    "continue",
    "headers",
    "long-header",
    "flood",
)
SHORT = Patience(connect=5, silence=0.3, headers=2)


def layer(name: str, content: bytes) -> bytes:
    """A layer with one file, compressed."""
    return gzip.compress(tar_of({name: content}), 1, mtime=0)


LARGE = os.urandom(3 << 20)
LAYERS = (layer("small", b"hello"), layer("large", LARGE), layer("third", b"three"))


@pytest.fixture(scope="module")
def image(registry):
    return registry.put_image("pull/app", "1", LAYERS)


@pytest.fixture
def images(tmp_path):
    return Images(content_in(tmp_path))


def means(**more) -> Means:
    """What the environment of whoever runs the tests has no part in."""
    return Means(wait=lambda seconds: None, environ={}, **more)


def get(images, address, name="pull/app:1", progress=None, platform=None, **more):
    """Pull."""
    reference = Reference.parse(f"{address}/{name}")
    return pull(images, reference, means(**more), progress=progress, platform=platform)


def holds(images, image) -> bool:
    """Whether all of *image* is there."""
    blobs = images.content.blobs
    return all(blobs.verify(one) for one in (image.digest, image.config, *image.layers)) and (
        len(list(images.content.layers.all())) == len(image.layers)
    )


def has_nothing(images) -> bool:
    """Whether no name is there, and no layer."""
    return not images.names.all() and not list(images.content.layers.all())


def test_an_image_is_pulled_whole(images, registry, image):
    named = get(images, registry.address)
    assert named.reference == f"{registry.address}/pull/app:1"
    assert named.target.digest == named.manifest == image.digest
    assert named.config == image.config
    assert named.pulled
    assert holds(images, image)
    assert images.find(named.reference) == named


def test_what_is_there_already_costs_one_question(images, hostile, image):
    first = get(images, hostile.address)
    hostile.forget()
    assert get(images, hostile.address) == first
    assert [str(one) for one in hostile.heard("v2/pull")] == ["HEAD /v2/pull/app/manifests/1"]


def test_what_is_there_by_its_digest_costs_none(images, hostile, image):
    name = f"pull/app@{image.digest}"
    first = get(images, hostile.address, name)
    hostile.forget()
    assert get(images, hostile.address, name) == first
    assert hostile.asked == []


def test_a_tag_that_means_something_else_now_is_pulled_anew(images, registry):
    old = registry.put_image("pull/moves", "1", LAYERS[:1])
    assert get(images, registry.address, "pull/moves:1").manifest == old.digest
    new = registry.put_image("pull/moves", "1", LAYERS[:2])
    assert get(images, registry.address, "pull/moves:1").manifest == new.digest


def test_a_layer_that_two_images_share_is_fetched_once(images, hostile, registry, image):
    get(images, hostile.address)
    registry.put_image("pull/other", "1", LAYERS[:2])
    hostile.forget()
    get(images, hostile.address, "pull/other:1")
    assert hostile.heard(f"blobs/({sha256(LAYERS[0])}|{sha256(LAYERS[1])})") == []


def test_progress_tells_of_each_layer_from_waiting_to_done(images, registry, image):
    events = []
    get(images, registry.address, progress=events.append)
    assert events[0].action == "resolving"
    assert events[-1].action == "done"
    assert events[-1].detail == image.digest
    for digest in image.layers:
        of_layer = [event for event in events if event.id == digest[7:19]]
        kinds = list(dict.fromkeys(event.action for event in of_layer))
        assert kinds == ["waiting", "downloading", "verifying", "downloaded", "unpacking", "done"]
        downloaded = [event.current for event in of_layer if event.action == "downloading"]
        assert downloaded == sorted(downloaded)
        assert downloaded[-1] == of_layer[0].total


def test_progress_that_raises_ends_the_pull(images, registry, image):
    def shown(event):
        if event.action == "downloading":
            raise LookupError("the terminal is gone")

    with pytest.raises(LookupError):
        get(images, registry.address, progress=shown)
    assert not images.names.all()


# --- platforms ---


@pytest.fixture(scope="module")
def index(registry):
    made = []
    for architecture in ("amd64", "arm64"):
        config = json.dumps(
            {
                "architecture": architecture,
                "os": "linux",
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [sha256(gzip.decompress(LAYERS[0]))]},
            }
        ).encode()
        one = registry.put_image("pull/many", architecture, LAYERS[:1], config)
        made.append((architecture, one))
    entries = [
        {
            "mediaType": one.manifest["mediaType"],
            "digest": one.digest,
            "size": one.size,
            "platform": {"os": "linux", "architecture": architecture},
        }
        for architecture, one in made
    ]
    value = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    digest = registry.put_manifest("pull/many", "all", value)
    return digest, dict(made)


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_of_an_index_the_image_for_the_platform_comes(images, registry, index, architecture):
    digest, made = index
    platform = Platform("linux", architecture)
    named = get(images, registry.address, "pull/many:all", platform=platform)
    assert named.target.digest == digest
    assert named.manifest == made[architecture].digest
    assert named.platform == platform


def test_a_platform_that_is_not_offered_is_named_with_those_that_are(images, registry, index):
    wanted = Platform("linux", "s390x")
    with pytest.raises(ImageNotFound, match=r"linux/s390x.*there is linux/amd64, linux/arm64"):
        get(images, registry.address, "pull/many:all", platform=wanted)


def test_an_image_for_another_platform_than_asked_for_is_refused(images, registry, image):
    with pytest.raises(ImageNotFound, match="it is for linux/amd64"):
        get(images, registry.address, platform=Platform("linux", "arm64"))
    assert has_nothing(images)


def test_all_tags_come(images, registry):
    for tag in ("a", "b"):
        registry.put_image("pull/tags", tag, LAYERS[:1])
    reference = Reference.parse(f"{registry.address}/pull/tags")
    found = pull_all_tags(images, reference, means())
    assert {named.reference.rpartition(":")[2] for named in found} == {"a", "b"}


def test_scratch_cannot_be_pulled(images):
    with pytest.raises(InvalidRequest, match="scratch"):
        pull(images, Reference.parse("scratch"), means())


# --- networks that fail ---


@pytest.mark.parametrize(
    "action",
    [
        cut_after(0),
        cut_after(100_000),
        stall_after(50_000),
        corrupt,
        status(503),
        status(500),
        status(429, Retry_After="1"),
        Exchange.reset,
        Exchange.cut,
        lambda it: it.raw(b"\x00\xff garbage\r\n\r\n"),
    ],
    ids=[
        "cut",
        "cut-later",
        "stall",
        "corrupt",
        "503",
        "500",
        "429",
        "reset",
        "nothing",
        "garbage",
    ],
)
@pytest.mark.parametrize("what", ["manifests/1", "blobs/LARGE", "blobs/CONFIG"])
def test_what_fails_once_or_twice_is_tried_again(images, hostile, image, what, action):
    what = what.replace("LARGE", image.layers[1]).replace("CONFIG", image.config)
    hostile.when(f"GET .*{what}", action, times=2)
    get(images, hostile.address, patience=SHORT)
    assert holds(images, image)
    assert len(hostile.heard(f"GET .*{what}")) == 3


def test_a_connection_that_breaks_off_goes_on_where_it_did(images, hostile, image):
    hostile.when(f"GET .*{image.layers[1]}", cut_after(1_000_000), times=1)
    get(images, hostile.address)
    first, second = hostile.heard(image.layers[1])
    assert "range" not in first.headers
    assert second.headers["range"] == "bytes=1000000-"


def test_a_server_that_breaks_off_each_megabyte_is_borne(images, hostile, image):
    def some(exchange):
        answer = exchange.ask()
        exchange.head(answer.status, answer.headers)
        exchange.raw(answer.body[: (1 << 20) + 1])
        exchange.cut()

    hostile.when(f"GET .*{image.layers[1]}", some)
    get(images, hostile.address, attempts=2)
    assert holds(images, image)


def test_an_interrupted_pull_goes_on_in_the_next(images, hostile, image):
    hostile.when(image.layers[1], cut_after(2_000_000), times=1)
    with pytest.raises(RegistryUnavailable):
        get(images, hostile.address, attempts=1)
    assert not images.names.all()
    hostile.forget()
    get(images, hostile.address)
    assert hostile.heard(image.layers[1])[0].headers["range"] == "bytes=2000000-"
    assert holds(images, image)


@pytest.mark.parametrize("answer", ["whole", "416", "other-range"])
def test_a_server_that_knows_no_ranges_sends_all_again(images, hostile, image, answer):
    def without_range(exchange):
        del exchange.asked.headers["range"]
        exchange.forward()

    def other(exchange):
        exchange.asked.headers["range"] = "bytes=5-"
        exchange.forward()

    hostile.when(image.layers[1], cut_after(2_000_000), times=1)
    actions = {"whole": without_range, "416": status(416), "other-range": other}
    with pytest.raises(RegistryUnavailable):
        get(images, hostile.address, attempts=1)
    hostile.forget()
    hostile.when(image.layers[1], actions[answer], times=1)
    get(images, hostile.address)
    assert holds(images, image)
    # what was there already was not fed twice: nothing had to begin anew
    assert len(hostile.heard(image.layers[1])) == (1 if answer == "whole" else 2)


def test_bytes_of_an_earlier_attempt_that_are_wrong_are_fetched_again(images, hostile, image):
    def corrupt_and_cut(exchange):
        answer = exchange.ask()
        exchange.head(answer.status, answer.headers)
        exchange.raw(bytes(1_000_000))
        exchange.cut()

    hostile.when(image.layers[1], corrupt_and_cut, times=1)
    get(images, hostile.address)
    assert holds(images, image)


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (corrupt, DigestMismatch),
        (status(503), RegistryUnavailable),
        (status(404), RegistryError),
        (status(403), Unauthorized),
        (status(401), Unauthorized),
        (status(429), RateLimited),
        (stall_after(10), RegistryUnavailable),
        (cut_after(10), RegistryUnavailable),
        (lambda it: it.say(200, {}, bytes(len(LAYERS[1]) + 1)), DigestMismatch),
        (lambda it: it.say(200, {}, b"short"), DigestMismatch),
        (lambda it: it.say(200, {"Transfer-Encoding": "chunked"}, b"5\r\nshort\r\n0\r\n\r\n"),
         RegistryUnavailable),
        (lambda it: (it.head(200, []), it.flood(bytes(65536))), RegistryError),
    ],
    ids=BLOB_FAULTS,
)  # fmt: skip
def test_a_blob_that_never_comes_right_is_an_error_and_no_image(
    images, hostile, image, action, error
):
    hostile.when(f"GET .*blobs/{image.layers[1]}", action)
    with pytest.raises(error) as caught:
        get(images, hostile.address, patience=SHORT, attempts=3)
    assert not images.names.all()
    assert hostile.address in str(caught.value)
    assert image.layers[1] in str(caught.value)


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (corrupt, EngineError),
        (status(503), RegistryUnavailable),
        (status(404), ImageNotFound),
        (status(403), Unauthorized),
        (status(200, b"<html>Sign in to the hotel's network"), InvalidContent),
        (status(200, b"<html>", Content_Type="text/html"), InvalidContent),
        (status(200, b'{"a":' * 100_000), InvalidContent),
        (status(200, b"{" * 5_000_000), RegistryError),
        (status(200, b"{}", Docker_Content_Digest=sha256(b"other")), DigestMismatch),
        (status(200, b'{"schemaVersion":1,"name":"a","fsLayers":[]}'), InvalidContent),
        (status(302), RegistryError),
        (stall_after(10), RegistryUnavailable),
        (lambda it: it.flood(b"HTTP/1.1 100 Continue\r\n\r\n"), RegistryError),
        (lambda it: (it.raw(b"HTTP/1.1 200 OK\r\n"), it.flood(b"a: b\r\n")), RegistryError),
        (lambda it: (it.raw(b"HTTP/1.1 200 OK\r\nx: "), it.flood(b"y" * 999)), RegistryError),
        (lambda it: (it.head(200, []), it.flood(b"{" * 65536)), RegistryError),
    ],
    ids=[
        "corrupt",
        "503",
        "404",
        "403",
        "portal",
        "html",
        "deep",
        "giant",
        "header",
        "schema1",
        "302",
        "stall",
        "100s",
        "headers",
        "long-header",
        "flood",
    ],
)
def test_a_manifest_that_never_comes_right_is_an_error_and_no_image(
    images, hostile, image, action, error
):
    hostile.when("GET .*manifests/1", action)
    with pytest.raises(error) as caught:
        get(images, hostile.address, patience=SHORT, attempts=2)
    assert has_nothing(images)
    assert "pull/app" in str(caught.value)


def test_who_is_asked_to_stay_away_for_long_is_told_so_at_once(images, hostile, image):
    hostile.when("manifests/1", status(429, Retry_After="3600"))
    with pytest.raises(RateLimited) as caught:
        get(images, hostile.address)
    assert caught.value.retry_after == 3600
    assert len(hostile.heard("manifests/1")) == 1


def test_time_that_is_over_is_said_and_leaves_no_image(images, hostile, image):
    hostile.when(image.layers[1], stall_after(10))
    with pytest.raises(TimedOut, match="pulling"):
        get(images, hostile.address, timeout=0.5)
    assert not images.names.all()


def test_one_layer_that_fails_ends_the_others(images, hostile, image):
    hostile.when(image.layers[1], stall_after(10))
    hostile.when(image.layers[0], lambda it: (hostile.stalled.wait(20), status(404)(it)))
    with pytest.raises(RegistryError, match=image.layers[0]):
        get(images, hostile.address)


# --- redirects ---


def test_a_blob_is_fetched_from_where_it_was_moved(images, hostile, registry, image):
    hostile.when("GET .*blobs", redirect(f"http://{registry.address}{{path}}"))
    get(images, hostile.address)
    assert holds(images, image)


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("http://169.254.169.254/latest/meta-data", "not public"),
        ("http://[fe80::1]/", "not public"),
        ("file:///etc/passwd", "neither http nor https"),
        ("ftp://127.0.0.1/", "neither http nor https"),
        ("http://user:pw@127.0.0.1/", "user name"),
        ("{path}", "more than 5 times"),
        ("http://127.0.0.1\\@evil/", "characters"),
    ],
)
def test_where_nobody_shall_be_sent_nobody_goes(images, hostile, image, place, why):
    hostile.when("GET .*blobs", redirect(place))
    with pytest.raises(RegistryError, match=why) as caught:
        get(images, hostile.address)
    assert "pw" not in str(caught.value)
    assert not images.names.all()


def test_a_signature_that_has_expired_is_renewed(images, hostile, registry, image):
    place = f"http://localhost:{hostile.port}{{path}}?old=1"
    hostile.when(f"blobs/{image.layers[1]}$", redirect(place), times=1)
    hostile.when(r"\?old", status(403, b"<Error>Request has expired</Error>"))
    get(images, hostile.address)
    assert holds(images, image)


# --- images that lie ---


def test_a_layer_of_another_size_than_its_manifest_says_is_refused(images, registry):
    image = registry.put_image("pull/lies", "1", LAYERS[:1])
    image.manifest["layers"][0]["size"] += 1
    registry.put_manifest("pull/lies", "size", image.manifest)
    with pytest.raises(DigestMismatch):
        get(images, registry.address, "pull/lies:size")
    assert has_nothing(images)


def test_a_layer_that_ends_too_early_is_refused_and_not_asked_for_again(images, hostile, registry):
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [sha256(b"another")]},
        }
    ).encode()
    image = registry.put_image("pull/lies", "short", [LAYERS[1][:-1000]], config)
    with pytest.raises(InvalidContent, match="pull/lies:short") as caught:
        get(images, hostile.address, "pull/lies:short")
    assert image.layers[0] in str(caught.value)
    assert len(hostile.heard(image.layers[0])) == 1
    assert has_nothing(images)


def test_a_layer_that_is_not_what_its_config_says_is_refused(images, registry):
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [sha256(b"another")]},
        }
    ).encode()
    registry.put_image("pull/lies", "diff", LAYERS[:1], config)
    with pytest.raises(InvalidContent, match="which the image's configuration says"):
        get(images, registry.address, "pull/lies:diff")
    assert has_nothing(images)


def test_foreign_layers_are_fetched_only_where_that_is_allowed(images, hostile, registry):
    image = registry.put_image("pull/foreign", "1", LAYERS[:1])
    foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    place = f"http://{hostile.address}/elsewhere"
    image.manifest["layers"][0] |= {"mediaType": foreign, "urls": [place]}
    hostile.when("manifests/foreign", status(200, json.dumps(image.manifest).encode()))
    hostile.when(f"v2.*{image.layers[0]}", status(404))
    hostile.when("GET /elsewhere", lambda it: it.say(200, {}, LAYERS[0]))
    with pytest.raises(RegistryError, match="allow foreign layers"):
        get(images, hostile.address, "pull/foreign:foreign")
    assert hostile.heard("elsewhere") == []
    get(images, hostile.address, "pull/foreign:foreign", foreign_layers=True)
    assert len(hostile.heard("elsewhere")) == 1


def test_an_index_that_names_another_size_is_refused(images, registry, index):
    _, made = index
    entry = describe(made["amd64"].manifest["mediaType"], json.dumps(
        made["amd64"].manifest).encode())  # fmt: skip
    entry |= {"size": 7, "platform": {"os": "linux", "architecture": "amd64"}}
    value = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}
    registry.put_manifest("pull/many", "wrong-size", value)
    with pytest.raises(InvalidContent, match="the index says 7"):
        get(images, registry.address, "pull/many:wrong-size", platform=Platform("linux", "amd64"))
