"""An archive with anything changed in it is loaded whole, or refused, and nothing between."""

from __future__ import annotations

import gzip
import io
import os
import tempfile

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from support.image_archives import Once, docker_files, layout_of, tar
from support.images import content_in, make_image, tar_of

from pyengine.errors import EngineError
from pyengine.images.archive_load import load
from pyengine.images.catalog import Images
from pyengine.images.content import Content
from pyengine.model import content as model
from pyengine.model.image_config import chain_ids, parse
from pyengine.store.layout import Layout

ONE = make_image([tar_of({"one": b"1" * 300}), tar_of({"two": b"2" * 30})])
ARCHIVES = {
    "old": tar(docker_files(ONE, ["a:1"])),
    "new": tar(docker_files(ONE, ["a:1"], form="new")),
    "skopeo": tar(docker_files(ONE, ["a:1"], form="skopeo")),
    "layout": tar(layout_of(ONE, "a:1", "1")),
    "both": tar({**docker_files(ONE, ["a:1"], form="new"), **layout_of(ONE, "a:1")}),
    "gzip": gzip.compress(tar(layout_of(ONE, "a:1"))),
}


WORDS = [b"..", b"/", b'"', b"null", b"0", bytes(16), b"[", b"a:2"]
CHANGES = st.tuples(
    st.sampled_from(["byte", "text", "cut", "drop", "twice"]),
    st.floats(min_value=0, max_value=1, exclude_max=True),
    st.integers(min_value=0, max_value=255),
)


def changed(data, kind, place, value):
    """*data* with something else at *place*: bytes, what is left out, what comes twice."""
    at = int(place * len(data))
    block = at // 512 * 512
    if kind == "byte":
        return data[:at] + bytes([value]) + data[at + 1 :]
    if kind == "text":
        word = WORDS[value % len(WORDS)]
        return data[:at] + word + data[at + len(word) :]
    if kind == "cut":
        return data[: max(at, 1)]
    again = 2 if kind == "twice" else 0
    return data[:block] + data[block : block + 512] * again + data[block + 512 :]


@given(st.sampled_from(sorted(ARCHIVES)), st.lists(CHANGES, min_size=1, max_size=3), st.booleans())
@settings(max_examples=int(os.environ.get("ARCHIVE_MUTATIONS", "200")), deadline=None)
def test_a_changed_archive_is_whole_or_refused(archive, changes, once):
    data = ARCHIVES[archive]
    for change in changes:
        data = changed(data, *change) if data else data
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        images = Images(Content.at(Layout(f"{directory}/root", f"{directory}/run")))
        try:
            loaded = load(images, Once(data) if once else io.BytesIO(data))
        except EngineError:
            assert images.names.all() == []
            assert list(images.content.blobs.all()) == []
            assert list(images.content.layers.all()) == []
            return
        for named in loaded:
            assert_whole(images, named)


def assert_whole(images, named):
    blobs = images.content.blobs
    manifest = model.parse(blobs.read(named.manifest, 1 << 20))
    config = parse(blobs.read(named.config, 1 << 20))
    assert all(blobs.verify(layer.digest) for layer in manifest.layers)
    assert config.diff_ids == parse(ONE.config).diff_ids
    assert all(images.content.layers.find(one) for one in chain_ids(config.diff_ids))


def test_the_archives_are_loaded_as_they_are(tmp_path):
    for name, data in ARCHIVES.items():
        images = Images(content_in(tmp_path / name))
        (named,) = load(images, data)
        assert_whole(images, named)


@pytest.mark.parametrize("field", ["media_type", "size"])
def test_another_field_of_the_target_is_no_other_image(tmp_path, field):
    other = {"media_type": model.DOCKER_MANIFEST, "size": ONE.target.size - 1}[field]
    target = evolve(ONE.target, **{field: other})
    files = layout_of(evolve(ONE), "a:1")
    index = model.print_index([target])
    images = Images(content_in(tmp_path))
    with pytest.raises(EngineError):
        load(images, tar(files | {"index.json": index}))
    assert images.names.all() == []
