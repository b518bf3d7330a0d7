"""Containers are made of images of the store: of their layers, and of what they say."""

from __future__ import annotations

import os

import pytest
from support.images import put_image, tar_of, tar_of_directory

import pyengine
from pyengine import ImageNotFound, InUse

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]


@pytest.fixture(scope="module")
def base(rootfs):
    """The busybox system, as a layer."""
    return tar_of_directory(rootfs)


def test_its_layers_lie_on_each_other(engine, base):
    put_image(engine, "app", base, tar_of({"etc/.wh.group": b"", "etc/note": b"hi\n"}))
    told = engine.run("app", ["sh", "-c", "cat /etc/note; ls /etc/group; id -un"])
    assert told.stdout == "hi\nroot\n"
    assert "No such file" in told.stderr
    assert engine.run("app:latest", "cat /etc/note").stdout == "hi\n"


def test_it_is_found_by_its_id_and_by_the_beginning_of_that(engine, base):
    made = put_image(engine, "app", base)
    number = made.id.partition(":")[2]
    for name in (made.id, number, number[:12], f"app@{made.target.digest}"):
        assert engine.run(name, "echo here").stdout == "here\n"


def test_what_it_says_of_its_programs_holds(engine, base):
    made = put_image(engine, "app", base, labels={"a": "b"})
    container = engine.start("app", tty=True, stdin_open=True)  # its Cmd is sh
    assert container.labels == {"a": "b"}
    assert container.inspect().to_docker()["Image"] == made.id
    assert container.inspect().to_docker()["Config"]["Image"] == "app"
    assert container.inspect().spec.argv == ("sh",)


def test_two_images_share_their_layers_and_each_is_unpacked_once(engine, base):
    put_image(engine, "one", base)
    put_image(engine, "two", base, tar_of({"two": b"2"}))
    assert engine.run("one", "true").exit_code == engine.run("two", "cat /two").exit_code == 0
    layers = [name for name in os.listdir(f"{engine.root}/layers") if not name.startswith(".")]
    assert len(layers) == 2


def test_what_a_container_changed_is_told_of_it_and_not_of_its_image(engine, base):
    put_image(engine, "app", base, tar_of({"etc/note": b"hi\n"}))
    container = engine.create("app", ["sh", "-c", "rm /etc/note; echo 1 > /new"])
    container.start()
    container.wait()
    changes = [(change.kind.value, change.path) for change in container.diff()]
    assert changes == [("C", "/etc"), ("D", "/etc/note"), ("A", "/new")]
    assert engine.run("app", "cat /etc/note").stdout == "hi\n"


def test_an_image_in_use_stays_until_its_container_has_gone(engine, base):
    put_image(engine, "app", base)
    container = engine.start("app", "sleep 100")
    for force in (False, True):
        with pytest.raises(InUse):
            engine.images.remove(container.inspect().to_docker()["Image"], force=force)
    container.remove(force=True)
    engine.images.remove("app")
    with pytest.raises(ImageNotFound):
        engine.run("app", "true", pull="never")
    assert [name for name in os.listdir(f"{engine.root}/layers") if name[0] != "."] == []


def test_a_container_runs_on_whose_image_lost_its_name(engine, base):
    put_image(engine, "app", base)
    container = engine.start("app", "sleep 100")
    put_image(engine, "app", base, tar_of({"new": b"1"}))
    assert engine.images.prune().deleted == ()
    assert container.exec("echo here").stdout == "here\n"
    container.remove(force=True)
    assert len(engine.images.prune().deleted) > 0
    assert engine.run("app", "cat /new").stdout == "1"


def test_unpacked_layers_that_are_gone_are_unpacked_again(engine, base):
    put_image(engine, "app", base)
    assert engine.run("app", "echo 1").stdout == "1\n"
    for name in os.listdir(f"{engine.root}/layers"):
        os.rename(f"{engine.root}/layers/{name}", f"{engine.root}/{name}-away")
    with pyengine.Engine(engine.root) as another:
        assert another.run("app", "echo 2").stdout == "2\n"


def test_users_of_its_own_see_its_files_as_roots(engine, base):
    put_image(engine, "app", base, tar_of({"etc/note": b"hi\n"}))
    told = engine.run("app", ["sh", "-c", "stat -c %u /etc/note /bin/busybox"], userns="auto")
    assert told.stdout == "0\n0\n"


def test_with_a_network_of_the_host_and_a_user_of_its_own_files(engine, base):
    put_image(engine, "app", base)
    assert engine.run("app", "id -un", user="app").stdout == "app\n"
