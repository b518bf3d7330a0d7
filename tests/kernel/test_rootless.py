"""Containers of a user without any right: with one id, and nothing installed for it."""

from __future__ import annotations

import json
import os
import select
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.users import USER, Stranger, somebody

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def stranger(rootfs: str) -> Iterator[Stranger]:
    """Who they are; the image is theirs."""
    with somebody() as made:
        shutil.copytree(rootfs, made.home / "image", symlinks=True)
        made.give(made.home / "image")
        yield made


@pytest.fixture
def theirs(stranger: Stranger) -> Callable[[str], object]:
    """Has them do something with an ``engine`` and an ``image``: what they ``answer``.

    An error is the text of its class and its message. At their engine's end nothing is left.
    """

    def run(code: str, root: str = "engine") -> object:
        told = stranger.python(_FRAME.format(image=stranger.home / "image", root=root, code=code))
        assert told.returncode == 0, told.stderr
        left = os.listdir(stranger.home / root / "owners")
        assert [name for name in left if name != "none"] == []
        return json.loads(told.stdout)

    return run


_FRAME = """
import json, os, time, pyengine
image = "rootfs:{image}"
def refused(call):
    try:
        return repr(call())
    except pyengine.EngineError as error:
        return f"{{type(error).__name__}}: {{error}}"
with pyengine.Engine(root=os.path.expanduser("~/{root}")) as engine:
    {code}
print(json.dumps(answer))
"""


def test_root_inside_is_a_user_without_rights_outside(theirs):
    code = """
    container = engine.start(image, "sleep 100")
    pid = container.inspect().state.pid
    inside = container.exec(["id", "-u"]).stdout
    answer = inside, os.stat(f"/proc/{pid}").st_uid, open(f"/proc/{pid}/uid_map").read().split()
    """.strip()
    assert theirs(code) == ["0\n", USER, ["0", str(USER), "1"]]


def test_it_has_namespaces_of_its_own_as_every_container(theirs):
    code = """
    container = engine.start(image, "sleep 100")
    pid = container.inspect().state.pid
    kinds = "cgroup ipc mnt net pid time user uts".split()
    of = lambda pid, kind: os.readlink(f"/proc/{pid}/ns/{kind}")
    answer = [kind for kind in kinds if of(pid, kind) == of("self", kind)]
    """.strip()
    assert theirs(code) == []


def test_what_it_writes_is_the_user_s_on_disk_and_goes_with_it(theirs):
    code = """
    shell = "mkdir /d; rm /etc/group; echo 1 > /d/f; sleep 100"
    container = engine.start(image, ["sh", "-c", shell])
    while not container.exec("ls /d/f").exit_code == 0:
        pass
    changes = [f"{change.kind.value} {change.path}" for change in container.diff()]
    container.remove(force=True)
    answer = changes
    """.strip()
    assert theirs(code) == ["A /d", "A /d/f", "C /etc", "D /etc/group"]


def test_devices_are_those_of_every_container(theirs):
    code = """
    shell = "cd /dev; ls; head -c 3 zero | wc -c; echo x > null; cat"
    answer = engine.run(image, ["sh", "-c", shell]).stdout
    """.strip()
    usual = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    found = str(theirs(code)).split()
    assert [name for name in found if name != "core"] == [*usual.split(), "3"]


def test_its_program_has_docker_s_capabilities_and_filter(theirs):
    code = """
    status = engine.run(image, "cat /proc/self/status").stdout
    lines = [line for line in status.splitlines() if line[:3] in ("Cap", "Sec")]
    answer = dict(line.split(":", 1) for line in lines)
    """.strip()
    found = {name: value.strip() for name, value in dict(theirs(code)).items()}
    assert found["CapEff"] == found["CapBnd"] == "00000000a80425fb"
    assert found["CapInh"] == found["CapAmb"] == "0000000000000000"
    assert found["Seccomp"] == "2"


def test_masks_hide_what_they_hide_from_root(theirs):
    code = """
    shell = "cat /proc/timer_list /proc/keys | wc -c; echo 1 > /proc/sys/kernel/panic"
    told = engine.run(image, ["sh", "-c", shell])
    answer = told.stdout, told.exit_code
    """.strip()
    assert theirs(code) == ["0\n", 1]


def test_a_terminal_is_the_container_s_own(theirs):
    code = """
    answer = engine.run(image, "tty", tty=True).stdout
    """.strip()
    assert theirs(code) == "/dev/pts/0\r\n"


def test_input_output_logs_and_stop_are_as_for_root(theirs):
    code = """
    heard = engine.run(image, "cat", stdin=b"abc").stdout
    container = engine.start(image, ["sh", "-c", "echo started; exec sleep 100"])
    joined = container.exec("cat", stdin=b"def").stdout
    container.stop(timeout=0)
    answer = heard, joined, container.logs(), container.inspect().state.exit_code
    """.strip()
    assert theirs(code) == ["abc", "def", "started\n", 137]


def test_who_is_privileged_inside_joins_as_any_other(theirs):
    code = """
    container = engine.start(image, "sleep 100")
    read = ["sh", "-c", "grep CapEff /proc/self/status"]
    usual, every = (container.exec(read, privileged=it).stdout for it in (False, True))
    container = engine.start(image, "sleep 100", privileged=True)
    answer = usual.split()[1], every.split()[1] == container.exec(read).stdout.split()[1]
    """.strip()
    assert theirs(code) == ["00000000a80425fb", True]


def test_it_starts_again_with_what_it_has_written(theirs):
    code = """
    container = engine.create(image, ["sh", "-c", "echo $(wc -l < /log) runs; echo >> /log"])
    container.start(); container.wait()
    container.start(); container.wait()
    answer = container.logs()
    """.strip()
    assert str(theirs(code)).endswith("1 runs\n")


def test_another_engine_of_the_same_user_can_execute_in_it(theirs):
    code = """
    import subprocess, sys
    container = engine.start(image, "sleep 100")
    ask = "import pyengine, sys; there = pyengine.Engine(root=sys.argv[1]);"
    ask += "print(there.containers.get(sys.argv[2]).exec('id -u').stdout)"
    words = sys.executable, "-c", ask, os.path.expanduser("~/engine"), container.id
    asked = subprocess.run(words, capture_output=True, text=True)
    answer = asked.stdout.split(), asked.stderr
    """.strip()
    assert theirs(code) == [["0"], ""]


def test_a_run_that_takes_too_long_is_killed_without_a_cgroup(theirs):
    code = """
    started = time.monotonic()
    told = refused(lambda: engine.run(image, "sleep 100", timeout=0.3))
    container = engine.start(image, "sleep 100")
    also = refused(lambda: container.exec("sleep 100", timeout=0.3))
    answer = told.split(":")[0], also.split(":")[0], time.monotonic() - started < 10
    """.strip()
    assert theirs(code) == ["TimedOut", "TimedOut", True]


def test_it_dies_with_its_engine(stranger, survivors):
    code = _FRAME.format(
        image=stranger.home / "image",
        root="killed",
        code='engine.start(image, "sleep 47111"); os.kill(os.getpid(), 9)',
    )
    assert stranger.python(code).returncode == -9
    for pid in survivors("sleep 47111"):  # it is dying
        descriptor = os.pidfd_open(pid)
        select.select([descriptor], [], [], 10)
        os.close(descriptor)
    assert survivors("sleep 47111") == []


@pytest.mark.parametrize(
    ("wish", "missing"),
    [
        ("user='app'", "user 'app'"),
        ("user='1000:1000'", "user '1000:1000'"),
        ("group_add=['video']", "group_add=['video']"),
        ("memory='64m'", "memory"),
        ("pid='host'", "pid='host'"),
        ("cgroup_parent='/x'", "cgroup_parent='/x'"),
        ("oom_score_adj=-5", "oom_score_adj"),
        ("devices=['/dev/null:/dev/x:r']", "device access 'r'"),
    ],
)
def test_what_takes_root_is_refused_by_name(theirs, wish, missing):
    told = theirs(f"answer = refused(lambda: engine.run(image, 'true', {wish}))")
    assert str(told).startswith(f"Unsupported: {missing}")


def test_directories_of_the_host_are_brought_in(theirs, stranger: Stranger):
    shared = Path(stranger.home / "shared")
    shared.mkdir()
    (shared / "file").write_text("read")
    stranger.give(shared)
    code = """
    home = os.path.expanduser("~/shared")
    mounts = [pyengine.bind(home, "/w"), pyengine.bind(home, "/r", read_only=True)]
    shell = "cat /r/file; echo > /w/made; echo > /r/x"
    told = engine.run(image, ["sh", "-c", shell], mounts=mounts)
    answer = told.stdout, told.exit_code
    """.strip()
    assert theirs(code) == ["read", 1]
    assert (shared / "made").stat().st_uid == USER


def test_a_network_of_the_host_is_shared_with_a_sys_that_nobody_can_write_to(theirs):
    code = """
    shell = "ls /sys/class/net; echo 1 > /sys/kernel/profiling"
    told = engine.run(image, ["sh", "-c", shell], network="host")
    answer = sorted(told.stdout.split()), told.exit_code
    """.strip()
    assert theirs(code) == [sorted(os.listdir("/sys/class/net")), 1]


def test_it_is_root_of_what_it_has_and_of_nothing_else(theirs):
    code = """
    tries = "mknod /x b 8 0; mount -t tmpfs x /tmp; hostname hers; su app -c id; cat /dev/kmsg"
    answer = [engine.run(image, ["sh", "-c", one]).exit_code == 0 for one in tries.split("; ")]
    """.strip()
    assert theirs(code) == [False] * 5


def test_what_it_gives_away_stays_its_own_and_who_it_cannot_become_it_is_told(theirs):
    code = """
    shell = "chown 33:44 /tmp && chown -h 5 /bin/sh && chgrp 7 /etc"
    shell += " && stat -c %u:%g /tmp /bin/sh /etc"
    container = engine.start(image, "sleep 100")
    words = ["sh", "-c", shell + "; chown 0:0 /missing || echo told; su app -c id || echo refused"]
    answer = [one.stdout.split() for one in (engine.run(image, words), container.exec(words))]
    """.strip()
    assert theirs(code) == [["0:0", "0:0", "0:0", "told", "refused"]] * 2


def test_who_keeps_their_id_is_the_only_one_inside(theirs):
    code = """
    shell = "id -u; grep CapEff /proc/self/status; touch /made; ls -ldn /made"
    kept = engine.run(image, ["sh", "-c", shell], userns="keep-id").stdout.split()
    container = engine.start(image, "sleep 100", userns="keep-id:uid=5,gid=6")
    other = container.exec("id").stdout.split()[:2]
    answer = kept[:3], kept[5:7], other, refused(lambda: container.exec("id", user="root"))
    """.strip()
    kept, owner, other, root = theirs(code)
    assert kept == [str(USER), "CapEff:", "0000000000000000"]
    assert owner == [str(USER)] * 2
    assert other == ["uid=5", "gid=6"]
    assert root.startswith("Unsupported: user 'root'")


def test_nobody_is_there_who_is_not_them(theirs):
    told = str(theirs("answer = refused(lambda: engine.run(image, 'id', userns='nomap'))"))
    assert told.startswith("Unsupported: userns='nomap' is not supported: there is nobody else: ")


def test_a_start_returns_when_a_port_inside_is_open_and_answers(theirs):
    code = """
    from pyengine import ready
    shell = "mkdir /w; echo hi > /w/x; sleep 0.2; exec httpd -f -p 8000 -h /w"
    wanted = ready.port(8000) & ready.http("/x", port=8000)
    container = engine.start(image, ["sh", "-c", shell], ready=wanted, timeout=20)
    none = refused(lambda: engine.start(image, "sleep 100", ready=ready.port(8000), timeout=0.3))
    answer = container.exec("wget -qO- http://127.0.0.1:8000/x").stdout, none.split(":")[0]
    """.strip()
    assert theirs(code) == ["hi\n", "NotReady"]


def test_its_processes_are_found_without_a_cgroup(theirs):
    code = """
    container = engine.start(image, "sleep 47112")
    engine.start(image, "sleep 47113")
    answer = [process.command for process in container.top()]
    """.strip()
    assert theirs(code) == ["sleep 47112"]


@pytest.mark.parametrize(
    ("call", "missing"),
    [
        ("engine.start(image, 'sleep 100').stats()", "stats"),
        ("engine.start(image, 'sleep 100').pause()", "pause"),
    ],
)
def test_what_cannot_be_had_yet_is_said(theirs, call, missing):
    assert str(theirs(f"answer = refused(lambda: {call})")).startswith(f"Unsupported: {missing}")


def test_without_runtime_directory_and_home_they_are_told_what_to_set(stranger):
    code = "import pyengine; pyengine.Engine().containers.list()"
    assert "set HOME, or choose one with root=" in stranger.python(code, HOME="").stderr


def test_state_lies_below_the_home_by_itself(stranger):
    code = f"""
import pyengine
with pyengine.Engine() as engine:
    print(engine.info().root)
    assert engine.run("rootfs:{stranger.home / "image"}", "true").exit_code == 0
"""
    told = stranger.python(code)
    assert told.stdout == f"{stranger.home}/.local/share/pyengine\n", told.stderr
    shutil.rmtree(f"/tmp/pyengine-{USER}")


def test_a_container_of_nobody_runs_on_and_any_process_of_the_user_is_served(stranger):
    frame = _FRAME.format
    there = {"image": stranger.home / "image", "root": "kept"}
    begin = 'engine.start(image, "sleep 47114", owner="none", name="kept"); answer = ""'
    assert stranger.python(frame(code=begin, **there)).returncode == 0
    end = """
    container = engine.containers.get("kept")
    answer = container.exec("id -u").stdout
    container.stop(timeout=0)
    container.remove()
    """.strip()
    told = stranger.python(frame(code=end, **there))
    assert told.stdout == '"0\\n"\n', told.stderr


def test_where_there_is_no_user_namespace_to_be_had_that_is_said(stranger):
    forbid = (
        "import ctypes; assert ctypes.CDLL(None).unshare(0x10000000) == 0;"
        "open('/proc/sys/user/max_user_namespaces', 'w').write('0')\n"
    )
    code = _FRAME.format(
        image=stranger.home / "image",
        root="forbidden",
        code='answer = refused(lambda: engine.run(image, "true"))',
    )
    told = stranger.python(forbid + code)
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout) == (
        "Unsupported: containers without root is not supported: this host gives us no user "
        "namespace (No space left on device); have them allowed (sysctl "
        "user.max_user_namespaces), or run as root"
    )
