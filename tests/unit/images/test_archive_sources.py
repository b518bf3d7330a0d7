"""An image is run right out of an archive, which is read once, and again when it has changed."""

from __future__ import annotations

import os
import time

import pytest
from support.image_archives import (
    blobs_of,
    docker_files,
    entry,
    layout_files,
    layout_of,
    tar,
    unpacked,
)
from support.images import ONE, TWO

from pyengine.errors import ImageNotFound, InvalidContent, InvalidRequest
from pyengine.images import archive_load, archive_sources
from pyengine.images.archive_sources import Text, is_source, parse, resolve_source


@pytest.fixture
def reads(monkeypatch):
    """How often an archive was read."""
    found = []
    real = archive_load.bringing

    def counted(*arguments, **options):
        found.append(arguments[1])
        return real(*arguments, **options)

    monkeypatch.setattr(archive_load, "bringing", counted)
    return found


def written(path, files):
    """An archive that has been there for a while."""
    if str(path).endswith(".d"):
        unpacked(files, path)
        _settle(path / "index.json")
    else:
        path.write_bytes(tar(files))
        _settle(path)
    return path


def _settle(path):
    # ctime cannot be chosen: the next tick of the clock has to come
    while time.time() - path.stat().st_ctime < 2 * archive_sources._SETTLED:
        os.stat(path)


BOTH = layout_files(
    blobs_of(ONE) | blobs_of(TWO), entry(ONE.target, "a:1", "1"), entry(TWO.target, tag="two")
)


@pytest.mark.parametrize("name", ["layout.d", "layout.tar"])
def test_a_layout_is_read_once(images, tmp_path, reads, name):
    path = written(tmp_path / name, layout_of(ONE))
    for _ in range(3):
        named = resolve_source(images, f"oci:{path}")
        assert (named.reference, named.config, named.manifest) == ("", ONE.id, ONE.manifest.digest)
    assert len(reads) == 1
    assert [one.reference for one in images.names.all()] == [""]


def test_a_docker_archive_is_read_once(images, tmp_path, reads):
    path = written(tmp_path / "a.tar", docker_files(ONE, ["a:1"]))
    for text in (f"docker-archive:{path}:a:1", f"docker-archive:{path}"):
        for _ in range(2):
            assert resolve_source(images, text).config == ONE.id
    assert len(reads) == 2


@pytest.mark.parametrize("name", ["layout.d", "layout.tar"])
def test_an_archive_that_has_changed_is_read_again(images, tmp_path, reads, name):
    path = written(tmp_path / name, layout_of(ONE))
    assert resolve_source(images, f"oci:{path}").config == ONE.id
    written(tmp_path / name, layout_of(TWO))
    assert resolve_source(images, f"oci:{path}").config == TWO.id
    assert len(reads) == 2


def test_an_archive_that_has_just_changed_is_not_believed_to_stay(images, tmp_path, reads):
    path = tmp_path / "a.tar"
    path.write_bytes(tar(layout_of(ONE)))
    for _ in range(2):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(archive_sources, "_SETTLED", 7200)
            resolve_source(images, f"oci:{path}")
    assert len(reads) == 2


def test_what_was_removed_since_is_read_again(images, tmp_path, reads):
    path = written(tmp_path / "a.tar", layout_of(ONE))
    resolve_source(images, f"oci:{path}")
    images.remove(ONE.id, force=True)
    assert resolve_source(images, f"oci:{path}").config == ONE.id
    assert len(reads) == 2
    assert images.content.blobs.has(ONE.manifest.digest)


def test_a_damaged_note_is_no_harm(images, tmp_path, reads):
    path = written(tmp_path / "a.tar", layout_of(ONE))
    resolve_source(images, f"oci:{path}")
    (note,) = os.listdir(images.content.layout.sources)
    with open(f"{images.content.layout.sources}/{note}", "w") as file:
        file.write("{")
    assert resolve_source(images, f"oci:{path}").config == ONE.id
    assert len(reads) == 2


@pytest.mark.parametrize(
    ("word", "image"),
    [
        ("a:1", ONE),
        ("docker.io/library/a:1", ONE),
        ("1", ONE),
        ("two", TWO),
        ("@0", ONE),
        ("@1", TWO),
    ],
)
def test_one_of_several_images_is_named(images, tmp_path, word, image):
    path = written(tmp_path / "both.tar", BOTH)
    assert resolve_source(images, f"oci:{path}:{word}").config == image.id
    other = TWO if image is ONE else ONE
    assert not images.content.blobs.has(other.manifest.digest)


def test_one_of_several_must_be_named(images, tmp_path):
    path = written(tmp_path / "both.tar", BOTH)
    with pytest.raises(InvalidRequest, match="several images: a:1, two"):
        resolve_source(images, f"oci:{path}")
    for word in ("none", "@2", "@99999999999999999999"):
        with pytest.raises(ImageNotFound, match="there is a:1, two"):
            resolve_source(images, f"oci:{path}:{word}")


def test_each_form_is_asked_for_by_its_own_word(images, tmp_path):
    layout = written(tmp_path / "layout.tar", layout_of(ONE))
    docker = written(tmp_path / "docker.tar", docker_files(ONE))
    for text in (f"oci:{docker}", f"docker-archive:{layout}"):
        with pytest.raises(InvalidContent, match="neither"):
            resolve_source(images, text)


def test_what_is_not_there_is_said(images, tmp_path):
    for text in (f"oci:{tmp_path}/none", f"oci:{tmp_path}", f"docker-archive:{tmp_path}/none:a"):
        with pytest.raises(ImageNotFound, match="No such file"):
            resolve_source(images, text)


def test_the_path_is_the_shortest_that_is_there(tmp_path):
    odd = tmp_path / "a:b"
    odd.mkdir()
    assert parse(f"oci:{odd}:tag") == Text("oci:", str(odd), "tag")
    assert parse(f"oci:{tmp_path}:a/b:1") == Text("oci:", str(tmp_path), "a/b:1")
    assert parse("docker-archive:/none:x") == Text("docker-archive:", "/none:x")


@pytest.mark.parametrize("text", ["oci:", "docker-archive:", "alpine", "oci:a\0b"])
def test_a_text_that_is_none_is_refused(text):
    with pytest.raises(InvalidRequest, match="oci:/path"):
        parse(text)


def test_names_of_images_are_no_sources():
    assert is_source("oci:/x")
    assert is_source("docker-archive:/x")
    assert not is_source("oci")
    assert not is_source("alpine:3")


def test_a_source_that_fails_leaves_nothing(images, tmp_path):
    files = layout_of(ONE)
    path = written(tmp_path / "a.tar", {**files, next(iter(files)): b"other"})
    with pytest.raises(InvalidContent):
        resolve_source(images, f"oci:{path}")
    assert images.names.all() == []
    assert list(images.content.blobs.all()) == []
