"""Images on the command line come from a real registry and from archives, and go there."""

import gzip
import json
import subprocess

import pytest
from support.images import put_image, tar_of, tar_of_directory
from support.registries import PASSWORD, USER, running_registry

import pyengine

pytestmark = pytest.mark.kernel
pytest_plugins = ("command_line",)


@pytest.fixture(scope="module")
def base(rootfs):
    """The busybox system, as a layer."""
    return tar_of_directory(rootfs)


@pytest.fixture(autouse=True)
def _credentials(monkeypatch, tmp_path):
    """Nobody's credentials are used, and none are kept but here."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.delenv("DOCKER_AUTH_CONFIG", raising=False)


@pytest.fixture
def offered(registry, base, request):
    """A function that puts an image of busybox and a note into the registry, and names it."""
    repository = f"team/{request.node.name.replace('_', '-').split('[')[0]}"

    def put(tag="1", note=b"hi\n"):
        layers = [gzip.compress(base, mtime=0), gzip.compress(tar_of({"note": note}), mtime=0)]
        made = registry.put_image(repository, tag, layers)
        return f"{registry.address}/{repository}:{tag}", made

    return put


def test_an_image_that_is_not_here_is_pulled_and_run(cli, offered):
    name, made = offered()
    assert cli("run", "--rm", name, "cat", "/note") == "hi\n"
    lines = cli.err.split("\n")
    assert lines[0] == f"Unable to find image '{name}' locally"
    assert lines[1] == f"1: Pulling from {name.partition('/')[2].removesuffix(':1')}"
    layers = [digest.partition(":")[2][:12] for digest in made.layers]
    for layer in layers:
        said = [line.partition(": ")[2] for line in lines if line.startswith(layer)]
        assert said[0] == "Pulling fs layer"
        assert said[-1] == "Pull complete"
    assert lines[-3:] == [
        f"Digest: {made.digest}",
        f"Status: Downloaded newer image for {name}",
        "",
    ]
    assert cli("images", "-q", "--no-trunc") == f"{made.config}\n"


def test_what_is_here_is_run_without_its_registry(cli, base, tmp_path):
    with running_registry(tmp_path / "registry") as registry:
        name = f"{registry.address}/app:1"
        registry.put_image("app", "1", [gzip.compress(base)])
        assert cli("run", "-q", "--rm", name, "echo", "hi") == "hi\n"
        assert cli.err == ""
    assert cli("run", "--rm", name, "echo", "hi") == "hi\n"
    assert cli.err == ""
    cli("run", "--rm", "--pull", "always", name, "echo", "hi", code=125)
    assert name.partition("/")[0] in cli.err


def test_a_pull_tells_what_docker_s_tells(cli, offered):
    name, made = offered("latest")
    bare = name.removesuffix(":latest")
    out = cli("pull", bare).split("\n")
    assert out[0] == "Using default tag: latest"
    assert out[1] == f"latest: Pulling from {bare.partition('/')[2]}"
    status = f"Status: Downloaded newer image for {name}"
    assert out[-4:] == [f"Digest: {made.digest}", status, name, ""]
    again = cli("pull", name).split("\n")[1:]
    status = f"Status: Image is up to date for {name}"
    assert again == [f"Digest: {made.digest}", status, name, ""]
    assert cli("pull", "-q", f"{bare}@{made.digest}") == f"{bare}@{made.digest}\n"


def test_a_tag_that_moved_is_pulled_again(cli, offered):
    name, _ = offered()
    cli("pull", "-q", name)
    offered(note=b"new\n")
    assert cli("run", "--rm", name, "cat", "/note") == "hi\n"
    assert cli("run", "--rm", "--pull", "always", name, "cat", "/note") == "new\n"
    assert "Unable to find" not in cli.err
    assert "Downloaded newer image" in cli.err


def test_every_tag_comes_where_all_are_asked_for(cli, offered):
    name, _ = offered("1")
    offered("2", note=b"two\n")
    bare = name.removesuffix(":1")
    assert cli("pull", "-q", "-a", bare) == f"{bare}\n"
    assert sorted(cli("images", "--format", "{{.Tag}}").split()) == ["1", "2"]


def test_what_a_registry_does_not_have_is_said(cli, registry, offered):
    name, _ = offered()
    cli("pull", "-q", f"{name}23", code=1)
    assert f"{name}23" in cli.err
    cli("run", "--rm", f"{registry.address}/nobody/nothing", "true", code=125)
    assert "Unable to find image" in cli.err
    assert cli("run", "--rm", "--platform", "linux/amd64", name, "cat", "/note") == "hi\n"
    wrong = ("--platform", "linux/riscv64", "--pull", "always")
    cli("run", "--rm", *wrong, name, "true", code=125)
    assert "linux/riscv64" in cli.err


def test_a_push_tells_what_docker_s_tells(cli, registry, base):
    with pyengine.Engine(cli.root) as engine:
        made = put_image(engine, "app:1", base)
    name = f"{registry.address}/sent/app:1"
    cli("push", name, code=1)
    assert "No such image" in cli.err
    cli("tag", "app:1", name)
    lines = cli("push", name).split("\n")
    digest, size = made.manifest.digest, made.manifest.size
    layer = made.manifest.layers[0].digest.partition(":")[2][:12]
    assert lines[0] == f"The push refers to repository [{name.removesuffix(':1')}]"
    assert f"{layer}: Preparing" in lines
    assert f"{layer}: Pushed" in lines
    assert lines[-2:] == [f"1: digest: {digest} size: {size}", ""]
    assert f"{layer}: Layer already exists" in cli("push", name).split("\n")
    assert cli("push", "-q", name) == f"{name}\n"
    assert registry.tags("sent/app") == ["1"]


def test_all_tags_of_a_repository_are_pushed_where_that_is_asked_for(cli, registry, base):
    bare = f"{registry.address}/pushed/all"
    with pyengine.Engine(cli.root) as engine:
        put_image(engine, f"{bare}:1", base)
    cli("tag", f"{bare}:1", f"{bare}:2")
    cli("push", "-q", "-a", bare)
    assert sorted(registry.tags("pushed/all")) == ["1", "2"]


def test_what_a_container_has_become_is_pushed_and_pulled_elsewhere(cli, registry, base, tmp_path):
    with pyengine.Engine(cli.root) as engine:
        put_image(engine, "app:1", base)
    cli("run", "--name", "writer", "app:1", "sh", "-c", "echo new > /note")
    name = f"{registry.address}/pushed/written:1"
    cli("commit", "writer", name)
    cli("push", "-q", name)
    with pyengine.Engine(tmp_path / "elsewhere") as other:
        assert other.run(name, "cat /note", progress="none").stdout == "new\n"


def test_who_has_logged_in_may_pull(cli, base, tmp_path):
    with running_registry(tmp_path / "registry", basic=True) as registry:
        name = f"{registry.address}/app:1"
        registry.put_image("app", "1", [gzip.compress(base)])
        cli("pull", name, code=1)
        assert "pyengine login" in cli.err
        assert _login(cli, registry.address, b"wrong")[0] == 1
        assert not (tmp_path / "docker").exists() or not _kept(tmp_path)
        code, out, err = _login(cli, registry.address, PASSWORD.encode() + b"\n")
        assert (code, out, err) == (0, b"Login Succeeded\n", b"")
        assert [*_kept(tmp_path)] == [registry.address]
        cli("pull", "-q", name)
        known = f"Removing login credentials for {registry.address}\n"
        assert cli("logout", registry.address) == known
        assert cli("logout", registry.address) == f"Not logged in to {registry.address}\n"
        cli("run", "--rm", "--pull", "always", name, "true", code=125)


def _login(cli, address, password):
    words = ("login", "-u", USER, "--password-stdin", address)
    process = cli.popen(*words, stdin=subprocess.PIPE)
    out, err = process.communicate(password)
    assert PASSWORD.encode() not in out + err
    return process.returncode, out, err


def _kept(directory):
    return json.loads((directory / "docker" / "config.json").read_text())["auths"]


# --- archives ---


def test_what_is_saved_is_loaded_under_its_names(cli, base, tmp_path):
    with pyengine.Engine(cli.root) as engine:
        one = put_image(engine, "app:1", base)
    cli("tag", "app:1", "team/other:2")
    archive = str(tmp_path / "images.tar")
    assert cli("save", "-o", archive, "app:1", "team/other:2") == ""
    cli("rmi", "-f", one.id)
    assert sorted(cli("load", "-i", archive).splitlines()) == [
        "Loaded image: app:1",
        "Loaded image: team/other:2",
    ]
    cli("save", "-o", archive, one.id)
    cli("rmi", "-f", one.id)
    assert cli("load", "-q", "-i", archive) == f"Loaded image ID: {one.id}\n"
    assert cli("run", "--rm", one.id, "echo", "hi") == "hi\n"


def test_an_archive_may_come_and_go_through_a_pipe(cli, base):
    with pyengine.Engine(cli.root) as engine:
        put_image(engine, "app:1", base)
    process = cli.popen("save", "app:1")
    archive, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    cli("rmi", "app:1")
    process = cli.popen("load", stdin=subprocess.PIPE)
    out, err = process.communicate(gzip.compress(archive, 1))
    assert (process.returncode, out, err) == (0, b"Loaded image: app:1\n", b"")
    process = cli.popen("load", stdin=subprocess.PIPE)
    out, err = process.communicate(b"no archive at all")
    assert (process.returncode, out) == (1, b"")
    assert err.startswith(b"pyengine: ")


def test_a_file_system_becomes_an_image(cli, base, tmp_path):
    archive = tmp_path / "root.tar"
    archive.write_bytes(base)
    made = cli("import", "-c", 'CMD ["echo", "hi"]', "-m", "mine", str(archive), "made:1")
    assert made.startswith("sha256:")
    assert cli("run", "--rm", "made:1") == "hi\n"
    assert cli("history", "--format", "{{.Comment}}", "made:1") == "mine\n"
    process = cli.popen("import", "-", stdin=subprocess.PIPE)
    out, _ = process.communicate(base)
    assert process.returncode == 0
    assert cli("run", "--rm", out.decode().strip(), "echo", "hi") == "hi\n"


def test_an_image_is_run_right_out_of_an_archive(cli, base, tmp_path):
    with pyengine.Engine(cli.root) as engine:
        put_image(engine, "app:1", base)
    archive = str(tmp_path / "app.tar")
    cli("save", "-o", archive, "app:1")
    cli("rmi", "app:1")
    assert cli("run", "--rm", f"docker-archive:{archive}", "echo", "hi") == "hi\n"
    assert "Unable to find" not in cli.err
