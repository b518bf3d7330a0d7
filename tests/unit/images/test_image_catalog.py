"""Names come, move and go as Docker's do; content goes with the last that needs it."""

from __future__ import annotations

import os
import threading

import pytest
from attrs import evolve
from support.images import BASE, HERE, ONE, TWO, make_image, store_blobs, tar_of

from pyengine.errors import ImageNotFound, InUse, InvalidRequest, StoreError
from pyengine.images.image_use import ImageUse
from pyengine.images.unpacking import layer_plans, unpack
from pyengine.model import image_config
from pyengine.model.reference import Reference

THREE = make_image([tar_of({"three": b"3" * 1000})])


def plans_of(image):
    return layer_plans(image.manifest, image_config.parse(image.config))


def chain(image):
    return [plan.chain_id for plan in plans_of(image)]


def have(images, image, name=None, *, pulled=False):
    store_blobs(images.content, image)
    unpack(images.content, plans_of(image))
    reference = None if name is None else Reference.parse(name)
    return images.add(reference, image.target, image.manifest, HERE, pulled=pulled)


def shown(images):
    return sorted((named.reference, named.config) for named in images.names.all())


def told(removed):
    return [
        ("Untagged", one.untagged) if one.untagged else ("Deleted", one.deleted)
        for one in removed.removals
    ]


def blobs(images):
    return {digest for digest, _ in images.content.blobs.all()}


def blobs_of(*made):
    return {
        digest
        for image in made
        for digest in (image.id, image.manifest.digest, *(plan.blob for plan in plans_of(image)))
    }


def assert_runs(images, image):
    """All that the image needs is there."""
    assert blobs_of(image) <= blobs(images)
    assert all(images.content.layers.find(one) for one in chain(image))


# names


@pytest.mark.parametrize(
    "text",
    [
        "alpine",
        "alpine:latest",
        "docker.io/library/alpine:latest",
        f"alpine@{ONE.manifest.digest}",
        f"alpine:other@{ONE.manifest.digest}",
        ONE.id,
        ONE.id[7:],
        ONE.id[:20],
        ONE.id[7:12],
        ONE.manifest.digest,
        ONE.manifest.digest[7:19],
    ],
)
def test_an_image_is_found_by_its_names_and_ids(images, text):
    have(images, ONE, "alpine")
    have(images, THREE, "other")
    assert images.find(text).config == ONE.id


@pytest.mark.parametrize("text", ["debian", "alpine:3", THREE.id, f"debian@{ONE.id}", "f" * 12])
def test_what_is_not_there_is_not_found(images, text):
    have(images, ONE, "alpine")
    with pytest.raises(ImageNotFound):
        images.find(text)


@pytest.mark.parametrize("text", ["", "UPPER", "a b", None, "-x"])
def test_what_can_be_no_image_is_refused(images, text):
    with pytest.raises(InvalidRequest):
        images.find(text)


def test_a_beginning_of_several_ids_is_refused(images):
    made = {}
    for number in range(17):  # sixteen digits: two ids begin with the same
        image = make_image([BASE], {"number": str(number)})
        have(images, image)
        made.setdefault(image.id[7], []).append(image.id)
    digit = next(digit for digit, ids in made.items() if len(ids) > 1)
    with pytest.raises(InvalidRequest, match="Multiple IDs found with provided prefix"):
        images.find(digit)


def test_a_name_comes_before_an_id_that_begins_so(images):
    have(images, ONE, ONE.id[7:11])
    have(images, TWO, "two")
    have(images, THREE, TWO.id[7:11])
    assert images.find(TWO.id[7:11]).config == THREE.id
    assert told(images.remove(TWO.id[7:11]))[0] == ("Untagged", f"{TWO.id[7:11]}:latest")
    assert images.find(TWO.id[7:11]).config == TWO.id


def test_a_name_whose_content_is_not_there_is_not_given(images):
    with pytest.raises(StoreError, match="is missing"):
        images.add(Reference.parse("one"), ONE.target, ONE.manifest, HERE)
    store_blobs(images.content, ONE)
    images.content.blobs.remove(plans_of(ONE)[1].blob)
    with pytest.raises(StoreError, match=f"blob {plans_of(ONE)[1].blob} is missing"):
        images.add(Reference.parse("one"), ONE.target, ONE.manifest, HERE)
    assert shown(images) == []


def test_an_image_whose_layers_were_never_packed_gets_a_name(images):
    have(images, ONE)
    for plan in plans_of(ONE):
        images.content.blobs.remove(plan.blob)
    images.add(Reference.parse("one"), ONE.target, ONE.manifest, HERE)
    assert images.find("one").config == ONE.id


def test_a_tag_is_another_name(images):
    have(images, ONE, "one")
    images.tag("one", "localhost:5000/other/name:v1")
    images.tag(ONE.id, "two")
    assert {named.reference for named in images.of_id(ONE.id)} == {
        "docker.io/library/one:latest",
        "localhost:5000/other/name:v1",
        "docker.io/library/two:latest",
    }


def test_a_tag_cannot_be_a_digest(images):
    have(images, ONE, "one")
    with pytest.raises(InvalidRequest, match="refusing to create a tag with a digest reference"):
        images.tag("one", f"one@{ONE.id}")
    with pytest.raises(ImageNotFound):
        images.tag("none", "other")


def test_a_name_moves_and_what_had_it_keeps_its_id(images):
    have(images, ONE, "name")
    have(images, TWO, "name")
    assert images.find("name").config == TWO.id
    assert shown(images) == [("", ONE.id), ("docker.io/library/name:latest", TWO.id)]
    assert_runs(images, ONE)
    images.tag(ONE.id, "again")
    assert shown(images) == [
        ("docker.io/library/again:latest", ONE.id),
        ("docker.io/library/name:latest", TWO.id),
    ]


def test_a_name_that_moves_leaves_what_was_pulled_its_digest(images):
    have(images, ONE, "name", pulled=True)
    have(images, TWO, "name", pulled=True)
    by_digest = f"docker.io/library/name@{ONE.manifest.digest}"
    assert (by_digest, ONE.id) in shown(images)
    assert images.find(f"name@{ONE.manifest.digest}").config == ONE.id
    assert images.find(f"name@{TWO.manifest.digest}").config == TWO.id


def test_a_name_that_moves_away_from_an_image_with_others_leaves_nothing(images):
    have(images, ONE, "name")
    images.tag("name", "other")
    have(images, TWO, "name")
    assert ("", ONE.id) not in shown(images)


def test_a_reference_with_tag_and_digest_is_named_by_its_digest(images):
    have(images, ONE, f"name:3@{ONE.manifest.digest}", pulled=True)
    assert shown(images) == [(f"docker.io/library/name@{ONE.manifest.digest}", ONE.id)]


def test_names_that_are_too_long_for_a_file_are_names(images):
    name = "/".join(["a" * 60] * 4) + ":" + "t" * 128
    have(images, ONE, name)
    assert images.find(name).config == ONE.id
    assert told(images.remove(name))[0] == ("Untagged", name)
    assert shown(images) == []


def test_names_are_private(images):
    have(images, ONE, "one")
    have(images, TWO)
    for directory, _, files in os.walk(images.content.layout.image_names):
        assert os.stat(directory).st_mode & 0o777 == 0o700
        for name in files:
            assert os.stat(f"{directory}/{name}").st_mode & 0o777 == 0o600


# removal


def test_the_last_name_takes_the_image_with_it(images):
    have(images, ONE, "one")
    assert told(images.remove("one")) == [
        ("Untagged", "one:latest"),
        ("Deleted", ONE.id),
        *sorted(("Deleted", one) for one in chain(ONE)),
    ]
    assert (shown(images), blobs(images)) == ([], set())
    assert os.listdir(images.content.layout.unpacked) == []


def test_a_name_among_others_goes_alone(images):
    have(images, ONE, "one")
    images.tag("one", "other")
    assert told(images.remove("one")) == [("Untagged", "one:latest")]
    assert_runs(images, ONE)


def test_what_another_image_shares_stays(images):
    have(images, ONE, "one")
    have(images, TWO, "two")
    removed = images.remove("one")
    assert ("Deleted", chain(ONE)[1]) in told(removed)
    assert ("Deleted", chain(ONE)[0]) not in told(removed)
    assert blobs(images) == blobs_of(TWO)
    assert_runs(images, TWO)
    gone = blobs_of(ONE) - blobs_of(TWO)
    sizes = {**{plan.blob: plan.size for plan in plans_of(ONE)}, ONE.id: len(ONE.config)}
    assert removed.bytes == 3000 + ONE.manifest.size + sum(sizes.get(one, 0) for one in gone)


def test_by_id_an_image_with_names_in_several_repositories_needs_force(images):
    have(images, ONE, "one")
    images.tag("one", "other")
    short = ONE.id[7:19]
    with pytest.raises(InUse) as caught:
        images.remove(short)
    assert str(caught.value) == (
        f"conflict: unable to delete {short} (must be forced) - "
        "image is referenced in multiple repositories"
    )
    assert told(images.remove(ONE.id, force=True))[:3] == [
        ("Untagged", "one:latest"),
        ("Untagged", "other:latest"),
        ("Deleted", ONE.id),
    ]
    assert blobs(images) == set()


def test_by_id_an_image_with_one_name_goes(images):
    have(images, ONE, "one", pulled=True)
    have(images, TWO, "one", pulled=True)
    assert told(images.remove(ONE.id))[:2] == [
        ("Untagged", f"one@{ONE.manifest.digest}"),
        ("Deleted", ONE.id),
    ]


def test_the_last_tag_of_a_repository_takes_its_digests_along(images):
    have(images, ONE, f"one@{ONE.manifest.digest}", pulled=True)
    images.tag(ONE.id, "one:tag")
    images.tag(ONE.id, "other")
    assert told(images.remove("one:tag")) == [
        ("Untagged", "one:tag"),
        ("Untagged", f"one@{ONE.manifest.digest}"),
    ]
    assert images.find("other").config == ONE.id


def test_the_last_name_takes_along_what_a_killed_process_noted_without_one(images):
    named = have(images, ONE, "one")
    with images.names.changing():
        images.names.write(evolve(named, reference=""))
    images.remove("one")
    assert (shown(images), blobs(images)) == ([], set())


def test_an_image_of_a_running_container_stays_even_with_force(images, uses):
    have(images, ONE, "one")
    uses.append(ImageUse("c" * 64, ONE.id, is_running=True))
    with pytest.raises(InUse, match=r"cannot be forced.*used by running container cccccccccccc"):
        images.remove(ONE.id, force=True)
    with pytest.raises(InUse, match=r"must force\) - container cccccccccccc is using its"):
        images.remove("one")
    assert told(images.remove("one", force=True)) == [("Untagged", "one:latest")]
    assert shown(images) == [("", ONE.id)]
    assert_runs(images, ONE)


def test_an_image_of_a_stopped_container_needs_force_and_its_layers_stay(images, uses):
    have(images, ONE, "one")
    uses.append(ImageUse("c" * 64, ONE.id, layers=tuple(chain(ONE))))
    with pytest.raises(InUse, match=r"must be forced.*used by stopped container cccccccccccc"):
        images.remove(ONE.id)
    with pytest.raises(InUse) as caught:
        images.remove("one")
    assert caught.value.users == ("c" * 64,)
    assert told(images.remove("one", force=True)) == [
        ("Untagged", "one:latest"),
        ("Deleted", ONE.id),
    ]
    assert all(images.content.layers.find(one) for one in chain(ONE))
    assert {plan.blob for plan in plans_of(ONE)} <= blobs(images)
    uses.clear()
    assert {what for _, what in told(images.sweep())} == set(chain(ONE))
    assert blobs(images) == set()


def test_a_name_of_several_goes_though_a_container_uses_the_image(images, uses):
    have(images, ONE, "one")
    images.tag("one", "other")
    uses.append(ImageUse("c" * 64, ONE.id, is_running=True))
    assert told(images.remove("one")) == [("Untagged", "one:latest")]


def test_an_image_without_a_name_goes_by_its_id(images):
    have(images, ONE)
    assert told(images.remove(ONE.id))[0] == ("Deleted", ONE.id)
    with pytest.raises(ImageNotFound):
        images.remove(ONE.id)


def test_a_container_that_uses_a_moved_tag_keeps_what_it_was_made_from(images, uses):
    have(images, ONE, "name")
    uses.append(ImageUse("c" * 64, ONE.id))
    have(images, TWO, "name")
    images.remove(ONE.id, force=True)
    images.sweep()
    assert all(images.content.layers.find(one) for one in chain(ONE))


def test_what_is_pinned_stays_without_a_name(images):
    store_blobs(images.content, ONE)
    unpack(images.content, plans_of(ONE))
    with images.content.pins.hold() as hold:
        hold.add(*blobs_of(ONE), *chain(ONE))
        assert told(images.sweep()) == []
        assert_runs(images, ONE)
    images.sweep()
    assert blobs(images) == set()


def test_a_blob_that_is_fetched_is_not_swept_and_one_given_up_is(images):
    plan = plans_of(ONE)[0]
    with images.content.blobs.ingest(plan.blob, plan.size) as ingest:
        ingest.write(ONE.layers[0][:10])
        images.sweep()
        ingest.write(ONE.layers[0][10:])
        ingest.commit()
    images.sweep()
    with images.content.blobs.ingest(plan.blob, plan.size) as ingest:
        ingest.write(ONE.layers[0][:10])
    images.sweep()
    assert os.listdir(images.content.layout.ingest) == []


def test_nothing_is_swept_while_somebody_makes_a_container_of_it(images, uses):
    have(images, ONE, "one")
    removed = threading.Event()

    def remove():
        with pytest.raises(InUse):
            images.remove("one")
        removed.set()

    thread = threading.Thread(target=remove)
    with images.using("one") as named:
        thread.start()
        assert not removed.wait(0.1)
        uses.append(ImageUse("c" * 64, named.config, is_running=True))
    thread.join()
    assert removed.is_set()
    assert_runs(images, ONE)


# freeing space


def test_prune_removes_images_without_a_tag_that_no_container_uses(images, uses):
    have(images, ONE, "name", pulled=True)
    have(images, TWO, "name")
    have(images, THREE)
    uses.append(ImageUse("c" * 64, THREE.id))
    removed = images.prune()
    assert told(removed)[:2] == [
        ("Untagged", f"name@{ONE.manifest.digest}"),
        ("Deleted", ONE.id),
    ]
    assert {config for _, config in shown(images)} == {TWO.id, THREE.id}
    assert removed.bytes > 0
    assert_runs(images, TWO)


def test_prune_of_all_leaves_what_containers_use(images, uses):
    for image, name in ((ONE, "one"), (TWO, "two"), (THREE, None)):
        have(images, image, name)
    uses.append(ImageUse("c" * 64, TWO.id))
    images.prune({"dangling": "false"})
    assert [config for _, config in shown(images)] == [TWO.id]


def test_prune_heeds_labels_and_age(images):
    for image in (ONE, TWO):
        have(images, image)
    images.prune({"label": "kind=one"})
    assert [config for _, config in shown(images)] == [TWO.id]
    images.prune({"until": "2024-01-01T00:00:00Z"})
    assert [config for _, config in shown(images)] == [TWO.id]
    images.prune({"until": "2024-02-01T00:00:00Z"})
    assert shown(images) == []
    with pytest.raises(InvalidRequest, match="invalid filter"):
        images.prune({"reference": "x"})


def test_prune_leaves_nothing_of_a_pull_that_was_given_up(images):
    store_blobs(images.content, ONE)
    with images.content.blobs.ingest("sha256:" + "f" * 64, 100) as ingest:
        ingest.write(b"half")
    images.prune()
    assert (blobs(images), os.listdir(images.content.layout.ingest)) == (set(), [])


def test_gc_removes_what_was_not_used_for_long(images, uses):
    for image, name in ((ONE, "one"), (TWO, "two"), (THREE, "three")):
        named = have(images, image, name)
        os.utime(images.names.path(named), (1000, 1000))
    with images.using("two"):
        pass
    uses.append(ImageUse("c" * 64, THREE.id))
    assert told(images.gc()) == []
    assert ("Untagged", "one:latest") in told(images.gc(older_than=3600))
    assert [config for _, config in shown(images)] == [THREE.id, TWO.id]
    assert_runs(images, TWO)


def test_gc_removes_what_was_used_first_until_the_store_is_small_enough(images):
    for age, (image, name) in enumerate(((ONE, "one"), (TWO, "two"), (THREE, "three"))):
        os.utime(images.names.path(have(images, image, name)), (1000 + age, 1000 + age))
    size = images.size()
    assert told(images.gc(max_bytes=size)) == []
    assert [what for kind, what in told(images.gc(max_bytes=size - 1)) if kind == "Untagged"] == [
        "one:latest"
    ]
    assert images.gc(max_bytes=0).bytes == images.size() or images.size() == 0
    assert (shown(images), images.size()) == ([], 0)


def test_after_everything_is_removed_the_store_is_as_large_as_an_empty_one(images):
    for image, name in ((ONE, "one"), (TWO, "two"), (THREE, None)):
        have(images, image, name)
    images.content.layers.make_durable()
    images.discard(images.names.all())
    assert images.size() == 0
    files = [
        f"{directory}/{name}"
        for directory, _, names in os.walk(images.content.layout.root)
        for name in names
    ]
    kept = {os.path.basename(path) for path in files}
    assert kept <= {"oci-layout", "index.json", "engine.lock", ".lock"}


def test_a_damaged_name_does_not_hide_the_others(images):
    have(images, ONE, "one")
    two = have(images, TWO, "two")
    with open(images.names.path(two), "w") as file:
        file.write("{")
    assert [named.config for named in images.names.all()] == [ONE.id]
    with pytest.raises(StoreError, match=r"damaged.*pyengine system check"):
        images.find("two")


def test_settling_marks_the_layers(images):
    have(images, ONE, "one")
    images.settle()
    for one in chain(ONE):
        assert os.path.exists(f"{images.content.layers.home(one)}/durable")


def test_an_image_of_an_index_keeps_what_belongs_to_it(images):
    from pyengine.model import content as model

    attestation = model.print_manifest(
        evolve(ONE.manifest.config, media_type="application/vnd.in-toto+json"), ()
    )
    index = model.print_index(
        [
            evolve(ONE.target, platform=HERE),
            evolve(ONE.target, digest=images.content.blobs.put(attestation), size=len(attestation)),
        ]
    )
    store_blobs(images.content, ONE)
    target = model.parse(index).descriptor
    images.content.blobs.put(index)
    images.add(Reference.parse("one"), target, ONE.manifest, HERE, pulled=True)
    images.sweep()
    assert len(blobs(images)) == len(blobs_of(ONE)) + 2
    assert images.find(f"one@{target.digest}").config == ONE.id
    assert images.find(target.digest).config == ONE.id
