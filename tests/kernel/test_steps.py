"""The steps of a plan against roots that somebody hostile has laid out, and what they leave."""

from __future__ import annotations

import errno
import os
import re
import stat
import struct
from pathlib import Path

import pytest
from attrs import evolve
from support.births import (
    ENV,
    FRESH,
    LEAVE,
    MASKED,
    PROC,
    READONLY,
    House,
    joining,
    mount,
    run,
    running,
)

from pyengine.containers.identity import Identity
from pyengine.linux import capabilities, native, native_joiner
from pyengine.linux.cgroup import Cgroup, Hierarchy
from pyengine.linux.plan import Plan, Step, texts
from pyengine.model.mounts import Mount, MountKind, Recursion
from pyengine.model.spec import Namespaces, Resources, Security, Ulimit

pytestmark = pytest.mark.kernel

DEVICES = {"full", "null", "random", "tty", "urandom", "zero"}


@pytest.fixture
def house(rootfs, tmp_path):
    return House(str(tmp_path / "roots"), rootfs)


@pytest.fixture
def joiner():
    made = native_joiner.Joiner()
    yield made
    made.close()


@pytest.fixture
def layer(tmp_path):
    """What an image puts on top of its root: a directory to fill."""
    made = tmp_path / "layer"
    made.mkdir()
    return made


@pytest.fixture
def secret(tmp_path):
    """A directory of the host with a file in it, to be found unchanged afterwards."""
    place = tmp_path / "secret"
    place.mkdir()
    (place / "file").write_text("the host's")
    yield place
    assert sorted(os.listdir(place)) == ["file"]
    assert (place / "file").read_text() == "the host's"


def link(layer, name, target):
    path = layer / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


# --- what a container is made of ---


def test_a_default_container_is_what_docker_makes(house, joiner):
    seen = run(house.container("/bin/probe"), joiner=joiner).probe
    default = f"{capabilities.mask(capabilities.DEFAULT):x}"
    assert seen["capabilities"] == {
        "effective": default, "permitted": default, "bounding": default,
        "inheritable": "0", "ambient": "0", "securebits": 0,
    }  # fmt: skip
    here = {name: os.readlink(f"/proc/self/ns/{name}") for name in seen["namespaces"]}
    assert [name for name in here if here[name] == seen["namespaces"][name]] == ["user"]
    assert (seen["pid"], seen["ppid"], seen["pgid"], seen["sid"]) == (1, 0, 1, 1)
    assert (seen["umask"], seen["cwd"], seen["hostname"]) == (0o022, "/", "box")
    assert (seen["no_new_privs"], seen["seccomp"]["mode"], seen["oom_score_adj"]) == (0, 2, 0)
    assert [fd["fd"] for fd in seen["fds"]] == [0, 1, 2]
    assert seen["signals"] == {"blocked": [], "ignored": []}
    assert (seen["loopback"], seen["links"]) == (1, ["lo"])
    assert seen["environment"] == [*ENV, "HOME=/"]


def test_its_devices_are_docker_s_and_no_others(house, joiner):
    seen = run(house.container("/bin/probe"), joiner=joiner).probe
    found = {device["name"]: device for device in seen["dev"]}
    assert {name for name in found if found[name]["type"] == "c"} == {*DEVICES, "pts/ptmx"}
    assert all(found[name]["mode"] == 0o666 for name in DEVICES)
    assert {name: found[name]["rdev"] for name in DEVICES} == {
        "null": "1:3",
        "zero": "1:5",
        "full": "1:7",
        "random": "1:8",
        "urandom": "1:9",
        "tty": "5:0",
    }
    assert not [name for name in found if found[name]["type"] == "b"]
    assert found["ptmx"]["link"] == "pts/ptmx"


def test_its_mounts_tell_nothing_of_the_host(house, joiner, tmp_path):
    seen = run(house.container("/bin/probe"), joiner=joiner).probe
    for line in seen["mounts"]:
        assert str(tmp_path) not in line
        root, where = line.split()[3:5]
        assert root == "/" or where.startswith(("/proc/", "/etc/", "/dev/")), line
    # nothing is left below it either
    assert [line.split()[4] for line in seen["mounts"]].count("/") == 1


def test_masked_paths_hold_nothing_and_take_nothing(house, joiner):
    seen = run(house.container("/bin/probe"), joiner=joiner).probe
    masked = {path: seen["paths"][path] for path in MASKED if seen["paths"][path]["type"]}
    assert {"/proc/keys", "/proc/interrupts", "/sys/firmware"} <= set(masked)
    for path, found in masked.items():
        if found["type"] == "d":
            assert (found["entries"], found["write"]) == (0, -errno.EROFS), path
        else:
            assert (found["type"], found["rdev"], found["read"]) == ("c", "1:3", 0), path
    for path in READONLY:
        found = seen["paths"][path]
        # /proc/sys lets not even root write to its directories
        assert found["type"] is None or found["write"] in (-errno.EROFS, -errno.EACCES), path
    assert seen["paths"]["/proc/sys/kernel/core_pattern"]["write"] == -errno.EROFS
    assert seen["paths"]["/sys"]["write"] == -errno.EROFS


def test_its_cgroup_namespace_begins_at_its_own_cgroups(house, joiner):
    # CVE-2022-0492's neighbourhood: what is above them is not even named
    cgroup = Cgroup.create(Hierarchy.probe(), "0" * 60, Resources(memory=64 << 20))
    tasks, v2 = cgroup.join_fds(), cgroup.v2_fd()
    try:
        around = {"fds": tuple(tasks), "tasks": len(tasks), "cgroup": -1 if v2 is None else v2}
        seen = run(house.container("/bin/probe", around=around), joiner=joiner).probe
    finally:
        for fd in (*tasks, *([] if v2 is None else [v2])):
            os.close(fd)
        cgroup.remove()
        Hierarchy.probe().tidy()
    assert {line.split(":", 2)[2] for line in seen["cgroup"]} == {"/"}


def test_its_root_is_all_there_is(house, joiner):
    script = "ls /; cd ..; pwd; ls /proc/1/root; cat /proc/1/mountinfo | wc -l"
    ran = run(house.container("sh", "-c", script), joiner=joiner)
    assert ran.words[:-1].count("bin") == 2
    assert "work" not in ran.words


def test_a_read_only_root_is_read_only_and_its_mounts_are_not(house, joiner):
    security = Security(read_only=True)
    script = """
        touch /x 2>&1; touch /etc/x 2>&1; echo x >> /etc/hosts 2>&1; touch /dev/shm/x && echo shm"""
    ran = run(house.container("sh", "-c", script, security=security), joiner=joiner)
    said = ran.stdout + ran.stderr
    assert said.count(b"Read-only file system") == 3
    assert b"shm\n" in said


def test_names_limits_and_the_working_directory_are_as_told(house, joiner):
    plan = house.container(
        "/bin/probe",
        hostname="name",
        domainname="a.domain",
        workdir="/made/for/it",
        ulimits=(Ulimit("nofile", 100, 200), Ulimit("core", 0, -1)),
        oom_score_adj=77,
    )
    seen = run(plan, joiner=joiner).probe
    assert (seen["hostname"], seen["domainname"], seen["cwd"]) == (
        "name",
        "a.domain",
        "/made/for/it",
    )
    assert (seen["rlimits"]["nofile"], seen["rlimits"]["core"]) == ([100, 200], [0, -1])
    assert seen["oom_score_adj"] == 77


def test_a_user_has_its_ids_and_groups_and_no_capabilities(house, joiner):
    identity = Identity(1000, 2**32 - 2, (2**32 - 2, 44, 2**31), "/home/app")
    plan = house.container("/bin/probe", around={"identity": identity})
    seen = run(plan, joiner=joiner).probe
    assert seen["ids"]["uid"] == [1000] * 4
    assert seen["ids"]["gid"] == [2**32 - 2] * 4
    assert sorted(seen["ids"]["groups"]) == sorted(identity.groups)
    sets = seen["capabilities"]
    assert [sets[name] for name in ("effective", "permitted", "inheritable", "ambient")] == [
        "0"
    ] * 4
    assert sets["bounding"] == f"{capabilities.mask(capabilities.DEFAULT):x}"
    assert "HOME=/home/app" in seen["environment"]


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("strict", [False, True])
def test_the_filter_is_in_place_whoever_it_is(house, joiner, uid, strict):
    plan = house.container(
        "/bin/probe",
        around={"identity": Identity(uid, uid, (uid,))},
        security=Security(no_new_privileges=strict),
    )
    seen = run(plan, joiner=joiner).probe
    assert (seen["seccomp"]["mode"], seen["no_new_privs"]) == (2, int(strict))
    assert seen["seccomp"]["calls"]["socket(AF_ALG)"] == errno.EPERM
    assert seen["seccomp"]["calls"]["socket(AF_INET)"] == 0
    status = dict(line.split(":", 1) for line in seen["status"])
    assert status["Seccomp_filters"].strip() == "1"


def test_a_user_may_write_to_the_streams_it_is_given(house, joiner):
    script = "echo one > /dev/stdout; echo two > /proc/self/fd/2"
    around = {"identity": Identity(1000, 1000, (1000,))}
    ran = run(house.container("sh", "-c", script, around=around), joiner=joiner)
    assert (ran.stdout, ran.stderr) == (b"one\n", b"two\n")


def test_its_keyring_is_its_own(house, joiner):
    open_to_all = Security(seccomp=None)
    rings = {
        run(house.container("/bin/probe", security=open_to_all), joiner=joiner).probe[
            "session_keyring"
        ]
        for _ in range(2)
    }
    libc = __import__("ctypes").CDLL(None)
    ours = libc.syscall(250, 0, -3, 0)  # keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING)
    assert len(rings) == 2
    assert ours not in rings


def test_without_input_it_reads_its_own_null_device(house, joiner):
    seen = run(house.container("/bin/probe"), joiner=joiner).probe
    assert seen["fds"][0]["link"] == "/dev/null"
    assert run(house.container("cat", open_stdin=True), b"given", joiner=joiner).stdout == b"given"


def test_its_terminal_is_of_its_own_and_we_hold_the_other_end(house, joiner):
    plan = house.container("/bin/probe", tty=True, console_size=(25, 81))
    with running(plan, joiner=joiner) as child:
        said = b""
        try:
            while chunk := os.read(child.terminal, 65536):
                said += chunk
        except OSError as error:
            if error.errno != errno.EIO:
                raise
    seen = __import__("json").loads(said)
    assert [(fd["fd"], fd["link"]) for fd in seen["fds"]] == [(n, "/dev/pts/0") for n in range(3)]
    assert seen["tty"] == "/dev/pts/0"
    console = next(device for device in seen["dev"] if device["name"] == "console")
    assert console["rdev"] == "136:0"


# --- roots laid out by somebody hostile ---


@pytest.mark.parametrize(
    "name", ["proc", "dev", "sys", "etc", "etc/hosts", "dev/shm", "sys/fs/cgroup"]
)
def test_a_link_where_we_mount_leads_nowhere_outside(house, joiner, layer, secret, name):
    # CVE-2021-30465, CVE-2025-31133, -52565: each to the host's directory, by name and upwards
    for target in (str(secret), "../" * 20 + str(secret)[1:]):
        path = layer / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target)
        ran = run(house.container("true", lowers=(str(layer),)), joiner=joiner)
        # it starts with everything inside, or not at all: `secret` sees that nothing got out
        assert ran.failure is None or ran.failure.step is not None


def test_a_link_for_dev_makes_nodes_inside_only(house, joiner, layer, secret):
    # CVE-2026-41579: device nodes made on the host
    link(layer, "dev", str(secret))
    ran = run(house.container("sh", "-c", "ls -la /dev/", lowers=(str(layer),)), joiner=joiner)
    assert ran.failure is None
    assert b"null" in ran.stdout


@pytest.mark.parametrize("name", ["proc", "dev", "sys", "etc/hosts"])
def test_links_in_a_circle_stop_it(house, joiner, layer, name):
    link(layer, name, f"/{name}")
    ran = run(house.container("true", lowers=(str(layer),)), joiner=joiner)
    assert ran.failure.errno == errno.ELOOP


@pytest.mark.parametrize("name", ["proc", "dev", "sys"])
def test_a_file_where_a_directory_is_needed_stops_it(house, joiner, layer, name):
    (layer / name).write_text("not a directory")
    ran = run(house.container("true", lowers=(str(layer),)), joiner=joiner)
    assert ran.failure.errno == errno.ENOTDIR


@pytest.mark.parametrize("name", ["dev", "sys", "etc/hosts"])
def test_magic_links_are_refused(house, joiner, layer, name):
    # /proc is mounted by then, so they would lead somewhere: to the host
    link(layer, name, "/proc/self/cwd")
    ran = run(house.container("true", lowers=(str(layer),)), joiner=joiner)
    assert ran.failure.errno == errno.ELOOP


def test_names_that_are_links_to_nowhere_are_made_inside(house, joiner, layer, tmp_path):
    # as /etc/resolv.conf of every Debian with systemd; here in three steps, two of them dangling
    link(layer, "etc/resolv.conf", "../run/systemd/resolve/stub.conf")
    link(layer, "run/systemd/resolve", "/var/lib/stubs")
    link(layer, "etc/hosts", f"{tmp_path}/hosts")
    ran = run(
        house.container("sh", "-c", "cat /etc/resolv.conf /etc/hosts", lowers=(str(layer),)),
        joiner=joiner,
    )
    assert ran.stdout == b"nameserver 192.0.2.1\n127.0.0.1\tlocalhost\n"
    assert not (tmp_path / "hosts").exists()


def test_links_that_dangle_without_end_stop_it(house, joiner, layer):
    for n in range(60):
        link(layer, f"etc/link{n}", f"link{n + 1}")
    link(layer, "etc/hosts", "link0")
    ran = run(house.container("true", lowers=(str(layer),)), joiner=joiner)
    assert ran.failure.errno == errno.ELOOP


def test_a_path_that_is_too_long_stops_it(house, joiner):
    place = "/" + "/".join("x" * 200 for _ in range(19))
    assert run(house.container("pwd", workdir=place), joiner=joiner).words == [place]
    ran = run(house.container("true", workdir="/y" * 2000 + place), joiner=joiner)
    assert ran.failure.errno == errno.ENAMETOOLONG


@pytest.mark.parametrize(
    ("workdir", "error"),
    [
        ("/proc/self/fd/0", errno.ELOOP),
        ("/proc/self/cwd", errno.ELOOP),
        ("/proc/1/root", errno.ELOOP),
        ("/leak", errno.ELOOP),
        ("/etc/passwd", errno.ENOTDIR),
        ("/etc/passwd/below", errno.ENOTDIR),
        ("/proc/nothing", errno.ENOENT),
    ],
)
def test_no_working_directory_leads_out_or_is_no_directory(house, joiner, layer, workdir, error):
    # CVE-2024-21626: a directory of the host that was left open
    link(layer, "leak", "/proc/self/fd/5")
    ran = run(house.container("pwd", workdir=workdir, lowers=(str(layer),)), joiner=joiner)
    assert (ran.failure.errno, ran.failure.step.op) == (error, "chdir")


def test_a_working_directory_behind_a_link_is_made_inside(house, joiner, layer, secret):
    # CVE-2026-55686
    link(layer, "srv", str(secret))
    ran = run(house.container("pwd", workdir="/srv/app", lowers=(str(layer),)), joiner=joiner)
    assert ran.failure is None
    assert ran.words[0].endswith("/secret/app")


@pytest.mark.parametrize("what", ["link", "file", "other device", "directory"])
def test_nothing_of_the_image_s_is_taken_for_the_null_device(house, joiner, layer, what):
    # CVE-2025-31133: /proc/kcore behind a "mask" that is a link
    (layer / "dev").mkdir()
    null = layer / "dev" / "null"
    if what == "link":
        null.symlink_to("/proc/kcore")
    elif what == "file":
        null.write_text("")
    elif what == "directory":
        null.mkdir()
    else:
        os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    seen = run(house.container("/bin/probe", lowers=(str(layer),)), joiner=joiner).probe
    for path in ("/proc/keys", "/proc/interrupts", "/dev/null"):
        assert (seen["paths"][path]["rdev"], seen["paths"][path]["read"]) == ("1:3", 0)


@pytest.mark.parametrize("path", ["/etc/null", "/etc", "/etc/zero"])
def test_what_is_not_the_null_device_masks_nothing(house, joiner, layer, path):
    (layer / "etc").mkdir()
    (layer / "etc" / "null").symlink_to("/dev/null")
    os.mknod(layer / "etc" / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    host = f"{layer}{path}"
    ran = run(house.plan("true", steps=(Step("null", source=host),)), joiner=joiner)
    assert (ran.failure.errno, ran.failure.step.op) == (errno.ENODEV, "null")


def test_a_mask_behind_a_link_covers_what_the_link_leads_to(house, joiner, layer):
    link(layer, "secrets", "/etc/passwd")
    (layer / "vault").mkdir()
    (layer / "vault" / "gold").touch()
    security = Security(masked_paths=("/secrets", "/vault", "/not-there", "/etc/passwd/x"))
    seen = run(
        house.container(
            "/bin/probe", "/etc/passwd", "/vault", lowers=(str(layer),), security=security
        ),
        joiner=joiner,
    ).probe
    assert seen["paths"]["/etc/passwd"]["rdev"] == "1:3"
    assert (seen["paths"]["/vault"]["entries"], seen["paths"]["/vault"]["write"]) == (
        0,
        -errno.EROFS,
    )


def test_no_mount_of_the_image_s_gets_between_us_and_proc(house, joiner, layer, tmp_path):
    # CVE-2019-16884, CVE-2025-52881: a volume behind a link into /proc, in our process's place
    fake = tmp_path / "volume"
    fake.mkdir()
    (fake / "oom_score_adj").write_text("")
    link(layer, "data", "/proc/self")
    bind = Step("bind", "/data", source=str(fake), kind="rprivate")
    write = Step("proc_write", "oom_score_adj", data=b"500", flags=3)
    plan = Plan(("true",), ENV, (*house.root(str(layer)), PROC, bind, *LEAVE, write), FRESH)
    ran = run(plan, joiner=joiner)
    assert (ran.failure.errno, ran.failure.step) == (errno.EXDEV, write)
    assert (fake / "oom_score_adj").read_text() == ""


@pytest.mark.parametrize(
    ("op", "path"),
    [
        ("sysctl", "../sysrq-trigger"),
        ("sysctl", "../../etc/hosts"),
        ("sysctl", "/etc/hosts"),
        ("proc_write", "../sys/kernel/hostname"),
        ("proc_write", "root/etc/hosts"),
        ("proc_write", "fd/1"),
        ("proc_write", "cwd/etc/hosts"),
    ],
)
def test_nothing_is_written_but_below_our_part_of_proc(house, joiner, op, path):
    ran = run(house.plan("true", steps=(Step(op, path, data=b"b", flags=1),)), joiner=joiner)
    assert (ran.failure.errno, ran.failure.step.op) in ((errno.EXDEV, op), (errno.ELOOP, op))


def test_a_sysctl_is_set_in_its_own_namespace(house, joiner):
    before = Path("/proc/sys/net/ipv4/ip_forward").read_text()
    plan = house.container(
        "cat",
        "/proc/sys/net/ipv4/ip_forward",
        security=Security(sysctls=(("net.ipv4.ip_forward", "1"),)),
    )
    assert run(plan, joiner=joiner).words == ["1"]
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == before


# --- mounts ---


def bind(source, target, **more):
    return Mount(MountKind.BIND, target, str(source), **more)


def test_a_bind_shows_the_host_s_directory_and_only_what_it_is_allowed_to(house, joiner, tmp_path):
    for name in ("open", "closed"):
        (tmp_path / name).mkdir()
    mounts = (
        bind(tmp_path / "open", "/open"),
        bind(tmp_path / "closed", "/closed", read_only=True),
    )
    script = "touch /open/made && echo made; touch /closed/made 2>&1"
    ran = run(house.container("sh", "-c", script, mounts=mounts), joiner=joiner)
    assert (tmp_path / "open" / "made").exists()
    assert os.listdir(tmp_path / "closed") == []
    assert b"Read-only file system" in ran.stdout


@pytest.mark.parametrize(
    ("recursive", "writable"),
    [
        (Recursion.READONLY, False),
        (Recursion.READONLY_IF_POSSIBLE, False),
        (Recursion.WRITABLE, True),
        (Recursion.DISABLED, None),
    ],
)
def test_read_only_goes_down_as_far_as_it_is_told(house, joiner, tmp_path, recursive, writable):
    # a mount below the source, made in a namespace of its own: tests mount nothing on the host
    source = tmp_path / "source"
    (source / "below").mkdir(parents=True)
    below = mount("tmpfs", "", "mode=777")
    plan = house.container(
        "true", mounts=(bind(source, "/data", read_only=True, recursive=recursive),)
    )
    steps = list(plan.steps)
    at = next(i for i, step in enumerate(steps) if step.op == "slave") + 1
    steps[at:at] = [below, Step("root", target=str(source / "below"))]
    script = (
        "touch /data/below/x && echo yes || echo no; grep -c ' /data/below ' /proc/self/mountinfo"
    )
    ran = run(evolve(plan, argv=("sh", "-c", script), parts=tuple(steps)), joiner=joiner)
    there = "0" if writable is None else "1"
    assert ran.words == ["yes" if writable else "no", there]


def test_a_bind_lands_where_the_image_s_links_lead_inside(house, joiner, layer, tmp_path, secret):
    (tmp_path / "volume").mkdir()
    link(layer, "data", str(secret))
    mounts = (bind(tmp_path / "volume", "/data/deep/er"),)
    script = "touch /data/deep/er/made; ls -d /data/deep/er/made"
    ran = run(
        house.container("sh", "-c", script, mounts=mounts, lowers=(str(layer),)), joiner=joiner
    )
    assert (ran.failure, ran.words) == (None, ["/data/deep/er/made"])
    assert (tmp_path / "volume" / "made").exists()


def test_a_file_lands_on_a_file_and_a_directory_on_a_directory(house, joiner, tmp_path):
    (tmp_path / "file").write_text("content")
    (tmp_path / "directory").mkdir()
    mounts = (bind(tmp_path / "file", "/new/place/for/it"),)
    ran = run(house.container("cat", "/new/place/for/it", mounts=mounts), joiner=joiner)
    assert ran.stdout == b"content"
    for source, target in (("file", "/etc"), ("directory", "/etc/passwd")):
        ran = run(house.container("true", mounts=(bind(tmp_path / source, target),)), joiner=joiner)
        assert (ran.failure.errno, ran.failure.step.op) == (errno.ENOTDIR, "bind")


def test_a_user_s_dev_replaces_ours_and_masks_hold_all_the_same(house, joiner, tmp_path):
    (tmp_path / "dev").mkdir()
    mounts = (bind(tmp_path / "dev", "/dev"),)
    seen = run(house.container("/bin/probe", mounts=mounts), joiner=joiner).probe
    assert seen["dev"] == []
    for path in ("/proc/keys", "/proc/interrupts"):
        assert (seen["paths"][path]["rdev"], seen["paths"][path]["read"]) == ("1:3", 0)


def test_a_tmpfs_has_its_size_and_its_flags(house, joiner):
    tmpfs = Mount(MountKind.TMPFS, "/scratch", options=("size=1m", "mode=700", "noexec", "nosuid"))
    script = """
        grep ' /scratch ' /proc/self/mountinfo; stat -c %a /scratch
        dd if=/dev/zero of=/scratch/x bs=64k count=32 2>&1"""
    ran = run(house.container("sh", "-c", script, mounts=(tmpfs,)), joiner=joiner)
    assert re.search(rb"nosuid.*noexec.*size=1024k", ran.stdout)
    assert b"\n700\n" in ran.stdout
    assert b"No space left" in ran.stdout


def test_an_option_the_kernel_does_not_know_is_its_step_s_failure(house, joiner):
    tmpfs = Mount(MountKind.TMPFS, "/scratch", options=("levitate=yes",))
    ran = run(house.container("true", mounts=(tmpfs,)), joiner=joiner)
    assert (ran.failure.errno, ran.failure.step.target) == (errno.EINVAL, "/scratch")


def test_another_s_shared_memory_is_shared(house, joiner):
    with running(house.container("sleep", "60"), joiner=joiner) as first:
        around = {"fds": (first.pidfd,), "ipc_target": 1}
        shared = Namespaces(ipc="container:first")
        write = house.container(
            "sh", "-c", "echo hello > /dev/shm/x", around=dict(around), namespaces=shared
        )
        assert run(write, joiner=joiner).failure is None
        ran = run(joining(first, "cat", "/dev/shm/x"), joiner=joiner)
        assert ran.stdout == b"hello\n"
        read = house.container("/bin/probe", around=dict(around), namespaces=shared)
        seen = run(read, joiner=joiner).probe
        assert seen["namespaces"]["ipc"] == os.readlink(f"/proc/{first.pid}/ns/ipc")
        assert seen["namespaces"]["mnt"] != os.readlink(f"/proc/{first.pid}/ns/mnt")


def test_what_another_has_put_in_the_place_of_its_shared_memory_is_not_taken(house, joiner):
    mounts = (bind("/sys", "/dev/shm"),)
    with running(house.container("sleep", "60", mounts=mounts), joiner=joiner) as first:
        around = {"fds": (first.pidfd,), "ipc_target": 1}
        shared = Namespaces(ipc="container:first")
        ran = run(house.container("true", around=around, namespaces=shared), joiner=joiner)
    assert (ran.failure.errno, ran.failure.step.op) == (errno.EINVAL, "borrow")


def test_a_shared_pid_namespace_is_shared_and_the_rest_is_not(house, joiner):
    with running(house.container("sleep", "77"), joiner=joiner) as first:

        def beside(*argv):
            around = {"pid_target": first.pidfd}
            shared = Namespaces(pid="container:first")
            return run(house.container(*argv, around=around, namespaces=shared), joiner=joiner)

        seen = beside("/bin/probe").probe
        assert seen["namespaces"]["pid"] == os.readlink(f"/proc/{first.pid}/ns/pid")
        for name in ("mnt", "net", "uts", "ipc"):
            assert seen["namespaces"][name] != os.readlink(f"/proc/{first.pid}/ns/{name}")
        assert seen["pid"] > 1
        # and its /proc tells of these processes, of no others
        ran = beside("sh", "-c", "echo /proc/[0-9]*; readlink /proc/self; cat /proc/1/cmdline")
        assert ran.failure is None
        *processes, itself, command = ran.words
        assert (len(processes), processes[0], command) == (2, "/proc/1", "sleep\x0077\0")
        assert 1 < int(itself) < 100


def test_what_another_has_put_in_the_place_of_its_proc_is_not_taken(house, joiner):
    # procfs it is, but not all of it; and no procfs at all
    for source in ("/proc/sys", "/sys"):
        mounts = (bind(source, "/proc"),)
        with running(house.container("sleep", "60", mounts=mounts), joiner=joiner) as first:
            plan = house.container(
                "true",
                around={"pid_target": first.pidfd},
                namespaces=Namespaces(pid="container:first"),
            )
            ran = run(plan, joiner=joiner)
        assert (ran.failure.errno, ran.failure.step.op) == (errno.EINVAL, "borrow")


# --- bare steps ---


def test_a_directory_is_made_above_what_is_mounted(house, joiner):
    steps = (
        mount("tmpfs", "/a/b/c"),
        Step("mkdir", "d", flags=0o700),
        Step("symlink", "l", source="d"),
    )
    write = Step("write", "d/file", data=b"text", flags=4)
    script = "cat /a/b/c/l/file; stat -c %a /a/b/c/d"
    ran = run(house.plan("sh", "-c", script, steps=(*steps, write)), joiner=joiner)
    assert ran.words == ["text700"]


def test_a_file_is_never_written_through_what_is_there(house, joiner):
    steps = (
        mount("tmpfs", "/a"),
        Step("symlink", "link", source="/etc/passwd"),
        Step("write", "link", data=b"x", flags=1),
    )
    assert run(house.plan("true", steps=steps), joiner=joiner).failure.errno == errno.EEXIST


def test_a_file_system_that_is_full_says_so(house, joiner):
    steps = (mount("tmpfs", "/a", "size=4k"), Step("write", "f", data=b"x" * 9000, flags=9000))
    assert run(house.plan("true", steps=steps), joiner=joiner).failure.errno == errno.ENOSPC


def test_an_empty_name_is_a_name_too(house, joiner):
    steps = (Step("hostname", source=""), Step("bind", "/a", source="/tmp"))
    assert run(house.plan("true", steps=steps), joiner=joiner).failure is None


def test_capabilities_are_never_inheritable_nor_ambient(house, joiner):
    few = capabilities.mask(("CAP_CHOWN", "CAP_KILL"))
    steps = (*LEAVE, Step("bound", flags=few), Step("caps", flags=few))
    plan = Plan(("/bin/probe",), ENV, (*house.root(), PROC, *steps), FRESH)
    sets = run(plan, joiner=joiner).probe["capabilities"]
    assert sets["effective"] == sets["permitted"] == sets["bounding"] == f"{few:x}"
    assert sets["inheritable"] == sets["ambient"] == "0"


def test_a_limit_of_the_kernel_is_told(house, joiner):
    step = Step("rlimit", fd=7, data=struct.pack("=2Q", 20, 10), doing="limit nofile")
    ran = run(house.plan("true", steps=(step,)), joiner=joiner)
    assert ran.failure == native.Failure(errno.EINVAL, step)


def test_a_host_program_with_few_descriptors_left_is_told(house):
    # what comes with a request is too much for the joiner then
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/self/fd"))
    made = native_joiner.Joiner()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(used + 20, 8), hard))
        assert run(house.plan("true"), joiner=made).failure is None
        few = struct.pack("=2Q", 7, 7)
        steps = (Step("rlimit", fd=7, data=few), mount("tmpfs", "/tmp"))
        ran = run(house.plan("true", steps=steps), joiner=made)
        assert ran.failure.errno == errno.EMFILE
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        made.close()


def test_layers_of_an_image_are_in_their_order(house, joiner, tmp_path):
    for n, name in enumerate(("top", "middle")):
        (tmp_path / name / "etc").mkdir(parents=True)
        (tmp_path / name / "etc" / f"only{n}").write_text(name)
        (tmp_path / name / "etc" / "both").write_text(name)
    lowers = (str(tmp_path / "top"), str(tmp_path / "middle"))
    ran = run(
        house.container("sh", "-c", "cat /etc/both; ls /etc/only*", lowers=lowers), joiner=joiner
    )
    assert ran.words == ["top/etc/only0", "/etc/only1"]
    assert texts(lowers)
