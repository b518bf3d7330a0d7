"""A tar of a file system becomes an image of one layer."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os

import pytest
from backports import zstd
from support.image_archives import Once
from support.images import content_in, tar_of

from pyengine.errors import ImageNotFound, InvalidContent, InvalidRequest
from pyengine.images.archive_load import load
from pyengine.images.archive_save import save
from pyengine.images.catalog import Images
from pyengine.images.importing import import_
from pyengine.model import content as model
from pyengine.model import digests, image_config, media_types
from pyengine.model.platform import Platform

ROOT = tar_of({"bin/sh": b"#!" * 4000, "etc/passwd": b"root"})


@pytest.fixture
def images(tmp_path):
    return Images(content_in(tmp_path))


def image_of(images, named):
    return image_config.parse(images.content.blobs.read(named.config, 1 << 20))


def manifest_of(images, named):
    return model.parse(images.content.blobs.read(named.manifest, 1 << 20))


@pytest.mark.parametrize(
    ("compress", "media_type"),
    [
        (bytes, media_types.OCI_LAYER),
        (gzip.compress, media_types.OCI_LAYER_GZIP),
        (zstd.compress, media_types.OCI_LAYER_ZSTD),
        (lzma.compress, media_types.OCI_LAYER),
        (bz2.compress, media_types.OCI_LAYER),
    ],
    ids=["none", "gzip", "zstd", "xz", "bzip2"],
)
@pytest.mark.parametrize("step", [1, 4096])
def test_a_tar_is_imported_whatever_it_is_compressed_with(images, compress, media_type, step):
    data = compress(ROOT)
    named = import_(images, Once(data, step if step > 1 else 7), "mine:1")
    assert named.reference == "docker.io/library/mine:1"
    image = image_of(images, named)
    assert image.diff_ids == (digests.of(ROOT),)
    (layer,) = manifest_of(images, named).layers
    kept = ROOT if media_type == media_types.OCI_LAYER else data
    assert (layer.media_type, layer.digest, layer.size) == (
        media_type,
        digests.of(kept),
        len(kept),
    )
    assert images.content.layers.find(digests.of(ROOT))


def test_it_is_what_was_asked_for(images, tmp_path):
    (tmp_path / "root.tar").write_bytes(ROOT)
    named = import_(
        images,
        tmp_path / "root.tar",
        "mine",
        changes=['CMD ["sh"]', "ENV A=1", "WORKDIR /w"],
        message="made by hand",
        platform=Platform("linux", "arm", "v6"),
        created=1.5e9,
    )
    assert named.reference == "docker.io/library/mine:latest"
    image = image_of(images, named)
    assert (image.os, image.architecture, image.variant) == ("linux", "arm", "v6")
    assert image.config.command == ("sh",)
    assert image.config.env == ("A=1",)
    assert image.config.workdir == "/w"
    assert [(one.comment, one.created) for one in image.history] == [("made by hand", 1.5e9)]
    assert image.created == 1.5e9


def test_by_default_it_says_where_it_comes_from_and_is_for_here(images):
    image = image_of(images, import_(images, io.BytesIO(ROOT)))
    assert [one.comment for one in image.history] == ["Imported from -"]
    assert image.platform == Platform.of_machine(os.uname().machine)


def test_without_a_name_it_is_found_by_its_id(images):
    named = import_(images, io.BytesIO(ROOT))
    assert named.reference == ""
    assert images.find(named.config).config == named.config


def test_the_same_tar_at_the_same_moment_is_the_same_image(images):
    first = import_(images, io.BytesIO(ROOT), "a:1", created=1e9)
    assert import_(images, io.BytesIO(ROOT), "a:2", created=1e9).manifest == first.manifest


def test_it_is_saved_and_loaded_like_any_other(images, tmp_path):
    named = import_(images, io.BytesIO(ROOT), "mine:1")
    save(images, ["mine:1"], tmp_path / "mine.tar")
    other = Images(content_in(tmp_path / "other"))
    assert [one.manifest for one in load(other, tmp_path / "mine.tar")] == [named.manifest]


def left_in(images):
    found = []
    for _top, _dirs, files in os.walk(images.content.layout.root):
        found.extend(name for name in files if not name.endswith("lock") and name[0] != ".")
    return sorted(found)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (gzip.compress(ROOT)[:-20], "ends too early"),
        (lzma.compress(ROOT)[:-20], "ends too early"),
        (gzip.compress(ROOT) + b"more", "ends too early|something follows|cannot be unpacked"),
    ],
)
def test_what_is_no_archive_leaves_nothing(images, data, why):
    with pytest.raises(InvalidContent, match=why):
        import_(images, Once(data), "mine:1")
    assert images.names.all() == []
    assert left_in(images) in ([], ["index.json", "oci-layout"])


def test_what_is_compressed_but_no_tar_leaves_nothing(images):
    with pytest.raises(Exception, match=r"truncated|bad|empty|tar"):
        import_(images, Once(gzip.compress(b"hello" * 1000)), "mine:1")
    assert images.names.all() == []
    assert left_in(images) in ([], ["index.json", "oci-layout"])


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"reference": "A"}, "lowercase"),
        ({"reference": f"a@{digests.EMPTY}"}, "digest"),
        ({"changes": ["RUN x"]}, "RUN"),
    ],
)
def test_a_wrong_request_is_refused_before_a_byte_is_read(images, options, why):
    pipe = Once(ROOT)
    with pytest.raises(InvalidRequest, match=why):
        import_(images, pipe, **options)
    assert pipe.given == 0


def test_a_file_that_is_not_there_is_said(images, tmp_path):
    with pytest.raises(ImageNotFound, match="cannot be read"):
        import_(images, tmp_path / "none.tar")
