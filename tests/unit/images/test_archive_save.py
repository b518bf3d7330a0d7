"""What is saved is an OCI layout and a docker-archive, the same each time, and comes in again."""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
import tarfile
import threading

import pytest
from attrs import evolve
from support.image_archives import Once, blob, blobs_of, entry, layout_files, layout_of, tar
from support.images import BASE, ONE, TWO, content_in, make_image, tar_of

from pyengine.errors import ImageNotFound, InvalidRequest, NoSpace, StoreError
from pyengine.images.archive_load import load
from pyengine.images.archive_save import save
from pyengine.images.catalog import Images
from pyengine.images.settling import chance_diff_id
from pyengine.model import content as model
from pyengine.model import digests, image_config
from pyengine.model.content import Descriptor
from pyengine.model.platform import Platform
from pyengine.model.reference import Reference
from pyengine.store.layers import LayerRecord

ARM, AMD = Platform("linux", "arm64"), Platform("linux", "amd64")


def images_in(directory):
    return Images(content_in(directory))


@pytest.fixture
def images(tmp_path):
    made = images_in(tmp_path / "first")
    for image, name in ((ONE, "a:1"), (TWO, "localhost:5000/b/c:2")):
        load(made, io.BytesIO(tar(layout_of(image, name))))
    made.tag("a:1", "a:also")
    return made


def saved(images, *names, **options):
    out = io.BytesIO()
    save(images, names, out, **options)
    return out.getvalue()


def files_of(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {
            member.name: archive.extractfile(member).read() for member in archive if member.isfile()
        }


def document(data, name):
    return json.loads(files_of(data)[name])


@pytest.mark.parametrize("as_pipe", [False, True])
def test_what_is_saved_comes_in_again_with_the_same_digests(images, tmp_path, as_pipe):
    data = saved(images, "a:1", "localhost:5000/b/c:2")
    again = images_in(tmp_path / "second")
    loaded = load(again, Once(data) if as_pipe else io.BytesIO(data))
    assert {(named.reference, named.manifest) for named in loaded} == {
        ("docker.io/library/a:1", ONE.manifest.digest),
        ("localhost:5000/b/c:2", TWO.manifest.digest),
    }
    assert saved(again, "a:1", "localhost:5000/b/c:2") == data


def test_it_comes_in_as_a_docker_archive_alone_as_well(images, tmp_path):
    files = files_of(saved(images, "a:1", "a:also"))
    del files["index.json"], files["oci-layout"]
    loaded = load(images_in(tmp_path / "second"), io.BytesIO(tar(files)))
    assert {(named.reference, named.config) for named in loaded} == {
        ("docker.io/library/a:1", ONE.id),
        ("docker.io/library/a:also", ONE.id),
    }


def test_both_forms_are_in_one_archive(images):
    data = saved(images, "a:1", "a:also")
    files = files_of(data)
    assert set(files) == {
        *("oci-layout", "index.json", "manifest.json", "repositories"),
        *blobs_of(ONE),
    }
    assert all(blob(content) == name for name, content in files.items() if name[:5] == "blobs")
    listed = document(data, "index.json")["manifests"]
    assert [one["annotations"]["io.containerd.image.name"] for one in listed] == [
        "docker.io/library/a:1",
        "docker.io/library/a:also",
    ]
    assert [one["annotations"]["org.opencontainers.image.ref.name"] for one in listed] == [
        "1",
        "also",
    ]
    assert {one["digest"] for one in listed} == {ONE.manifest.digest}
    assert document(data, "manifest.json") == [
        {
            "Config": blob(ONE.config),
            "RepoTags": ["a:1", "a:also"],
            "Layers": [blob(layer) for layer in ONE.layers],
        }
    ]
    assert set(document(data, "repositories")["a"]) == {"1", "also"}


@pytest.mark.parametrize("text", [ONE.id, ONE.id[7:19], ONE.manifest.digest])
def test_by_id_an_image_has_no_name_in_its_archive(images, text):
    data = saved(images, text)
    assert [one["RepoTags"] for one in document(data, "manifest.json")] == [None]
    assert all("annotations" not in one for one in document(data, "index.json")["manifests"])
    assert "repositories" not in files_of(data)
    assert len(document(data, "index.json")["manifests"]) == 1


def test_an_image_by_name_and_by_id_is_there_once_with_its_name(images):
    assert saved(images, "a:1", ONE.id) == saved(images, "a:1")


def test_the_same_images_are_the_same_bytes_in_whatever_order(images):
    first = saved(images, "a:1", "a:also", "localhost:5000/b/c:2")
    assert first == saved(images, "localhost:5000/b/c:2", "a:also", "a:1")
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        members = archive.getmembers()
    assert {(one.mtime, one.uid, one.gid, one.uname, one.gname) for one in members} == {
        (0, 0, 0, "", "")
    }
    names = [one.name for one in members if one.name.startswith("blobs/sha256/")]
    assert names == sorted(names)
    assert len(first) % 10240 == 0


def test_layers_that_images_share_are_there_once(images):
    data = saved(images, "a:1", "localhost:5000/b/c:2")
    names = [one for one in files_of(data) if one.startswith("blobs/")]
    assert len(names) == len(blobs_of(ONE) | blobs_of(TWO)) == 7


def index_in(images):
    made = {ARM: make_image([tar_of({"arm": b"a"})]), AMD: make_image([tar_of({"amd": b"a"})])}
    data = model.print_index([evolve(one.target, platform=at) for at, one in made.items()])
    target = Descriptor(model.OCI_INDEX, digests.of(data), len(data))
    blobs = blobs_of(made[ARM]) | blobs_of(made[AMD]) | {blob(data): data}
    load(images, io.BytesIO(tar(layout_files(blobs, entry(target, "multi:1")))))
    return made, target, blobs


def test_of_an_index_all_is_saved_that_is_there(images):
    made, target, blobs = index_in(images)
    data = saved(images, "multi:1")
    assert document(data, "index.json")["manifests"][0]["digest"] == target.digest
    assert set(blobs) <= set(files_of(data))
    images.content.blobs.remove(made[ARM].manifest.digest)
    less = set(files_of(saved(images, "multi:1")))
    assert less & set(blobs) == set(blobs) - set(blobs_of(made[ARM]))


def test_of_an_index_one_platform_can_be_saved_alone(images):
    made, _, _ = index_in(images)
    data = saved(images, "multi:1", platform=AMD)
    assert document(data, "index.json")["manifests"][0]["digest"] == made[AMD].manifest.digest
    assert {one for one in files_of(data) if one[:5] == "blobs"} == set(blobs_of(made[AMD]))
    with pytest.raises(ImageNotFound, match="s390x"):
        saved(images, "multi:1", platform=Platform("linux", "s390x"))
    with pytest.raises(ImageNotFound, match="s390x"):
        saved(images, "a:1", platform=Platform("linux", "s390x"))


def test_a_file_is_whole_or_not_there_and_only_its_owners(images, tmp_path):
    path = tmp_path / "saved.tar"
    path.write_bytes(b"before")
    path.chmod(0o644)
    save(images, ["a:1"], path)
    assert path.read_bytes() == saved(images, "a:1")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    good = path.read_bytes()
    os.truncate(images.content.blobs.path(digests.of(ONE.layers[0])), 10)
    with pytest.raises(StoreError, match="damaged"):
        save(images, ["a:1"], path)
    assert path.read_bytes() == good
    assert sorted(os.listdir(tmp_path)) == ["first", "saved.tar"]


def test_a_damaged_blob_is_not_saved_as_if_it_were_whole(images):
    path = images.content.blobs.path(digests.of(ONE.layers[0]))
    with open(path, "r+b") as file:
        file.write(b"X")
    with pytest.raises(StoreError, match="not those of its name"):
        saved(images, "a:1")


def test_a_blob_that_lacks_is_said_before_anything_is_written(images):
    images.content.blobs.remove(digests.of(ONE.layers[0]))
    out = io.BytesIO()
    with pytest.raises(StoreError, match="missing"):
        save(images, ["a:1"], out)
    assert out.getvalue() == b""


def test_a_layer_that_nobody_may_pass_on_may_lack(images):
    layer = gzip.compress(BASE)
    foreign = Descriptor(
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        digests.of(layer),
        len(layer),
        urls=("https://example.com/layer",),
    )
    config = make_image([BASE]).config
    named = Descriptor(model.media_types.DOCKER_CONFIG, digests.of(config), len(config))
    manifest = model.print_manifest(named, [foreign], oci=False)
    target = Descriptor(model.DOCKER_MANIFEST, digests.of(manifest), len(manifest))
    files = {blob(data): data for data in (layer, config, manifest)}
    load(images, io.BytesIO(tar(layout_files(files, entry(target, "w:1")))))
    assert blob(layer) in files_of(saved(images, "w:1"))
    images.content.blobs.remove(digests.of(layer))
    assert blob(layer) not in files_of(saved(images, "w:1"))


class Trickle(io.RawIOBase):
    """Takes a few bytes at a time, as a socket may."""

    def __init__(self):
        self.data = b""

    def writable(self):
        return True

    def write(self, data):
        self.data += bytes(data[:1000])
        return min(len(data), 1000)


def test_a_stream_that_takes_a_little_at_a_time_gets_all(images):
    out = Trickle()
    save(images, ["a:1"], out)
    assert out.data == saved(images, "a:1")


def test_a_named_pipe_is_written_into_and_not_replaced(images, tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read = []
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    save(images, ["a:1"], path)
    reader.join()
    assert read == [saved(images, "a:1")]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_a_link_is_followed_and_stays(images, tmp_path):
    link = tmp_path / "link.tar"
    link.symlink_to(tmp_path / "target.tar")
    save(images, ["a:1"], link)
    assert link.is_symlink()
    assert (tmp_path / "target.tar").read_bytes() == saved(images, "a:1")


@pytest.mark.parametrize("destination", ["none/saved.tar", "first"])
def test_a_place_that_is_none_is_said(images, tmp_path, destination):
    with pytest.raises(InvalidRequest, match="destination"):
        save(images, ["a:1"], tmp_path / destination)


def test_a_full_disk_is_said(images):
    with pytest.raises(NoSpace):
        save(images, ["a:1"], "/dev/full")


@pytest.mark.parametrize("names", [[], ["none:1"], ["a:1", "none:1"]])
def test_what_is_not_there_is_said(images, names):
    with pytest.raises((ImageNotFound, InvalidRequest)):
        saved(images, *names)


def test_a_docker_archive_alone_is_what_was_asked_for(images, tmp_path):
    data = saved(images, "a:1", format="docker")
    blobs = {blob(one) for one in (ONE.config, *ONE.layers)}
    assert set(files_of(data)) == {"manifest.json", "repositories"} | blobs
    (loaded,) = load(images_in(tmp_path / "second"), data)
    assert (loaded.reference, loaded.config) == ("docker.io/library/a:1", ONE.id)
    with pytest.raises(InvalidRequest, match="format"):
        saved(images, "a:1", format="zip")


def test_a_layer_that_a_container_wrote_is_packed_when_it_is_saved(images, tmp_path):
    base = image_config.parse(ONE.config)
    diff_ids = (*base.diff_ids, chance_diff_id())
    chain = image_config.chain_ids(diff_ids)
    written = tmp_path / "first" / "root" / "written"
    written.mkdir()
    (written / "new").write_text("by a container")
    images.content.layers.adopt(str(written), LayerRecord(chain[-1], diff_ids[-1], chain[-2]))
    config = image_config.print_config(evolve(base, diff_ids=diff_ids))
    named = Descriptor(model.media_types.OCI_CONFIG, images.content.blobs.put(config), len(config))
    packed_later = Descriptor(model.media_types.OCI_LAYER, diff_ids[-1], 0)
    printed = model.print_manifest(named, (*ONE.manifest.layers, packed_later))
    images.content.blobs.put(printed)
    manifest = model.parse(printed)
    images.add(Reference.parse("mine:1"), manifest.descriptor, manifest, AMD)

    out = io.BytesIO()
    told, also = save(images, [manifest.config.digest, "mine:1"], out)  # an id that goes
    assert (told.reference, told.config) == (
        "docker.io/library/mine:1",
        images.find("mine:1").config,
    )
    assert also.config == told.config != manifest.config.digest
    data = saved(images, "mine:1")
    (loaded,) = load(images_in(tmp_path / "second"), data)
    other = images_in(tmp_path / "second")
    image = image_config.parse(other.content.blobs.read(loaded.config, 1 << 20))
    assert loaded.reference == "docker.io/library/mine:1"
    assert image.diff_ids[:2] == base.diff_ids
    assert image.diff_ids[2] != diff_ids[2]
    packed = f"{other.content.layers.directory(image_config.chain_ids(image.diff_ids)[2])}/tar"
    with tarfile.open(packed) as archive:
        assert archive.extractfile("new").read() == b"by a container"
