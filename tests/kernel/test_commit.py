"""What a container has written becomes an image, which says what the container was told."""

from __future__ import annotations

import os

import pytest
from attrs import evolve
from support.images import put_image
from test_run_images import base  # noqa: F401  # a fixture

import pyengine
from pyengine import InvalidRequest, Unsupported
from pyengine.containers import committing
from pyengine.model import image_config

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]

WRITES = (
    "rm /etc/group; echo 1 > /new; mkdir /d; echo 2 > /d/f; ln /d/f /d/g; rm -r /home; mkdir /home"
)
"""A file is deleted, some are added, two are one, and a directory is another than before."""


@pytest.fixture
def written(engine, base):  # noqa: F811
    """A container that has written, and has ended."""
    put_image(engine, "app", base)
    container = engine.create("app", ["sh", "-c", WRITES], env={"A": "1"}, labels={"x": "y"})
    container.start()
    container.wait()
    return container


def seen(engine, image):
    shell = "ls /new /etc/group /d/f; ls /home | wc -l; stat -c %h /d/g; cat /d/g"
    return engine.run(image, ["sh", "-c", shell]).stdout.split()


AS_WRITTEN = ["/d/f", "/new", "0", "2", "2"]


@pytest.mark.parametrize("durable", [True, False])
def test_an_image_is_what_a_container_has_written(engine, written, durable):
    image = written.commit("app:2", durable=durable)
    assert image.tags == ["app:2"]
    assert seen(engine, "app:2") == AS_WRITTEN
    assert len(image.inspect().layers) == 2


def test_it_has_no_name_before_it_would_survive_a_power_cut(engine, written, monkeypatch):
    images = engine._house.images
    seen = []
    mark = images.content.layers.make_durable

    def marking(*wanted):
        seen.append((wanted, [tag for image in engine.images for tag in image.tags]))
        return mark(*wanted)

    monkeypatch.setattr(images.content.layers, "make_durable", marking)
    image = written.commit("app:2")
    top = image_config.chain_ids(image.inspect().file.diff_ids)[-1]
    ((wanted, names),) = seen
    assert wanted[-1] == top
    assert names == ["app:latest"]
    assert images.content.layers.is_durable(top)


def test_the_container_goes_on_and_its_changes_are_told_as_before(engine, written):
    before = written.diff()
    written.commit("app:2")
    assert written.diff() == before
    written.start()
    written.wait()
    assert "can't remove '/etc/group'" in written.logs()  # it is not there any more
    again = {change.path: change.kind.value for change in written.diff()}
    assert again["/etc/group"] == "D"
    assert again["/new"] == "A"


def test_it_is_committed_again_and_again(engine, written):
    written.commit("app:2")
    written.commit("app:3")
    assert seen(engine, "app:3") == AS_WRITTEN
    third = engine.images.get("app:3")
    assert len(third.inspect().layers) == 3
    child = engine.create("app:3", ["sh", "-c", "rm /new"])
    child.start()
    child.wait()
    child.commit("app:4")
    assert seen(engine, "app:4") == ["/d/f", "0", "2", "2"]


def test_one_that_runs_is_copied_and_runs_on(engine, base):  # noqa: F811
    put_image(engine, "app", base)
    words = ["sh", "-c", f"{WRITES}; echo done; exec sleep 100"]
    container = engine.start("app", words, ready=pyengine.ready.log("done"))
    image = container.commit("app:2")
    assert container.exec("echo here").stdout == "here\n"
    assert seen(engine, "app:2") == AS_WRITTEN
    container.exec("rm /new").check()
    assert seen(engine, image.id) == AS_WRITTEN


def test_it_tells_what_the_container_was_told_and_what_is_changed(written):
    image = written.commit(changes=["ENV B=2", 'CMD ["sh"]'], author="me", message="so")
    info = image.inspect()
    assert set(info.config.env) == {"A=1", "B=2"}
    assert dict(info.config.labels) == {"x": "y"}
    assert info.config.command == ("sh",)
    assert (info.file.author, info.file.comment) == ("me", "so")
    assert image.history()[0].comment == "so"
    assert image.history()[0].created_by == f"sh -c {WRITES}"
    assert image.tags == []


def test_what_it_is_not_told_well_changes_nothing(engine, written):
    for wrong in ({"tag": "UPPER"}, {"changes": ["RUN x"]}, {"pause": 5}):
        with pytest.raises(InvalidRequest):
            written.commit(**wrong)
    assert [image.tags for image in engine.images] == [["app:latest"]]
    bare = engine.create("host:", "true")
    with pytest.raises(Unsupported, match="host:"):
        bare.commit("x")


def test_what_fails_takes_nothing_from_the_container(engine, written, monkeypatch):
    before = written.diff()
    monkeypatch.setattr(committing, "LayerRecord", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        written.commit("app:2")
    monkeypatch.undo()
    assert written.diff() == before
    written.start()
    written.wait()
    written.commit("app:2")
    assert seen(engine, "app:2") == AS_WRITTEN


def test_killed_between_record_and_layer_it_has_written_what_it_has(engine, written):
    before = written.diff()
    catalog = engine._house.catalog
    record = catalog.record(written.id)
    above, *below = record.lowers
    gone = engine._house.images.content.layers.directory(f"sha256:{64 * '0'}")
    layers, lowers = (gone, *record.layers), (above, gone, *below)
    catalog.write_record(evolve(record, layers=layers, lowers=lowers, committed=1))
    catalog._records.clear()  # as another process reads it
    assert written.diff() == before
    written.start()
    written.wait()
    written.commit("app:2")
    assert seen(engine, "app:2") == AS_WRITTEN


def test_killed_before_it_has_another_layer_it_starts_with_an_empty_one(
    engine, written, monkeypatch
):
    before = written.diff()
    monkeypatch.setattr(committing, "begin_anew", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        written.commit("app:2")
    monkeypatch.undo()
    with pyengine.Engine(engine.root) as another:
        assert another.containers.get(written.id).diff() == before
    written.start()
    written.wait()
    assert "can't remove '/etc/group'" in written.logs()
    assert os.path.isdir(written.inspect().root)


def test_an_image_that_a_container_wrote_stays_with_the_container(engine, written):
    written.commit("app:2")
    engine.images.remove("app:2")
    written.start()
    written.wait()
    written.commit("app:3")
    assert seen(engine, "app:3") == AS_WRITTEN
