"""What is told of images is what is there; what several share counts once."""

from __future__ import annotations

import os
import subprocess

import pytest
from attrs import evolve
from support.images import HERE, ONE, TWO, make_image, store_blobs, tar_of

from pyengine.errors import ImageNotFound, InvalidRequest, StoreError
from pyengine.images.image_use import ImageUse
from pyengine.images.telling import Teller
from pyengine.images.unpacking import layer_plans, unpack
from pyengine.model import content as model
from pyengine.model import image_config
from pyengine.model.platform import Platform
from pyengine.model.reference import Reference

THREE = make_image([tar_of({"three": b"3" * 1000})])


@pytest.fixture
def teller(images):
    return Teller(images)


def have(images, image, name=None, *, pulled=False):
    store_blobs(images.content, image)
    unpack(images.content, layer_plans(image.manifest, image_config.parse(image.config)))
    reference = None if name is None else Reference.parse(name)
    return images.add(reference, image.target, image.manifest, HERE, pulled=pulled)


def test_an_inspected_image_has_all_its_names_and_layers(images, teller):
    have(images, ONE, "one:1", pulled=True)
    images.tag("one:1", "other")
    info = teller.inspect("one:1")
    assert (info.id, info.tags) == (ONE.id, ("one:1", "other:latest"))
    assert info.digests == (f"one@{ONE.manifest.digest}",)
    assert info.size == 8000
    assert info.layers == image_config.parse(ONE.config).diff_ids
    assert info.descriptor == ONE.target
    assert all(os.path.isdir(directory) for directory in info.directories)
    assert info.last_tagged > 0
    assert info.to_docker()["Id"] == ONE.id
    with pytest.raises(ImageNotFound):
        teller.inspect("none")


def test_a_history_has_the_size_of_each_layer_the_last_first(images, teller):
    have(images, ONE, "one")
    lines = teller.history("one")
    assert [(line.id, line.size, line.created_by) for line in lines] == [
        (ONE.id, 3000, "layer 1"),
        ("<missing>", 5000, "layer 0"),
    ]
    assert lines[0].tags == ("one:latest",)


def test_a_list_has_each_image_once(images, teller):
    have(images, ONE, "one")
    images.tag("one", "also")
    have(images, TWO)
    found = {one.id: one for one in teller.listed()}
    assert found.keys() == {ONE.id, TWO.id}
    assert found[ONE.id].tags == ("also:latest", "one:latest")
    assert found[ONE.id].labels == (("kind", "one"),)
    assert (found[ONE.id].size, found[ONE.id].shared_size, found[ONE.id].containers) == (
        8000, -1, -1,
    )  # fmt: skip
    assert found[TWO.id].is_dangling


def test_a_list_counts_what_is_asked_for(images, teller, uses):
    have(images, ONE, "one")
    have(images, TWO, "two")
    have(images, THREE, "three")
    uses.append(ImageUse("c" * 64, TWO.id))
    found = {one.id: one for one in teller.listed(shared_size=True, containers=True)}
    assert [found[image.id].shared_size for image in (ONE, TWO, THREE)] == [5000, 5000, 0]
    assert [found[image.id].containers for image in (ONE, TWO, THREE)] == [0, 1, 0]


def test_a_list_heeds_filters(images, teller):
    have(images, ONE, "one")
    have(images, TWO)
    assert [one.id for one in teller.listed({"dangling": "true"})] == [TWO.id]
    assert [one.id for one in teller.listed({"reference": "o*"})] == [ONE.id]
    assert [one.id for one in teller.listed({"label": "kind=two"})] == [TWO.id]
    with pytest.raises(InvalidRequest):
        teller.listed({"nonsense": "x"})


def test_a_damaged_image_is_listed_and_spoils_no_list(images, teller):
    have(images, ONE, "one")
    have(images, TWO, "two")
    os.unlink(images.content.blobs.path(ONE.id))
    assert {one.id for one in teller.listed()} == {ONE.id, TWO.id}
    with pytest.raises(StoreError):
        teller.inspect("one")
    assert teller.disk_usage().images.total == 2


def test_what_is_shared_counts_once_on_the_disk(images, teller, uses):
    have(images, ONE, "one")
    alone = teller.disk_usage().size
    have(images, TWO, "two")
    usage = teller.disk_usage().images
    new = 2000 + len(TWO.layers[1]) + len(TWO.config) + TWO.manifest.size
    assert usage.size == alone + new == images.size()
    assert (usage.total, usage.active, usage.reclaimable) == (2, 0, usage.size)
    uses.append(ImageUse("c" * 64, ONE.id))
    usage = teller.disk_usage().images
    assert (usage.active, usage.reclaimable) == (1, new)
    assert images.prune({"dangling": "false"}).bytes == new


def test_content_that_no_name_needs_counts_until_it_is_gone(images, teller):
    images.content.blobs.put(b"x" * 1000)
    usage = teller.disk_usage().images
    assert (usage.total, usage.size, usage.reclaimable) == (0, 1000, 1000)


def test_the_size_told_is_what_files_have(images, teller):
    have(images, ONE, "one")
    told = int(subprocess.check_output(["du", "-sb", images.content.layout.blobs]).split()[0])
    blobs = sum(size for _, size in images.content.blobs.all())
    assert 0 < told - blobs < 5 * 4096 + 200  # the directories, and what makes it a layout


def test_the_manifests_of_an_index_are_told_with_what_is_here(images, teller):
    have(images, ONE)
    arm = evolve(TWO.target, platform=Platform("linux", "arm64"))
    about = (("vnd.docker.reference.type", "attestation-manifest"),
             ("vnd.docker.reference.digest", ONE.manifest.digest))  # fmt: skip
    attestation = evolve(THREE.target, annotations=about)
    index = model.print_index([evolve(ONE.target, platform=HERE), arm, attestation])
    images.content.blobs.put(index)
    target = model.parse(index).descriptor
    images.add(Reference.parse("one"), target, ONE.manifest, HERE)
    here, other, said = teller.inspect("one", manifests=True).manifests
    assert (here.available, here.unpacked, here.platform) == (True, 8000, HERE)
    assert here.content > sum(len(blob) for blob in ONE.layers)
    assert (other.available, other.content, other.platform) == (False, 0, arm.platform)
    assert (said.kind, said.about) == ("attestation", ONE.manifest.digest)
    assert len(teller.listed(manifests=True)[0].manifests) == 3
