"""A check finds what is wrong with a store, repairs what it can, and says what it cannot."""

from __future__ import annotations

import os
import shutil

import pytest
from attrs import evolve
from support.images import HERE, content_in, make_image, store_blobs, tar_of

from pyengine.images.catalog import Images
from pyengine.images.image_use import ImageUse
from pyengine.images.mending import look
from pyengine.images.unpacking import layer_plans, unpack
from pyengine.model import image_config
from pyengine.model.reference import Reference

IMAGE = make_image([tar_of({"base": b"b" * 50_000}), tar_of({"one": b"1" * 3000})])
OTHER = make_image([tar_of({"other": b"o" * 3000})])


def plans_of(image):
    return layer_plans(image.manifest, image_config.parse(image.config))


BASE, TOP = plans_of(IMAGE)


@pytest.fixture
def uses():
    return []


@pytest.fixture
def images(tmp_path, uses):
    images = Images(content_in(tmp_path), lambda: tuple(uses))
    for image, name in ((IMAGE, "image"), (OTHER, "other")):
        store_blobs(images.content, image)
        unpack(images.content, plans_of(image))
        images.add(Reference.parse(name), image.target, image.manifest, HERE)
    return images


def flip(path, at=100):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o600)


def record_of(images, plan=BASE):
    return f"{images.content.layers.home(plan.chain_id)}/layer.json"


def tar_in(images, plan=BASE):
    return f"{images.content.layers.directory(plan.chain_id)}/tar"


def blob(images, digest):
    return images.content.blobs.path(digest)


def other_boot(images):
    """As after a boot of the machine: what is not marked durable is not believed."""
    kernel = evolve(images.content.layers._kernel, boot=lambda: "another boot")
    layers = type(images.content.layers)(images.content.layout, kernel)
    return Images(evolve(images.content, layers=layers), images._uses)


def test_a_store_that_is_well_has_nothing_to_say(images):
    assert look(images) == []
    images.content.layers.make_durable()
    assert look(other_boot(images)) == []


def test_an_empty_store_has_nothing_to_say(tmp_path):
    assert look(Images(content_in(tmp_path))) == []


DAMAGES = {
    "flipped layer blob": (
        lambda images: flip(blob(images, BASE.blob)),
        "damaged blob", "removed",
    ),
    "short layer blob": (
        lambda images: os.truncate(blob(images, BASE.blob), 10),
        "damaged blob", "removed",
    ),
    "empty layer blob": (
        lambda images: os.truncate(blob(images, BASE.blob), 0),
        "damaged blob", "removed",
    ),
    "layer gone": (
        lambda images: shutil.rmtree(images.content.layers.home(BASE.chain_id)),
        "missing layer", "unpacked again from its blob",
    ),
    "layer record gone": (
        lambda images: os.unlink(record_of(images)),
        "damaged layer", "unpacked again from its blob",
    ),
    "layer record no JSON": (
        lambda images: write(record_of(images), "{"),
        "damaged layer", "unpacked again from its blob",
    ),
    "layer record of another": (
        lambda images: shutil.copy(record_of(images, TOP), record_of(images)),
        "damaged layer", "unpacked again from its blob",
    ),
    "layer files gone": (
        lambda images: shutil.rmtree(images.content.layers.directory(BASE.chain_id)),
        "damaged layer", "unpacked again from its blob",
    ),
    "file of a layer gone": (
        lambda images: os.unlink(tar_in(images)),
        "damaged layer", "unpacked again from its blob",
    ),
    "file of a layer flipped": (
        lambda images: flip(tar_in(images), 5000),
        "damaged layer", "unpacked again from its blob",
    ),
    "file of a layer short": (
        lambda images: os.truncate(tar_in(images), 0),
        "damaged layer", "unpacked again from its blob",
    ),
    "file of a layer with another mode": (
        lambda images: os.chmod(tar_in(images), 0o777),
        "damaged layer", "unpacked again from its blob",
    ),
    "file too many in a layer": (
        lambda images: write(f"{images.content.layers.directory(BASE.chain_id)}/more", "x"),
        "damaged layer", "unpacked again from its blob",
    ),
    "staged layer left": (
        lambda images: os.makedirs(f"{images.content.layout.unpacked}/.new-{'e' * 64}-1/fs"),
        "leftover", "removed",
    ),
    "dead layer left": (
        lambda images: os.makedirs(f"{images.content.layout.unpacked}/.dead-{'e' * 64}-1/fs"),
        "leftover", "removed",
    ),
    "lock left": (
        lambda images: write(f"{images.content.layout.unpacked}/.lock-{'e' * 64}", ""),
        "leftover", "removed",
    ),
    "draft left": (
        lambda images: write(f"{images.content.layout.ingest}/abc.draft", "half a blob"),
        "leftover", "removed",
    ),
    "name half written": (
        lambda images: write(f"{images.content.layout.image_names}/x.json.new", "{"),
        "leftover", "removed",
    ),
    "open file": (
        lambda images: os.chmod(blob(images, TOP.blob), 0o644),
        "open to others", "closed to others",
    ),
    "open directory": (
        lambda images: os.chmod(images.content.layout.unpacked, 0o755),
        "open to others", "closed to others",
    ),
    "name no JSON": (
        lambda images: write(images.names.path(images.find("image")), "nonsense"),
        "damaged name", "removed: nothing tells what it stood for",
    ),
    "name of another": (
        lambda images: os.rename(
            images.names.path(images.find("image")),
            f"{images.content.layout.image_names}/wrong.json",
        ),
        "damaged name", "removed: nothing tells what it stood for",
    ),
    "config gone": (
        lambda images: os.unlink(blob(images, IMAGE.id)),
        "broken image", "its name was removed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damage_is_found_and_repaired(images, name):
    do, kind, done = DAMAGES[name]
    do(images)
    seen = look(images, repair=False)
    assert kind in [found.kind for found in seen]
    assert all(not found.done for found in seen)
    assert [f.kind for f in look(images, repair=False)] == [f.kind for f in seen]  # it only looked
    assert done in [found.done for found in look(images) if found.kind == kind]
    left = [found for found in look(images) if found.kind != "missing blob"]
    assert left == []
    assert images.find("other").config == OTHER.id


FOREIGN = (
    "blobs/README",
    "blobs/blobs/md5/x",
    "blobs/blobs/sha256/notes.txt",
    "blobs/blobs/sha256/ABCDEF",
    "layers/notes.txt",
    "images/notes.txt",
    "ingest/notes.txt",
)


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_not_ours_is_told_of_and_left_alone(images, name):
    path = f"{images.content.layout.root}/{name}"
    write(path, "mine")
    os.chmod(os.path.dirname(path), 0o700)
    (found,) = look(images)
    assert (found.kind, found.done, found.advice) == ("foreign", "", "move it away")
    assert path.startswith(found.path)
    assert os.path.exists(path)


def test_a_blob_that_is_a_link_is_none_and_what_it_points_to_is_left_alone(images, tmp_path):
    (tmp_path / "theirs").write_text("theirs")
    os.unlink(blob(images, BASE.blob))
    os.symlink(tmp_path / "theirs", blob(images, BASE.blob))
    assert ("damaged blob", "removed") in [(one.kind, one.done) for one in look(images)]
    assert not os.path.lexists(blob(images, BASE.blob))
    assert (tmp_path / "theirs").read_text() == "theirs"


def test_a_missing_layer_blob_is_told_of_and_its_image_keeps_its_name(images):
    os.unlink(blob(images, BASE.blob))
    (found,) = look(images)
    assert (found.kind, found.digest, found.done) == ("missing blob", BASE.blob, "")
    assert found.advice == "pull or load it again"
    assert images.find("image").config == IMAGE.id


def test_a_missing_manifest_is_told_of_and_its_image_keeps_its_name(images):
    os.unlink(blob(images, IMAGE.manifest.digest))
    (found,) = look(images)
    assert (found.kind, found.digest) == ("missing blob", IMAGE.manifest.digest)
    assert images.find("image").config == IMAGE.id


def test_an_image_whose_layer_is_lost_with_its_blob_loses_its_name_and_is_told_of(images):
    os.unlink(blob(images, BASE.blob))
    shutil.rmtree(images.content.layers.home(BASE.chain_id))
    found = {one.kind: one for one in look(images)}
    assert found["broken image"].what == (f"image:latest cannot run: layer {BASE.chain_id} is lost")
    assert found["broken image"].advice == "pull or load it again: image:latest"
    assert [named.config for named in images.names.all()] == [OTHER.id]
    assert look(images) == []


def test_after_a_power_cut_layers_are_unpacked_again_from_their_blobs(images):
    os.truncate(tar_in(images), 0)
    reopened = other_boot(images)
    found = look(reopened)
    assert {one.done for one in found} == {"unpacked again from its blob"}
    assert len(found) == 3
    assert look(reopened) == []


def test_a_record_that_the_cut_took_is_told_as_the_cut_and_not_as_damage_of_another_kind(images):
    os.truncate(record_of(images), 0)
    found = look(other_boot(images), repair=False, quick=True)
    assert {one.path for one in found} >= {images.content.layers.home(BASE.chain_id)}
    assert all("the power may have been cut" in one.what for one in found)


def test_a_layer_without_a_blob_gets_its_record_back_if_its_files_are_durable(images):
    images.content.layers.make_durable()
    os.unlink(blob(images, BASE.blob))
    os.unlink(record_of(images))
    found = {one.kind: one.done for one in look(images)}
    assert found["damaged layer"] == "layer.json was written anew"
    assert images.content.layers.find(BASE.chain_id).diff_id == BASE.diff_id
    assert look(images) == []


def test_a_layer_that_a_running_container_uses_is_left_as_it_is(images, uses):
    flip(tar_in(images), 5000)
    uses.append(ImageUse("c" * 64, IMAGE.id, is_running=True))
    (found,) = look(images)
    assert (found.done, found.advice) == (
        "",
        "end the containers that use it, and check again",
    )
    uses.clear()
    assert [one.done for one in look(images)] == ["unpacked again from its blob"]


def test_a_damaged_layer_that_nobody_needs_goes(images, uses):
    images.names.drop(images.find("image"))
    os.unlink(record_of(images))
    uses.append(ImageUse("c" * 64, IMAGE.id))
    (found,) = look(images)
    assert (found.done, found.advice) == ("", "a container needs it: remove that container")
    uses.clear()
    assert [one.done for one in look(images)] == ["removed: no image needs it"]


def test_what_somebody_works_on_is_no_damage(images):
    chain_id = "sha256:" + "e" * 64
    with (
        images.content.layers.stage(chain_id),
        images.content.blobs.draft() as draft,
        images.content.blobs.ingest("sha256:" + "f" * 64, 100) as ingest,
    ):
        draft.write(b"half")
        ingest.write(b"half")
        assert look(images) == []
    assert look(images) == []  # the part stays, for the next pull
    assert len(os.listdir(images.content.layout.ingest)) == 1


def test_a_quick_look_reads_no_content(images, monkeypatch):
    flip(blob(images, BASE.blob))
    flip(tar_in(images), 5000)
    assert look(images, quick=True) == []
    os.unlink(record_of(images))
    assert [one.kind for one in look(images, quick=True, repair=False)] == ["damaged layer"]
