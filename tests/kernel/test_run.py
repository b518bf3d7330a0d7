"""A program in a new container: which one, as whom, where, with what around it."""

from __future__ import annotations

import os
import re
from contextlib import closing

import pytest
from shells import said
from support.whoever import IS_ROOT

from pyengine import (
    AlreadyExists,
    ExecutableNotFound,
    ImageNotFound,
    InvalidRequest,
    NotExecutable,
    ProgramFailed,
    TimedOut,
    Unsupported,
)
from pyengine.model.spec import DEFAULT_PATH

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]


def variables(text):
    return dict(line.split("=", 1) for line in text.splitlines())


# --- the image, the program (C01 to C03) ---


def test_an_image_that_is_not_there_is_named_as_docker_names_it(engine, tmp_path):
    # C01, pitfall 13
    with pytest.raises(ImageNotFound, match=rf"^No such image: rootfs:{tmp_path}/gone") as caught:
        engine.run(f"rootfs:{tmp_path}/gone", "true")
    assert caught.value.exit_code == 125


def test_an_image_that_is_not_there_and_shall_not_be_pulled_is_not_found(engine):
    with pytest.raises(ImageNotFound, match="alpine:3"):
        engine.run("alpine:3", "true", pull="never")


def test_a_text_is_split_as_a_shell_would_and_no_shell_runs(engine, image):
    # C02
    assert engine.run(image, "echo 'a  b' $HOME").stdout == "a  b $HOME\n"
    assert engine.run(image, ["echo", "a  b", ""]).stdout == "a  b \n"


def test_the_host_itself_is_an_image_that_nobody_writes_to(engine, tmp_path):
    told = engine.run("host:", ["sh", "-c", f"pwd; ls -d {tmp_path}; echo x > /made-inside"])
    assert (told.exit_code, told.stdout.split()) == (0, ["/", str(tmp_path)])
    assert not os.path.exists("/made-inside")


@pytest.mark.parametrize(
    ("entrypoint", "command", "spoken"),
    [
        (["echo", "first"], ["second"], "first second\n"),
        ("echo 'one word'", None, "one word\n"),
        ("", ["echo", "bare"], "bare\n"),
        ([""], ["echo", "bare"], "bare\n"),
    ],
)
def test_the_entrypoint_comes_before_the_command(engine, image, entrypoint, command, spoken):
    # C03, pitfall 9: a user's entrypoint drops the image's command, "/bin/sh" here
    assert engine.run(image, command, entrypoint=entrypoint).stdout == spoken


def test_no_program_at_all_is_refused_before_anything_is_made(engine, image):
    # C03
    with pytest.raises(InvalidRequest, match="no command specified"):
        engine.run(image, entrypoint="")
    assert engine.containers.list(all=True) == []


def test_nothing_asked_runs_the_shell_of_an_image_that_says_nothing(engine, image):
    assert engine.run(image, stdin="echo $0 | tr a-z A-Z").stdout == "/BIN/SH\n"


# --- its environment (C04, pitfall 35) ---


def test_the_environment_starts_from_nothing(engine, image, monkeypatch):
    # C04: of the host's variables there is none
    monkeypatch.setenv("SECRET_OF_THE_HOST", "42")
    assert variables(engine.run(image, "env", hostname="box").stdout) == {
        "PATH": DEFAULT_PATH,
        "HOSTNAME": "box",
        "HOME": "/root",
    }


def test_variables_are_set_replaced_and_taken_away(engine, image):
    # C04
    asked = {"A": "1=2", "HOSTNAME": "mine", "PATH": None}
    found = variables(engine.run(image, "/bin/env", env=asked).stdout)
    assert found == {"A": "1=2", "HOSTNAME": "mine", "HOME": "/root"}
    found = variables(engine.run(image, "env", env=["A=x", "B=", "HOSTNAME"]).stdout)
    assert found == {"A": "x", "B": "", "PATH": DEFAULT_PATH, "HOME": "/root"}


def test_a_variable_s_value_keeps_every_byte(engine, image):
    value = "tab\tline\nquote'\"$(x) ü \udcff"
    told = engine.run(image, ["sh", "-c", 'printf %s "$A"'], env={"A": value}).stdout_bytes
    assert told == value.encode(errors="surrogateescape")


def test_home_is_the_container_s_own_user_s(engine, image):
    # C04, pitfall 35
    assert said(engine, image, "echo $HOME", user="app") == "/home/app\n"
    assert said(engine, image, "echo $HOME", user="4711") == "/\n"
    assert said(engine, image, "echo $HOME", env={"HOME": ""}) == "/root\n"
    assert said(engine, image, "echo $HOME", env={"HOME": "/x"}, user="app") == "/x\n"


def test_a_terminal_has_a_kind_and_a_pipe_has_none(engine, image):
    # C04, C09, pitfall 35
    assert engine.run(image, ["sh", "-c", "echo $TERM"], tty=True).stdout == "xterm\r\n"
    assert said(engine, image, "echo ${TERM-none}") == "none\n"


# --- who it is (C05, C20) ---


@pytest.mark.parametrize(
    ("user", "options", "identity"),
    [
        ("", {}, "uid=0 gid=0 groups=0"),
        ("app", {}, "uid=1000 gid=1000 groups=44,1000"),
        ("1000", {}, "uid=1000 gid=1000 groups=44,1000"),
        ("app:mail", {}, "uid=1000 gid=8 groups=8"),
        ("app:77", {}, "uid=1000 gid=77 groups=77"),
        ("4711", {}, "uid=4711 gid=0 groups=0"),
        ("4711:4712", {}, "uid=4711 gid=4712 groups=4712"),
        ("app", {"group_add": ["mail", 99]}, "uid=1000 gid=1000 groups=8,44,99,1000"),
    ],
)
def test_a_user_is_looked_up_in_the_container(engine, image, user, options, identity):
    # C05, C20 (the kernel sorts the groups)
    told = said(engine, image, "id", user=user, **options)
    groups = f" groups={identity.partition('groups=')[2]}"
    if "subids" not in engine.capabilities():  # who has one id is in no others
        identity = identity.removesuffix(groups)
    assert re.sub(r"\([^)]*\)", "", told).strip() == identity


def test_the_last_user_of_all_is_one_where_there_is_such_a_user(engine, image):
    # C05
    if IS_ROOT:
        assert said(engine, image, "id -u", user="4294967294") == "4294967294\n"
    else:
        with pytest.raises((InvalidRequest, Unsupported), match="4294967294"):
            engine.run(image, "true", user="4294967294")


def test_a_user_that_the_container_does_not_know_stops_its_start(engine, image):
    # C05: nobody knows before the start, as the files may change until then
    container = engine.create(image, "true", user="nobody-here")
    with pytest.raises(InvalidRequest, match="unable to find user nobody-here"):
        container.start()
    assert container.status == "created"


# --- where it is (C06) ---


def test_it_starts_in_its_working_directory_which_is_made(engine, image):
    # C06
    script = "pwd; stat -c '%a %u %g' . .."
    told = said(engine, image, script, workdir="/made/for/it", user="app")
    assert told.splitlines() == ["/made/for/it", "755 0 0", "755 0 0"]
    assert said(engine, image, "pwd") == "/\n"


def test_a_working_directory_that_cannot_be_is_refused(engine, image):
    # C06
    with pytest.raises(InvalidRequest, match="not a directory"):
        engine.run(image, "true", workdir="/etc/passwd")
    with pytest.raises(InvalidRequest, match="absolute"):
        engine.run(image, "true", workdir="etc")


# --- its names (C07, C08, C23) ---


def test_it_is_called_by_its_id_unless_told_otherwise(engine, image):
    # C07
    container = engine.start(image, ["sh", "-c", "hostname; cat /etc/hostname; env; sleep 99"])
    with closing(container.follow_logs(timeout=10)) as lines:
        told = [next(lines).data for _ in range(2)]
    assert told == [f"{container.short_id}\n".encode()] * 2
    script = "hostname; cat /etc/hostname; grep -w box /etc/hosts"
    assert said(engine, image, script, hostname="box").split() == ["box", "box", "127.0.1.1", "box"]


def test_a_host_name_is_never_longer_than_the_kernel_takes(engine, image):
    # C07
    assert said(engine, image, "hostname", hostname="h" * 64) == "h" * 64 + "\n"
    with pytest.raises(InvalidRequest, match="hostname"):
        engine.run(image, "true", hostname="h" * 65)


def test_on_the_host_s_network_it_has_the_host_s_name(engine, image):
    # C07
    assert said(engine, image, "hostname", network="host").strip() == os.uname().nodename


def test_a_domain_makes_a_full_name(engine, image):
    # C08
    script = "cat /proc/sys/kernel/domainname; hostname -f; grep -w box /etc/hosts"
    told = said(engine, image, script, hostname="box", domainname="example.org").splitlines()
    assert told == ["example.org", "box.example.org", "127.0.1.1\tbox.example.org box"]


def test_a_name_is_given_or_made_up_and_never_twice(engine, image):
    # C23
    made_up = engine.create(image)
    assert re.fullmatch(r"[a-z]+_[a-z]+\d?", made_up.name)
    web = engine.create(image, name="/web.1")
    assert web.name == "web.1"
    with pytest.raises(AlreadyExists) as caught:
        engine.create(image, name="web.1")
    assert str(caught.value).startswith(
        f"Conflict. The container name '/web.1' is already in use by container '{web.id}'"
    )
    web.remove()
    assert engine.create(image, name="web.1").name == "web.1"


@pytest.mark.parametrize("name", ["", "x", "-ab", "a b", "a/b", "ä" * 3, "a" * 256])
def test_a_name_that_docker_refuses_is_refused(engine, image, name):
    # C23
    with pytest.raises(InvalidRequest, match="container name"):
        engine.create(image, name=name)


# --- what it is born with (C18, C19) ---


def test_an_init_reaps_what_others_leave_behind(engine, image):
    # C18: an orphan becomes the init's, and no zombie of it stays
    script = """
    (sh -c 'exec sleep 0.01 & echo $! > /orphan')
    while [ -d /proc/$(cat /orphan) ]; do usleep 1000; done
    echo $$; cat /proc/1/comm
    """
    first, name = said(engine, image, script, init=True).split()
    assert int(first) != 1
    assert name != "sh"


def test_an_init_hands_the_exit_code_on(engine, image):
    # C18
    assert engine.run(image, ["sh", "-c", "exit 42"], init=True).exit_code == 42
    ended = engine.run(image, ["sh", "-c", "kill -9 $$"], init=True)
    assert (ended.exit_code, ended.signal) == (137, None)


def test_how_soon_memory_shortage_ends_it_is_chosen(engine, image):
    # C19
    script = "cat /proc/self/oom_score_adj"
    assert said(engine, image, script, oom_score_adj=321) == "321\n"
    assert said(engine, image, script) == "0\n"
    container = engine.start(image, "sleep 99", oom_score_adj=77)
    assert container.exec(["cat", "/proc/self/oom_score_adj"]).stdout == "77\n"


# --- how it ends (O44) ---


def test_the_exit_code_is_the_program_s(engine, image):
    # O44
    failed = engine.run(image, ["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (failed.exit_code, failed.stdout, failed.stderr) == (7, "out\n", "err\n")
    assert not failed
    with pytest.raises(ProgramFailed) as caught:
        engine.run(image, ["sh", "-c", "echo why >&2; exit 9"], check=True)
    assert caught.value.result.stderr == "why\n"
    assert engine.run(image, "true", check=True)


def test_a_signal_is_128_and_its_number(engine, image):
    # O44
    container = engine.start(image, "sleep 99")
    container.kill("SIGKILL")
    assert container.wait() == container.wait(timeout=0)
    ended = container.wait()
    assert (ended.exit_code, ended.signal, int(ended)) == (137, 9, 137)


def test_a_program_that_is_not_there_is_127_and_one_that_may_not_run_126(engine, image):
    # O44, pitfall 13
    with pytest.raises(ExecutableNotFound, match=r"executable file not found in \$PATH") as missing:
        engine.run(image, "nonesuch")
    assert missing.value.exit_code == 127
    with pytest.raises(ExecutableNotFound, match="no such file or directory"):
        engine.run(image, "/bin/nonesuch")
    for program in ("/etc/passwd", "/etc"):
        with pytest.raises(NotExecutable, match="permission denied") as caught:
            engine.run(image, program)
        assert caught.value.exit_code == 126
    assert engine.containers.list(all=True) == []


def test_a_program_that_takes_too_long_is_ended_with_all_it_started(engine, image):
    script = "echo partial; echo why >&2; sleep 99 & setsid sleep 99 & sleep 99"
    with pytest.raises(TimedOut) as caught:
        engine.run(image, ["sh", "-c", script], timeout=0.3, name="slow")
    assert (caught.value.stdout, caught.value.stderr) == ("partial\n", "why\n")
    assert caught.value.timeout == 0.3
    assert "slow" not in engine.containers


def test_what_is_kept_can_be_looked_at_afterwards(engine, image):
    engine.run(image, "echo hi", name="kept", keep=True)
    kept = engine.containers.get("kept")
    assert (kept.status, kept.logs(), kept.wait().exit_code) == ("exited", "hi\n", 0)
    engine.run(image, "echo hi", name="gone")
    assert "gone" not in engine.containers


def test_a_run_that_is_kept_and_too_slow_is_gone_all_the_same(engine, image):
    with pytest.raises(TimedOut):
        engine.run(image, "sleep 99", name="slow", keep=True, timeout=0.1)
    assert "slow" not in engine.containers


def test_a_result_tells_what_it_cost(engine, image):
    spent = engine.run(
        image, ["sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"], memory="64m"
    )
    assert 0 < spent.usage.cpu_seconds < 60
    assert 0 < spent.usage.peak_memory < 64 << 20
    assert 0 < spent.duration < 60
