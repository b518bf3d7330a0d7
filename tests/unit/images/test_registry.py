"""A repository of a registry, as Debian's docker-registry has it."""

from __future__ import annotations

import hashlib
import json
import os
import re

import pytest
from support.registries import INDEX, describe, sha256

from pyengine.errors import DigestMismatch, ImageNotFound, RegistryError
from pyengine.images.registry import Repository
from pyengine.images.servers import Means
from pyengine.images.uploads import Uploads

LARGE = os.urandom(3 << 20)


def no_waiting(**more) -> Means:
    """`Means` of a test: nothing from the environment, no time between attempts."""
    return Means(wait=lambda seconds: None, environ={}, **more)


@pytest.fixture(scope="module")
def image(registry):
    return registry.put_image("team/app", "1", [b"layer one", LARGE])


@pytest.fixture
def repository(registry, image):
    with Repository(registry.address, "team/app", no_waiting()) as repository:
        yield repository


def test_a_manifest_comes_by_its_tag_and_by_its_digest(repository, image):
    by_tag, by_digest = repository.manifest("1"), repository.manifest(image.digest)
    assert by_tag == by_digest
    assert by_tag.digest == image.digest == sha256(by_tag.data)
    assert by_tag.media_type == image.manifest["mediaType"]


def test_the_digest_of_a_tag_is_known_without_its_manifest(repository, image):
    assert repository.digest_of("1") == image.digest


@pytest.mark.parametrize("start", [0, 1, 500, len(LARGE) - 1])
def test_a_blob_comes_from_any_byte_on(repository, start):
    data = b"".join(repository.blob(sha256(LARGE), len(LARGE), start))
    assert data == LARGE[start:]


def test_a_tag_that_is_not_there_is_an_image_that_is_not_there(repository, registry):
    with pytest.raises(ImageNotFound, match=f"{registry.address}/team/app:no-such"):
        repository.manifest("no-such")


def test_a_repository_that_is_not_there_is_named(registry):
    with (
        Repository(registry.address, "no/such", no_waiting()) as repository,
        pytest.raises(ImageNotFound, match="does not have"),
    ):
        repository.manifest("latest")


def test_a_blob_that_the_registry_has_lost_is_named(repository):
    with pytest.raises(RegistryError, match="does not have the blob") as caught:
        list(repository.blob(sha256(b"lost"), 4))
    assert caught.value.digest == sha256(b"lost")


def test_every_tag_is_listed(registry):
    names = {f"v{number}" for number in range(7)}
    for name in names:
        registry.put_image("many/labels", name, [b"x"])
    with Repository(registry.address, "many/labels", no_waiting()) as repository:
        assert set(repository.tags()) == names


def test_tags_come_page_by_page(hostile):
    def page(exchange):
        last = int((re.search(r"last=v(\d)", exchange.asked.path) or [0, -1])[1])
        link = f'</v2/a/tags/list?n=1000&last=v{last + 1}>; rel="next"'
        more = {"Link": link} if last < 3 else {}
        exchange.say(200, more, json.dumps({"name": "a", "tags": [f"v{last + 1}"]}).encode())

    hostile.default = page
    with Repository(hostile.address, "a", no_waiting()) as repository:
        assert repository.tags() == ("v0", "v1", "v2", "v3", "v4")


def test_referrers_are_found_under_the_tag_of_old_registries(registry, image, repository):
    subject = registry.put_image("team/app", "signed", [b"signed"])
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    registry.put_manifest("team/app", subject.digest.replace(":", "-"), index)
    assert b'"manifests"' in repository.referrers(subject.digest)


def test_nothing_refers_to_what_nobody_refers_to(repository, image):
    assert repository.referrers(image.digest) == b'{"schemaVersion":2,"manifests":[]}'


@pytest.fixture
def target(registry):
    with Repository(registry.address, "pushed/app", no_waiting(), push=True) as repository:
        yield repository


def reader(data):
    """As uploads read: from an offset on, in pieces."""
    return lambda start: (data[at : at + 70_000] for at in range(start, len(data), 70_000))


@pytest.mark.parametrize("chunk", [0, 1 << 20, 700_001])
@pytest.mark.parametrize("size", [0, 2, 1 << 20, 2_500_000])
def test_a_blob_is_pushed_whole_and_in_chunks(target, registry, size, chunk):
    data = hashlib.sha256(f"{size} {chunk}".encode()).digest() * (size // 32 + 1)
    data = data[:size]
    sent = []
    uploads = Uploads(target, chunk=chunk)
    how = uploads.blob(sha256(data), len(data), reader(data), sent=sent.append)
    assert how == ("exists" if size == 0 and chunk else "pushed")
    assert registry.request("GET", f"/v2/pushed/app/blobs/{sha256(data)}")[2] == data
    assert uploads.blob(sha256(data), len(data), reader(data)) == "exists"
    assert not sent or (sent[-1] == size and sent == sorted(sent))


def test_a_blob_of_another_repository_is_mounted_and_not_sent(target, image):
    uploads = Uploads(target)

    def read(start):
        raise AssertionError("it was read")

    assert uploads.blob(sha256(LARGE), len(LARGE), read, sources=("team/app",)) == "mounted"


def test_a_blob_that_cannot_be_mounted_is_sent(target, registry):
    data = os.urandom(2 << 20)
    how = Uploads(target).blob(sha256(data), len(data), reader(data), sources=("team/app",))
    assert how == "pushed"
    assert registry.request("HEAD", f"/v2/pushed/app/blobs/{sha256(data)}")[0] == 200


def test_a_manifest_is_pushed_under_a_tag(target, registry):
    config = b"{}"
    Uploads(target).blob(sha256(config), 2, reader(config))
    kind = "application/vnd.oci.image.manifest.v1+json"
    data = json.dumps(
        {"schemaVersion": 2, "mediaType": kind, "config": describe("a/b", config), "layers": []}
    ).encode()
    Uploads(target).manifest("v1", data, kind, sha256(data))
    assert registry.tags("pushed/app") == ["v1"]
    assert target.manifest("v1").data == data


def test_bytes_that_are_not_of_the_digest_are_refused_by_the_registry(target):
    with pytest.raises(DigestMismatch, match="DIGEST_INVALID"):
        Uploads(target).blob(sha256(b"this"), 4, reader(b"that"))
