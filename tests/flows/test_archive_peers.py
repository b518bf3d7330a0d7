"""What we save, skopeo and podman read; what they save, we read: the same images, to the digest."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from backports import zstd
from support.rootfs import busybox_rootfs

from pyengine.images.archive_load import load
from pyengine.images.archive_save import save
from pyengine.images.catalog import Images
from pyengine.images.content import Content
from pyengine.images.importing import import_
from pyengine.model import content as model
from pyengine.model import image_config
from pyengine.store.layout import Layout

pytestmark = pytest.mark.kernel


def images_in(directory):
    return Images(Content.at(Layout(f"{directory}/root", f"{directory}/run")))


def run(*command):
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("peers")


@pytest.fixture(scope="module")
def ours(place):
    """A store with an image whose layer is gzip, and one whose layer is zstd."""
    root = busybox_rootfs(place / "rootfs")
    images = images_in(place / "ours")
    run("tar", "-C", root, "-czf", place / "gzip.tar", ".")
    plain = subprocess.run(["tar", "-C", root, "-cf", "-", "."], capture_output=True, check=True)
    (place / "zstd.tar").write_bytes(zstd.compress(plain.stdout))
    for form in ("gzip", "zstd"):
        changes = ['CMD ["echo", "hi"]', f"ENV FORM={form}"]
        import_(images, place / f"{form}.tar", f"box:{form}", changes=changes, created=1e9)
    import_(images, place / "gzip.tar", "box:other", created=1e9)
    return images


@pytest.fixture(scope="module")
def saved(place, ours):
    """The path of the archive of each."""
    paths = {form: place / f"saved-{form}.tar" for form in ("gzip", "zstd")}
    for form, path in paths.items():
        save(ours, [f"box:{form}"], path)
    save(ours, ["box:gzip", "box:zstd"], place / "saved-both.tar")
    save(ours, ["box:other"], place / "saved-other.tar")
    return paths


@pytest.fixture(scope="module")
def skopeo(place):
    def skopeo(*words):
        return run("skopeo", "--tmpdir", place, *words)

    return skopeo


@pytest.fixture(scope="module")
def podman(place):
    """podman, with everything it keeps in a place of its own."""
    places = ("--root", place / "pr", "--runroot", place / "prr", "--tmpdir", place / "ptmp")

    def podman(*words):
        return run("podman", *places, "--storage-driver", "vfs", *words)

    yield podman
    podman("rmi", "--all", "--force")


def named(images, form):
    return images.find(f"box:{form}")


def diff_ids(images, one):
    return image_config.parse(images.content.blobs.read(one.config, 1 << 20)).diff_ids


def layers(images, one):
    manifest = model.parse(images.content.blobs.read(one.manifest, 1 << 20))
    return [(layer.digest, layer.media_type) for layer in manifest.layers]


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_skopeo_reads_what_we_saved_as_a_layout_with_its_manifest_unchanged(
    ours, saved, skopeo, form
):
    told = json.loads(skopeo("inspect", f"oci-archive:{saved[form]}"))
    assert told["Digest"] == named(ours, form).manifest
    raw = skopeo("inspect", "--raw", f"oci-archive:{saved[form]}:{form}")
    assert raw.encode() == ours.content.blobs.read(named(ours, form).manifest, 1 << 20)


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_skopeo_reads_what_we_saved_as_a_docker_archive(ours, saved, skopeo, place, form):
    out = place / f"out-{form}"
    skopeo("copy", f"docker-archive:{saved[form]}:box:{form}", f"dir:{out}")
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["config"]["digest"] == named(ours, form).config
    assert len(manifest["layers"]) == 1
    config = json.loads(skopeo("inspect", "--config", f"docker-archive:{saved[form]}"))
    assert tuple(config["rootfs"]["diff_ids"]) == diff_ids(ours, named(ours, form))
    assert config["config"]["Cmd"] == ["echo", "hi"]


def test_skopeo_finds_each_of_two_images_that_we_saved_in_one(ours, saved, skopeo, place):
    for form in ("gzip", "zstd"):
        for kind in (f"docker-archive:{place}/saved-both.tar:box:{form}",):
            config = skopeo("inspect", "--config", "--raw", kind)
            assert config.encode() == ours.content.blobs.read(named(ours, form).config, 1 << 20)
        told = json.loads(skopeo("inspect", f"oci-archive:{place}/saved-both.tar:{form}"))
        assert told["Digest"] == named(ours, form).manifest


@pytest.mark.parametrize(
    ("kind", "name"), [("docker-archive", ":box:2"), ("oci-archive", ":box:2"), ("oci", ":v2")]
)
def test_what_skopeo_writes_we_read(ours, saved, skopeo, place, tmp_path, kind, name):
    theirs = place / f"theirs-{kind}"
    skopeo("copy", f"oci-archive:{saved['gzip']}", f"{kind}:{theirs}{name}")
    images = images_in(tmp_path)
    (loaded,) = load(images, theirs)
    assert loaded.config == named(ours, "gzip").config
    assert loaded.reference == ("docker.io/library/box:2" if kind != "oci" else "")
    if kind == "docker-archive":
        assert [digest for digest, _ in layers(images, loaded)] == list(diff_ids(images, loaded))
    else:
        assert loaded.manifest == named(ours, "gzip").manifest
    (chain_id,) = diff_ids(images, loaded)
    assert os.access(f"{images.content.layers.directory(chain_id)}/bin/busybox", os.X_OK)


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_podman_loads_what_we_saved(ours, saved, podman, form):
    assert f"docker.io/library/box:{form}" in podman("load", "-i", saved[form])
    told = json.loads(podman("image", "inspect", f"box:{form}"))[0]
    assert f"sha256:{told['Id']}" == named(ours, form).config
    assert told["Digest"] == named(ours, form).manifest
    assert tuple(told["RootFS"]["Layers"]) == diff_ids(ours, named(ours, form))


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive", "oci-dir", "several"])
def test_what_podman_saves_we_load(ours, saved, podman, place, tmp_path, kind):
    podman("load", "-i", place / "saved-gzip.tar")
    theirs = place / f"podman-{kind}"
    if kind == "several":
        podman("load", "-i", place / "saved-other.tar")
        podman("save", "-m", "-o", theirs, "box:gzip", "box:other")
    else:
        podman("save", "--format", kind, "-o", theirs, "box:gzip")
    loaded = {one.reference: one.config for one in load(images_in(tmp_path), theirs)}
    expected = {"docker.io/library/box:gzip": named(ours, "gzip").config}
    if kind == "several":
        expected["docker.io/library/box:other"] = named(ours, "other").config
    assert loaded == expected


def test_podman_unpacks_what_we_saved_to_the_files_that_we_have(ours, saved, podman, place):
    podman("load", "-i", saved["gzip"])
    mounted = podman("image", "mount", "box:gzip").strip()
    (chain_id,) = diff_ids(ours, named(ours, "gzip"))
    told = [tree(mounted), tree(ours.content.layers.directory(chain_id))]
    podman("image", "umount", "box:gzip")
    assert told[0] == told[1]
    assert len(told[0]) > 100


def tree(directory):
    """What stands below *directory*, with all but the sizes of directories."""
    form = r"%P\0%y %m %U %G %l %T@ %n\n"
    lines = run("find", directory, "-mindepth", "1", "-printf", form).splitlines()
    return sorted(lines)
