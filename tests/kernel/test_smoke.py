"""The main journeys, for any user on any kernel: what a strange machine is asked first."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from shells import first_words, ready, said
from strangers import Stranger
from support.births import ends
from support.keepers import end_keeper, kill_keeper

import pyengine
from pyengine import ExecutableNotFound

pytestmark = [pytest.mark.kernel, pytest.mark.anyone, pytest.mark.tiers]


@pytest.fixture
def root(tmp_path) -> str:
    return str(tmp_path / "engine")


@pytest.fixture
def engine(root) -> Iterator[pyengine.Engine]:
    with pyengine.Engine(root=root) as made:
        yield made


@pytest.fixture
def kept(engine, image, root):
    """A container of nobody, and what is left of it afterwards: nothing."""
    script = "echo ready; while read line; do echo said $line; done; sleep 99"
    container = engine.start(image, ["sh", "-c", script], owner="none")
    yield container
    container.remove(force=True)
    end_keeper(root)


def test_a_program_runs_to_its_end(engine, image):
    result = engine.run(image, ["sh", "-c", "id -u; cat; echo no >&2; exit 3"], stdin=b"given\n")
    assert (result.stdout, result.stderr, result.exit_code) == ("0\ngiven\n", "no\n", 3)
    with pytest.raises(ExecutableNotFound):
        engine.run(image, "nonesuch")
    assert engine.containers.list(all=True) == []


def test_it_is_alone_in_namespaces_of_its_own(engine, image):
    script = "echo $$; hostname; ls /proc | grep -c '^[0-9]'; ls /sys/class/net"
    told = said(engine, image, script, hostname="box").split()
    assert (told[:2], told[3:]) == (["1", "box"], ["lo"])
    assert int(told[2]) < 6


def test_it_writes_above_its_image_and_not_into_it(engine, image):
    script = "rm /etc/passwd; mkdir /d /bin/d; mv /var /v; echo 1 > /d/f; ls -d /v/log /var"
    container = engine.create(image, ["sh", "-c", script])
    container.start()
    assert container.wait(timeout=30).exit_code != 0  # there is no /var any more
    assert "/v/log\n" in container.logs()
    changes = {f"{one.kind.value} {one.path}" for one in container.diff()}
    assert {"A /d", "A /d/f", "A /bin/d"} <= changes
    assert said(engine, image, "cat /etc/passwd; ls /").count("root:x:0:0") == 1


def test_another_program_joins_it(engine, image):
    container = ready(engine, image, "echo ready; sleep 99")
    assert container.exec("cat", stdin=b"abc").stdout == "abc"
    assert container.exec(["sh", "-c", "tty; exit 4"], tty=True).exit_code == 4
    assert container.exec("ps").stdout.count("sleep 99") == 1
    with pytest.raises(ExecutableNotFound):
        container.exec("nonesuch")


def test_a_terminal_is_its_own(engine, image):
    told = engine.run(image, ["sh", "-c", "tty; stty size"], tty=True, console_size=(31, 97))
    assert told.stdout == "/dev/pts/0\r\n31 97\r\n"


def test_what_it_says_is_kept_and_stop_ends_it(engine, image):
    script = "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    container = ready(engine, image, script)
    container.stop(timeout=30)
    assert container.logs() == "ready\nbye\n"
    assert container.inspect().state.exit_code == 5
    container.start()
    container.kill()
    assert container.wait(timeout=30).exit_code == 137
    container.remove()


def test_it_may_do_no_more_than_docker_allows(engine, image):
    script = "grep -E '^(Seccomp|CapEff|CapBnd):' /proc/self/status; unshare -U true || echo no"
    told = said(engine, image, script).split()
    assert told == ["CapEff:", "00000000a80425fb", "CapBnd:", "00000000a80425fb", *FILTERED, "no"]


FILTERED = ["Seccomp:", "2"]


def test_a_bind_and_a_tmpfs_are_where_they_were_asked_for(engine, image, tmp_path):
    (tmp_path / "given").write_text("given\n")
    mounts = [
        pyengine.bind(tmp_path, "/in", read_only=True),
        pyengine.tmpfs("/t", size="1m"),
    ]
    script = "cat /in/given; touch /in/x || echo no; df -k /t | tail -n 1"
    told = said(engine, image, script, mounts=mounts).split()
    assert (told[:2], told[3]) == (["given", "no"], "1024")


def test_what_an_owner_leaves_when_it_is_killed_is_gone(root, image):
    with Stranger(root, image) as owner:
        pid = owner.ask("engine.start(image, 'sleep 600').inspect().pid")
        guard = owner.ask("engine._house.guard.pid")
        pidfds = [os.pidfd_open(one) for one in (pid, guard)]
        owner.kill()
        for pidfd in pidfds:
            assert ends(pidfd, 20)
            os.close(pidfd)
    with pyengine.Engine(root=root) as engine:
        assert engine.containers.list(all=True) == []


def test_one_of_nobody_outlives_its_keeper_and_all_it_says_is_heard(engine, kept, root):
    assert first_words(kept) == b"ready\n"
    kill_keeper(root)
    assert kept.status == "running"
    with pyengine.Engine(root=root) as another:
        found = another.containers.get(kept.id)
        assert found.exec(["sh", "-c", "echo hi"]).stdout == "hi\n"
        found.stop(timeout=0)
        assert found.wait(timeout=30).exit_code in (137, 255)  # before Linux 6.15 nobody knows
        assert found.logs().startswith("ready\n")
