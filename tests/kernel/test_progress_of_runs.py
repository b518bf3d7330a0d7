"""Whoever runs an image that is not here sees it come, or is told of it."""

from __future__ import annotations

import gzip

import pytest
from support.images import tar_of_directory

from pyengine import InvalidRequest

pytestmark = pytest.mark.kernel


@pytest.fixture
def name(registry, rootfs):
    """An image of busybox that the registry has."""
    registry.put_image("progress", "1", [gzip.compress(tar_of_directory(rootfs), 1)])
    return f"{registry.address}/progress:1"


def test_a_function_is_told_how_far_the_image_is(engine, name):
    heard = []
    assert engine.run(name, "echo hi", progress=heard.append).stdout == "hi\n"
    actions = [event.action for event in heard]
    assert actions[0] == "resolving"
    assert {"waiting", "downloading", "unpacking", "done"} <= {*actions}
    assert heard[-1].detail.startswith("sha256:")
    heard.clear()
    assert engine.run(name, "echo hi", progress=heard.append).stdout == "hi\n"
    assert heard == []  # it is here


def test_lines_are_on_standard_error_where_they_are_asked_for(engine, name, capfd):
    engine.run(name, "echo hi", progress="plain")
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("1: Pulling from progress\n")
    assert err.endswith(f"Status: Downloaded newer image for {name}\n")
    engine.images.remove(name)
    engine.pull(name)  # nobody watches: this is no terminal
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("wrong", ["fancy", 1, ["auto"]])
def test_what_is_no_way_to_show_it_is_refused_before_anything_is_asked(engine, name, wrong):
    with pytest.raises(InvalidRequest):
        engine.run(name, "true", progress=wrong)
    with pytest.raises(InvalidRequest):
        engine.pull(name, progress=wrong)
    assert list(engine.images) == []
