"""Lines 4 and 5: whatever an image puts where the engine mounts or writes, nothing leads out.

All of it rests on resolve.c: each path of a container is opened with RESOLVE_IN_ROOT and
RESOLVE_NO_MAGICLINKS, and mounted on by descriptor. With plain open(2) there, these tests fail.
"""

from __future__ import annotations

import json
import os
from contextlib import closing
from functools import partial

import pytest
from docker_defaults import MASKED
from hostile import Canary, attempt, leaks_of, put_link, small_root

from pyengine import InvalidRequest, Result
from pyengine.errors import EngineError

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]


def targets(canary: Canary, place: str) -> dict[str, str]:
    """Where a link at *place* may lead."""
    return {
        "a directory of the host": f"{canary.path}/directory",
        "a file of the host": f"{canary.path}/file",
        "out by dots": f"{'../' * 30}{canary.path[1:]}/directory",
        "nowhere on the host": f"{canary.path}/missing/below",
        "nowhere": "nowhere/at/all",
        "itself": place,
        "the root": "/",
        "a magic link": "/proc/self/root/tmp",
        "a descriptor": "/proc/self/fd/0",
        "another process": "/proc/1/cwd",
        "proc": "/proc",
        "sys": "/sys/kernel",
        "shm": "/dev/shm",
        "a file of the image": "/bin/busybox",
    }


PLACES: dict[str, dict[str, object]] = {
    "/proc": {},
    "/dev": {},
    "/sys": {},
    "/etc": {},
    "/etc/hosts": {},
    "/etc/hostname": {},
    "/etc/resolv.conf": {},
    "/etc/mtab": {},
    "/.dockerenv": {},
    "/dev/pts": {},
    "/dev/shm": {},
    "/dev/console": {"tty": True},
    "/etc/passwd": {"user": "app"},
    "/etc/group": {"user": "0:video"},
    "/work": {"workdir": "/work"},
    "/work/above": {"workdir": "/work/above/below"},
    "/secret": {"masked_paths": [*MASKED, "/secret"]},
    "/locked": {"readonly_paths": ["/proc/sys", "/proc/irq", "/locked"]},
    "/opt/node": {"devices": ["/dev/null:/opt/node"]},
    "/memory": {"tmpfs": {"/memory": "size=1m"}},
    "/memory/above": {"tmpfs": {"/memory/above/below": "size=1m"}},
    "/data": {"volumes": ["SOURCE:/data"]},
    "/data/above": {"volumes": ["SOURCE:/data/above/below"]},
    "/file": {"volumes": ["SOURCE/inner:/file"]},
    "/view": {"mounts": ["type=overlay,source=SOURCE,target=/view"]},
}


def asked(options: dict[str, object], source: str) -> dict[str, object]:
    text = json.dumps(options).replace("SOURCE", source)
    found: dict[str, object] = json.loads(text)
    return found


@pytest.mark.parametrize("place", PLACES)
def test_a_link_in_the_image_never_leads_out(engine, rootfs, tmp_path, place):
    canary = Canary.make(tmp_path / "canary")
    source = tmp_path / "source"
    source.mkdir()
    (source / "inner").write_text("given\n")
    options = asked(PLACES[place], str(source))
    outcomes: dict[str, Result | EngineError] = {}
    for number, (kind, target) in enumerate(targets(canary, place).items()):
        root = small_root(rootfs, tmp_path / f"root{number}")
        put_link(root, place, target)
        image = f"rootfs:{root}"
        read = "" if "tty" in options else f"head -c 99 {place} {place}/secret {place}/file;"
        look = ["sh", "-c", f"busybox {read} ls {place}/"]
        run = partial(engine.run, image, look, timeout=60, **options)
        outcome = outcomes[kind] = attempt(run)
        assert canary.is_untouched, kind
        if isinstance(outcome, Result):
            assert "do not tell" not in outcome.stdout, kind
            assert "the host's own" not in outcome.stdout, kind
            assert leaks_of(engine, image, **options) == [], kind
        else:
            assert len(str(outcome)) > 20, kind
        assert canary.is_untouched, kind
    assert engine.containers.list(all=True) == []
    assert sorted(os.listdir(source)) == ["inner"]
    assert (source / "inner").read_text() == "given\n"


def test_a_link_that_leads_somewhere_inside_is_followed_there(engine, rootfs, tmp_path):
    # refusing every link would be safe, and no image with /var/run would run
    root = small_root(rootfs, tmp_path / "root")
    put_link(root, "/data", "/real")
    put_link(root, "/work", "made/by/us")
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "inner").write_text("given\n")
    told = engine.run(
        f"rootfs:{root}",
        ["sh", "-c", "cat /real/inner; pwd"],
        volumes=[f"{tmp_path}/source:/data"],
        workdir="/work",
    )
    assert told.stdout == "given\n/made/by/us\n"
    assert not os.path.exists(f"{root}/real")
    assert not os.path.exists(f"{root}/made")


@pytest.mark.parametrize("kind", ["a volume", "a tmpfs"])
def test_a_link_in_one_mount_does_not_lead_into_another(engine, image, tmp_path, kind):
    # line 5: a source whose link names the next mount's target must not move it out
    canary = Canary.make(tmp_path / "canary")
    source = tmp_path / "source"
    source.mkdir()
    (source / "out").symlink_to(f"{canary.path}/directory")
    (source / "up").symlink_to("../../../../../..")
    second = {"/outer/out/x": "size=1m"} if kind == "a tmpfs" else {}
    volumes = [f"{source}:/outer", f"{canary.path}/directory:/inner:ro"]
    if kind == "a volume":
        volumes.append(f"{source}:/outer/out/x")
    outcome = attempt(
        lambda: engine.run(image, ["ls", "/outer"], volumes=volumes, tmpfs=second or None)
    )
    assert canary.is_untouched
    assert sorted(os.listdir(source)) == ["out", "up"]
    assert isinstance(outcome, Result | EngineError)


def test_mount_points_that_are_made_are_made_in_the_container(engine, rootfs, tmp_path):
    # CVE-2024-45310: empty files and directories appeared on the host
    canary = Canary.make(tmp_path / "canary")
    root = small_root(rootfs, tmp_path / "root")
    before = sorted(os.listdir(root))
    (tmp_path / "source").mkdir()
    told = engine.run(
        f"rootfs:{root}",
        ["ls", "-d", f"{canary.path}/missing/a", "/b/c"],
        volumes=[f"{tmp_path}/source:{canary.path}/missing/a"],
        tmpfs=["/b/c"],
    )
    assert told.exit_code == 0
    assert canary.is_untouched
    assert sorted(os.listdir(root)) == before


def test_a_mount_on_the_root_or_of_a_file_on_a_directory_is_refused(engine, image, tmp_path):
    (tmp_path / "file").write_text("")
    for volumes in ([f"{tmp_path}:/"], [f"{tmp_path}/file:/bin"], [f"{tmp_path}:/bin/busybox"]):
        with pytest.raises(InvalidRequest):
            engine.run(image, "true", volumes=volumes)
    assert engine.containers.list(all=True) == []


# --- what a container lays for those who come later ---


def replaced(engine, rootfs, tmp_path, script, **options):
    """A container that has spoilt its own root, and goes on."""
    root = small_root(rootfs, tmp_path / "root")
    command = ["sh", "-c", f"{script}; echo spoilt; exec sleep 1000"]
    container = engine.start(f"rootfs:{root}", command, **options)
    with closing(container.follow_logs(timeout=20)) as lines:
        # rm says so where /dev/null is a mount, which cannot be spoilt at all
        assert any("spoilt" in str(line) for line in lines)
    return container


@pytest.mark.parametrize(
    "spoil",
    [
        "rm -f /dev/null; ln -s /etc/passwd /dev/null",
        "rm -f /dev/null; ln -s /proc/1/fd/1 /dev/null",
        "rm -f /dev/null; mkdir /dev/null",
        "rm -f /dev/null; busybox mkfifo /dev/null",
        "rm -f /dev/null; busybox mknod /dev/null c 1 5",
        "rm -f /dev/null",
    ],
)
def test_who_joins_reads_nothing_from_a_null_device_that_is_none(engine, rootfs, tmp_path, spoil):
    # step_null_stdin's check of the device number
    container = replaced(engine, rootfs, tmp_path, spoil)
    told = container.exec(["cat"], timeout=20)
    assert (told.exit_code, told.stdout_bytes) == (0, b"")


def test_who_joins_with_a_terminal_gets_one_of_a_devpts(engine, rootfs, tmp_path):
    # open_ptmx's check of the file system
    script = "rm -f /dev/ptmx /dev/tty; ln -s /etc/passwd /dev/ptmx; ln -s /etc/passwd /dev/tty"
    container = replaced(engine, rootfs, tmp_path, script)
    process = container.popen(["busybox", "tty"], tty=True)
    output = process.stdout.read()
    assert process.wait(timeout=20).exit_code == 0
    process.close()
    assert output == b"/dev/pts/0\r\n"


def test_a_place_for_terminals_that_is_none_is_refused(engine, image):
    container = engine.start(image, ["sleep", "1000"], tmpfs=["/dev/pts"])
    for node in ("busybox mknod /dev/pts/ptmx c 5 2", "ln -s /dev/zero /dev/pts/ptmx"):
        container.exec(["sh", "-c", f"busybox rm -f /dev/pts/ptmx; {node}"])
        with pytest.raises(EngineError, match="terminal"):
            container.popen(["true"], tty=True)


@pytest.mark.parametrize("to", ["/proc/self/fd/3", "/proc/self/root", "/proc/1/cwd", "/gone", "/w"])
def test_a_working_directory_that_became_a_link_out_is_refused(engine, rootfs, tmp_path, to):
    # CVE-2024-21626: chdir after the container is entered, and its result looked at
    script = f"cd /; busybox rmdir /w; ln -s {to} /w"
    container = replaced(engine, rootfs, tmp_path, script, workdir="/w")
    with pytest.raises(InvalidRequest) as caught:
        container.exec(["busybox", "pwd"])
    assert caught.value.what == "workdir"


def test_accounts_that_became_a_link_are_the_container_s(engine, rootfs, tmp_path):
    canary = Canary.make(tmp_path / "canary")
    stranger = "stranger:x:4711:4711::/:/bin/sh\n"
    (tmp_path / "canary" / "passwd").write_text(stranger)
    script = f"rm /etc/passwd; ln -s {canary.path}/passwd /etc/passwd"
    container = replaced(engine, rootfs, tmp_path, script)
    with pytest.raises(InvalidRequest, match="stranger"):
        container.exec("id", user="stranger")
    inside = f"mkdir -p {canary.path}; echo 'stranger:x:12:34::/in:/bin/sh' > {canary.path}/passwd"
    assert container.exec(["sh", "-c", inside]).exit_code == 0
    assert container.exec("id -u", user="stranger").stdout == "12\n"
    assert (tmp_path / "canary" / "passwd").read_text() == stranger
