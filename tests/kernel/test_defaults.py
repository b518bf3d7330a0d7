"""A container that asked for nothing finds what Docker gives, and nothing more."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from docker_defaults import (
    BOUND,
    CAPABILITIES,
    DEVICE_LINKS,
    DEVICE_NODES,
    MASKED,
    MOUNTS,
    READONLY,
    mask_of,
    mounts_of,
)
from support.whoever import IS_ROOT, OWNERS

from pyengine import Engine

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]

PROBE = ["/bin/probe"]


def look(engine, image, **options):
    """What the probe sees in a new container."""
    return json.loads(engine.run(image, PROBE, **options).check().stdout)


def look_joined(engine, image, **options):
    """What it sees when it joins one that runs."""
    container = engine.start(image, ["sleep", "1000"], **options)
    return json.loads(container.exec(PROBE, check=True).stdout)


LOOKS = {"run": look, "exec": look_joined}


@pytest.fixture(scope="module")
def views(tmp_path_factory, image):
    """The probe's answers in a default container, as its program and as one that joins."""
    with Engine(tmp_path_factory.mktemp("defaults")) as engine:
        return {way: see(engine, image) for way, see in LOOKS.items()}


@pytest.fixture(params=LOOKS)
def seen(request, views):
    return views[request.param]


# --- who it is ---


def test_it_has_docker_s_14_capabilities_and_none_to_inherit(seen):
    # C51; line 6 of the threats: compile's "bound" and "caps" steps
    mask = mask_of(CAPABILITIES)
    assert len(CAPABILITIES) == 14
    assert {name: int(bits, 16) for name, bits in list(seen["capabilities"].items())[:5]} == {
        "effective": mask,
        "permitted": mask,
        "bounding": mask,
        "inheritable": 0,
        "ambient": 0,
    }
    assert seen["capabilities"]["securebits"] == 0


def test_its_root_is_whoever_started_it_and_in_group_0_alone(engine, seen):
    ids = seen["ids"]
    groups = [0] if "subids" in engine.capabilities() else []  # who has one id changes none
    assert (ids["uid"], ids["gid"], ids["groups"]) == ([0] * 4, [0] * 4, groups)
    for name, who in (("uid_map", os.geteuid()), ("gid_map", os.getegid())):
        assert ids[name][0].split()[:2] == ["0", str(who)]
        if IS_ROOT:
            assert ids[name] == Path(f"/proc/self/{name}").read_text().splitlines()


def test_every_namespace_but_the_user_s_is_its_own(seen):
    host = {name: os.readlink(f"/proc/self/ns/{name}") for name in seen["namespaces"]}
    shared = {name for name, link in seen["namespaces"].items() if link == host[name]}
    assert shared == ({"user"} if IS_ROOT else set())


def test_its_processes_are_alone_and_number_from_1(views):
    run, joined = views["run"], views["exec"]
    assert (run["pid"], run["ppid"], run["pgid"], run["sid"]) == (1, 0, 1, 1)
    assert joined["pid"] == joined["pgid"] == joined["sid"] > 1
    assert joined["ppid"] == 0


def test_new_privileges_are_not_forbidden_unless_asked(engine, image, seen):
    # C53: docker's daemon default
    assert seen["no_new_privs"] == 0
    for see in LOOKS.values():
        assert see(engine, image, no_new_privileges=True)["no_new_privs"] == 1
        assert see(engine, image, security_opt=["no-new-privileges"])["no_new_privs"] == 1


def test_it_is_dumpable_as_any_program_and_not_scored_for_the_oom_killer(seen):
    assert seen["dumpable"] == 1
    assert seen["personality"] == 0
    assert seen["oom_score_adj"] == 0


# --- what it was given ---


def test_its_environment_is_made_from_nothing(seen):
    # C04
    assert seen["environment"] == [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        f"HOSTNAME={seen['hostname']}",
        "HOME=/root",
    ]


def test_it_has_three_descriptors_and_its_input_is_its_own_null_device(seen):
    # line 2: close_range but for 0 to 2
    assert [one["fd"] for one in seen["fds"]] == [0, 1, 2]
    assert [one["flags"] & os.O_ACCMODE for one in seen["fds"]] == [2, 1, 1]
    assert seen["fds"][0]["link"] == "/dev/null"
    assert all(one["link"].startswith("pipe:") for one in seen["fds"][1:])


def test_an_input_of_its_own_is_a_pipe(engine, image):
    told = json.loads(engine.run(image, PROBE, stdin=b"words").check().stdout)
    assert told["fds"][0]["link"].startswith("pipe:")
    assert [one["fd"] for one in told["fds"]] == [0, 1, 2]


def test_signals_umask_directory_and_names_are_the_defaults(seen):
    assert seen["signals"] == {"blocked": [], "ignored": []}
    assert seen["umask"] == 0o022
    assert seen["cwd"] == "/"
    assert len(seen["hostname"]) == 12
    assert seen["domainname"] == "(none)"
    assert seen["tty"] is None


@pytest.mark.parametrize("way", LOOKS)
def test_nothing_of_the_host_program_s_own_state_comes_along(engine, image, way, monkeypatch):
    # docker's exec inherits what its daemon's starter ignored; spawn.c's restore_signals,
    # "umask", and an environment built from nothing keep it out
    monkeypatch.setenv("HOST_SECRET", "do not tell")
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTTOU)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2, signal.SIGHUP})
    umask = os.umask(0o077)
    read, write = os.pipe()
    try:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        os.set_inheritable(write, True)
        told = LOOKS[way](engine, image)
    finally:
        os.umask(umask)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(read)
        os.close(write)
    assert told["signals"] == {"blocked": [], "ignored": []}
    assert told["umask"] == 0o022
    assert [one["fd"] for one in told["fds"]] == [0, 1, 2]
    assert "do not tell" not in json.dumps(told["environment"])


def test_limits_are_the_host_program_s_but_for_those_asked(engine, image, seen):
    # C43: without --ulimit they are inherited from the engine
    ours = {
        name: [-1 if n == resource.RLIM_INFINITY else n for n in resource.getrlimit(number)]
        for name, number in (
            *(("core", resource.RLIMIT_CORE), ("nofile", resource.RLIMIT_NOFILE)),
            *(("stack", resource.RLIMIT_STACK), ("memlock", resource.RLIMIT_MEMLOCK)),
            *(("as", resource.RLIMIT_AS), ("fsize", resource.RLIMIT_FSIZE)),
        )
    }
    assert {name: seen["rlimits"][name] for name in ours} == ours
    asked = {"nofile": (64, 128), "core": (0, -1), "nproc": 50}
    for see in LOOKS.values():
        found = see(engine, image, ulimits=asked)["rlimits"]
        assert [found[name] for name in asked] == [[64, 128], [0, -1], [50, 50]]
        assert found["stack"] == ours["stack"]


def test_how_the_oom_killer_looks_at_the_host_program_does_not_matter(tmp_path, image):
    # C19; joiner.c's be_worth_nothing_special
    script = """if True:
        import sys, pyengine
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")
        with pyengine.Engine(sys.argv[1]) as engine:
            look = ["cat", "/proc/self/oom_score_adj"]
            print(engine.run(sys.argv[2], look).stdout, end="")
            print(engine.start(sys.argv[2], "sleep 1000").exec(look).stdout, end="")
            try:
                print(engine.run(sys.argv[2], look, oom_score_adj=300).stdout, end="")
            except pyengine.Unsupported:
                print("refused")
    """
    command = [sys.executable, "-c", script, str(tmp_path / "root"), image]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert told.stderr == ""
    assert told.stdout.split() == ["0", "0", "300" if IS_ROOT else "refused"]


def test_its_session_keyring_is_its_own(tmp_path, image):
    # line 9; the "keyring" step. The default filter does not even let it ask
    script = """if True:
        import ctypes, json, sys, pyengine

        keyctl = ctypes.CDLL(None, use_errno=True).syscall
        print(keyctl(int(sys.argv[3]), 1, 0))  # the host program joins one of its own
        with pyengine.Engine(sys.argv[1]) as engine:
            told = engine.run(sys.argv[2], ["/bin/probe"], seccomp="unconfined").stdout
            print(json.loads(told)["session_keyring"])
            container = engine.start(sys.argv[2], "sleep 1000", seccomp="unconfined")
            print(json.loads(container.exec(["/bin/probe"]).stdout)["session_keyring"])
    """
    number = {"x86_64": "250", "aarch64": "219"}[os.uname().machine]
    command = [sys.executable, "-c", script, str(tmp_path / "root"), image, number]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert told.stderr == ""
    rings = [int(word) for word in told.stdout.split()]
    assert all(ring > 0 for ring in rings)
    assert len(set(rings)) == 3


def test_its_network_is_a_loopback_that_is_up(seen):
    assert (seen["loopback"], seen["links"]) == (1, ["lo"])


def test_low_ports_and_ping_are_for_everybody_inside(engine, image):
    # pitfall 24
    files = ("ip_unprivileged_port_start", "ping_group_range")
    told = engine.run(image, ["cat", *(f"/proc/sys/net/ipv4/{name}" for name in files)])
    groups = engine.run(image, ["cat", "/proc/self/gid_map"]).stdout.splitlines()
    last = sum(int(line.split()[2]) for line in groups) - 1  # of those there are
    assert told.stdout.split() == ["0", "0", str(min(last, 2147483647))]


# --- its files ---


def test_what_docker_masks_is_empty_or_absent(seen):
    # C58: null device over a file, empty read-only directory over a directory; "mask" steps
    for path in MASKED:
        found = seen["paths"][path]
        if not os.path.exists(path):
            assert found["type"] is None
        elif os.path.isdir(path):
            assert (found["type"], found["entries"], found["write"]) == ("d", 0, -errno.EROFS)
        else:
            assert (found["type"], found["rdev"], found["read"]) == ("c", "1:3", 0)


def test_the_temperatures_of_processors_are_masked(engine, image):
    known = engine.create(image, "true").inspect().spec.security.masked_paths
    hot = [
        path
        for number in range(os.cpu_count() or 1)
        if os.path.isdir(path := f"/sys/devices/system/cpu/cpu{number}/thermal_throttle")
    ]
    assert known == (*MASKED, *hot)
    told = engine.run(image, ["sh", "-c", "ls /sys/devices/system/cpu/cpu*/thermal_throttle/*"])
    assert told.stdout == ""


def test_what_docker_makes_read_only_is(seen):
    # C59: "readonly" steps
    flags = {path: options for path, (_, options, *_) in mounts_of(seen["mounts"]).items()}
    for path in READONLY:
        assert ("ro" in flags.get(path, ())) == os.path.exists(path)
    # the host's root's, and read-only: without root the first is found out first
    refused = {-errno.EROFS} if IS_ROOT else {-errno.EROFS, -errno.EACCES}
    for path in ("/proc/sys/kernel/core_pattern", "/sys", "/sys/fs/cgroup"):
        assert seen["paths"][path]["write"] in refused


def test_dev_holds_docker_s_devices_and_nothing_else(seen):
    # C72
    found = {one["name"]: one for one in seen["dev"]}
    nodes = {name: one for name, one in found.items() if one["type"] == "c"}
    assert {name: one["rdev"] for name, one in nodes.items()} == DEVICE_NODES
    assert {one["mode"] for one in nodes.values()} == {0o666}
    links = {name: one["link"] for name, one in found.items() if one["type"] == "l"}
    kcore = {"core": "/proc/kcore"} if os.path.exists("/proc/kcore") else {}
    assert links == DEVICE_LINKS | kcore
    rest = found.keys() - nodes.keys() - links.keys()
    assert rest == {"pts", "shm", "mqueue"}
    assert {one["uid"] | one["gid"] for one in found.values()} == OWNERS


def test_mounts_and_their_flags_are_docker_s(seen):
    # C73
    found = mounts_of(seen["mounts"])
    bound = set() if IS_ROOT else BOUND
    lacks = set() if IS_ROOT else {"gid=5"}  # that is a number outside, or nobody
    covers = {path for path in (*MASKED, *READONLY) if path in found}
    names = {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}
    assert found.keys() - covers - names == MOUNTS.keys() | bound
    for path, (kind, flags, options) in MOUNTS.items():
        assert found[path][0] == kind
        assert found[path][1] - {"relatime"} == flags
        assert options - lacks <= found[path][2]
    for path in bound:
        assert found[path][1] >= {"nosuid", "noexec"}
    for path in names:
        assert found[path][0] == "tmpfs"
        assert found[path][1] >= {"rw", "nosuid", "nodev", "noexec"}


def test_no_mount_tells_a_path_of_the_host(seen, rootfs):
    # docker's own tell /var/lib/docker/…: here layers are named by descriptor, files on a tmpfs.
    # The host's devices, where none can be made, tell their names in its /dev, which are theirs
    for line in seen["mounts"]:
        words = line.split()
        root, where = words[3], words[4]
        kept = {where.removeprefix(above) for above in ("/etc", "/proc", "/dev")}
        assert root in {"/", "/null", *kept}
        assert "/tmp" not in line
        assert rootfs not in line
        assert "/var" not in line


def test_a_bind_mount_tells_of_the_host_what_docker_s_tells(engine, image, tmp_path):
    told = look(engine, image, volumes=[f"{tmp_path}:/data"])
    (line,) = (line for line in told["mounts"] if " /data " in line)
    root = line.split()[3]
    assert str(tmp_path).endswith(root)  # the path within its own file system: mountinfo(5)


def test_the_cgroup_it_sees_is_the_top(views):
    # a cgroup namespace of its own: no path of the host's tree
    for line in views["run"]["cgroup"]:
        assert line.split(":", 2)[2] == "/"
    for line in views["exec"]["cgroup"]:
        assert ".." not in line


def test_what_every_image_is_given_is_there_and_no_change_of_its_own(engine, image):
    # C74
    script = (
        "ls -d /.dockerenv /dev/pts /dev/shm /proc /sys; readlink /etc/mtab; ls -d /dev/console"
    )
    container = engine.create(image, ["sh", "-c", script])
    container.start()
    container.wait()
    there = ["/.dockerenv", "/dev/pts", "/dev/shm", "/proc", "/sys", "/proc/mounts"]
    assert container.logs(stderr=False).splitlines() == there
    assert "/dev/console" in container.logs(stdout=False)  # docker has one with a terminal only
    assert container.diff() == []


# --- the program behind it ---


def test_the_first_process_is_the_payload_and_no_program_of_the_host(views, rootfs):
    # line 1; the landing: the host's Python is never reachable
    assert views["run"]["init"] == {
        "exe": "/bin/probe",
        "size": os.path.getsize(f"{rootfs}/bin/probe"),
    }
    assert views["exec"]["init"] == {
        "exe": "/bin/busybox",
        "size": os.path.getsize(f"{rootfs}/bin/busybox"),
    }


def test_with_init_the_first_process_is_a_sealed_program_of_ours(engine, image):
    told = look(engine, image, init=True)
    assert told["init"]["exe"].startswith("/memfd:pyengine-landing")
    assert 0 < told["init"]["size"] < 64 << 10
    assert told["pid"] == 2
    assert [one["fd"] for one in told["fds"]] == [0, 1, 2]


def test_a_terminal_is_the_container_s_own(engine, image):
    # C72, line 10
    container = engine.create(image, PROBE, tty=True)
    container.start()
    container.wait()
    told = json.loads(container.logs())
    assert told["tty"] == "/dev/pts/0"
    assert {one["link"] for one in told["fds"]} == {"/dev/pts/0"}
    assert [one["fd"] for one in told["fds"]] == [0, 1, 2]
    assert "TERM=xterm" in told["environment"]
    found = {one["name"]: one for one in told["dev"]}
    assert (found["console"]["type"], found["console"]["rdev"]) == ("c", "136:0")
    assert found["pts/0"]["mode"] == 0o620
    assert found["pts/0"]["gid"] == (5 if "subids" in engine.capabilities() else 0)
    assert mounts_of(told["mounts"])["/dev/console"][0] == "devpts"


def test_the_host_s_own_state_is_as_it_was(engine, image):
    """Engines live in somebody's program: its directory, mask and namespaces are its own."""
    before = _own_state()
    look(engine, image)
    look_joined(engine, image)
    assert _own_state() == before


def _own_state() -> tuple[object, ...]:
    mask = os.umask(0o022)
    os.umask(mask)
    names = {name: os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns")}
    handlers = [signal.getsignal(number) for number in range(1, 32)]
    ids = (os.getresuid(), os.getresgid(), os.getgroups())
    return os.getcwd(), mask, names, handlers, dict(os.environ), ids
