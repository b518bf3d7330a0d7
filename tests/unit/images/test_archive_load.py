"""Archives of every form come in whole, under their names, and again without being read."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from attrs import evolve
from backports import zstd
from support.image_archives import (
    Link,
    Once,
    blob,
    blobs_of,
    docker_files,
    entry,
    layout_files,
    layout_of,
    tar,
    unpacked,
)
from support.images import BASE, ONE, TWO, make_image, tar_of

from pyengine.errors import ImageNotFound, InvalidContent
from pyengine.images.archive_load import load
from pyengine.images.unpacking import layer_plans
from pyengine.model import content as model
from pyengine.model import digests, image_config
from pyengine.model.content import Descriptor
from pyengine.model.platform import Platform

TWICE = make_image([BASE, tar_of({"x": b"x"}), BASE], {"kind": "twice"})
PLATFORMS = {
    "arm": make_image([tar_of({"arm": b"arm"})]),
    "amd": make_image([tar_of({"amd": b"amd"})]),
}
ARM, AMD = Platform("linux", "arm64"), Platform("linux", "amd64")


def shown(images):
    return sorted((named.reference, named.config) for named in images.names.all())


def names(loaded):
    return [named.reference for named in loaded]


def is_unpacked(images, image):
    plans = layer_plans(image.manifest, image_config.parse(image.config))
    return all(images.content.layers.find(plan.chain_id) for plan in plans)


def loaded_from(images, files, *, once=False):
    data = tar(files)
    return load(images, Once(data) if once else io.BytesIO(data))


def index_of(**children):
    """An index of images for these platforms, with its blobs."""
    data = model.print_index(
        [evolve(PLATFORMS[name].target, platform=platform) for name, platform in children.items()]
    )
    return data, Descriptor(model.OCI_INDEX, digests.of(data), len(data))


@pytest.mark.parametrize("once", [False, True], ids=["file", "pipe"])
@pytest.mark.parametrize("form", ["old", "new", "skopeo"])
def test_a_docker_archive_of_each_age_is_loaded_under_its_tags(images, form, once):
    files = docker_files(ONE, ["busybox:1", "localhost:5000/b/box:x"], form=form)
    loaded = loaded_from(images, files, once=once)
    assert names(loaded) == ["docker.io/library/busybox:1", "localhost:5000/b/box:x"]
    assert {named.config for named in loaded} == {ONE.id}
    assert is_unpacked(images, ONE)


@pytest.mark.parametrize("once", [False, True], ids=["file", "pipe"])
def test_a_layer_that_docker_wrote_once_and_linked_to_is_found(images, once):
    files = docker_files(TWICE, ["twice"])
    assert any(isinstance(data, Link) for data in files.values())
    assert names(loaded_from(images, files, once=once)) == ["docker.io/library/twice:latest"]
    assert is_unpacked(images, TWICE)


def test_all_forms_of_a_docker_archive_are_the_same_image(images):
    manifests = {
        loaded_from(images, docker_files(ONE, [f"a:{form}"], form=form))[0].manifest
        for form in ("old", "new", "skopeo")
    }
    assert len(manifests) == 1


@pytest.mark.parametrize("once", [False, True], ids=["file", "pipe"])
def test_a_layout_keeps_the_digest_of_its_manifest(images, once):
    (named,) = loaded_from(images, layout_of(ONE, "docker.io/library/a:1", "1"), once=once)
    assert (named.reference, named.manifest) == ("docker.io/library/a:1", ONE.manifest.digest)
    assert named.target.digest == ONE.manifest.digest
    assert is_unpacked(images, ONE)


def test_a_layout_is_loaded_from_a_directory(images, tmp_path):
    directory = unpacked(layout_of(ONE, "a:1"), tmp_path / "layout")
    assert names(load(images, directory)) == ["docker.io/library/a:1"]
    assert is_unpacked(images, ONE)


@pytest.mark.parametrize(
    "compress",
    [gzip.compress, zstd.compress, lzma.compress, bz2.compress],
    ids=["gzip", "zstd", "xz", "bzip2"],
)
@pytest.mark.parametrize("is_path", [True, False])
def test_an_archive_may_be_compressed_whatever_its_name(images, tmp_path, compress, is_path):
    data = compress(tar(docker_files(ONE, ["a:1"])))
    (tmp_path / "a.tar").write_bytes(data)
    loaded = load(images, tmp_path / "a.tar" if is_path else Once(data))
    assert names(loaded) == ["docker.io/library/a:1"]


def test_an_archive_of_several_images_is_loaded_in_its_order(images):
    blobs = blobs_of(TWO) | blobs_of(ONE)
    files = layout_files(blobs, entry(TWO.target, "b:2"), entry(ONE.target, "a:1"))
    assert names(loaded_from(images, files)) == ["docker.io/library/b:2", "docker.io/library/a:1"]


def test_two_names_of_one_image_are_both_given(images):
    files = layout_files(blobs_of(ONE), entry(ONE.target, "a:1"), entry(ONE.target, "a:2"))
    assert names(loaded_from(images, files)) == ["docker.io/library/a:1", "docker.io/library/a:2"]


@pytest.mark.parametrize(
    ("annotations", "name"),
    [
        ({"tag": "latest"}, ""),  # of what? nobody says
        ({"tag": "docker.io/library/b:2"}, "docker.io/library/b:2"),
        ({"tag": "b:2"}, "docker.io/library/b:2"),
        ({"name": "ghcr.io/x/y:3", "tag": "3"}, "ghcr.io/x/y:3"),
        ({}, ""),
    ],
)
def test_a_layout_names_its_images_in_one_of_two_ways(images, annotations, name):
    assert names(loaded_from(images, layout_of(ONE, **annotations))) == [name]


def test_an_image_without_a_name_is_loaded_by_its_id(images):
    (named,) = loaded_from(images, docker_files(ONE))
    assert (named.reference, named.config) == ("", ONE.id)
    assert images.find(ONE.id).config == ONE.id


def test_what_is_there_already_is_not_read_again(images, tmp_path):
    directory = unpacked(layout_of(ONE, "a:1"), tmp_path / "layout")
    load(images, directory)
    os.unlink(f"{directory}/{blob(ONE.layers[0])}")  # nobody misses it
    assert names(load(images, directory)) == ["docker.io/library/a:1"]


def test_blobs_may_be_links_in_a_directory_as_their_content_is_verified(images, tmp_path):
    files = layout_of(ONE, "a:1")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(ONE.config)
    files[blob(ONE.config)] = Link(str(elsewhere))
    assert names(load(images, unpacked(files, tmp_path / "layout"))) == ["docker.io/library/a:1"]


def test_of_an_index_what_runs_here_is_run_and_all_that_is_there_is_kept(images):
    index, target = index_of(arm=ARM, amd=AMD)
    blobs = blobs_of(PLATFORMS["arm"]) | blobs_of(PLATFORMS["amd"]) | {blob(index): index}
    (named,) = loaded_from(images, layout_files(blobs, entry(target, "a:1")))
    here = Platform.of_machine(os.uname().machine)
    expected = PLATFORMS["arm" if here.architecture == "arm64" else "amd"]
    assert (named.target.digest, named.manifest) == (target.digest, expected.manifest.digest)
    images.sweep()
    assert all(images.content.blobs.has(digests.of(data)) for data in blobs.values())


def test_of_an_index_only_the_platform_that_is_asked_for_comes(images):
    index, target = index_of(arm=ARM, amd=AMD)
    blobs = blobs_of(PLATFORMS["arm"]) | blobs_of(PLATFORMS["amd"]) | {blob(index): index}
    data = tar(layout_files(blobs, entry(target, "a:1")))
    (named,) = load(images, io.BytesIO(data), platform=AMD)
    assert named.target.digest == named.manifest == PLATFORMS["amd"].manifest.digest
    assert not images.content.blobs.has(PLATFORMS["arm"].manifest.digest)
    with pytest.raises(ImageNotFound, match="linux/s390x"):
        load(images, io.BytesIO(data), platform=Platform("linux", "s390x"))


def test_an_index_may_name_platforms_that_its_archive_lacks(images):
    index, target = index_of(arm=ARM, amd=AMD)
    blobs = blobs_of(PLATFORMS["arm"]) | {blob(index): index}
    (named,) = loaded_from(images, layout_files(blobs, entry(target, "a:1")))
    assert named.manifest == PLATFORMS["arm"].manifest.digest
    assert named.target.digest == target.digest


def test_what_is_no_image_in_a_layout_is_passed_over(images):
    data = json.dumps(
        {
            "schemaVersion": 2,
            "artifactType": "application/vnd.example.sbom",
            "config": model.print_descriptor(
                Descriptor("application/vnd.oci.empty.v1+json", digests.of(b"{}"), 2)
            ),
            "layers": [],
        }
    ).encode()
    artifact = Descriptor(model.OCI_MANIFEST, digests.of(data), len(data))
    blobs = blobs_of(ONE) | {blob(data): data, blob(b"{}"): b"{}"}
    files = layout_files(blobs, entry(artifact, "sbom:1"), entry(ONE.target, "a:1"))
    assert names(loaded_from(images, files)) == ["docker.io/library/a:1"]
    with pytest.raises(InvalidContent, match="no image but an artifact"):
        loaded_from(images, layout_files(blobs, entry(artifact, "sbom:1")))


def test_what_came_and_no_image_needs_is_removed(images):
    files = docker_files(ONE, ["a:1"]) | {"readme": b"hello"}
    loaded_from(images, files, once=True)
    assert not images.content.blobs.has(digests.of(b"hello"))
    assert is_unpacked(images, ONE)


def test_a_pipe_is_read_to_its_end(images):
    data = tar(docker_files(ONE, ["a:1"])) + bytes(10240)
    pipe = Once(data)
    load(images, pipe)
    assert pipe.given == len(data)


def test_progress_tells_of_each_blob_and_each_layer(images):
    heard = []
    load(images, io.BytesIO(tar(docker_files(ONE, ["a:1"]))), progress=heard.append)
    assert {event.action for event in heard} == {"verifying", "unpacking"}
    assert {event.id for event in heard} >= {digests.hex_of(digests.of(BASE))[:12]}


@pytest.mark.parametrize("once", [False, True], ids=["file", "pipe"])
@pytest.mark.parametrize("files", [docker_files(ONE, ["a:1"]), layout_of(ONE, "a:1")])
def test_who_frees_space_meanwhile_takes_nothing_of_it(images, files, once):
    swept = []

    def sweep(event):
        if event.action == "verifying":
            swept.append(images.sweep())

    data = tar(files)
    load(images, Once(data) if once else io.BytesIO(data), progress=sweep)
    assert len(swept) > 2
    assert is_unpacked(images, ONE)
    assert all(images.content.blobs.verify(digest) for digest, _ in images.content.blobs.all())


def test_four_who_load_the_same_at_once_all_have_it(images):
    data = tar(docker_files(ONE, ["a:1"]))
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(load, images, Once(data)) for _ in range(4)]
    assert {one.result()[0].config for one in done} == {ONE.id}
    assert is_unpacked(images, ONE)
