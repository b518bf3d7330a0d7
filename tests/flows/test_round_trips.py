"""From one registry through us to another, and from there to peers: the same image, to the byte."""

from __future__ import annotations

import gzip
import json
import subprocess

import pytest
from backports import zstd
from support.images import tar_of, tar_of_directory
from support.registries import INDEX, config_of, describe, running_registry, sha256

from pyengine.model import media_types as media

pytestmark = pytest.mark.kernel
pytest_plugins = ("command_line",)

FORMS = {
    "OCI, gzip": (media.OCI_MANIFEST, media.OCI_CONFIG, media.OCI_LAYER_GZIP),
    "OCI, zstd": (media.OCI_MANIFEST, media.OCI_CONFIG, media.OCI_LAYER_ZSTD),
    "OCI, plain": (media.OCI_MANIFEST, media.OCI_CONFIG, media.OCI_LAYER),
    "docker": (media.DOCKER_MANIFEST, media.DOCKER_CONFIG, media.DOCKER_LAYER_GZIP),
}


def run(*command):
    done = subprocess.run([str(one) for one in command], capture_output=True, timeout=120)
    assert done.returncode == 0, f"{command}: {done.stderr.decode()}"
    return done.stdout


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """Another registry."""
    with running_registry(tmp_path_factory.mktemp("second")) as running:
        yield running


@pytest.fixture(scope="module")
def tars(rootfs):
    return [tar_of_directory(rootfs), tar_of({"etc/.wh.group": b"", "etc/note": b"hi\n"})]


@pytest.fixture
def skopeo(tmp_path):
    """What skopeo finds behind a name: manifest, config, digests of layers."""

    def copied(name):
        out = tmp_path / "peer"
        plain = ("--tmpdir", tmp_path, "copy", "--src-tls-verify=false", "--preserve-digests")
        run("skopeo", *plain, f"docker://{name}", f"dir:{out}")
        manifest = (out / "manifest.json").read_bytes()
        told = json.loads(manifest)
        config = (out / told["config"]["digest"].partition(":")[2]).read_bytes()
        return manifest, config

    return copied


@pytest.fixture(scope="module")
def podman(tmp_path_factory):
    """podman, with everything it keeps in a place of its own."""
    place = tmp_path_factory.mktemp("p")  # it bears no long paths
    places = [("--root", "r"), ("--runroot", "rr"), ("--tmpdir", "t")]
    words = [word for flag, name in places for word in (flag, place / name)]

    def podman(*more):
        return run("podman", *words, "--storage-driver", "vfs", *more).decode()

    yield podman
    podman("rmi", "--all", "--force")


def put(registry, repository, form, tars):
    """An image in *form*; the digests of its manifest and config, and the manifest."""
    manifest_type, config_type, layer_type = FORMS[form]
    packing = {"zstd": zstd.compress, "gzip": lambda tar: gzip.compress(tar, mtime=0)}
    pack = packing.get(media.compression_of(layer_type), lambda tar: tar)
    layers, config = [pack(tar) for tar in tars], config_of(tars)
    for data in (*layers, config):
        registry.put_blob(repository, data)
    manifest = {
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": describe(config_type, config),
        "layers": [describe(layer_type, data) for data in layers],
        "annotations": {"one": "two"},
    }
    if "docker" in form:
        del manifest["annotations"]
    digest = registry.put_manifest(repository, "1", manifest)
    return digest, sha256(config), manifest


@pytest.mark.parametrize("form", FORMS)
def test_what_is_pulled_and_pushed_elsewhere_is_what_peers_get(
    cli, registry, second, tars, skopeo, podman, capfd, form
):
    # "What it must show" 4
    repository = f"trips/{form.replace(', ', '-').lower()}"
    own = tar_of({"form": form.encode()})  # podman keeps one digest for one config
    digest, config, _ = put(registry, repository, form, [*tars, own])
    ours, theirs = f"{registry.address}/{repository}:1", f"{second.address}/{repository}:1"
    cli("pull", "-q", ours)
    cli("tag", ours, theirs)
    assert digest in cli("push", theirs)
    manifest, config_there = skopeo(theirs)
    assert (sha256(manifest), sha256(config_there)) == (digest, config)
    podman("pull", "-q", "--tls-verify=false", theirs)
    (found,) = json.loads(podman("image", "inspect", theirs))
    assert (found["Digest"], f"sha256:{found['Id']}") == (digest, config)
    with capfd.disabled():
        print(f"\n{form}: manifest {digest[:19]}, config {config[:19]} for skopeo and podman too")


def test_an_image_of_an_index_is_pushed_as_it_was(cli, registry, second, tars, skopeo):
    digest, config, manifest = put(registry, "trips/index", "OCI, gzip", tars)
    listed = describe(media.OCI_MANIFEST, json.dumps(manifest).encode())
    assert listed["digest"] == digest
    entry = {**listed, "platform": {"os": "linux", "architecture": "amd64"}}
    other = {**entry, "platform": {"os": "linux", "architecture": "s390x"}}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [other, entry]}
    registry.put_manifest("trips/index", "all", index)
    ours, theirs = f"{registry.address}/trips/index:all", f"{second.address}/trips/index:all"
    cli("pull", "-q", ours)
    cli("tag", ours, theirs)
    cli("push", theirs)
    found, config_there = skopeo(f"{second.address}/trips/index@{digest}")
    assert (sha256(found), sha256(config_there)) == (digest, config)
