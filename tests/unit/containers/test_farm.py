"""The host's root in pieces: none of them has a mount below it, and nothing is covered twice."""

from __future__ import annotations

import os

import pytest
from attrs import evolve

from pyengine.containers.farm import Piece, farm_of, farm_steps, lay_ground, survey
from pyengine.containers.surroundings import Root
from pyengine.linux import plan as p


@pytest.fixture
def host(tmp_path):
    """A small root, with places to mount things on."""
    root = tmp_path / "host"
    for directory in (
        "usr/bin",
        "var/lib/deep/er",
        "var/log",
        "etc/ssl",
        "run/lock",
        "empty",
        "dev",
    ):
        (root / directory).mkdir(parents=True)
    for file in ("usr/bin/sh", "var/lib/file", "etc/hosts", "etc/ssl/cert", "run/x", "var/log/a"):
        (root / file).write_text(file)
    (root / "var/lib/deep/er/x").write_text("x")
    (root / "bin").symlink_to("usr/bin")
    (root / "etc/mtab").symlink_to("/proc/mounts")
    os.mkfifo(root / "etc/fifo")
    return str(root)


def kinds(pieces):
    return {piece.path: piece.kind for piece in pieces}


def test_what_has_no_mount_below_is_a_layer_and_what_is_covered_is_empty(host):
    assert kinds(survey(host, frozenset(("/run",)))) == {
        "/bin": "link",
        "/dev": "empty",
        "/empty": "empty",
        "/etc": "layer",
        "/run": "empty",
        "/usr": "layer",
        "/var": "layer",
    }


def test_what_has_one_below_is_split_as_far_down_as_that(host):
    found = kinds(survey(host, frozenset(("/var/lib/deep", "/etc/hosts", "/run"))))
    assert {path: kind for path, kind in found.items() if path.startswith(("/var", "/etc"))} == {
        "/etc": "split",
        "/etc/hosts": "copy",
        "/etc/mtab": "link",
        "/etc/ssl": "layer",
        "/var": "split",
        "/var/lib": "split",
        "/var/lib/deep": "empty",
        "/var/lib/file": "copy",
        "/var/log": "layer",
    }


@pytest.mark.parametrize(
    "covered",
    [
        (),
        ("/usr",),
        ("/usr/bin",),
        ("/usr/bin/sh",),
        ("/var/lib/deep/er", "/var/log"),
        ("/etc/ssl/cert",),
    ],
)
def test_no_layer_has_a_mount_below_it_or_is_below_one(host, covered):
    for piece in survey(host, frozenset(covered)):
        if piece.kind == "layer":
            for path in covered:
                assert not f"{path}/".startswith(f"{piece.path}/")
                assert not f"{piece.path}/".startswith(f"{path}/")


def test_the_ground_has_every_place_that_something_is_put_on(host, tmp_path):
    pieces = tuple(survey(host, frozenset(("/var/lib/deep", "/run"))))
    upper = tmp_path / "upper"
    upper.mkdir()
    lay_ground([piece for piece in pieces if piece.kind != "copy"], str(upper))
    farm = farm_of(pieces, "/nowhere")
    for path in (*farm.layers, *farm.files):
        assert os.path.lexists(f"{upper}{path}")
    assert os.readlink(upper / "bin") == "usr/bin"
    assert os.listdir(upper / "var/log") == []


def test_a_layer_that_holds_the_store_is_hidden_from_it_and_no_other():
    pieces = [Piece("/home", "layer"), Piece("/home2", "layer"), Piece("/usr", "layer")]
    assert farm_of(pieces, "/home/ann/.local/share/pyengine").nested == ("/home",)


ROOT = Root(
    ("/",),
    "/u",
    "/w",
    "/m",
    farm=farm_of([Piece("/home", "layer"), Piece("/usr", "layer")], "/home/x"),
)


def test_each_layer_is_an_overlay_with_a_work_directory_of_its_own():
    steps = [
        step for step in farm_steps(ROOT, ROOT.farm, p.OVERLAY_USERXATTR) if step.target[:2] != "/m"
    ]
    overlays = [step for step in steps if step.op == "overlay" and step.data]
    assert [step.target for step in overlays] == ["/home", "/usr"]
    assert [step.data for step in overlays] == [b"/u/home\0", b"/u/usr\0"]
    assert len({step.kind for step in overlays}) == 2
    assert all(
        step.flags & p.OVERLAY_USERXATTR and step.flags & p.OVERLAY_VOLATILE for step in overlays
    )
    assert overlays[0].flags & p.OVERLAY_OVER_AT
    assert not overlays[1].flags & p.OVERLAY_OVER_AT


def test_each_is_made_read_only_where_the_root_is():
    steps = list(farm_steps(evolve(ROOT, read_only=True), ROOT.farm, 0))
    assert [step.target for step in steps if step.op == "readonly_root"] == ["/home", "/usr"]
    assert not any(step.op == "readonly_root" for step in farm_steps(ROOT, ROOT.farm, 0))
