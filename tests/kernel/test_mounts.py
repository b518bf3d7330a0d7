"""What of the host a container sees, where, and whether it may write there; what it has changed."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
from shells import ready, said
from support.whoever import IS_ROOT

from pyengine import InvalidRequest, Unsupported, bind, image_mount, overlay, tmpfs, volume

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]


@pytest.fixture
def shared(tmp_path):
    """A directory of the host with a file in it."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/file").write_text("the host's\n")
    return tmp_path / "shared"


def given():
    """What tests.tiers has mounted, for who may mount nothing."""
    shared = Path(os.environ["PYENGINE_GIVEN"], "shared")
    (shared / "below/deep").write_text("deep\n")
    yield shared
    for path in (shared / "below").iterdir():
        path.unlink()


@pytest.fixture
def mounted(shared):
    """The same with another file system on ``shared/below``; both propagate to who asks."""
    if not IS_ROOT:
        yield from given()
        return
    (shared / "below").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "below", shared / "below"], check=True)
    (shared / "below/deep").write_text("deep\n")
    yield shared
    subprocess.run(["umount", "-l", shared / "below"], check=True)


def options_of(engine, image, target, **options):
    """The words that /proc/mounts has for what is mounted on *target*."""
    line = said(engine, image, f"grep ' {target} ' /proc/mounts | tail -n 1", **options)
    return set(line.split()[3].split(","))


# --- binds (C90, C92, pitfall 19) ---


def test_a_bind_is_the_same_directory(engine, image, shared):
    # C90, C92
    script = "cat /data/file; echo inside > /data/new; stat -c %i /data"
    for asked in ({"mounts": [bind(shared, "/data")]}, {"volumes": [f"{shared}:/data"]}):
        told = said(engine, image, script, **asked).split()
        assert told == ["the", "host's", str(os.stat(shared).st_ino)]
        assert (shared / "new").read_text() == "inside\n"


def test_a_bind_may_be_of_a_file(engine, image, shared):
    script = "cat /etc/passwd; echo more >> /etc/passwd"
    told = said(engine, image, script, volumes=[f"{shared}/file:/etc/passwd"])
    assert told == "the host's\n"
    assert (shared / "file").read_text() == "the host's\nmore\n"


def test_a_read_only_bind_takes_no_writes(engine, image, shared):
    # C90, C92
    script = "(: > /data/new) 2>/dev/null && echo written; cat /data/file"
    for asked in (
        {"mounts": [bind(shared, "/data", read_only=True)]},
        {"volumes": [f"{shared}:/data:ro"]},
        {"mounts": [f"type=bind,source={shared},target=/data,readonly"]},
    ):
        assert said(engine, image, script, **asked) == "the host's\n"
    assert not (shared / "new").exists()


def test_a_missing_source_is_made_by_v_and_refused_by_mount(engine, image, tmp_path):
    # C90, C92, pitfall 19
    with pytest.raises(InvalidRequest, match="bind source path does not exist"):
        engine.create(image, mounts=[bind(tmp_path / "gone", "/data")])
    assert engine.run(image, "true", volumes=[f"{tmp_path}/made/deep:/data"])
    found = os.stat(tmp_path / "made/deep")
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o755, os.geteuid())
    assert engine.run(image, "true", mounts=[bind(tmp_path / "too", "/x", create_source=True)])
    assert (tmp_path / "too").is_dir()


def test_a_source_that_goes_before_the_start_is_named(engine, image, shared):
    # C92
    container = engine.create(image, "true", mounts=[bind(shared / "file", "/data")])
    (shared / "file").unlink()
    with pytest.raises(InvalidRequest, match="bind source path does not exist"):
        container.start()


def test_mount_points_are_made_where_the_image_has_none(engine, image, rootfs, shared):
    # C90
    volumes = [f"{shared}:/a/b/c", f"{shared}/file:/x"]
    told = said(engine, image, "cat /a/b/c/file /x", volumes=volumes)
    assert told == "the host's\n" * 2
    assert not os.path.exists(f"{rootfs}/a")


def test_parents_are_mounted_before_their_children_in_whatever_order(engine, image, tmp_path):
    (tmp_path / "outer/inner").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").write_text("other\n")
    mounts = [bind(tmp_path / "other", "/data/inner"), bind(tmp_path / "outer", "/data")]
    assert said(engine, image, "cat /data/inner/file", mounts=mounts) == "other\n"
    with pytest.raises(InvalidRequest, match="Duplicate mount point"):
        engine.create(image, mounts=[mounts[0], tmpfs("/data/inner")])


@pytest.mark.parametrize(
    ("recursive", "below"),
    [(True, "there"), ("readonly", "there"), ("writable", "there written"), (False, "")],
)
def test_read_only_goes_down_as_far_as_it_was_asked_to(engine, image, mounted, recursive, below):
    # pitfall 19: recursive unless told otherwise
    script = """
    test -e /data/below/deep && echo there; (: > /data/below/new) 2>/dev/null && echo written; true
    """
    mount = bind(mounted, "/data", read_only=True, recursive=recursive)
    assert " ".join(said(engine, image, script, mounts=[mount]).split()) == below


@pytest.mark.root_only("what others mount later is seen by whom root lets see it")
def test_what_the_host_mounts_later_arrives_only_where_it_was_asked_to(engine, image, tmp_path):
    # C90: rprivate unless told otherwise
    (tmp_path / "shared/later").mkdir(parents=True)
    top = tmp_path / "shared"
    subprocess.run(["mount", "--bind", top, top], check=True)
    subprocess.run(["mount", "--make-shared", top], check=True)
    try:
        modes = {"rprivate": False, "rslave": True, "rshared": True}
        containers = {
            mode: engine.start(image, "sleep 99", volumes=[f"{top}:/data:{mode}"]) for mode in modes
        }
        subprocess.run(["mount", "-t", "tmpfs", "later", top / "later"], check=True)
        seen = {
            mode: " /data/later " in container.exec("cat /proc/mounts").stdout
            for mode, container in containers.items()
        }
        assert seen == modes
        for container in containers.values():
            container.remove(force=True)
    finally:
        subprocess.run(["umount", "-R", top], check=True)


def test_what_the_container_mounts_never_arrives_at_the_host(engine, image, tmp_path):
    before = open_mounts()
    script = "mkdir -p /data/x && mount -t tmpfs x /data/x && mount -t tmpfs y /mnt"
    container = ready(
        engine,
        image,
        f"mkdir /mnt; {script}; echo ready; sleep 99",
        privileged=True,
        volumes=[f"{tmp_path}:/data"],
    )
    assert "/data/x" in container.exec("cat /proc/mounts").stdout
    assert open_mounts() == before


def open_mounts():
    with open("/proc/self/mountinfo") as file:
        return len(file.readlines())


# --- file systems in memory (C93, C45) ---


def test_a_tmpfs_is_empty_private_and_quiet(engine, image):
    # C93
    told = options_of(engine, image, "/tmp", tmpfs={"/tmp": ""})
    assert {"rw", "nosuid", "nodev", "noexec"} <= told
    script = "ls -A /home | wc -l; stat -c %a /home; df -k /home | tail -n 1"
    told = said(engine, image, script, tmpfs={"/home": "size=1m,mode=750"}).split()
    assert (told[0], told[1], told[3]) == ("0", "750", "1024")
    assert said(engine, image, "stat -c %a /x", mounts=[tmpfs("/x")]) == "1777\n"


def test_the_words_of_a_tmpfs_are_the_user_s_over_docker_s(engine, image):
    # C93
    script = "cp /bin/busybox /x/sh; /x/sh -c 'echo runs' || true"
    assert said(engine, image, script, tmpfs={"/x": "exec"}) == "runs\n"
    assert said(engine, image, f"({script}) 2>/dev/null", tmpfs=["/x"]) == ""
    told = options_of(engine, image, "/x", tmpfs={"/x": "ro,suid,noatime"})
    assert {"ro", "nodev", "noexec", "noatime"} <= told
    assert "nosuid" not in told
    with pytest.raises(InvalidRequest):
        engine.create(image, tmpfs={"/x": "nonesuch=1"})


def test_what_is_in_memory_is_gone_with_each_run(engine, image):
    # C93
    container = engine.create(image, ["sh", "-c", "ls /x; : > /x/new"], tmpfs={"/x": ""})
    for _ in range(2):
        container.start()
        assert container.wait(timeout=10).exit_code == 0
    assert container.logs() == ""


# --- throw-away views ---


def test_an_overlay_shows_the_host_s_directory_and_keeps_what_is_written(engine, image, shared):
    mount = overlay(shared, "/data")
    script = "cat /data/file; echo mine > /data/file; cat /data/file; rm /data/file; : > /data/new"
    assert said(engine, image, script, mounts=[mount]) == "the host's\nmine\n"
    assert said(engine, image, script, volumes=[f"{shared}:/data:O"]) == "the host's\nmine\n"
    assert (shared / "file").read_text() == "the host's\n"
    assert os.listdir(shared) == ["file"]


# --- what a user's mount replaces (C73, C74) ---


def test_a_user_s_mount_replaces_the_engine_s(engine, image, shared):
    # C73
    told = said(engine, image, "cat /dev/shm/file; ls /dev/shm", volumes=[f"{shared}:/dev/shm"])
    assert told == "the host's\nfile\n"
    options = {"tmpfs": {"/dev": "", "/sys": ""}, "volumes": [f"{shared}/file:/etc/hosts"]}
    assert said(engine, image, "ls /dev /sys; cat /etc/hosts", **options).split() == [
        *("/dev:", "/sys:", "the", "host's")
    ]


@pytest.mark.parametrize("target", ["/", "/proc", "/proc/sys", "relative", "", "/a\0b"])
def test_a_mount_where_none_may_be_is_refused(engine, image, shared, target):
    with pytest.raises(InvalidRequest):
        engine.create(image, volumes={str(shared): target})


def test_what_only_other_versions_mount_is_unsupported(engine, image):
    for mount in (volume("data", "/data"), image_mount("alpine", "/alpine")):
        with pytest.raises(Unsupported):
            engine.create(image, mounts=[mount])


def test_the_files_of_names_are_the_container_s_own(engine, image):
    # C07, C102
    script = "cd /etc; cat hostname; grep -c other hosts; cat resolv.conf; echo x >> hosts"
    told = said(
        engine,
        image,
        script,
        hostname="box",
        extra_hosts=["other:10.0.0.9"],
        dns=["9.9.9.9"],
        dns_search=["example.org"],
        dns_options=["ndots:2"],
    )
    assert told.splitlines() == [
        *("box", "1", "nameserver 9.9.9.9", "search example.org", "options ndots:2")
    ]
    host = engine.run(image, "cat /etc/hosts", network="host").stdout
    with open("/etc/hosts") as file:
        assert host.rstrip() == file.read().rstrip()


# --- what it has changed (O23) ---


def changes(container):
    return {change.path: str(change.kind) for change in container.diff()}


def test_changes_are_those_of_the_container_and_of_nobody_else(engine, image, shared):
    # O23, C74: neither the mounts nor what every container is given
    script = """
    mkdir -p /new/deep; echo x > /new/deep/file; echo x >> /etc/passwd; rm /etc/group; rm -r /home
    echo x > /data/mine; echo x > /mem/mine; echo x >> /etc/hosts; ln -s /x /tmp/link
    """
    container = engine.create(
        image, ["sh", "-c", script], volumes=[f"{shared}:/data"], tmpfs={"/mem": ""}
    )
    assert changes(container) == {}
    container.start()
    assert container.wait(timeout=10).exit_code == 0
    assert changes(container) == {
        "/etc": "C",
        "/etc/group": "D",
        "/etc/passwd": "C",
        "/home": "D",
        "/new": "A",
        "/new/deep": "A",
        "/new/deep/file": "A",
        "/tmp": "C",
        "/tmp/link": "A",
    }


def test_a_directory_that_was_replaced_hides_what_was_in_it(engine, image):
    # O23
    script = "rm -r /home; mkdir /home; : > /home/new; rm /bin/wc; mkdir /bin/wc"
    container = engine.start(image, ["sh", "-c", script])
    container.wait(timeout=10)
    assert changes(container) == {
        "/bin": "C",
        "/bin/wc": "C",
        "/home": "C",
        "/home/app": "D",
        "/home/new": "A",
    }


def test_changes_can_be_asked_for_while_they_are_made(engine, image):
    # O23
    container = ready(engine, image, ": > /one; echo ready; sleep 99")
    assert changes(container) == {"/one": "A"}
    container.exec(["sh", "-c", ": > /two"]).check()
    assert changes(container) == {"/one": "A", "/two": "A"}
    assert container.diff()[0].to_docker() == {"Path": "/one", "Kind": 1}
