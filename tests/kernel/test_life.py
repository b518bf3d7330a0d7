"""A container's life: made, started, asked to end, made to end, started again, removed."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest
from shells import ready

from pyengine import (
    AlreadyExists,
    ContainerNotFound,
    ExecutableNotFound,
    InvalidRequest,
    NotExecutable,
    TimedOut,
    WrongState,
)

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]

ANSWERING = """
for signal in TERM INT USR1 RTMIN+3 37; do trap "echo got $signal; exit 5" $signal; done 2>/dev/null
echo ready; sleep 99 & wait
"""
DEAF = "trap '' TERM; echo ready; while :; do sleep 99; done"


# --- making and starting (O01, O02) ---


def test_a_container_that_is_made_does_not_run_yet(engine, image):
    # O01, pitfall 38
    made = engine.create(image, "echo hi", name="made")
    assert (made.status, made.logs()) == ("created", "")
    told = made.inspect().to_docker()["State"]
    assert (told["Status"], told["Running"], told["Pid"]) == ("created", False, 0)
    assert told["StartedAt"] == told["FinishedAt"] == "0001-01-01T00:00:00Z"
    made.start()
    assert (made.wait(timeout=10).exit_code, made.logs()) == (0, "hi\n")
    assert made.inspect().to_docker()["State"]["StartedAt"] > "2020"


def test_what_runs_is_not_started_twice(engine, image):
    # O02, pitfall 12
    container = engine.start(image, "sleep 99")
    pid = container.inspect().pid
    with pytest.raises(WrongState, match="runs already"):
        container.start()
    container.pause()
    with pytest.raises(WrongState, match="unpause"):
        container.start()
    assert container.inspect().pid == pid


def test_a_container_starts_again_with_what_it_wrote(engine, image):
    # O02
    script = "echo start >> /count; cat /count; echo said"
    container = engine.create(image, ["sh", "-c", script])
    for _ in range(3):
        container.start()
        assert container.wait(timeout=10).exit_code == 0
    assert container.logs() == "start\nsaid\n" + "start\n" * 2 + "said\n" + "start\n" * 3 + "said\n"


@pytest.mark.parametrize(
    ("program", "error", "code"),
    [
        ("nonesuch", ExecutableNotFound, 127),
        ("/etc/passwd", NotExecutable, 126),
        ("/bin", NotExecutable, 126),
    ],
)
def test_a_start_that_failed_is_told_by_the_state(engine, image, program, error, code):
    # O02
    container = engine.create(image, program)
    with pytest.raises(error) as caught:
        container.start()
    state = container.inspect().state
    assert (state.status, state.exit_code, state.error) == ("created", code, str(caught.value))
    assert caught.value.exit_code == code


def test_a_start_that_failed_for_another_reason_is_128(engine, image):
    # O02
    container = engine.create(image, "true", user="nobody-here")
    with pytest.raises(InvalidRequest):
        container.start()
    assert container.inspect().exit_code == 128


def test_a_container_held_in_a_with_is_stopped_and_removed_at_its_end(engine, image):
    with engine.start(image, "sleep 99", stop_signal="SIGKILL") as container:
        assert container.status == "running"
    with pytest.raises(ContainerNotFound):
        container.inspect()


def test_a_run_of_what_belongs_to_nobody_may_be_this_process_s(engine, image):
    kept = engine.create(image, "true", owner="none")
    with pytest.raises(InvalidRequest, match="owner"):
        kept.start(owner="somebody")
    kept.start(owner="process")
    assert kept.wait(timeout=10).exit_code == 0
    kept.remove()


# --- being asked to end (C16, C17, O03) ---


@pytest.mark.parametrize(
    ("stop_signal", "answer"), [(None, "TERM"), ("SIGINT", "INT"), ("usr1", "USR1"), (10, "USR1")]
)
def test_a_stop_is_its_own_signal(engine, image, stop_signal, answer):
    # C16, O03
    container = ready(engine, image, ANSWERING, stop_signal=stop_signal)
    container.stop()
    assert container.logs() == f"ready\ngot {answer}\n"
    assert container.wait().exit_code == 5


def test_a_stop_may_name_another_signal(engine, image):
    # O03
    container = ready(engine, image, ANSWERING)
    container.stop(signal="INT")
    assert container.logs() == "ready\ngot INT\n"


@pytest.mark.parametrize("bad", ["SIGFOO", 99, 0, -1, ""])
def test_a_stop_signal_that_is_none_is_refused(engine, image, bad):
    # C16
    with pytest.raises(InvalidRequest, match="signal"):
        engine.create(image, stop_signal=bad)


def test_who_does_not_listen_is_killed_when_the_time_is_over(engine, image):
    # C17, O03
    container = ready(engine, image, DEAF)
    before = time.monotonic()
    container.stop(timeout=0.2)
    assert 0.2 <= time.monotonic() - before < 5
    assert (container.wait().exit_code, container.wait().signal) == (137, 9)
    assert container.inspect().state.stopped_by_hand


def test_the_container_s_own_patience_counts_where_none_is_given(engine, image):
    # C17
    container = ready(engine, image, DEAF, stop_timeout=0.1)
    container.stop()
    assert container.wait().exit_code == 137


def test_patience_below_zero_never_ends(engine, image):
    # C17
    container = ready(engine, image, DEAF, stop_timeout=-1)
    with engine.events(filters={"event": "kill"}, timeout=10) as events:
        stopping = threading.Thread(target=container.stop)
        stopping.start()
        assert next(events).attributes["signal"] == "15"
        stopping.join(0.3)
        assert stopping.is_alive()
        container.kill()
        stopping.join(10)
        assert not stopping.is_alive()


def test_stopping_what_does_not_run_does_nothing(engine, image):
    # O03, pitfall 12
    container = engine.create(image, "true")
    container.stop()
    assert container.status == "created"
    container.start()
    container.wait(timeout=10)
    container.stop()
    assert container.status == "exited"


def test_a_paused_container_hears_its_stop(engine, image):
    # O03
    container = ready(engine, image, ANSWERING)
    container.pause()
    container.stop(timeout=10)
    assert (container.wait().exit_code, container.logs()) == (5, "ready\ngot TERM\n")


def test_a_paused_container_that_does_not_listen_is_killed_all_the_same(engine, image):
    # O03, O04
    for end in (lambda one: one.stop(timeout=0.1), lambda one: one.kill()):
        container = ready(engine, image, DEAF)
        container.pause()
        end(container)
        assert container.wait(timeout=10).exit_code == 137


# --- signals (O04) ---


def test_any_signal_can_be_sent_and_only_sigkill_is_waited_for(engine, image):
    # O04
    script = "trap 'echo one' USR1; trap 'echo three' RTMIN+3; echo ready; while :; do wait; done"
    container = ready(engine, image, "sleep 99 & " + script.replace("RTMIN+3", "37"))
    with closing(container.follow_logs(tail=0, timeout=10)) as lines:
        container.kill("SIGUSR1")
        assert next(lines).data == b"one\n"
        container.kill("SIGRTMIN+3")
        assert next(lines).data == b"three\n"
    assert container.status == "running"
    container.kill(9)
    assert container.status == "exited"


def test_what_does_not_run_is_not_killed(engine, image):
    # O04, pitfall 12
    container = engine.create(image, "true")
    with pytest.raises(WrongState, match=f"container {container.id} is not running"):
        container.kill()
    with pytest.raises(InvalidRequest):
        engine.start(image, "sleep 99").kill("SIGNONE")


def test_a_killed_container_leaves_nobody_alive(engine, image, survivors):
    container = ready(engine, image, "setsid sleep 4711 & sleep 4711 & echo ready; wait")
    container.kill()
    assert survivors("sleep 4711") == []


# --- again (O05), and for a while not (O06) ---


def test_a_restarted_container_is_the_same_with_another_process(engine, image):
    # O05
    container = ready(engine, image, ANSWERING)
    before = container.inspect()
    container.restart(timeout=5)
    assert container.inspect().pid not in (0, before.pid)
    assert container.inspect().state.started > before.state.started
    assert "got TERM" in container.logs()
    container.kill()
    container.restart()
    assert container.status == "running"


def test_a_restart_does_not_remove_what_goes_at_its_end(engine, image):
    # O05, C81
    container = engine.start(image, "sleep 99", auto_remove=True, stop_timeout=0)
    container.restart()
    assert container.status == "running"


def test_a_paused_container_stands_still_and_goes_on(engine, image):
    # O06
    container = ready(engine, image, "echo ready; while :; do echo tick; usleep 1000; done")
    container.pause()
    assert container.status == "paused"
    told = container.inspect().to_docker()["State"]
    assert (told["Running"], told["Paused"]) == (True, True)
    for refused in (container.pause, lambda: container.exec("true"), container.attach):
        with pytest.raises(WrongState):
            refused()
    heard = container.logs()
    assert heard == container.logs()
    container.unpause()
    with closing(container.follow_logs(tail=0, timeout=10)) as lines:
        assert next(lines).data == b"tick\n"
    assert container.status == "running"
    with pytest.raises(WrongState, match="is not paused"):
        container.unpause()
    container.kill()
    with pytest.raises(WrongState, match="is not running"):
        container.pause()


# --- waiting (O08) ---


def test_waiting_tells_how_it_ended(engine, image):
    # O08
    container = engine.create(image, ["sh", "-c", "exit 3"])
    assert container.wait().exit_code == 0  # "not-running" is true of what has not begun
    container.start()
    assert container.wait(timeout=10).exit_code == 3
    assert container.wait().exit_code == 3


def test_waiting_has_an_end(engine, image):
    # O08
    container = engine.start(image, "sleep 99")
    for condition in ("not-running", "next-exit", "removed"):
        with pytest.raises(TimedOut):
            container.wait(condition, timeout=0.05)
    with pytest.raises(InvalidRequest, match="condition"):
        container.wait("tired")


@pytest.mark.parametrize("condition", ["next-exit", "removed"])
def test_who_waits_before_the_start_hears_of_the_end(engine, image, condition):
    # O08: as `docker run` does
    container = engine.create(image, ["sh", "-c", "exit 3"], auto_remove=condition == "removed")
    heard = []
    waiting = threading.Thread(target=lambda: heard.append(container.wait(condition, timeout=10)))
    waiting.start()
    container.start()
    waiting.join(10)
    assert [one.exit_code for one in heard] == [3]


def test_everybody_who_waits_is_told(engine, image):
    container = engine.start(image, "cat", stdin_open=True)
    heard = []
    waiting = [
        threading.Thread(target=lambda: heard.append(container.wait(timeout=10))) for _ in range(8)
    ]
    for thread in waiting:
        thread.start()
    process = container.attach(stdin=True)
    process.stdin.close()
    for thread in waiting:
        thread.join(10)
    assert [one.exit_code for one in heard] == [0] * 8


# --- removing (O07, C81) ---


def test_a_removed_container_is_gone_with_its_name(engine, image):
    # O07
    container = engine.start(image, "sleep 99", name="web")
    with pytest.raises(WrongState, match="stop the container before removing or force remove"):
        container.remove()
    container.remove(force=True)
    for ask in (container.inspect, container.start, container.logs, container.remove):
        with pytest.raises(ContainerNotFound, match=f"No such container: {container.id}"):
            ask()
    assert engine.create(image, name="web").status == "created"


def test_a_container_that_is_to_go_at_its_end_goes(engine, image):
    # C81
    script = "read x; exit 4"
    container = engine.start(image, ["sh", "-c", script], auto_remove=True, stdin_open=True)
    process = container.attach(stdin=True)
    process.stdin.write(b"\n")
    assert container.wait("removed", timeout=10).exit_code == 4
    assert container not in engine.containers
    with pytest.raises(InvalidRequest, match="AutoRemove"):
        engine.create(image, auto_remove=True, restart="always")


# --- changing its name (O31) ---


def test_a_renamed_container_is_found_by_its_new_name_alone(engine, image):
    # O31
    container, other = engine.start(image, "sleep 99", name="old"), engine.create(image, name="x1")
    container.rename("new")
    assert (container.name, engine.containers.get("new")) == ("new", container)
    assert "old" not in engine.containers
    for taken, error in (("new", InvalidRequest), ("", InvalidRequest), ("x1", AlreadyExists)):
        with pytest.raises(error):
            container.rename(taken)
    assert (container.name, other.name) == ("new", "x1")
    container.rename("old")
