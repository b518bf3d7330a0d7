"""Archives that lie: each is refused with its reason, and nothing of it stays."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import os
import tracemalloc

import pytest
from attrs import evolve
from support.image_archives import (
    VERSION,
    Link,
    Once,
    blob,
    blobs_of,
    docker_files,
    entry,
    hex_of,
    layout_files,
    layout_of,
    tar,
    unpacked,
)
from support.images import BASE, ONE, TWO, tar_of

from pyengine.errors import EngineError, ImageNotFound, InvalidContent
from pyengine.images.archive_load import load
from pyengine.images.catalog import Images
from pyengine.images.limits import Limits
from pyengine.model import content as model
from pyengine.model import digests
from pyengine.model.content import Descriptor


def all_below(directory):
    found = []
    for top, _, files in os.walk(directory):
        found += [os.path.relpath(f"{top}/{name}", directory) for name in files]
    return {name for name in found if not name.endswith((".lock", "engine.lock"))}


EMPTY = {"blobs/oci-layout", "blobs/index.json"}


def refused(images, files, why, error=InvalidContent, **options):
    """*files* are refused, as a file and as a pipe, for the reason *why*; nothing stays."""
    data = files if isinstance(files, bytes) else tar(files)
    messages = []
    for source in (io.BytesIO(data), Once(data)):
        with pytest.raises(error, match=why) as caught:
            load(images, source, **options)
        messages.append(str(caught.value))
        assert images.names.all() == []
        assert all_below(images.content.layout.root) <= EMPTY
    return messages


def with_listed(**fields):
    """A docker-archive of ONE whose manifest.json says something else of it."""
    files = docker_files(ONE, ["a:1"])
    listed = json.loads(files["manifest.json"])
    listed[0].update(fields)
    return files | {"manifest.json": json.dumps(listed).encode()}


OUTSIDE = ["/etc/passwd", "../x", "a/../../x", "..", "/", "", ".", "./../x"]


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_config_out_of_the_archive_is_refused(images, path):
    refused(images, with_listed(Config=path), "no name of a file in the archive")


@pytest.mark.parametrize("path", OUTSIDE)
def test_a_layer_out_of_the_archive_is_refused(images, path):
    refused(images, with_listed(Layers=[path, path]), "no name of a file in the archive")


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../../../../etc/passwd", "..", "x", "layer.tar"]
)
@pytest.mark.parametrize("is_symbolic", [True, False])
def test_a_layer_that_is_a_link_to_elsewhere_is_not_followed(images, target, is_symbolic):
    files = docker_files(ONE, ["a:1"])
    name = json.loads(files["manifest.json"])[0]["Layers"][0]
    refused(images, files | {name: Link(target, is_symbolic)}, "has no file")


def test_links_in_a_circle_lead_nowhere(images):
    files = with_listed(Layers=["l1", "l1"]) | {"l1": Link("l2"), "l2": Link("l1")}
    refused(images, files, "has no file 'l1'")


def test_the_configuration_is_what_its_name_says(images):
    files = docker_files(ONE, ["a:1"])
    del files[f"{hex_of(ONE.config)}.json"]
    name = f"{hex_of(TWO.config)}.json"
    files |= {name: ONE.config}
    listed = json.loads(files["manifest.json"])
    listed[0]["Config"] = name
    refused(images, files | {"manifest.json": json.dumps(listed).encode()}, "its name in the")


@pytest.mark.parametrize("form", ["old", "new", "skopeo"])
def test_a_layer_is_what_the_configuration_says(images, form):
    files = docker_files(ONE, ["a:1"], form=form)
    listed = json.loads(files["manifest.json"])
    listed[0]["Layers"].reverse()
    changed = files | {"manifest.json": json.dumps(listed).encode()}
    for message in refused(images, changed, "which the image's configuration says it is"):
        assert digests.of(BASE) in message


def test_a_compressed_layer_is_what_the_configuration_says_even_where_that_is_known(images):
    load(images, io.BytesIO(tar(docker_files(ONE, ["good:1"]))))
    files = docker_files(ONE, ["a:1"])
    name = json.loads(files["manifest.json"])[0]["Layers"][0]
    lie = gzip.compress(tar_of({"evil": b"e" * 3000}))
    with pytest.raises(InvalidContent, match="configuration says"):
        load(images, io.BytesIO(tar(files | {name: lie})))
    assert [named.reference for named in images.names.all()] == ["docker.io/library/good:1"]
    assert not images.content.blobs.has(digests.of(lie))


def test_a_layer_compressed_as_no_registry_takes_it_is_refused(images):
    files = docker_files(ONE, ["a:1"])
    name = json.loads(files["manifest.json"])[0]["Layers"][0]
    refused(images, files | {name: bz2.compress(BASE)}, "compressed with bzip2")


def test_layers_and_configuration_agree_how_many_they_are(images):
    refused(images, with_listed(Layers=[]), "lists 0 layers of an image that has 2")


@pytest.mark.parametrize("tag", ["A:1", "a:1:2", "sha256:" + 64 * "0", "a@sha256:" + 64 * "0", ""])
def test_a_tag_that_is_none_is_refused(images, tag):
    refused(images, with_listed(RepoTags=[tag]), "names an image")


def test_two_images_of_one_name_are_refused(images):
    one, two = docker_files(ONE, ["a"]), docker_files(TWO, ["docker.io/library/a:latest"])
    for number, name in enumerate(json.loads(two["manifest.json"])[0]["Layers"]):
        two[f"two{number}.tar"] = two.pop(name)
    listed = json.loads(one["manifest.json"]) + json.loads(two["manifest.json"])
    listed[1]["Layers"] = ["two0.tar", "two1.tar"]
    both = {**one, **two, "manifest.json": json.dumps(listed).encode()}
    refused(images, both, "calls two images 'a:latest'")
    blobs = blobs_of(ONE) | blobs_of(TWO)
    files = layout_files(blobs, entry(ONE.target, "a:1"), entry(TWO.target, "a:1"))
    refused(images, files, "calls two images 'docker.io/library/a:1'")


def test_two_forms_of_an_archive_do_not_mean_different_images(images):
    old = docker_files(TWO, ["a:1"], form="new")
    files = {**old, **layout_of(ONE, "docker.io/library/a:1")}
    refused(images, files, "calls two images 'a:1'")


def test_an_entry_that_comes_twice_is_refused(images):
    files = list(docker_files(ONE, ["a:1"]).items())
    again = [*files, ("./manifest.json", b"[]")]
    refused(images, tar(again), "has 'manifest.json' twice")


def test_blobs_are_what_their_names_say(images):
    for data in blobs_of(ONE):
        files = layout_of(ONE, "a:1") | {data: b"something else"}
        refused(images, files, "not those of its name|bytes, and what names it says")


def test_a_directory_with_a_blob_that_is_another_is_refused(images, tmp_path):
    files = layout_of(ONE, "a:1")
    files[blob(ONE.layers[0])] = Link("/etc/passwd")
    with pytest.raises(InvalidContent, match="not those of its name"):
        load(images, unpacked(files, tmp_path / "layout"))
    assert all_below(images.content.layout.root) <= EMPTY


def test_what_is_no_file_in_a_directory_is_not_opened_for_long(images, tmp_path):
    files = layout_of(ONE, "a:1")
    del files[blob(ONE.layers[0])]
    directory = unpacked(files, tmp_path / "layout")
    os.mkfifo(f"{directory}/{blob(ONE.layers[0])}")
    with pytest.raises(InvalidContent, match="lacks the blob"):
        load(images, directory)
    os.unlink(f"{directory}/index.json")
    os.symlink("/etc/passwd", f"{directory}/index.json")
    with pytest.raises(InvalidContent, match=r"index\.json cannot be read"):
        load(images, directory)


def test_a_blob_that_lacks_is_named(images):
    files = layout_of(ONE, "a:1")
    del files[blob(ONE.layers[1])]
    for message in refused(images, files, "lacks the blob"):
        assert digests.of(ONE.layers[1]) in message


def test_a_size_that_is_another_is_refused(images):
    target = evolve(ONE.target, size=ONE.target.size + 1)
    refused(images, layout_files(blobs_of(ONE), entry(target, "a:1")), "bytes, and what names it")


def test_a_digest_in_a_name_is_that_of_the_image(images):
    files = layout_of(ONE, f"docker.io/library/a@{TWO.target.digest}")
    refused(images, files, "what it calls")


@pytest.mark.parametrize("name", ["A:1", "a:1:2", "a\n:1", "-/x:1", f"sha256:{64 * '0'}"])
def test_a_name_that_is_none_is_refused(images, name):
    refused(images, layout_of(ONE, name), "names an image")


def nested(depth):
    blobs, target = blobs_of(ONE), ONE.target
    for _ in range(depth):
        data = model.print_index([target])
        target = Descriptor(model.OCI_INDEX, digests.of(data), len(data))
        blobs[blob(data)] = data
    return layout_files(blobs, entry(target, "a:1"))


def test_indexes_in_indexes_end_somewhere(images):
    refused(images, nested(9), "it is in 4 others")
    assert load(images, io.BytesIO(tar(nested(2))))[0].manifest == ONE.manifest.digest


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("index.json", b"[" * 100000, "nested deeper|no object"),
        ("index.json", b'{"schemaVersion":2,"schemaVersion":2,"manifests":[]}', "comes twice"),
        ("index.json", b'{"schemaVersion":2,"manifests":[]}', "lists no image"),
        ("index.json", b'{"schemaVersion":2,"manifests":[],"layers":[]}', "both a manifest and"),
        ("index.json", b'{"schemaVersion":NaN,"manifests":[]}', "NaN"),
        ("index.json", b"<html>", "HTML"),
        ("index.json", b"\xff", "UTF-8"),
        ("index.json", b" " * (5 << 20), "more than 4194304"),
        ("oci-layout", b'{"imageLayoutVersion":"2.0.0"}', "imageLayoutVersion"),
        ("oci-layout", b"[]", "imageLayoutVersion"),
    ],
)
def test_a_layout_whose_documents_are_wrong_is_refused(images, name, data, why):
    refused(images, layout_of(ONE, "a:1") | {name: data}, why)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{}", "lists no image"),
        (b"[]", "lists no image"),
        (b"[1]", "no object"),
        (b'[{"Config":1}]', "Config is no text"),
        (b'[{"Config":"a","Layers":{}}]', "Layers is no list"),
        (b'[{"Config":"a","config":"b"}]', "'config' is not 'Config'"),
        (b'[{"Config":"a","Layers":["a\\u0000b"]}]', "NUL"),
        (b'[{"Config":"a","Layers":[%s"a"]}]' % (b'"a",' * 600), "more than 500 layers"),
        (b"[%s{}]" % (b"{}," * 2001), "more than 2000 images"),
        (b" " * (5 << 20), "more than 4194304"),
    ],
)
def test_a_docker_archive_whose_documents_are_wrong_is_refused(images, data, why):
    refused(images, docker_files(ONE, ["a:1"]) | {"manifest.json": data}, why)


@pytest.mark.parametrize("config", [b"{}", b"[]", b"null", b'{"a":' * 100, b"\0"])
def test_a_configuration_that_is_none_is_refused(images, config):
    files = {"c": config, "manifest.json": b'[{"Config":"c","RepoTags":["a:1"],"Layers":[]}]'}
    refused(images, files, "image config")


def test_a_configuration_that_is_too_long_is_not_read(images):
    files = {"c": bytes(9 << 20), "manifest.json": b'[{"Config":"c","Layers":[]}]'}
    refused(images, files, "more than 8388608")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"hello", "no tar"),
        (bytes(10240), "neither an index.json|empty"),
        (tar({"a": b"x"}), "neither an index.json"),
        (gzip.compress(tar(layout_of(ONE, "a:1")))[:-9], "ends too early"),
        (tar(layout_of(ONE, "a:1"))[:4000], "middle|lacks|no file|neither"),
    ],
)
def test_what_is_no_archive_is_refused(images, data, why):
    refused(images, data, why)


def test_a_broken_checksum_of_the_compression_is_noticed_though_the_tar_was_whole(images):
    data = bytearray(gzip.compress(tar(layout_of(ONE, "a:1"))))
    data[-6] ^= 1
    refused(images, bytes(data), "gzip")


def test_a_bomb_is_refused_with_little_memory(images):
    bomb = gzip.compress(tar({"layer.tar": bytes(64 << 20)}))
    content = evolve(images.content, limits=Limits(ratio_from=8 << 20))
    tracemalloc.start()
    try:
        for source in (io.BytesIO(bomb), Once(bomb)):
            with pytest.raises(InvalidContent, match="bomb"):
                load(Images(content), source)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert all_below(images.content.layout.root) <= EMPTY


def test_a_document_without_end_is_not_held_in_memory(images):
    data = tar(layout_of(ONE, "a:1") | {"index.json": bytes(64 << 20)})
    tracemalloc.start()
    try:
        for source in (io.BytesIO(data), Once(data, 1 << 20)):
            with pytest.raises(InvalidContent, match="more than 4194304"):
                load(images, source)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_many_entries_are_refused(images):
    data = tar({f"{number}": b"" for number in range(60)} | {"oci-layout": VERSION})
    content = evolve(images.content, limits=Limits(archive_entries=50))
    with pytest.raises(InvalidContent, match="more than 50 entries"):
        load(Images(content), Once(data))
    assert all_below(images.content.layout.root) <= EMPTY


def test_what_was_there_before_a_refused_archive_stays(images):
    load(images, io.BytesIO(tar(layout_of(TWO, "b:1"))))
    before = all_below(images.content.layout.root)
    files = layout_of(ONE, "b:1")
    del files[blob(ONE.layers[1])]
    with pytest.raises(InvalidContent):
        load(images, io.BytesIO(tar(files)))
    assert all_below(images.content.layout.root) == before
    assert images.find("b:1").config == TWO.id


def test_who_stops_a_load_leaves_nothing(images):
    def stop():
        raise KeyboardInterrupt

    for source in (io.BytesIO, Once):
        with pytest.raises(KeyboardInterrupt):
            load(images, source(tar(layout_of(ONE, "a:1"))), waiting=stop)
        assert all_below(images.content.layout.root) <= EMPTY


def test_a_file_that_is_not_there_is_said(images, tmp_path):
    with pytest.raises(ImageNotFound, match="cannot be read"):
        load(images, tmp_path / "none.tar")


def test_every_refusal_is_one_of_ours_and_names_the_archive(images, tmp_path):
    path = tmp_path / "evil.tar"
    path.write_bytes(tar({"a": b"x"}))
    with pytest.raises(EngineError, match=r"evil\.tar"):
        load(images, path)
