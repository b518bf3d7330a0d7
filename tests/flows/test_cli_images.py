"""Images on the command line: listed, tagged, removed, told of, run, looked through."""

import json
import os
import subprocess

import pytest
from support.images import put_image, tar_of, tar_of_directory

import pyengine

pytestmark = pytest.mark.kernel
pytest_plugins = ("command_line",)


@pytest.fixture(scope="module")
def base(rootfs):
    """The busybox system, as a layer."""
    return tar_of_directory(rootfs)


@pytest.fixture
def image(cli, base):
    """A function that puts an image of busybox and some files into the root, and answers its id."""

    def put(name, files=None, **options):
        with pyengine.Engine(cli.root) as engine:
            return put_image(engine, name, base, tar_of(files or {"note": b"hi\n"}), **options).id

    return put


def short(image_id):
    return image_id.partition(":")[2][:12]


def test_images_are_listed_as_docker_lists_them(cli, image):
    one = image("app:1")
    image("localhost:5000/team/other", {"other": b"1"})
    cli("tag", "app:1", "app:2")
    lines = cli("images").split("\n")
    assert lines[0].split("   ")[0].strip() == "IMAGE"
    assert [line.split()[:2] for line in lines[1:3]] == [
        ["app:1", short(one)],
        ["app:2", short(one)],
    ]
    table = cli("images", "--format", "table {{.Repository}}\t{{.Tag}}\t{{.ID}}", "app")
    assert [line.split() for line in table.split("\n")[:-1]] == [
        ["REPOSITORY", "TAG", "IMAGE", "ID"],
        ["app", "1", short(one)],
        ["app", "2", short(one)],
    ]
    assert cli("images", "-q", "app") == f"{short(one)}\n"
    assert cli("images", "-q", "--no-trunc", "app:2") == f"{one}\n"
    assert len(cli("image", "ls", "-q").split()) == 2
    assert cli("images", "-q", "-f", "reference=*/*/other").split() != [short(one)]
    assert cli("images", "-q", "nothing") == ""
    cli("images", "-f", "colour=red", code=1)
    assert "colour" in cli.err


def test_what_lost_its_name_is_shown_when_it_is_asked_for(cli, image):
    one = image("app")
    image("app", {"new": b"1"})
    assert "<untagged>" not in cli("images")
    assert cli("images", "-a").count("<untagged>") == 1
    assert cli("images", "-q", "-f", "dangling=true") == f"{short(one)}\n"
    out = cli("image", "prune", "-f")
    assert out.startswith(f"Deleted Images:\ndeleted: {one}\n")
    assert "Total reclaimed space: " in out
    assert "<untagged>" not in cli("images", "-a")


@pytest.mark.parametrize(("answer", "removes"), [(b"", False), (b"n\n", False), (b"y\n", True)])
def test_a_prune_asks_first(cli, image, answer, removes):
    image("app")
    process = cli.popen("image", "prune", "-a", stdin=subprocess.PIPE)
    out, err = process.communicate(answer)
    assert (process.returncode, b"deleted: " in out) == (0, removes)
    assert err.startswith(b"WARNING! This will remove all images without at least one container")
    assert ("app:latest" in cli("images")) != removes


def test_a_removed_image_tells_what_has_gone(cli, image):
    one = image("app:1")
    cli("tag", "app:1", "team/app:2")
    cli("rmi", one, code=1)
    assert "must be forced" in cli.err
    assert cli("rmi", "team/app:2") == "Untagged: team/app:2\n"
    out = cli("rmi", "nobody", "app:1", code=1)
    assert cli.err == "pyengine: No such image: nobody\n"
    assert out.startswith(f"Untagged: app:1\nDeleted: {one}\n")
    assert cli("image", "rm", "-f", "app:1") == ""
    assert cli.err == "pyengine: No such image: app:1\n"


def test_an_image_in_use_stays(cli, image):
    image("app")
    cli("create", "--name", "user", "app", "true")
    cli("rmi", "app", code=1)
    assert "container" in cli.err
    cli("rm", "user")
    cli("rmi", "app")


def test_an_image_tells_of_itself(cli, image):
    one = image("app:1", labels={"a.b": "c"})
    assert json.loads(cli("image", "inspect", "app:1"))[0]["Id"] == one
    assert cli("inspect", "-f", "{{.Id}} {{index .RepoTags 0}}", "app:1") == f"{one} app:1\n"
    assert cli("inspect", "--type", "image", "-f", '{{index .Config.Labels "a.b"}}', one) == "c\n"
    assert cli("image", "inspect", "app:1", "nobody", "-f", "{{.Os}}", code=1) == "linux\n"
    assert cli.err == "pyengine: No such image: nobody\n"
    cli("inspect", "nobody", "No/Body", code=1)
    assert cli.err == "pyengine: No such object: nobody\npyengine: No such object: No/Body\n"
    assert cli("history", "--format", "{{.ID}} {{.CreatedBy}}", "app:1") == (
        f"{short(one)} layer 1\n<missing> layer 0\n"
    )


def test_a_container_goes_before_an_image_of_its_name(cli, image):
    one = image("web")
    cli("create", "--name", "web", "web", "true")
    assert cli("inspect", "-f", "{{.Image}}", "web") == f"{one}\n"
    assert cli("inspect", "--type", "image", "-f", "{{.Id}}", "web") == f"{one}\n"


def test_an_image_is_run_by_its_name_and_its_id(cli, image):
    one = image("app:1")
    assert cli("run", "--rm", "app:1", "cat", "/note") == "hi\n"
    assert cli("run", "--rm", short(one), "cat", "/note") == "hi\n"
    cli("run", "--rm", "--pull", "never", "nobody", "true", code=125)
    assert cli.err == "pyengine: No such image: nobody\n"


def test_a_container_becomes_an_image(cli, image):
    image("app:1")
    cli("run", "--name", "writer", "app:1", "sh", "-c", "echo new > /note")
    words = ("commit", "-a", "me", "-m", "why", "-c", "ENV A=1", "writer", "app:2")
    made = cli(*words).strip()
    assert made.startswith("sha256:")
    assert cli("run", "--rm", "app:2", "sh", "-c", "cat /note; echo $A") == "new\n1\n"
    assert cli("history", "--format", "{{.Comment}}", "app:2").split("\n")[0] == "why"
    assert cli("image", "inspect", "-f", "{{.Author}}", "app:2") == "me\n"


def test_what_the_disk_holds_is_told(cli, image):
    image("app:1")
    cli("create", "--name", "user", "app:1", "true")
    rows = [line.split() for line in cli("system", "df").split("\n")]
    assert rows[1][:3] == ["Images", "1", "1"]
    assert rows[2][:3] == ["Containers", "1", "0"]
    each = cli("system", "df", "-v")
    assert "app" in each.split("Containers space usage:")[0]
    assert "user" in each.split("Containers space usage:")[1]


def test_a_prune_of_all_takes_containers_and_images(cli, image):
    one = image("app:1")
    cli("run", "--name", "ended", "app:1", "true")
    out = cli("system", "prune", "-a", "-f")
    assert "Deleted Containers:\n" in out
    assert f"deleted: {one}\n" in out
    assert cli.names() == []
    assert cli("images", "-a", "-q") == ""


def test_damage_is_found_and_repaired(cli, image):
    image("app:1")
    assert cli("run", "--rm", "app:1", "cat", "/note") == "hi\n"
    assert cli("system", "check") == "Nothing is wrong\n"
    note = next(
        f"{where}/note" for where, _, files in os.walk(f"{cli.root}/layers") if "note" in files
    )
    with open(note, "w") as file:
        file.write("not what it was\n")
    out = cli("system", "check", code=1)
    assert out.startswith("damaged layer: ")
    assert cli("system", "check", "--quick") == "Nothing is wrong\n"
    (found,) = json.loads(cli("system", "check", "--repair", "--format", "json"))
    assert (found["Kind"], found["Done"]) == ("damaged layer", "unpacked again from its blob")
    assert cli("system", "check") == "Nothing is wrong\n"
    assert cli("run", "--rm", "app:1", "cat", "/note") == "hi\n"
