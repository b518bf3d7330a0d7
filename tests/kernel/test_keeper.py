"""Containers of nobody: a keeper watches them, any process may ask for them, no death ends them."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Iterator

import pytest
from strangers import Stranger
from support.keepers import PATIENCE, awaited, keeper_of, kill_keeper

import pyengine
from pyengine.containers import keeper
from pyengine.containers.asking import KEEPER
from pyengine.errors import (
    ContainerNotFound,
    ExecutableNotFound,
    InvalidRequest,
    StoreError,
    Unsupported,
    WrongState,
)
from pyengine.store.layout import Layout

pytestmark = pytest.mark.kernel

IS_TOLD = tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 15)
"""Whether the kernel says how a program has ended to who is not its parent."""


@pytest.fixture
def engine(root: str) -> Iterator[pyengine.Engine]:
    with pyengine.Engine(root=root) as made:
        yield made


@pytest.fixture
def stranger(root: str, image: str) -> Iterator[Stranger]:
    with Stranger(root, image) as one:
        yield one


def _say(engine: pyengine.Engine, image: str, script: str, **options: object):
    return engine.start(image, ["sh", "-c", script], owner="none", **options)


# --- what a keeper is for ---


def test_a_detached_container_outlives_who_started_it(stranger, engine):
    name = stranger.ask("engine.start(image, 'sleep 600', owner='none', name='web').name")
    assert name == "web"
    stranger.kill()
    web = engine.containers.get("web")
    assert web.status == "running"
    web.stop(0)
    assert web.wait().exit_code == 137


def test_there_is_one_keeper_for_all_and_it_is_nobodys_child(root, engine, stranger, image):
    _say(engine, image, "sleep 600")
    first = keeper_of(root)
    stranger.ask("engine.start(image, 'sleep 600', owner='none')")
    assert keeper_of(root) == first
    with open(f"/proc/{first}/stat", encoding="utf-8") as file:
        parent = int(file.read().rpartition(")")[2].split()[1])
    assert parent not in (os.getpid(), stranger.pid)


def test_two_who_need_one_at_once_have_the_same(root, engine, image):
    with Stranger(root, image) as one, Stranger(root, image) as other:
        for each in (one, other):
            each.tell("engine.start(image, 'true', owner='none').wait().exit_code")
        assert [one.hear(), other.hear()] == ["0", "0"]
    assert keeper_of(root)


def test_a_keeper_with_nothing_to_do_leaves(root, engine, image):
    _say(engine, image, "true").remove(force=True)
    pid = keeper_of(root)
    with awaited(pid):
        pass
    assert keeper_of(root) == 0
    assert os.listdir(f"{root}/desk") == []


def test_its_end_is_told_to_who_waits_elsewhere(engine, image):
    container = _say(engine, image, "read x; exit 7", stdin_open=True)
    attached = container.attach(stdin=True)
    attached.stdin.write(b"go\n")
    assert container.wait().exit_code == 7
    assert attached.wait().exit_code == 7


def test_what_cannot_start_says_so_and_leaves_nothing(engine, image):
    with pytest.raises(ExecutableNotFound):
        engine.start(image, "no-such-program", owner="none", name="web")
    with pytest.raises(ContainerNotFound):
        engine.containers.get("web")


def test_its_input_may_come_from_who_starts_it(engine, image):
    container = _say(engine, image, "cat; exit 3", stdin=b"x" * 200_000)
    assert container.wait().exit_code == 3
    assert container.logs() == "x" * 200_000


def test_an_input_that_only_exists_here_is_refused(engine, image):
    class Source:
        def read(self, size: int) -> bytes:
            return b""

    with pytest.raises(Unsupported, match="stdin="):
        _say(engine, image, "cat", stdin=Source())
    assert engine.containers.list(all=True) == []


def test_what_belongs_to_a_process_is_not_the_keepers(engine, image):
    with pytest.raises(Unsupported, match="belongs to a process"):
        engine.create(image, "true").start(owner="none")


def test_one_that_removes_itself_is_gone_at_its_end(engine, image):
    container = _say(engine, image, "read x", stdin_open=True, auto_remove=True)
    container.attach(stdin=True).stdin.write(b"\n")
    try:
        container.wait("removed", timeout=PATIENCE)
    except ContainerNotFound:
        pass
    assert container not in engine.containers


# --- from any process ---


def test_attached_before_its_start_nothing_is_missed(engine, image):
    container = engine.create(image, ["sh", "-c", "echo one; echo two >&2"], owner="none")
    attached = container.attach()
    container.start()
    said = dict.fromkeys(("stdout", "stderr"), b"")
    for chunk in attached:
        said[chunk.stream] += chunk.data
    assert said == {"stdout": b"one\n", "stderr": b"two\n"}
    assert attached.wait().exit_code == 0


def test_a_terminal_is_resized_and_typed_into_from_elsewhere(engine, image):
    container = engine.create(
        image, ["sh", "-c", "read x; stty size; exit 5"], owner="none", tty=True, stdin_open=True
    )
    attached = container.attach(stdin=True)
    container.start()
    container.resize(33, 44)
    attached.stdin.write(b"go\n")
    assert b"33 44" in b"".join(chunk.data for chunk in attached)
    assert attached.wait().exit_code == 5


def test_a_container_of_another_process_is_attached_to(stranger, engine, image):
    stranger.ask("engine.start(image, ['sh','-c','read x; echo $x'], stdin_open=True, name='web')")
    attached = engine.containers.get("web").attach(stdin=True)
    attached.stdin.write(b"hello\n")
    assert b"".join(chunk.data for chunk in attached) == b"hello\n"
    assert attached.wait().exit_code == 0


def test_a_container_of_another_process_is_restarted_there(stranger, engine):
    stranger.ask("engine.start(image, 'sleep 600', name='web').name")
    web = engine.containers.get("web")
    before = web.inspect().pid
    web.restart(0)
    after = web.inspect()
    assert after.pid != before
    assert after.state.watcher.startswith(f"{stranger.pid}-")
    assert web.exec_detached("sleep 300") > 0
    assert len(web.top()) == 2


def test_who_leaves_does_not_end_it_and_another_may_come(engine, image):
    container = _say(engine, image, "while read x; do echo got $x; done", stdin_open=True)
    first, second = container.attach(stdin=True), container.attach(stdin=True)
    first.stdin.write(b"a\n")
    assert next(iter(first)).data == b"got a\n"
    first._backend.close()
    second.stdin.write(b"b\n")
    assert b"got b\n" in next(iter(second)).data + next(iter(second)).data
    assert container.status == "running"


def test_restart_exec_and_logs_of_a_detached_container(engine, image):
    container = _say(engine, image, "echo up; exec sleep 600")
    assert container.exec("echo inside").stdout == "inside\n"
    assert container.exec_detached(["sh", "-c", "sleep 500"]) > 0
    container.restart(0)
    lines = container.follow_logs()
    assert [next(lines).data, next(lines).data] == [b"up\n", b"up\n"]
    container.kill()
    assert container.wait().exit_code == 137


def test_an_error_there_is_the_same_error_here(engine, image):
    container = _say(engine, image, "sleep 600")
    with pytest.raises(WrongState, match="it is running"):
        container.start()
    with pytest.raises(WrongState, match="without a terminal"):
        container.resize(1, 2)
    with pytest.raises(InvalidRequest):
        container.resize(-1, 2)


def test_a_hundred_are_asked_from_a_second_process(stranger, engine, root):
    made = stranger.ask(
        "[engine.start(image, ['sh', '-c', 'echo up; exec sleep 600'], owner='none').id "
        "for _ in range(100)]"
    )
    assert isinstance(made, list)
    handles = [engine.containers.get(one) for one in made]
    assert {one.exec("echo there").stdout for one in handles} == {"there\n"}
    assert {next(one.follow_logs()).data for one in handles} == {b"up\n"}
    keeper_pid = keeper_of(root)
    assert _memory([keeper_pid, *(one.inspect().pid for one in handles)]) < 40 << 20
    for one in handles:
        one.stop(0)
    assert {one.wait().exit_code for one in handles} == {137}


def _memory(pids: list[int]) -> int:
    """Bytes that these processes have, what they share counted once (proc_pid_smaps(5))."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            found = [line.split()[1] for line in file if line.startswith("Pss:")]
        total += int(found[0]) << 10
    return total


# --- when it is killed ---


def test_nothing_that_is_said_while_no_keeper_lives_is_lost(root, engine, image):
    # more than its streams have room for, so that it waits for the next keeper
    script = (
        "printf 'ready '; while [ ! -e /go ]; do sleep 0.01; done; "
        "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; exit 9"
    )
    container = _say(engine, image, script)
    assert next(iter(container.attach(logs=True))).data == b"ready "
    kill_keeper(root)
    container.exec("touch /go")
    with pyengine.Engine(root=root) as another:  # whoever opens the root calls the next keeper
        again = another.containers.get(container.id)
        again.wait(timeout=PATIENCE)
        said = again.logs()
    expected = "ready " + "".join(f"line {i}\n" for i in range(20000))
    assert hashlib.sha256(said.encode()).digest() == hashlib.sha256(expected.encode()).digest()


def test_the_next_keeper_tells_how_it_ended(root, engine, image):
    container = _say(engine, image, "trap 'exit 6' TERM; while :; do sleep 0.1; done")
    kill_keeper(root)
    assert container.status == "running"
    with pyengine.Engine(root=root) as another:
        again = another.containers.get(container.id)
        assert keeper_of(root)
        again.stop(PATIENCE)
        ended = again.wait()
    assert ended.exit_code == (6 if IS_TOLD else 255)
    assert bool(ended.error) is not IS_TOLD


def test_a_terminal_and_an_input_outlive_the_keeper(root, engine, image):
    script = "trap 'exit 9' HUP; read x || exit 8; echo got $x; exit 4"
    for tty in (True, False):
        container = _say(engine, image, script, tty=tty, stdin_open=True)
        kill_keeper(root)
        with pyengine.Engine(root=root) as another:
            attached = another.containers.get(container.id).attach(stdin=True)
            attached.stdin.write(b"word\n")
            assert b"got word" in b"".join(chunk.data for chunk in attached)
            ended = another.containers.get(container.id).wait(timeout=PATIENCE)
        assert ended.exit_code == (4 if IS_TOLD else 255)


@pytest.mark.parametrize("tty", [True, False])
def test_what_a_program_said_last_while_no_keeper_lived_is_in_its_log(root, engine, image, tty):
    script = "while [ ! -e /go ]; do sleep 0.01; done; echo last words; exit 5"
    container = _say(engine, image, script, tty=tty)
    kill_keeper(root)
    with awaited(container.inspect().pid):
        container.exec("touch /go")
    with pyengine.Engine(root=root) as another:
        again = another.containers.get(container.id)
        ended = again.wait(timeout=PATIENCE)
        assert again.logs().split() == ["last", "words"]
    assert ended.exit_code == (5 if IS_TOLD else 255)


def test_an_input_that_was_closed_stays_closed(root, engine, image):
    container = _say(engine, image, "cat; while :; do sleep 0.1; done", stdin_open=True)
    attached = container.attach(stdin=True)
    attached.stdin.write(b"all\n")
    attached.stdin.close()
    assert b"all\n" in next(iter(attached)).data
    kill_keeper(root)
    # cat saw the end of its input, so the shell goes on to sleep
    with pyengine.Engine(root=root) as another:
        again = another.containers.get(container.id)
        while "cat" in {process.name for process in again.top()}:
            os.sched_yield()
        again.remove(force=True)


def test_a_guard_that_keeps_for_nobody_is_sent_away(root, engine, image):
    container = _say(engine, image, "exec sleep 600", tty=True)
    door = f"{root}/desk/{container.inspect().state.watcher}.held"
    kill_keeper(root)
    assert os.path.exists(door)
    container.kill()
    container.remove(force=True)
    with pyengine.Engine(root=root) as another:
        another.containers.list()
        assert not os.path.exists(door)


def test_what_ended_while_nobody_watched_is_unknown_and_says_so(root, engine, image):
    container = _say(engine, image, "exec sleep 600")
    kill_keeper(root, with_guard=True)
    pid = container.inspect().pid
    with awaited(pid):
        os.kill(pid, signal.SIGKILL)
    with pyengine.Engine(root=root) as another:
        ended = another.containers.get(container.id).wait()
    assert ended.exit_code == 255
    assert ended.error


def test_a_kill_reaches_a_container_whose_keeper_is_gone(root, engine, image):
    container = _say(engine, image, "sleep 600")
    kill_keeper(root)
    container.kill()
    assert container.status == "exited"


def test_who_opens_the_root_after_a_kill_finds_no_socket_of_the_dead(root, engine, image):
    _say(engine, image, "sleep 600")
    kill_keeper(root)
    with pyengine.Engine(root=root):
        names = os.listdir(f"{root}/desk")
    assert len([name for name in names if name.endswith(".sock")]) == 1


# --- what else may sit there ---


def test_a_keeper_of_another_protocol_is_named(root, engine, image, monkeypatch):
    _say(engine, image, "sleep 600")
    monkeypatch.setattr("pyengine.containers.desk_protocol.PROTOCOL", 2)
    with pytest.raises(StoreError, match="version 1 of the protocol, this is version 2"):
        _say(engine, image, "true")
    monkeypatch.undo()


def test_a_socket_that_nobody_listens_at_is_no_keeper(root, engine, image):
    engine.containers.list()
    os.makedirs(f"{root}/desk", 0o700)
    os.symlink("gone.sock", f"{root}/desk/{KEEPER}")
    assert _say(engine, image, "true").wait().exit_code == 0


def test_a_keeper_that_has_work_does_not_leave_when_told(root, engine, image):
    _say(engine, image, "sleep 600")
    with keeper.ensure(Layout(root, root)) as line, pytest.raises(pyengine.InUse):
        line.ask("leave")


def test_nobody_is_refused_while_a_keeper_leaves(root, engine):
    # each leaves as soon as it is told; who comes meanwhile gets it, or the next one
    engine.containers.list()
    layout = Layout(root, root)
    answered: list[int] = []

    def come_and_go() -> None:
        for _ in range(200):
            with keeper.ensure(layout) as line:
                answered.append(int(line.ask("ping")[0]["pid"]))
                line.ask("leave")

    threads = [threading.Thread(target=come_and_go) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answered) == 400
