"""Line 13: what a container has written, and we read, is a regular file of a bearable size.

accounts.py opens with O_NONBLOCK inside the root, looks at the kind and the size, and reads no
more than its limit; with a plain open(2) the fifos hang and the giants fill the memory.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap

import pytest
from hostile import Canary, attempt, put_link, small_root
from support.refusals import raise_refusal
from support.whoever import IS_ROOT, make_node

from pyengine import InvalidRequest, Result

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]

GIANT = 400 << 20
FILES = ("passwd", "group")


def giant(path: str, line: bytes) -> None:
    """400 MB that take no space, with one sensible line at each end."""
    with open(path, "wb") as file:
        file.write(line)
        file.truncate(GIANT - len(line) - 1)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + line)


def many_lines(path: str, line: bytes) -> None:
    with open(path, "wb") as file:
        file.write(b"".join(b"u%d:x:%d:%d::/:/bin/sh\n" % (n, n, n) for n in range(100_000)))
        file.write(b"x\n" * 900_000 + line)


def one_line(path: str, line: bytes) -> None:
    with open(path, "wb") as file:
        file.write(line.rstrip() + b",a" * 1_000_000 + b"\n")


def binary(path: str, line: bytes) -> None:
    with open(path, "wb") as file:
        file.write(bytes(range(256)) * 100 + b"\n\xff\xfe:x:\xff:\xff::\xff\n" + line)


def fifo(path: str, line: bytes) -> None:
    os.mkfifo(path)


def a_socket(path: str, line: bytes) -> None:
    server = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(os.path.dirname(path))  # longer than 108 bytes, as a path of tests may be
    try:
        server.bind(os.path.basename(path))
    finally:
        os.chdir(here)
        server.close()


def a_directory(path: str, line: bytes) -> None:
    os.mkdir(path)


def a_terminal(path: str, line: bytes) -> None:
    make_node(path, 5, 0)


def endless(path: str, line: bytes) -> None:
    make_node(path, 1, 5)


def nothing(path: str, line: bytes) -> None:
    open(path, "wb").close()


LINES = {"passwd": b"app:x:1000:1000::/home/app:/bin/sh\n", "group": b"video:x:44:app\n"}
KINDS = {
    make.__name__: make
    for make in (
        *(giant, many_lines, one_line, binary, fifo, a_socket, a_directory, a_terminal),
        *(endless, nothing),
    )
}
NODES = ("a_terminal", "endless")
READABLE = ("many_lines", "binary", "one_line")  # these hold what is looked for


WHO = ["cat", "/proc/self/status"]  # id(1) would read these files itself


def uid(told: Result) -> str:
    (line,) = (line for line in told.stdout.splitlines() if line.startswith("Uid:"))
    return line.split()[1]


def spoilt(rootfs: str, path, name: str, kind: str) -> str:
    root = small_root(rootfs, path)
    os.unlink(f"{root}/etc/{name}")
    KINDS[kind](f"{root}/etc/{name}", LINES[name])
    return f"rootfs:{root}"


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", KINDS)
def test_whoever_needs_no_such_file_starts_whatever_lies_there(
    engine, rootfs, tmp_path, name, kind
):
    image = spoilt(rootfs, tmp_path / "root", name, kind)
    for user in ("", "0", "1000:1000"):
        told = engine.run(image, WHO, user=user, timeout=30)
        assert uid(told) == (user.partition(":")[0] or "0")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", KINDS)
def test_whoever_needs_it_is_answered_at_once_and_with_a_reason(
    engine, rootfs, tmp_path, name, kind
):
    image = spoilt(rootfs, tmp_path / "root", name, kind)
    user = {"passwd": "app", "group": "0:video"}[name]
    outcome = attempt(lambda: engine.run(image, WHO, user=user, timeout=30))
    if kind in READABLE and (name, kind) != ("passwd", "one_line"):
        assert isinstance(outcome, Result), outcome
        assert uid(outcome) == {"passwd": "1000", "group": "0"}[name]
    elif not isinstance(outcome, Result):
        assert isinstance(outcome, InvalidRequest), outcome
        assert outcome.what in ("user", "group")
    assert engine.containers.list(all=True) == []


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_running_container_may_lay_it_for_those_who_join(engine, rootfs, tmp_path, name, kind):
    root = small_root(rootfs, tmp_path / "root")
    container = engine.start(f"rootfs:{root}", ["sleep", "1000"])
    if kind in NODES and "mknod" not in engine.capabilities():
        told = container.exec(["busybox", "mknod", "/etc/x", "c", "1", "5"])
        assert "not permitted" in told.stderr  # it can lay none
        return
    view = f"/proc/{container.inspect().pid}/root/etc/{name}"
    os.unlink(view)
    KINDS[kind](view, LINES[name])
    user = {"passwd": "app", "group": "0:video"}[name]
    outcome = attempt(lambda: container.exec(WHO, user=user, timeout=30))
    if kind in READABLE and (name, kind) != ("passwd", "one_line"):
        assert isinstance(outcome, Result), outcome
    elif not isinstance(outcome, Result):
        assert isinstance(outcome, InvalidRequest), outcome
    assert uid(container.exec(WHO, user="7:7")) == "7"


MEMORY = """
    import resource, sys
    import pyengine

    root, user, *images = sys.argv[1:]
    with pyengine.Engine(root) as engine:
        engine.run(images[0], ["true"], user=user)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for image in images[1:]:
            try:
                engine.run(image, ["true"], user=user)
            except pyengine.InvalidRequest:
                pass
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(grown)
"""


@pytest.mark.parametrize("name", FILES)
def test_giants_cost_less_than_64_mib_of_memory(rootfs, tmp_path, name):
    good = f"rootfs:{small_root(rootfs, tmp_path / 'good')}"
    bad = [
        spoilt(rootfs, tmp_path / kind, name, kind)
        for kind in ("giant", "many_lines", "one_line", "endless")
    ]
    user = {"passwd": "app", "group": "0:video"}[name]
    command = [sys.executable, "-c", textwrap.dedent(MEMORY), str(tmp_path / "root"), user]
    told = subprocess.run([*command, good, *bad], capture_output=True, text=True, timeout=120)
    raise_refusal(told.stderr)
    assert told.stderr == ""
    assert int(told.stdout) < 64 << 10  # KiB


@pytest.mark.parametrize(
    "path", ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/proc", "/dev", "/sys", "/etc"]
)
@pytest.mark.parametrize("kind", ["fifo", "a_socket", "a_directory", "endless", "binary"])
def test_nodes_where_we_mount_are_never_opened(engine, rootfs, tmp_path, path, kind):
    canary = Canary.make(tmp_path / "canary")
    root = small_root(rootfs, tmp_path / "root")
    put_link(root, path, "x")
    os.unlink(f"{root}{path}")
    KINDS[kind](f"{root}{path}", b"its own\n")
    outcome = attempt(lambda: engine.run(f"rootfs:{root}", ["cat", path], timeout=30))
    assert canary.is_untouched
    if isinstance(outcome, Result) and outcome.exit_code == 0:
        assert "its own" not in outcome.stdout
    elif not isinstance(outcome, Result):
        assert isinstance(outcome, InvalidRequest), outcome
        assert path in str(outcome)
    assert engine.containers.list(all=True) == []
    if kind == "binary":
        with open(f"{root}{path}", "rb") as file:
            assert file.read().endswith(b"its own\n")


# --- users and variables that nobody is ---


@pytest.mark.parametrize(
    "user",
    [
        *("4294967295", "4294967296", "18446744073709551616", "-1", "-2", "+1", "9" * 99),
        *("0:4294967295", "0:-1", "0:4294967296", "a:b:c", ":::", "0:0:0", "root\n", "١"),
        *("0x0", "1e3", "1.0", "app\0root", "nobody-here", "0:nobody-here"),
    ],
)
def test_a_user_that_overflows_never_becomes_root(engine, image, user):
    # CVE-2024-40635, CVE-2026-30892: "1" parsed as 0:0, 2^32 wrapped to 0
    for start in (engine.run, engine.start):
        outcome = attempt(lambda start=start: start(image, WHO, user=user))
        assert isinstance(outcome, InvalidRequest), outcome
    assert engine.containers.list(all=True) == []


def test_a_user_that_overflows_cannot_join_either(engine, image):
    container = engine.start(image, ["sleep", "1000"])
    for user in ("4294967296", "-1", "a:b:c", "0:4294967295"):
        with pytest.raises(InvalidRequest):
            container.exec(["id", "-u"], user=user)
    last = "4294967294" if IS_ROOT else "65533"
    assert container.exec(["id", "-u"], user=last).stdout == f"{last}\n"


def test_names_that_look_like_numbers_are_numbers(engine, rootfs, tmp_path):
    # CVE-2016-3697
    root = small_root(rootfs, tmp_path / "root")
    with open(f"{root}/etc/passwd", "w", encoding="ascii") as file:
        file.write("1000:x:0:0::/:/bin/sh\n4711:x:0:0::/:/bin/sh\n")
    told = engine.run(f"rootfs:{root}", ["id", "-u"], user="1000")
    assert told.stdout == "1000\n"


def test_a_variable_without_a_value_takes_nothing_from_the_host(engine, image, monkeypatch):
    # CVE-2026-57231
    monkeypatch.setenv("HOST_SECRET", "do not tell")
    told = engine.run(image, ["env"], env=["HOST_SECRET", "A=1"])
    assert "HOST_SECRET" not in told.stdout
    assert "A=1\n" in told.stdout
    container = engine.start(image, ["sleep", "1000"])
    assert "HOST_SECRET" not in container.exec(["env"], env={"HOST_SECRET": None}).stdout
