"""Programs that are put into a container that runs."""

from __future__ import annotations

import os
import re
import threading
import time

import pytest
from shells import first_words, interrupted

import pyengine
from pyengine import (
    EngineClosed,
    ExecutableNotFound,
    InvalidRequest,
    NotExecutable,
    ProgramFailed,
    TimedOut,
    WrongState,
)
from pyengine.model.spec import DEFAULT_PATH

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]


@pytest.fixture
def container(engine, image):
    return engine.start(image, "sleep 99", hostname="box")


def said(container, script, **options):
    return container.exec(["sh", "-c", script], **options).check().stdout


# --- what it gets of the container (O12, O14, pitfall 36) ---


def test_it_sees_what_the_container_sees(engine, container):
    # O14
    container.exec(["sh", "-c", "echo written > /tmp/file; hostname inner"], privileged=True)
    assert said(container, "cat /tmp/file") == "written\n"
    names = ["ipc", "mnt", "net", "pid", "time", "uts", "user"]
    if "kill" in engine.capabilities():
        names.append("cgroup")  # where none holds a program, that namespace tells who it started
    script = "; ".join(f"readlink /proc/$P/ns/{name}" for name in names)
    assert said(container, f"P=self; {script}") == said(container, f"P=1; {script}")


def test_it_lives_in_the_container_s_cgroup(container):
    inside = container.popen("sleep 4711")
    assert inside.pid in [process.pid for process in container.top()]
    inside.kill()
    assert inside.wait(timeout=10).signal == 9
    assert [process.command for process in container.top()] == ["sleep 99"]


def test_its_environment_is_the_configured_one_not_the_first_process_s(engine, image):
    # O12, pitfalls 35, 36
    script = "export HOME=/elsewhere SMUGGLED=1; unset KEPT; echo ready; exec sleep 99"
    container = engine.start(image, ["sh", "-c", script], env={"KEPT": "1"}, hostname="box")
    first_words(container)
    told = dict(line.split("=", 1) for line in container.exec("env").stdout.splitlines())
    assert told == {"PATH": DEFAULT_PATH, "HOSTNAME": "box", "KEPT": "1", "HOME": "/root"}
    changed = container.exec("env", env={"KEPT": None, "MORE": "2"}, user="app").stdout
    assert "KEPT" not in changed
    assert {"MORE=2", "HOME=/home/app"} <= set(changed.split())


def test_env_files_come_before_what_the_call_says(container, tmp_path):
    # O12
    (tmp_path / "env").write_text("A=file\nB=file\n")
    told = container.exec("env", env_file=str(tmp_path / "env"), env={"B": "call"}).stdout.split()
    assert {"A=file", "B=call"} <= set(told)


def test_it_runs_as_the_container_s_user_where_the_container_does(engine, image):
    # O12, C20
    container = engine.start(image, "sleep 99", user="app", workdir="/home/app", group_add=["mail"])
    script = "id; pwd; echo $HOME"
    identity, *places = said(container, script).splitlines()
    plain = re.sub(r"\([^)]*\)", "", identity)
    assert (plain, places) == ("uid=1000 gid=1000 groups=8,44,1000", ["/home/app", "/home/app"])
    other = re.sub(r"\([^)]*\)", "", said(container, "id", user="daemon:tty"))
    assert other == "uid=1 gid=5 groups=5,8\n"
    assert said(container, "pwd", workdir="/etc") == "/etc\n"


def test_a_user_is_looked_up_when_it_is_asked_for(container):
    # C05: in the files as they are now
    container.exec(["sh", "-c", "echo new:x:77:78:::/bin/sh >> /etc/passwd"]).check()
    assert said(container, "id -u; id -g", user="new").split() == ["77", "78"]
    with pytest.raises(InvalidRequest, match="unable to find user nobody-here"):
        container.exec("true", user="nobody-here")


def test_it_may_do_what_the_container_may_and_no_more(engine, image):
    # O14
    script = "grep -E 'Cap|NoNewPrivs|Seccomp:' /proc/self/status; ulimit -n"
    options = {"cap_add": ["NET_ADMIN"], "cap_drop": ["CHOWN"], "no_new_privileges": True}
    container = engine.start(image, "sleep 99", ulimits=["nofile=321:654"], **options)
    inside = said(container, script)
    fresh = engine.run(image, ["sh", "-c", script], ulimits=["nofile=321:654"], **options)
    assert inside == fresh.stdout
    assert inside.splitlines()[-1] == "321"
    assert "Seccomp:\t2" in inside
    assert set(re.findall(r"Cap(?:Inh|Amb):\t(\w+)", inside)) == {"0" * 16}


def test_privileged_is_all_capabilities_and_nothing_else(container):
    # O14
    script = "grep -E 'CapEff|Seccomp:' /proc/self/status"
    effective, filtered = said(container, script, privileged=True).split()[1::2]
    assert int(effective, 16) > int(said(container, script).split()[1], 16)
    assert filtered == "2"


def test_it_holds_nothing_of_the_host(container):
    # security.md 2 and 3
    inside = said(container, "ls /proc/self/fd | wc -l; readlink /proc/self/fd/0")
    assert inside.split()[1] == "/dev/null"
    fds = said(container, "ls -l /proc/self/fd | sed -n 's/.*-> //p' | grep -v '^/proc'").split()
    assert [fd.partition(":")[0] for fd in fds] == ["/dev/null", "pipe", "pipe"]


# --- how it ends ---


def test_its_end_is_told_as_a_run_s_is(container):
    # O13, O15
    failed = container.exec(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (failed.exit_code, failed.stdout, failed.stderr) == (7, "out\n", "err\n")
    with pytest.raises(ProgramFailed):
        container.exec("false", check=True)
    killed = container.exec(["sh", "-c", "kill -9 $$"])
    assert (killed.exit_code, killed.signal) == (137, 9)


def test_what_cannot_be_executed_leaves_the_container_as_it_was(container):
    # O13
    with pytest.raises(ExecutableNotFound) as missing:
        container.exec("nonesuch")
    with pytest.raises(NotExecutable) as refused:
        container.exec("/etc/passwd")
    assert (missing.value.exit_code, refused.value.exit_code) == (127, 126)
    with pytest.raises(InvalidRequest, match="workdir"):
        container.exec("pwd", workdir="/nowhere")
    with pytest.raises(InvalidRequest, match="No exec command specified"):
        container.exec([])
    assert [process.command for process in container.top()] == ["sleep 99"]
    assert container.exec("true")


def test_nothing_is_put_into_what_does_not_run(engine, image):
    # O12
    container = engine.create(image, "true")
    for _ in range(2):
        with pytest.raises(WrongState, match="is not running"):
            container.exec("true")
        container.start()
        container.wait(timeout=10)
    running = engine.start(image, "sleep 99")
    running.pause()
    with pytest.raises(WrongState, match="paused"):
        running.exec("true")


def test_it_dies_with_the_container(engine, image, survivors):
    # O14
    container = engine.start(image, "cat", stdin_open=True)
    process = container.popen("sleep 4713")
    container.attach(stdin=True).stdin.close()
    assert container.wait(timeout=10).exit_code == 0
    assert process.wait(timeout=10).signal == 9
    assert survivors("sleep 4713") == []


def test_a_program_in_the_background_outlives_who_started_it(container):
    # as docker's does: only a timeout ends the whole tree
    assert said(container, "sleep 4714 >/dev/null 2>&1 & echo $!").strip().isdigit()
    # it is there, whatever it is called while it becomes its program
    assert len([*container.top()]) == 2


@pytest.mark.parametrize("size", [1, 65_535, 65_536, 65_537, 1_000_000])
def test_what_it_says_is_whole_however_much_it_is(container, size):
    # up to 64 KiB of each stream are read without waking Python: the border must not show
    script = f"head -c {size} /dev/zero & head -c {size} /dev/zero | tr '\\0' x >&2; wait"
    result = container.exec(["sh", "-c", script]).check()
    assert result.stdout_bytes == bytes(size)
    assert result.stderr_bytes == b"x" * size


def test_it_has_ended_though_somebody_else_still_holds_its_streams(container):
    before = time.monotonic()
    result = container.exec(["sh", "-c", "echo first; sleep 4718 & exit 3"])
    assert (result.exit_code, result.stdout) == (3, "first\n")
    assert time.monotonic() - before < 5


def test_a_timeout_keeps_what_was_said_before_and_after_it_was_much(container):
    script = "head -c 200000 /dev/zero; echo end; sleep 4719"
    with pytest.raises(TimedOut) as caught:
        container.exec(["sh", "-c", script], timeout=0.5)
    assert caught.value.stdout == "\0" * 200_000 + "end\n"


def test_an_exec_that_fails_again_says_again_why(container):
    # its plan is kept, its failure is not
    for _ in range(3):
        with pytest.raises(ExecutableNotFound):
            container.exec(["no-such-program"])
        assert said(container, "echo ok") == "ok\n"
    assert [process.command for process in container.top()] == ["sleep 99"]


def test_a_timeout_ends_everything_it_has_started(container, survivors):
    # "What it must show" 6; the soak tests do it 200 times
    script = "echo partial; echo why >&2; sleep 4712 & setsid sleep 4712 & sleep 4712"
    for _ in range(5):
        before = time.monotonic()
        with pytest.raises(TimedOut) as caught:
            container.exec(["sh", "-c", script], timeout=0.3)
        assert time.monotonic() - before < 0.5
        assert (caught.value.stdout, caught.value.stderr) == ("partial\n", "why\n")
        assert survivors("sleep 4712") == []
        assert [process.command for process in container.top()] == ["sleep 99"]


def test_a_timeout_reaches_those_who_hide_and_those_who_do_not_listen(container, survivors):
    script = """
    trap '' TERM HUP INT
    (setsid sh -c 'trap "" TERM; (setsid sleep 4715 &) ; exec sleep 4715' &)
    echo hidden; while :; do sleep 4715; done
    """
    with pytest.raises(TimedOut) as caught:
        container.exec(["sh", "-c", script], timeout=0.3)
    assert caught.value.stdout == "hidden\n"
    assert survivors("sleep 4715") == []


def test_an_interrupted_exec_leaves_nobody(container, survivors):
    interrupted(lambda: container.exec("sleep 4716"))
    assert survivors("sleep 4716") == []
    assert container.status == "running"


def test_an_interrupted_run_leaves_nothing(engine, image, survivors):
    interrupted(lambda: engine.run(image, "sleep 4717", name="mine"))
    assert survivors("sleep 4717") == []
    assert engine.containers.list(all=True) == []


def test_closing_the_engine_ends_what_runs_in_other_threads(tmp_path, image, survivors):
    engine = pyengine.Engine(root=tmp_path / "closing")
    container = engine.start(image, "sleep 4718")
    ends = []
    calls = (
        lambda: container.exec("sleep 4718"),
        lambda: engine.run(image, "sleep 4718"),
        lambda: container.popen("sleep 4718").wait(),
    )
    with engine.events(timeout=10) as events:
        threads = [threading.Thread(target=lambda c=c: ends.append(c().exit_code)) for c in calls]
        for thread in threads:
            thread.start()
        begun = 0
        while begun < 3:
            action = next(events).action
            begun += action == "start" or action.startswith("exec_start")
    engine.close()
    for thread in threads:
        thread.join(10)
    assert ends == [137] * 3
    assert survivors("sleep 4718") == []
    assert os.listdir(tmp_path / "closing/owners") == []
    with pytest.raises(EngineClosed):
        container.wait()


def test_sixteen_threads_may_run_and_exec_at_once(engine, image, container):
    told = []

    def work(number):
        for turn in range(4):
            word = f"{number}-{turn}"
            told.append(container.exec(["echo", word]).stdout.strip() == word)
            told.append(engine.run(image, ["echo", word]).stdout.strip() == word)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert told == [True] * 128
