"""Lines 8 and 9: what belongs to the host, or to another container, is out of reach."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest
from docker_defaults import MASKED, READONLY, mounts_of
from hostile import leaks_of, probe
from support.whoever import IS_ROOT, held_inside

from pyengine.linux.capabilities import NAMES

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]


def said(engine, image, script, **options):
    """What a shell says, both its streams together, and how it ended."""
    told = engine.run(image, ["sh", "-c", f"exec 2>&1; {script}"], timeout=60, **options)
    return told.stdout, told.exit_code


# --- devices (C72, C69, C70) ---

ALLOWED = {"null": "1 3", "zero": "1 5", "full": "1 7", "random": "1 8", "urandom": "1 9"}
DENIED = {
    "mem": "c 1 1",
    "port": "c 1 4",
    "kmsg": "c 1 11",
    "fuse": "c 10 229",
    "kvm": "c 10 232",
    "tun": "c 10 200",
    "console of the host": "c 4 0",
    "disk": None,
    "loop": "b 7 0",
}


def disk() -> str:
    """The host's own disk, as mknod(1) takes it."""
    device = os.stat("/").st_dev
    return f"b {os.major(device)} {os.minor(device)}"


def test_devices_may_be_made_and_only_docker_s_opened(engine, image):
    # cgroup's device filter: CAP_MKNOD is there, and opening fails
    lines = [
        f"busybox mknod /tmp/{name} c {pair} && head -c 1 /tmp/{name} >/dev/null && echo ok {name}"
        for name, pair in ALLOWED.items()
    ]
    output, _ = said(engine, image, "\n".join(lines))
    if "mknod" in engine.capabilities():
        assert output.split() == [word for name in ALLOWED for word in ("ok", name)]
    else:
        assert output.count("Operation not permitted") == len(ALLOWED)
    for name, numbers in DENIED.items():
        numbers = numbers or disk()
        script = f"busybox mknod /tmp/x {numbers} && head -c 1 /tmp/x && echo opened"
        output, code = said(engine, image, script)
        assert "opened" not in output, name
        assert "Operation not permitted" in output, (name, output)
        assert code != 0


def test_who_joins_finds_the_same_devices_closed(engine, image):
    container = engine.start(image, ["sleep", "1000"])
    for numbers in ("c 10 229", disk()):
        told = container.exec(
            ["sh", "-c", f"busybox mknod /x {numbers}; head -c 1 /x; busybox rm /x"]
        )
        assert "Operation not permitted" in told.stderr


def test_without_the_right_no_device_is_made(engine, image):
    output, _ = said(engine, image, "busybox mknod /tmp/x c 1 3", cap_drop=["MKNOD"])
    assert "Operation not permitted" in output


FUSE = "busybox mknod /tmp/fuse c 10 229; true < /tmp/fuse && echo fuse"
LOOP = "busybox mknod /tmp/loop b 7 0; true < /tmp/loop && echo loop"


def test_a_rule_opens_what_it_names_and_no_more(engine, image):
    output, _ = said(engine, image, f"({FUSE}); ({LOOP})", device_cgroup_rules=["c 10:229 r"])
    assert output.splitlines()[0] == "fuse"
    assert "loop\n" not in output


def test_a_read_only_device_is_not_written_to(engine, image):
    script = "true < /dev/mine && echo read; (true > /dev/mine) || echo refused"
    output, _ = said(engine, image, script, devices=["/dev/fuse:/dev/mine:r"])
    assert (output.splitlines()[0], output.splitlines()[-1]) == ("read", "refused")


# --- the kernel's files ---


def test_the_kernel_s_files_are_covered_in_every_kind_of_container(engine, image):
    for options in ({}, {"tty": True}, {"init": True}, {"network": "host"}, {"pid": "host"}):
        assert leaks_of(engine, image, **options) == [], options


def test_core_pattern_and_uevent_helper_cannot_be_written(engine, image):
    # a program named there runs on the host, as root
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as file:
        before = file.read()
    files = (
        *("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sysrq-trigger"),
        *("/sys/kernel/uevent_helper", "/proc/sys/vm/drop_caches", "/sys/power/state"),
    )
    for file in files:
        output, _ = said(engine, image, f"(echo '|/x' > {file}) && echo written")
        assert "written" not in output, file
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as file:
        assert file.read() == before


def test_covers_cannot_be_taken_away(engine, image):
    paths = " ".join((*READONLY, *MASKED, "/sys", "/sys/fs/cgroup"))
    script = f"for p in {paths}; do busybox umount $p && echo gone $p; done"
    output, _ = said(engine, image, script)
    assert "gone" not in output
    output, _ = said(engine, image, "busybox mount -o remount,rw /proc/sys && echo rw")
    assert "rw\n" not in output


def test_the_cgroups_are_read_only_and_no_release_agent_can_be_set(engine, image):
    # CVE-2022-0492
    script = """
        mkdir /sys/fs/cgroup/x && echo made
        (echo 1 > /sys/fs/cgroup/cgroup.procs) && echo moved
        (echo /x > /sys/fs/cgroup/release_agent) && echo agent
        busybox mount -t cgroup -o pids none /mnt && echo mounted
        busybox mount -t cgroup2 none /tmp && echo mounted
        busybox unshare -C true && echo unshared
    """
    output, _ = said(engine, image, script)
    assert not {"made", "moved", "agent", "mounted", "unshared"} & set(output.splitlines())


def test_cgroups_are_writable_only_for_those_who_asked(engine, image):
    told = probe(engine, image, "/sys/fs/cgroup", security_opt=["writable-cgroups=true"])
    assert told["paths"]["/sys/fs/cgroup"]["write"] == 0
    assert told["paths"]["/sys"]["write"] < 0


def test_system_paths_are_uncovered_only_for_those_who_asked(engine, image):
    # C56, C58, C59
    told = probe(engine, image, security_opt=["systempaths=unconfined"])
    assert not {*MASKED, *READONLY} & mounts_of(told["mounts"]).keys()
    told = probe(engine, image, masked_paths=["/etc/passwd", "/home", "/gone"])
    assert told["paths"]["/proc/sys/kernel/core_pattern"]["write"] < 0
    told = probe(engine, image, "/etc/passwd", "/home", masked_paths=["/etc/passwd", "/home"])
    assert told["paths"]["/etc/passwd"]["rdev"] == "1:3"
    assert told["paths"]["/home"]["entries"] == 0
    told = probe(engine, image, "/home", readonly_paths=["/home"])
    assert told["paths"]["/home"]["write"] < 0


def test_a_read_only_root_is_read_only_all_over(engine, image):
    # C60
    places = ["/", "/etc", "/bin", "/tmp", "/root", "/etc/hosts", "/etc/resolv.conf"]
    paths = probe(engine, image, *places, read_only=True)["paths"]
    assert {paths[place]["write"] for place in places} == {-errno.EROFS}
    output, _ = said(engine, image, "touch /tmp/x && echo ok", read_only=True, tmpfs=["/tmp"])
    assert output == "ok\n"


def test_the_privileged_have_what_the_host_program_has(engine, image):
    # C50
    told = probe(engine, image, privileged=True)
    bounding = sum(1 << number for number in range(len(NAMES)) if held_inside() >> number & 1)
    sets = told["capabilities"]
    assert {int(sets[name], 16) for name in ("effective", "permitted", "bounding")} == {bounding}
    assert {sets["inheritable"], sets["ambient"]} == {"0"}
    # for who has one id only, a filter answers what gives files away
    assert told["seccomp"]["mode"] == (0 if "subids" in engine.capabilities() else 2)
    assert not {*MASKED, *READONLY} & mounts_of(told["mounts"]).keys()
    answers = [told["paths"][path]["write"] for path in ("/sys", "/sys/fs/cgroup")]
    # not read-only; without root they are somebody else's all the same
    assert set(answers) <= ({0} if IS_ROOT else {0, -errno.EACCES})
    names = {one["name"] for one in told["dev"]}
    assert "kmsg" in names
    assert "pts/0" not in names  # the host's terminals are not its own


# --- what containers share with nobody ---


def test_another_user_s_container_is_no_file_of_mine(engine, image):
    first = engine.start(image, ["sh", "-c", "echo secret > /tmp/mine; exec sleep 1000"])
    other, _ = said(engine, image, "cat /tmp/mine; ls /proc | grep -c '^[0-9]'")
    assert "secret" not in other
    assert first.inspect().id not in other


def test_abstract_sockets_of_the_host_cannot_be_reached(engine, image):
    # CVE-2020-15257
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind("\0pyengine-test-secret")
        server.listen()
        script = "cat /proc/net/unix; busybox nc -h 2>&1 | head -1"
        output, _ = said(engine, image, script)
        assert "pyengine-test-secret" not in output
        output, _ = said(engine, image, "cat /proc/net/unix", network="host")
        assert "pyengine-test-secret" in output  # who shares the network shares them


def test_the_host_s_loopback_is_not_the_container_s(engine, image):
    with closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        output, code = said(engine, image, f"busybox nc -w 2 127.0.0.1 {port} < /dev/null")
        assert code != 0
        assert "refused" in output


def test_system_v_and_posix_ipc_are_the_container_s_own(engine, image):
    libc = ctypes.CDLL(None, use_errno=True)
    key = 0x7E57
    queue = libc.msgget(key, 0o1666)
    assert queue >= 0
    try:
        look = "cat /proc/sysvipc/msg; ls /dev/mqueue /dev/shm"
        output, _ = said(engine, image, look)
        assert str(key) not in output
        output, _ = said(engine, image, look, ipc="host")
        assert str(key) in output
    finally:
        libc.msgctl(queue, 0, None)


KEYS = """if True:
    import ctypes, sys, pyengine

    add, ask = int(sys.argv[3]), int(sys.argv[4])
    system = ctypes.CDLL(None, use_errno=True)
    assert system.syscall(ask, 1, 0) > 0  # a session keyring of the host program's own
    name = b"pyengine-test-secret"
    key = system.syscall(add, b"user", name, b"word", ctypes.c_size_t(4), ctypes.c_int(-3))
    assert key > 0 and system.syscall(ask, 5, key, 0x3F000000) == 0  # for who possesses it
    with open("/proc/keys") as file:
        assert "pyengine-test-secret" in file.read()
    with pyengine.Engine(sys.argv[1]) as engine:
        bare = {"masked_paths": [], "seccomp": "unconfined"}
        print(engine.run(sys.argv[2], "cat /proc/keys", **bare).stdout)
        container = engine.start(sys.argv[2], "sleep 1000", **bare)
        print(container.exec("cat /proc/keys").stdout)
"""


def test_keys_of_the_host_are_not_found(image, tmp_path):
    # the "keyring" step: without it the program would possess its host program's keys
    numbers = {"x86_64": ("248", "250"), "aarch64": ("217", "219")}[os.uname().machine]
    command = [sys.executable, "-c", KEYS, str(tmp_path / "root"), image, *numbers]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert told.stderr == ""
    assert "pyengine-test-secret" not in told.stdout


def test_host_processes_are_seen_by_nobody_who_did_not_ask(engine, image):
    output, _ = said(engine, image, "ls /proc | grep '^[0-9]' | busybox wc -l; kill -0 1000")
    assert int(output.split()[0]) < 5
    told = engine.run(image, ["sh", "-c", f"cat /proc/{os.getpid()}/comm"], pid="host")
    assert told.exit_code == 0


def test_setting_the_clock_or_the_host_s_name_is_refused(engine, image):
    name = os.uname().nodename
    script = (
        "busybox date -s 1999-01-01; busybox hostname stolen && echo name;"
        "(echo stolen > /proc/sys/kernel/hostname) && echo file; busybox mount -t tmpfs x /mnt"
        " && echo mounted; busybox insmod /x && echo module; busybox chroot / true && echo ok"
    )
    output, _ = said(engine, image, script)
    assert not {"name", "file", "mounted", "module"} & set(output.splitlines())
    assert output.endswith("ok\n")
    assert os.uname().nodename == name
    assert time.gmtime().tm_year != 1999


def test_files_of_another_s_volume_cannot_be_opened_by_handle(engine, image):
    # shocker: CAP_DAC_READ_SEARCH is not among the 14
    told = json.loads(engine.run(image, ["/bin/probe"]).stdout)
    assert not int(told["capabilities"]["permitted"], 16) & 1 << NAMES.index("CAP_DAC_READ_SEARCH")


def test_what_the_engine_keeps_is_for_its_user_alone(engine, image):
    # line 26: setuid files of images must not be found by other users
    engine.create(image, "true")
    mode = stat.S_IMODE(os.stat(engine.root).st_mode)
    assert mode & 0o077 == 0


def test_namespaces_that_are_the_host_s_can_be_asked_for_and_no_others(engine, image):
    told = probe(engine, image, pid="host", ipc="host", uts="host", network="host")
    host = {name: os.readlink(f"/proc/self/ns/{name}") for name in told["namespaces"]}
    shared = {name for name, link in told["namespaces"].items() if link == host[name]}
    assert shared == {"user", "pid", "ipc", "uts", "net"}


def test_threads_of_the_host_stay_in_their_namespaces(engine, image):
    before = {thread.native_id for thread in threading.enumerate()}
    engine.start(image, ["sleep", "1000"]).exec("true")
    for thread in before:
        for name in ("mnt", "pid", "net"):
            link = os.readlink(f"/proc/self/task/{thread}/ns/{name}")
            assert link == os.readlink(f"/proc/self/ns/{name}")
