"""What an upper layer says of its image, whatever has become of which path."""

from __future__ import annotations

import os
import shutil

from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.containers.changes import _walk
from pyengine.model.change import ChangeKind

NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
TREES = st.dictionaries(PATHS, st.sampled_from(["file", "directory", "link"]), max_size=8)


def plant(tree, root):
    """Make *tree* below *root*; what would lie below a file or a link is left out."""
    os.makedirs(root)
    for path in sorted(tree):
        above = os.path.dirname(f"{root}/{path}")
        if any(not os.path.isdir(step) or os.path.islink(step) for step in steps(root, path)):
            continue
        os.makedirs(above, exist_ok=True)
        place = f"{root}/{path}"
        if tree[path] == "directory":
            os.makedirs(place, exist_ok=True)
        elif tree[path] == "link":
            os.symlink("nowhere", place)
        else:
            with open(place, "w") as file:
                file.write(path)


def steps(root, path):
    """The directories above *path* that are there."""
    step = root
    for name in path.split("/")[:-1]:
        step = f"{step}/{name}"
        if os.path.lexists(step):
            yield step


def every(root):
    return {
        f"{above.removeprefix(root)}/{name}"
        for above, directories, files in os.walk(root)
        for name in (*directories, *files)
    }


@settings(deadline=None, max_examples=100)
@given(image=TREES, written=TREES)
def test_what_is_in_the_image_is_changed_and_the_rest_is_added(tmp_path_factory, image, written):
    place = str(tmp_path_factory.mktemp("layers"))
    try:
        plant(image, f"{place}/image")
        plant(written, f"{place}/upper")
        found = dict(_walk(f"{place}/upper", (f"{place}/image",), "", False))
        there = every(f"{place}/image")
        assert set(found) == every(f"{place}/upper")
        for path, kind in found.items():
            assert kind is (ChangeKind.CHANGED if path in there else ChangeKind.ADDED)
    finally:
        shutil.rmtree(place)


def test_a_link_in_a_layer_never_leads_out_of_it(tmp_path):
    (tmp_path / "image").mkdir()
    (tmp_path / "image/out").symlink_to("/")
    (tmp_path / "upper/out/etc").mkdir(parents=True)
    found = dict(_walk(f"{tmp_path}/upper", (f"{tmp_path}/image",), "", False))
    assert found == {"/out": ChangeKind.CHANGED, "/out/etc": ChangeKind.ADDED}


def test_an_upper_layer_that_goes_while_we_look_has_no_changes(tmp_path):
    assert list(_walk(f"{tmp_path}/gone", (str(tmp_path),), "", False)) == []
