"""What lacks in an image is found where its layers lie on each other, as overlayfs shows them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyengine.containers import layer_view, rootfs
from pyengine.containers.rootfs import completing_layer
from pyengine.store.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(str(tmp_path / "root"), str(tmp_path / "run"))
    os.makedirs(made.layers)
    return made


@pytest.fixture
def layers(tmp_path: Path) -> list[Path]:
    """Three of them, the topmost first; nothing is in them."""
    made = [tmp_path / name for name in ("top", "middle", "bottom")]
    for layer in made:
        layer.mkdir()
    return made


def completed(layers, layout):
    """What the completing layer adds."""
    layer = Path(completing_layer(tuple(map(str, layers)), layout))
    return {str(path.relative_to(layer)): path for path in layer.rglob("*")}


def test_what_is_in_any_layer_does_not_lack(layers, layout):
    top, middle, bottom = layers
    (top / "proc").mkdir()
    (middle / "sys").mkdir()
    (bottom / "dev").mkdir(mode=0o700)
    (bottom / "etc").mkdir()
    (middle / "etc").mkdir()
    (bottom / "etc/hosts").touch()
    found = completed(layers, layout)
    assert "etc/hosts" not in found
    assert "etc/hostname" in found
    assert "dev/pts" in found
    assert found["dev"].stat().st_mode & 0o777 == 0o700  # it hides nothing, and changes nothing


def test_what_a_whiteout_hides_lacks(layers, layout, monkeypatch):
    top, _, bottom = layers
    for layer in (top, bottom):
        (layer / "etc").mkdir()
    (bottom / "etc/hosts").touch()
    (top / "etc/hosts").touch()
    assert "etc/hosts" not in completed(layers, layout)
    lstat = os.lstat

    def as_whiteout(path):
        found = lstat(path)
        if str(path) != f"{top}/etc/hosts":
            return found
        return os.stat_result((0o020000, *found[1:10]), {"st_rdev": 0})

    monkeypatch.setattr(layer_view.os, "lstat", as_whiteout)
    rootfs._known.clear()
    assert "etc/hosts" in completed(layers, layout)


def test_what_is_below_an_opaque_directory_lacks(layers, layout, monkeypatch):
    top, _, bottom = layers
    for layer in (top, bottom):
        (layer / "etc").mkdir()
    (bottom / "etc/hosts").touch()
    monkeypatch.setattr(layer_view, "is_opaque", lambda place, mark: place == f"{top}/etc")
    assert "etc/hosts" in completed(layers, layout)


def test_a_link_on_the_way_is_left_alone_and_not_followed(layers, layout, tmp_path):
    top, _, bottom = layers
    (tmp_path / "host").mkdir()
    (tmp_path / "host/hosts").touch()
    (top / "etc").symlink_to(tmp_path / "host")
    (bottom / "etc").mkdir()
    found = completed(layers, layout)
    assert [name for name in found if name.startswith("etc")] == []
