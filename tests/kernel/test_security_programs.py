"""Lines 1 to 3: who is on the way into a container has nothing of the host's to take away."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import closing
from functools import partial

import pytest
from hostile import Canary, attempt, small_root
from support import programs

from pyengine import EngineError, InvalidRequest
from pyengine.linux import native

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]


def digests() -> dict[str, str]:
    """What the engine's own programs hold, which containers come near."""
    found = {}
    for name in ("landing", "joiner"):
        size = os.fstat(native.program(name)).st_size
        content = os.pread(native.program(name), size, 0)
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def started(engine, image, script, **options):
    """A container whose shell is as far as to have said "ready"."""
    container = engine.start(image, ["sh", "-c", script], **options)
    with closing(container.follow_logs(timeout=30)) as lines:
        assert "ready" in str(next(lines))
    return container


# --- the program behind /proc/self/exe (line 1) ---


@pytest.mark.parametrize(
    "first",
    [
        *("#!/proc/self/exe", "#!/proc/self/exe run", "#!/proc/self/exe init"),
        *("#!/proc/self/fd/3", "#!/proc/self/fd/4", "#!/proc/thread-self/exe"),
    ],
)
def test_an_image_whose_program_is_run_by_ours_gets_126(engine, rootfs, tmp_path, first):
    # CVE-2019-5736: it is a sealed program of ours that knows it has no engine, never Python
    root = small_root(rootfs, tmp_path / "root")
    with open(f"{root}/bin/evil", "w", encoding="ascii") as file:
        file.write(f"{first}\n")
    os.chmod(f"{root}/bin/evil", 0o755)
    image, before = f"rootfs:{root}", digests()
    container = engine.start(image, ["sleep", "1000"])
    for run in (
        lambda: engine.run(image, ["/bin/evil"], timeout=30),
        lambda: engine.run(image, ["evil"], init=True, timeout=30),
        lambda: engine.run(image, entrypoint=["evil"], timeout=30),
        lambda: container.exec(["/bin/evil"], timeout=30),
    ):
        outcome = attempt(run)
        assert outcome.exit_code == 126, outcome
    assert digests() == before


def test_a_link_to_our_program_gets_126_too(engine, rootfs, tmp_path):
    root = small_root(rootfs, tmp_path / "root")
    os.symlink("/proc/self/exe", f"{root}/bin/evil")
    told = engine.run(f"rootfs:{root}", ["evil"], timeout=30)
    assert (told.exit_code, told.stdout) == (126, "")
    container = engine.start(f"rootfs:{root}", ["sleep", "1000"])
    assert container.exec(["/bin/evil"], timeout=30).exit_code == 126


OVERWRITE = """
    echo ready
    for i in 1 2 3; do
        (echo overwritten > /proc/1/exe) 2>/dev/null && echo written
        (echo overwritten >> /proc/1/exe) 2>/dev/null && echo appended
        busybox truncate -s 0 /proc/1/exe 2>/dev/null && echo truncated
        busybox chmod 000 /proc/1/exe 2>/dev/null && echo changed
        busybox dd if=/bin/busybox of=/proc/1/exe conv=notrunc 2>/dev/null && echo copied
    done
    echo over
"""


def test_the_init_that_stays_inside_cannot_be_overwritten(engine, image):
    # pe_seal: F_SEAL_WRITE, _GROW, _SHRINK, and F_SEAL_EXEC; before Linux 6.3, which has not the
    # last, its right to run can be taken away: then it is a copy that nobody else uses
    before = digests()
    container = started(engine, image, OVERWRITE, init=True)
    container.wait(timeout=60)
    may = set() if native._program("landing").mode_stays else {"changed"}
    assert set(container.logs().split()) == {"ready", "over"} | may
    assert digests() == before
    assert engine.run(image, ["echo", "fine"], init=True).stdout == "fine\n"


def test_whoever_waits_for_a_program_that_joins_cannot_overwrite_it(engine, image):
    # opened while it is ours, written to when it is done
    script = """
        echo ready
        while [ ! -e /over ]; do
            for exe in /proc/[0-9]*/exe; do
                case $(busybox readlink $exe 2>/dev/null) in
                    /memfd:*) (echo overwritten > $exe) 2>/dev/null && echo written ;;
                    *python*) echo python ;;
                esac
            done
        done
        echo done
    """
    before = digests()
    for options in ({}, {"cap_add": ["SYS_PTRACE"]}, {"privileged": True}):
        container = started(engine, image, script, **options)
        for _ in range(30):
            assert container.exec(["true"], timeout=30).exit_code == 0
        container.exec(["touch", "/over"])
        container.wait(timeout=60)
        assert set(container.logs().split()) == {"ready", "done"}
        assert digests() == before


def test_nothing_of_the_host_s_python_is_mapped_or_open_inside(engine, image):
    script = "cat /proc/self/maps /proc/1/maps; ls -l /proc/1/fd /proc/self/fd; cat /proc/1/environ"
    for options in ({}, {"init": True}, {"tty": True}):
        told = engine.run(image, ["sh", "-c", script], timeout=60, **options)
        assert "ython" not in told.stdout
        assert "/root/" not in told.stdout
        assert "LD_" not in told.stdout


# --- descriptors and working directories (line 2) ---


def test_a_working_directory_behind_a_descriptor_is_refused(engine, image):
    # CVE-2024-21626; resolve's RESOLVE_NO_MAGICLINKS, and getcwd(2) after it
    container = engine.start(image, ["sleep", "1000"])
    places = ("/proc/1/cwd", "/proc/self/cwd", "/proc/self/root", "/proc/1/root/tmp")
    for workdir in (*(f"/proc/self/fd/{number}" for number in range(32)), *places):
        for call in (partial(engine.run, image), container.exec):
            with pytest.raises(InvalidRequest) as caught:
                call(["pwd"], workdir=workdir)
            assert caught.value.what == "workdir"


@pytest.mark.parametrize("options", [{}, {"tty": True}, {"init": True}, {"stdin": b"x"}])
def test_a_program_has_three_descriptors_whatever_its_host_has_open(
    engine, image, tmp_path, options
):
    opened = [os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY) for _ in range(20)]
    try:
        for fd in opened:
            os.set_inheritable(fd, True)
        told = json.loads(engine.run(image, ["/bin/probe"], timeout=60, **options).stdout)
        assert [one["fd"] for one in told["fds"]] == [0, 1, 2]
        container = engine.start(image, ["sleep", "1000"])
        told = json.loads(container.exec(["/bin/probe"], timeout=60).stdout)
        assert [one["fd"] for one in told["fds"]] == [0, 1, 2]
    finally:
        for fd in opened:
            os.close(fd)


# --- lying in wait (line 3) ---

CAPABLE = {
    "by default": {},
    "with CAP_SYS_PTRACE": {"cap_add": ["SYS_PTRACE"]},
    "privileged": {"privileged": True},
    "unconfined": {"seccomp": "unconfined", "masked_paths": []},
}


def stalked(engine, rootfs, tmp_path, visit, *, visits=150, **options):
    """What a stalker in a container found out about those who joined it meanwhile."""
    root = small_root(rootfs, tmp_path / "root")
    shutil.copy(programs.build("stalker"), f"{root}/bin/stalker")
    canary = Canary.make(tmp_path / "canary")
    container = engine.start(f"rootfs:{root}", ["stalker", f"{canary.path}/file"], **options)
    with closing(container.follow_logs(timeout=30)) as lines:
        assert "waiting" in str(next(lines))
    for _ in range(visits):
        visit(container)
    container.kill("SIGTERM")
    assert container.wait(timeout=60).exit_code == 0
    assert canary.is_untouched
    return json.loads(container.logs().splitlines()[-1])


@pytest.mark.parametrize("kind", CAPABLE)
def test_who_joins_gives_a_stalker_no_way_to_the_host(engine, rootfs, tmp_path, kind):
    """CVE-2016-9962. Without CAP_SYS_PTRACE the joiner's PR_SET_DUMPABLE keeps stalkers off; with
    it they get hold of a small program that has left the host behind: joiner.c's enter().
    """
    found = stalked(
        engine,
        rootfs,
        tmp_path,
        lambda container: container.exec(["true"], timeout=30),
        **CAPABLE[kind],
    )
    assert found["escapes"] == 0
    assert found["texts"] == 0
    assert found["mightier"] == 0
    if kind in ("by default", "unconfined"):
        assert found["memory"] == found["traced"] == found["listed"] == 0
    kinds = {link.partition(":")[0] for link in found["links"]}
    assert kinds <= {"pipe", "socket", "/dev/null", "/"}


@pytest.mark.parametrize("way", ["terminal", "user", "input", "score", "workdir"])
def test_no_way_of_joining_lets_the_host_through(engine, rootfs, tmp_path, way):
    options = {"cap_add": ["SYS_PTRACE"], "oom_score_adj": 200 if way == "score" else 0}

    def visit(container):
        if way == "terminal":
            process = container.popen(["true"], tty=True)
            process.wait(timeout=30)
            process.close()
        else:
            asked = {"user": "app" if way == "user" else "", "workdir": "/tmp"}
            container.exec(["true"], timeout=30, stdin=b"x" if way == "input" else None, **asked)

    found = stalked(engine, rootfs, tmp_path, visit, **options)
    assert (found["escapes"], found["texts"], found["mightier"]) == (0, 0, 0)


def test_a_stalker_that_was_put_inside_with_all_rights_finds_no_host_either(
    engine, rootfs, tmp_path
):
    root = small_root(rootfs, tmp_path / "root")
    shutil.copy(programs.build("stalker"), f"{root}/bin/stalker")
    canary = Canary.make(tmp_path / "canary")
    container = engine.start(f"rootfs:{root}", ["sleep", "1000"])
    stalker = container.popen(["stalker", f"{canary.path}/file"], privileged=True)
    assert stalker.stdout.readline() == b"waiting\n"
    for _ in range(100):
        container.exec(["true"], timeout=30)
    stalker.kill("SIGTERM")
    found = json.loads(stalker.stdout.readline())
    assert stalker.wait(timeout=30).exit_code == 0
    stalker.close()
    assert (found["escapes"], found["texts"]) == (0, 0)


@pytest.mark.parametrize("options", [{}, {"init": True}, {"tty": True}], ids=str)
def test_who_shares_a_pid_namespace_is_not_born_in_front_of_a_stalker(
    engine, image, rootfs, tmp_path, options
):
    def visit(container):
        told = engine.run(image, ["true"], pid=f"container:{container.id}", timeout=30, **options)
        assert told.exit_code == 0

    found = stalked(engine, rootfs, tmp_path, visit, cap_add=["SYS_PTRACE"], visits=40)
    assert (found["escapes"], found["texts"], found["mightier"]) == (0, 0, 0)


def test_a_stalker_that_shares_another_s_pid_namespace_finds_no_host_there(
    engine, image, rootfs, tmp_path
):
    root = small_root(rootfs, tmp_path / "root")
    shutil.copy(programs.build("stalker"), f"{root}/bin/stalker")
    canary = Canary.make(tmp_path / "canary")
    victim = engine.start(image, ["sleep", "1000"])
    shared = {"pid": f"container:{victim.id}", "cap_add": ["SYS_PTRACE"]}
    stalker = engine.start(f"rootfs:{root}", ["stalker", f"{canary.path}/file"], **shared)
    with closing(stalker.follow_logs(timeout=30)) as lines:
        assert "waiting" in str(next(lines))
    for _ in range(100):
        victim.exec(["true"], timeout=30)
    stalker.kill("SIGTERM")
    assert stalker.wait(timeout=60).exit_code == 0
    found = json.loads(stalker.logs().splitlines()[-1])
    assert (found["escapes"], found["texts"], found["mightier"]) == (0, 0, 0)


def test_who_shares_a_pid_namespace_is_the_program_it_would_be_elsewhere(engine, image):
    first = engine.start(image, ["sleep", "1000"])
    shared = {"pid": f"container:{first.id}", "timeout": 60}
    told = json.loads(engine.run(image, ["/bin/probe"], **shared).stdout)
    assert told["pid"] == told["pgid"] == told["sid"] > 1
    assert [one["fd"] for one in told["fds"]] == [0, 1, 2]
    assert engine.run(image, ["sh", "-c", "exit 7"], init=True, **shared).exit_code == 7
    assert engine.run(image, ["tty"], tty=True, **shared).stdout == "/dev/pts/0\r\n"
    score = engine.run(image, ["cat", "/proc/self/oom_score_adj"], oom_score_adj=321, **shared)
    assert score.stdout == "321\n"


def test_who_is_ushered_in_is_a_program_like_any_other(engine, image):
    # the same answers by the longer way in: its own session, its end, its signals, its errors
    container = engine.start(image, ["sleep", "1000"], cap_add=["SYS_PTRACE"])
    told = json.loads(container.exec(["/bin/probe"], timeout=60).stdout)
    assert told["pid"] == told["pgid"] == told["sid"] > 1
    assert told["ppid"] == 0
    assert [one["fd"] for one in told["fds"]] == [0, 1, 2]
    assert container.exec(["sh", "-c", "exit 7"]).exit_code == 7
    with pytest.raises(EngineError) as caught:
        container.exec(["no-such-program"])
    assert caught.value.exit_code == 127
    with pytest.raises(InvalidRequest):
        container.exec(["true"], workdir="/not/there")
    process = container.popen(["cat"], tty=True)
    process.stdin.write(b"words\n")
    assert process.stdout.readline() == b"words\r\n"
    process.kill()
    assert process.wait(timeout=30).exit_code == 137
    process.close()
