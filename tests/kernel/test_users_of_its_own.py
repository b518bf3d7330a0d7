"""Containers of root that have users of their own: root inside is nobody outside."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pyengine
from pyengine import InvalidRequest, KernelError, Unsupported
from pyengine.linux import native_mounts
from pyengine.store import id_ranges

pytestmark = pytest.mark.kernel


@pytest.fixture
def engine(tmp_path: Path):
    """An engine whose containers have users of their own by default."""
    with pyengine.Engine(root=tmp_path / "engine", userns="auto") as made:
        yield made


def ids_of(pid: int) -> tuple[int, int]:
    """The host's id of root in the user namespace of *pid*, and how many follow it."""
    inside, outside, size = Path(f"/proc/{pid}/uid_map").read_text().split()
    assert inside == "0"
    return int(outside), int(size)


def ranges_taken() -> set[str]:
    """The first ids of ranges that somebody has on this host."""
    return set(os.listdir(id_ranges.REGISTRY)) if os.path.isdir(id_ranges.REGISTRY) else set()


def pid_of(container: pyengine.Container) -> int:
    return container.inspect().state.pid


# --- who they are ---


def test_root_inside_has_an_id_outside_that_nobody_else_has(engine, image):
    one, other = (engine.start(image, "sleep 100") for _ in range(2))
    (first, size), (second, _) = ids_of(pid_of(one)), ids_of(pid_of(other))
    assert size == 65536
    assert abs(first - second) >= size
    assert min(first, second) >= id_ranges.FIRST
    assert max(first, second) + size - 1 <= id_ranges.LAST
    status = Path(f"/proc/{pid_of(one)}/status").read_text()
    assert f"Uid:\t{first}\t{first}\t{first}\t{first}\n" in status
    assert f"Groups:\t{first} \n" in status


def test_all_its_namespaces_belong_to_its_own_users(engine, image):
    container = engine.start(image, "sleep 100")
    pid = pid_of(container)
    for kind in ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"):
        assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
    # only who is root of the namespaces may do these
    lines = "mount -t tmpfs x /home && ip link set lo mtu 900 && mount -t proc p /home && id -u"
    wishes = {"cap_add": ["SYS_ADMIN", "NET_ADMIN"], "seccomp": "unconfined"}
    told = engine.run(image, ["sh", "-c", lines], **wishes)
    assert told.exit_code == 0, told.stderr
    assert told.stdout == "0\n"


def test_what_the_image_holds_is_its_root_s_and_not_touched(engine, image, rootfs):
    before = os.stat(f"{rootfs}/bin/busybox")
    lines = """stat -c '%u:%g' / /bin/busybox /etc /etc/passwd
        chown app /etc/passwd && stat -c %u /etc/passwd"""
    assert engine.run(image, ["sh", "-c", lines]).stdout.split() == [*["0:0"] * 4, "1000"]
    after = os.stat(f"{rootfs}/bin/busybox")
    assert (before.st_uid, before.st_ctime_ns) == (after.st_uid, after.st_ctime_ns)


def test_what_it_writes_belongs_to_its_ids_outside(engine, image, tmp_path):
    container = engine.start(image, "sleep 100")
    container.exec(["sh", "-c", "touch /mine && touch /apps && chown app:app /apps"]).check()
    first, _ = ids_of(pid_of(container))
    (upper,) = tmp_path.glob("engine/owners/*/*/upper")
    owners = [
        (each.lstat().st_uid - first, each.lstat().st_gid - first)
        for each in (upper, upper / "mine", upper / "apps")
    ]
    assert owners == [(0, 0), (0, 0), (1000, 1000)]
    assert {(str(each.kind), each.path) for each in container.diff()} >= {
        ("A", "/mine"),
        ("A", "/apps"),
    }


def test_its_user_is_the_container_s_own(engine, image):
    container = engine.start(image, "sleep 100", user="app")
    first, _ = ids_of(pid_of(container))
    assert os.stat(f"/proc/{pid_of(container)}").st_uid == first + 1000
    told = container.exec("id").stdout
    assert "uid=1000(app) gid=1000(app)" in told
    assert "44(video)" in told


def test_an_id_beyond_its_range_is_refused_by_name(engine, image):
    with pytest.raises(InvalidRequest, match="70000:0 is not among the ids"):
        engine.run(image, "true", user="70000:0")
    assert engine.containers.list(all=True) == []


def test_it_shows_in_what_inspect_says(engine, image):
    modes = [
        engine.create(image, "true", **wish).inspect().to_docker()["HostConfig"]["UsernsMode"]
        for wish in ({}, {"userns": "auto"}, {"userns": "host"})
    ]
    assert modes == ["auto", "auto", "host"]


# --- what it cannot do ---


def test_files_of_root_s_are_closed_to_its_root(engine, image, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("secret")
    secret.chmod(0o600)
    volumes = [f"{secret}:/secret"]
    assert engine.run(image, "cat /secret", volumes=volumes, userns="host").stdout == "secret"
    told = engine.run(
        image, ["sh", "-c", "id -u; stat -c %u /secret; cat /secret"], volumes=volumes
    )
    assert told.stdout.split() == ["0", "65534"]
    assert "Permission denied" in told.stderr


def test_what_it_makes_in_a_directory_of_the_host_is_nobody_s_there(engine, image, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    lines = "cp /bin/busybox /shared/sh && chmod 4755 /shared/sh"
    assert engine.run(image, ["sh", "-c", lines], volumes=[f"{shared}:/shared"]).exit_code == 0
    assert id_ranges.FIRST <= (shared / "sh").stat().st_uid <= id_ranges.LAST


def test_it_cannot_signal_what_is_not_its_own(engine, image):
    with subprocess.Popen(["sleep", "100"]) as victim:
        try:
            told = engine.run(
                image,
                ["sh", "-c", f"kill -9 {victim.pid}; kill -9 -1; echo on"],
                seccomp="unconfined",
                cap_add=["ALL"],
            )
            assert victim.poll() is None
            assert told.exit_code in (0, 137)
        finally:
            victim.kill()


def test_who_gets_out_is_nobody(engine, image, tmp_path):
    """Its root, shown the host's processes by a /proc of theirs, may do nothing to them."""
    container = engine.start(
        image, "sleep 100", cap_add=["ALL"], seccomp="unconfined", volumes=["/proc:/host"]
    )
    lines = f"cat /host/{os.getpid()}/environ; ls /host/{os.getpid()}/root/; cat /host/1/maps"
    told = container.exec(["sh", "-c", lines])
    assert told.stdout == ""
    assert told.stderr.count("Permission denied") == 3


def test_one_cannot_touch_what_another_has_written(engine, image, tmp_path):
    victim = engine.start(image, "sleep 100")
    victim.exec(["sh", "-c", "umask 077; echo mine > /mine"]).check()
    (upper,) = tmp_path.glob("engine/owners/*/*/upper")
    wishes = {"cap_add": ["ALL"], "seccomp": "unconfined", "volumes": [f"{upper}:/upper"]}
    lines = (
        "cat /upper/mine; echo x > /upper/mine; rm /upper/mine; chown 0 /upper/mine; touch /upper/a"
    )
    told = engine.run(image, ["sh", "-c", lines], **wishes)
    assert told.stdout == ""
    assert len(told.stderr.splitlines()) == 5
    assert victim.exec("cat /mine").stdout == "mine\n"


def test_it_makes_no_device_and_finds_those_that_all_have(engine, image):
    lines = "mknod /x c 1 3; mknod /x b 8 0; echo x > /dev/null && head -c 2 /dev/zero | wc -c"
    told = engine.run(image, ["sh", "-c", lines], cap_add=["MKNOD"])
    assert told.stdout == "2\n"
    assert told.stderr.count("Operation not permitted") == 2


def test_a_device_in_its_image_is_of_no_use(engine, rootfs, tmp_path):
    place = tmp_path / "image"
    shutil.copytree(rootfs, place, symlinks=True)
    os.mknod(place / "zero", 0o20666, os.makedev(1, 5))
    os.chmod(place / "zero", 0o666)
    argv = ["head", "-c", "2", "/zero"]
    assert engine.run(f"rootfs:{place}", argv, userns="host").stdout_bytes == b"\0\0"
    told = engine.run(f"rootfs:{place}", argv)
    assert told.stdout_bytes == b""
    assert "Permission denied" in told.stderr


def test_its_programs_have_docker_s_capabilities_and_filter(engine, image):
    host = engine.run(image, "cat /proc/self/status", userns="host").stdout
    own = engine.run(image, "cat /proc/self/status").stdout
    wanted = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "Seccomp", "NoNewPrivs")
    assert [line for line in host.splitlines() if line.startswith(wanted)] == [
        line for line in own.splitlines() if line.startswith(wanted)
    ]


# --- what works as ever ---


def test_masks_hide_what_they_hide_from_root(engine, image):
    lines = """cat /proc/keys /proc/timer_list; ls /proc/acpi /sys/firmware
        echo 1 > /proc/sys/kernel/panic"""
    told = engine.run(image, ["sh", "-c", lines])
    assert [line for line in told.stdout.splitlines() if line and not line.endswith(":")] == []
    assert told.exit_code != 0


def test_its_streams_are_its_own_also_of_who_joins(engine, image):
    lines = "echo out > /dev/stdout; echo err > /dev/stderr"
    for user in ("", "app"):
        told = engine.run(image, ["sh", "-c", lines], user=user)
        assert (told.stdout, told.stderr) == ("out\n", "err\n")
    container = engine.start(image, "sleep 100")
    for wishes in ({}, {"user": "app"}, {"stdin": b"x\n"}, {"user": "app", "stdin": b"x\n"}):
        told = container.exec(["sh", "-c", f"cat; {lines}"], **wishes)
        expected = "x\nout\n" if "stdin" in wishes else "out\n"
        assert (told.stdout, told.stderr) == (expected, "err\n")


def test_a_terminal_is_the_container_s_own(engine, image):
    lines = "test -t 0 && tty && stat -c %u $(tty)"
    assert engine.run(image, ["sh", "-c", lines], tty=True, user="app").stdout.split() == [
        "/dev/pts/0",
        "1000",
    ]


def test_who_joins_is_who_the_container_is_and_no_more(engine, image):
    container = engine.start(image, "sleep 100")
    first, _ = ids_of(pid_of(container))
    told = container.exec(["sh", "-c", "id; grep -E 'Cap|Seccomp:' /proc/self/status"]).stdout
    assert told.startswith("uid=0(root) gid=0(root) groups=0(root)\n")
    of_first = Path(f"/proc/{pid_of(container)}/status").read_text()
    for line in told.splitlines()[1:]:
        assert line in of_first
    with pyengine.Engine(root=engine.root) as other:  # of another process it is the same
        theirs = other.containers.get(container.id).exec("cat /proc/self/uid_map").stdout
    assert theirs.split() == ["0", str(first), "65536"]


def test_it_starts_again_with_the_same_ids_and_what_it_has_written(engine, image):
    container = engine.start(image, "sleep 100")
    container.exec(["sh", "-c", "umask 077; echo mine > /mine"]).check()
    before = ids_of(pid_of(container))
    container.stop(timeout=0)
    container.start()
    assert ids_of(pid_of(container)) == before
    assert container.exec("cat /mine").stdout == "mine\n"


def test_files_of_its_own_in_memory_and_a_read_only_root(engine, image):
    lines = (
        "touch /run/x && stat -c %u /run/x && ! touch /y && ! touch /etc/hosts && cat /etc/hostname"
    )
    wishes = {"tmpfs": {"/run": "size=1m"}, "read_only": True, "hostname": "box"}
    assert engine.run(image, ["sh", "-c", lines], **wishes).stdout == "0\nbox\n"


def test_a_view_that_is_thrown_away_and_a_bind_that_is_read_only(engine, image, tmp_path):
    place = tmp_path / "place"
    place.mkdir()
    (place / "file").write_text("as it was\n")
    volumes = [f"{place}:/ro:ro", f"{place}:/view:O"]
    lines = "cat /ro/file; ! touch /ro/x; touch /view/x && ls /view"
    told = engine.run(image, ["sh", "-c", lines], volumes=volumes)
    assert told.stdout.split() == ["as", "it", "was", "file", "x"]
    assert os.listdir(place) == ["file"]


def test_limits_are_what_was_asked_for(engine, image):
    wishes = {"memory": "64m", "pids": 20, "ulimits": ["nofile=100:200"], "oom_score_adj": 500}
    lines = "ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj"
    container = engine.start(image, "sleep 100", **wishes)
    assert container.exec(["sh", "-c", lines]).stdout.split() == ["100", "200", "500"]
    assert engine.run(image, ["sh", "-c", lines], **wishes).stdout.split() == ["100", "200", "500"]


def test_the_host_s_network_is_shared_with_a_sys_that_nobody_can_write_to(engine, image):
    told = engine.run(
        image, ["sh", "-c", "readlink /proc/self/ns/net; touch /sys/x"], network="host"
    )
    assert told.stdout.strip() == os.readlink("/proc/self/ns/net")
    assert "Read-only" in told.stderr
    container = engine.start(image, "sleep 100", network="host")
    assert container.exec("true").exit_code == 0


def test_a_privileged_one_may_do_all_to_what_is_its_own(engine, image):
    lines = "mount -t tmpfs x /home && hostname changed && hostname && ls -c1 /dev | wc -l"
    told = engine.run(image, ["sh", "-c", lines], privileged=True)
    assert told.exit_code == 0, told.stderr
    name, devices = told.stdout.split()
    assert name == "changed"
    assert int(devices) > 15


def test_the_host_itself_is_an_image_for_it(engine):
    told = engine.run(
        "host:", ["sh", "-c", "id -u; stat -c %u / /etc/passwd; touch /made && stat -c %u /made"]
    )
    assert told.stdout.split() == ["0"] * 4
    assert not os.path.exists("/made")


def test_it_outlives_its_engine_if_it_shall(tmp_path, image):
    with pyengine.Engine(root=tmp_path / "engine", userns="auto", owner="none") as engine:
        container = engine.start(image, ["sh", "-c", "echo said > /dev/stdout; sleep 100"])
        name = container.id
        before = ids_of(pid_of(container))
    with pyengine.Engine(root=tmp_path / "engine") as engine:
        container = engine.containers.get(name)
        assert container.exec("id -u").stdout == "0\n"
        container.stop(timeout=0)
        assert container.logs() == "said\n"
        container.start()
        assert ids_of(pid_of(container)) == before
        assert str(before[0]) in os.listdir(id_ranges.REGISTRY)
        holders = {os.readlink(f"{id_ranges.REGISTRY}/{name}") for name in ranges_taken()}
        ours = {holder for holder in holders if holder.startswith(str(tmp_path))}
        assert ours == {f"{tmp_path}/engine/owners/none/{name}"}  # and none is the keeper's
        container.remove(force=True)
    assert str(before[0]) not in os.listdir(id_ranges.REGISTRY)


# --- what is refused ---


@pytest.mark.parametrize(
    ("wish", "missing"),
    [
        ({"pid": "host"}, "a /proc of the host's processes"),
        ({"volumes": ["/tmp:/t:rshared"]}, "mounted on the host"),
        ({"userns": "keep-id"}, "root has all ids"),
        ({"userns": "nomap"}, "root has all ids"),
    ],
)
def test_what_takes_the_host_s_users_is_refused_by_name(engine, image, wish, missing):
    with pytest.raises((Unsupported, InvalidRequest)) as refused:
        engine.create(image, "true", **wish)
    assert missing in str(refused.value) or "mount --make-rshared" in str(refused.value)
    assert engine.containers.list(all=True) == []


@pytest.mark.parametrize("kind", ["pid", "ipc"])
@pytest.mark.parametrize(("mine", "theirs"), [("auto", "auto"), ("auto", "host"), ("host", "auto")])
def test_namespaces_of_other_users_are_not_shared(engine, image, kind, mine, theirs):
    other = engine.start(image, "sleep 100", ipc="shareable", userns=theirs)
    with pytest.raises(Unsupported, match="users of its own"):
        engine.run(image, "true", userns=mine, **{kind: f"container:{other.id}"})


def test_files_whose_ids_cannot_be_shown_otherwise_are_named(engine, image, rootfs, tmp_path):
    lower, upper, work, merged = (tmp_path / name for name in ("l", "u", "w", "m"))
    for place in (lower, upper, work, merged):
        place.mkdir()
    options = f"lowerdir={rootfs},upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", merged], check=True)
    try:
        with pytest.raises(Unsupported, match=f"files on overlay, as at {merged}"):
            engine.create(f"rootfs:{merged}", "true")
        assert engine.containers.list(all=True) == []
        assert engine.run(f"rootfs:{merged}", "true", userns="host").exit_code == 0
    finally:
        subprocess.run(["umount", merged], check=True)


def test_whether_it_can_be_had_is_found_out_by_trying(engine, tmp_path, monkeypatch):
    assert engine.capabilities()["own-ids"].works

    def refuse(*_):
        raise KernelError(errno.EINVAL, "map the ids of a mount")

    monkeypatch.setattr(native_mounts, "map_ids", refuse)  # as a file system does that cannot
    with pyengine.Engine(root=tmp_path / "other") as other:
        found = other.capabilities()["own-ids"]
    assert not found.works
    assert f"at {tmp_path}/other" in found.why
    assert "userns='host'" in found.remedy


# --- ranges ---


def test_ranges_are_given_back_by_who_closes_and_for_who_is_killed(tmp_path, image):
    code = f"""
import os, pyengine, sys
engine = pyengine.Engine(root={str(tmp_path / "engine")!r}, userns="auto")
container = engine.start({image!r}, "sleep 100")
print(open(f"/proc/{{container.inspect().state.pid}}/uid_map").read().split()[1], flush=True)
sys.stdin.read()
"""
    before = ranges_taken()
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        taken = owner.stdout.readline().strip()
        assert taken in os.listdir(id_ranges.REGISTRY)
        owner.kill()
    with pyengine.Engine(root=tmp_path / "engine", userns="auto") as engine:
        assert engine.containers.list(all=True) == []
        assert taken not in os.listdir(id_ranges.REGISTRY)
        engine.run(image, "true")
        assert ranges_taken() > before
    assert ranges_taken() == before


def test_a_range_that_became_another_s_is_not_used(tmp_path, image):
    with pyengine.Engine(root=tmp_path / "engine", userns="auto", owner="none") as engine:
        container = engine.create(image, "true")
        (first,) = (
            int(name)
            for name in os.listdir(id_ranges.REGISTRY)
            if os.readlink(f"{id_ranges.REGISTRY}/{name}").endswith(container.id)
        )
        link = f"{id_ranges.REGISTRY}/{first}"
        os.unlink(link)
        container.start()  # nobody has it: it is taken back
        assert container.wait().exit_code == 0
        os.unlink(link)
        other = tmp_path / "other/owners/none" / ("a" * 64)
        other.mkdir(parents=True)
        os.symlink(other, link)
        with pytest.raises(pyengine.EngineError, match="another container has its ids"):
            container.start()
        other.rmdir()
        container.remove()
        id_ranges.sweep()
        assert not os.path.lexists(link)
