"""What a root is made of: the image's directory, and a layer with what lacks in it."""

from __future__ import annotations

import os
import stat

import pytest

from pyengine.containers.rootfs import LAYER_DIRECTORIES, LAYER_FILES, host_root
from pyengine.errors import ImageNotFound, InvalidRequest, StoreError
from pyengine.store.layout import Layout


@pytest.fixture
def layout(tmp_path):
    made = Layout.of(tmp_path / "engine", None)
    os.makedirs(made.layers)
    return made


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "image").mkdir()
    return tmp_path / "image"


def completing(directory, layout):
    """The layer above the image's own."""
    root = host_root(f"rootfs:{directory}", layout)
    assert root.layers == (str(directory),)
    assert root.lowers == (root.lowers[0], str(directory))
    return root.lowers[0]


def paths_in(layer):
    return {
        f"{above.removeprefix(layer)}/{name}"
        for above, directories, files in os.walk(layer)
        for name in (*directories, *files)
    }


def test_an_empty_directory_is_given_everything(directory, layout):
    layer = completing(directory, layout)
    assert paths_in(layer) == LAYER_DIRECTORIES | LAYER_FILES
    assert os.readlink(f"{layer}/etc/mtab") == "/proc/mounts"
    assert stat.S_IMODE(os.stat(f"{layer}/proc").st_mode) == 0o755
    assert os.path.getsize(f"{layer}/etc/hosts") == 0


def test_what_is_there_is_neither_hidden_nor_changed(directory, layout):
    (directory / "etc").mkdir(mode=0o700)
    (directory / "etc/hosts").write_text("the image's\n")
    (directory / "dev").symlink_to("elsewhere")
    (directory / "proc").write_text("a file")
    layer = completing(directory, layout)
    assert stat.S_IMODE(os.stat(f"{layer}/etc").st_mode) == 0o700
    found = paths_in(layer)
    assert "/etc/hosts" not in found
    assert "/etc/hostname" in found
    assert not {path for path in found if path.startswith(("/dev", "/proc"))}


def test_directories_that_lack_the_same_share_a_layer(directory, layout, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/bin").mkdir()
    assert completing(directory, layout) == completing(tmp_path / "other", layout)
    assert len(os.listdir(layout.layers)) == 1


def test_an_image_that_has_changed_is_looked_at_again(directory, layout):
    before = completing(directory, layout)
    (directory / "etc").mkdir()
    (directory / "etc/hosts").write_text("")
    after = completing(directory, layout)
    assert after != before
    assert completing(directory, layout) == after
    for path in (before, after):  # and so is a layer that somebody took away
        os.rename(path, f"{path}.gone")
    assert completing(directory, layout) == after
    assert os.path.isdir(after)


def test_an_engine_s_root_inside_the_image_is_told(directory, tmp_path):
    inside = Layout.of(directory / "engine", None)
    os.makedirs(inside.layers)
    assert host_root(f"rootfs:{directory}", inside).nested
    beside = Layout.of(tmp_path / "beside", None)
    os.makedirs(beside.layers)
    assert not host_root(f"rootfs:{directory}", beside).nested


@pytest.mark.parametrize(
    ("image", "error"),
    [
        ("rootfs:relative", InvalidRequest),
        ("rootfs:", InvalidRequest),
        ("rootfs:/none/such", ImageNotFound),
        ("rootfs:/etc/passwd", InvalidRequest),
        ("rootfs:/etc/passwd/x", ImageNotFound),
    ],
)
def test_what_is_no_directory_is_no_image(layout, image, error):
    with pytest.raises(error):
        host_root(image, layout)


def test_a_layer_that_cannot_be_made_is_told_and_leaves_nothing(directory, layout):
    os.rmdir(layout.layers)
    with pytest.raises(StoreError):
        completing(directory, layout)
    with open(layout.layers, "w"):
        pass
    with pytest.raises(StoreError):
        completing(directory, layout)
