"""Containers that start again by themselves: after how long, how often, and until when."""

from __future__ import annotations

import threading

import pytest
from patience import Clock, until

import pyengine
from pyengine import ContainerNotFound, InvalidRequest, WrongState

pytestmark = pytest.mark.kernel


@pytest.fixture
def clock(engine) -> Clock:
    return Clock(engine)


def failing(engine, image, restart, code=3, **options):
    """A container that ends with *code*, and says each time that it has run."""
    script = ["sh", "-c", f"echo ran; exit {code}"]
    return engine.start(image, script, restart=restart, **options)


def restarting(container):
    return until(container, lambda info: info.status == "restarting")


def exited(container):
    return until(container, lambda info: info.status == "exited")


def test_the_wait_before_each_restart_is_twice_the_last(engine, image, clock):
    # C80, pitfall 11
    container = failing(engine, image, "always")
    for restarts in range(1, 6):
        info = until(
            container,
            lambda info, n=restarts: (info.status, info.state.restarts) == ("restarting", n),
        )
        assert info.exit_code == 3
        assert clock.delay(container) == pytest.approx(0.1 * 2 ** (restarts - 1))
        clock.move(clock.delay(container) - 0.01)
        assert container.status == "restarting"
        clock.move(0.02)
    until(container, lambda info: info.state.restarts == 6)
    assert container.logs() == "ran\n" * 6


def test_by_the_real_clock_it_is_restarted_too(engine, image):
    container = failing(engine, image, "on-failure:2")
    assert container.wait(timeout=30).exit_code == 3
    assert (container.status, container.logs()) == ("exited", "ran\n" * 3)
    told = container.inspect().to_docker()
    assert told["RestartCount"] == 2
    assert told["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}


def test_who_waits_to_start_again_runs_for_docker(engine, image, clock):
    # pitfall 11, O20 to O22
    container = failing(engine, image, "always", name="again")
    info = restarting(container)
    told = info.to_docker()["State"]
    assert (told["Status"], told["Running"], told["Restarting"]) == ("restarting", True, True)
    assert (told["Pid"], told["ExitCode"]) == (0, 3)
    assert container in engine.containers.list()
    assert engine.containers.list(filters={"status": "restarting"}) == [container]
    assert info.to_docker_summary()["Status"].startswith("Restarting (3) ")


@pytest.mark.parametrize("policy", ["on-failure", "on-failure:3"])
def test_on_failure_means_failure(engine, image, clock, policy):
    # C80
    container = failing(engine, image, policy, code=0)
    assert container.wait(timeout=10).exit_code == 0
    assert (container.status, container.inspect().state.restarts) == ("exited", 0)


@pytest.mark.parametrize("policy", ["always", "unless-stopped", "on-failure"])
def test_a_stop_ends_the_waiting(engine, image, clock, policy):
    # C80
    container = failing(engine, image, policy)
    restarting(container)
    container.stop()
    assert container.status == "exited"
    assert container.inspect().state.stopped_by_hand
    clock.move(100)
    clock.alarms.close()
    assert (container.status, container.logs()) == ("exited", "ran\n")


@pytest.mark.parametrize("end", ["stop", "kill", "remove"])
def test_who_is_ended_just_as_it_starts_again_stays_so(engine, image, clock, end):
    # C80: the alarm and the hand, at once
    for _ in range(15):
        container = failing(engine, image, "always")
        restarting(container)
        starting = threading.Thread(target=clock.move, args=(clock.delay(container),))
        starting.start()
        if end == "remove":
            container.remove(force=True)
        elif end == "stop":
            container.stop(0)
        else:
            container.kill()
        starting.join()
        clock.move(100)
        clock.wait_idle()
        if end == "remove":
            assert container not in engine.containers
        else:
            assert container.status == "exited"
    assert not engine._house.delays


@pytest.mark.parametrize("end", ["stop", "kill", "kill by the stop signal"])
def test_what_is_ended_by_hand_stays_so(engine, image, clock, end):
    # C80, O04
    program = ["sh", "-c", "trap 'exit 4' USR1; echo ready; while :; do sleep 0.01; done"]
    container = engine.start(image, program, restart="always", stop_signal="USR1")
    next(container.follow_logs(timeout=10))
    if end == "stop":
        container.stop()
    else:
        container.kill("SIGKILL" if end == "kill" else "USR1")
    assert container.wait(timeout=10).exit_code == (137 if end == "kill" else 4)
    assert container.status == "exited"
    assert not engine._house.delays


def test_another_signal_is_no_wish_that_it_stays_down(engine, image, clock):
    program = ["sh", "-c", "trap 'exit 4' HUP; echo ready; while :; do sleep 0.01; done"]
    container = engine.start(image, program, restart="always")
    next(container.follow_logs(timeout=10))
    container.kill("SIGHUP")
    assert restarting(container).exit_code == 4


def test_a_kill_ends_the_waiting(engine, image, clock):
    # O04
    container = failing(engine, image, "always")
    restarting(container)
    container.kill()
    assert container.status == "exited"
    with pytest.raises(WrongState):
        container.kill()


def test_who_waits_to_start_again_is_removed_only_by_force(engine, image, clock):
    # O07
    container = failing(engine, image, "always")
    restarting(container)
    with pytest.raises(WrongState, match="restarting"):
        container.remove()
    container.remove(force=True)
    clock.move(100)
    with pytest.raises(ContainerNotFound):
        container.inspect()
    assert not engine._house.delays


def test_one_that_runs_again_and_again_can_be_removed(engine, image):
    container = engine.start(image, ["sh", "-c", "exit 1"], restart="always")
    container.wait("next-exit", timeout=10)
    container.remove(force=True)
    with pytest.raises(ContainerNotFound):
        container.inspect()


def test_wait_means_the_last_end_and_next_exit_the_next(engine, image, clock):
    # O08
    container = failing(engine, image, "on-failure:1")
    assert container.wait("next-exit", timeout=10).exit_code == 3
    restarting(container)
    ended = []
    waiting = threading.Thread(target=lambda: ended.append(container.wait(timeout=10)))
    waiting.start()
    assert not ended
    clock.move(0.1)
    waiting.join(10)
    assert [one.exit_code for one in ended] == [3]
    assert container.inspect().state.restarts == 1


def test_who_waits_hears_that_it_was_stopped_instead(engine, image, clock):
    container = failing(engine, image, "always")
    restarting(container)
    ended = []
    waiting = threading.Thread(target=lambda: ended.append(container.wait(timeout=10)))
    waiting.start()
    container.stop()
    waiting.join(10)
    assert [one.exit_code for one in ended] == [3]


def test_nothing_is_put_into_one_that_waits_to_start_again(engine, image, clock):
    # O10, O12
    container = failing(engine, image, "always")
    restarting(container)
    for refused in (
        lambda: container.exec("true"),
        lambda: container.attach(),
        lambda: container.pause(),
        lambda: container.start(),
    ):
        with pytest.raises(WrongState, match="restarting"):
            refused()


def test_a_start_by_hand_begins_to_count_anew(engine, image, clock):
    # C80
    container = failing(engine, image, "on-failure:1")
    restarting(container)
    clock.move(1)
    exited(container)
    assert container.inspect().state.restarts == 1
    container.start()
    info = restarting(container)
    assert (info.state.restarts, clock.delay(container)) == (1, pytest.approx(0.1))


def test_a_restart_by_hand_goes_ahead_of_the_wait(engine, image, clock):
    # O05
    container = failing(engine, image, "always")
    restarting(container)
    container.restart()
    until(container, lambda info: info.status == "restarting")
    assert container.logs() == "ran\n" * 2


def test_a_policy_is_given_and_taken_by_an_update(engine, image, clock):
    # O32
    container = engine.start(image, ["sh", "-c", "read x; exit 3"], stdin_open=True)
    assert container.update(restart="on-failure:2") == ()
    with container.attach(stdin=True) as attached:
        attached.stdin.write(b"go\n")
        restarting(container)
    assert container.inspect().spec.restart_retries == 2
    container.update(restart="no")
    assert container.status == "exited"
    clock.move(100)
    clock.alarms.close()
    assert container.status == "exited"


def test_what_removes_itself_takes_no_policy(engine, image):
    # C81, O32
    with pytest.raises(InvalidRequest, match="AutoRemove"):
        engine.create(image, "true", auto_remove=True, restart="always")
    container = engine.create(image, "true", auto_remove=True)
    with pytest.raises(InvalidRequest, match="AutoRemove"):
        container.update(restart="always")
    assert container.update(restart="no") == ()
    with pytest.raises(InvalidRequest, match="keep=True"):
        engine.run(image, "true", restart="always")


def test_a_run_that_is_kept_may_start_again(engine, image):
    result = engine.run(
        image, ["sh", "-c", "echo ran; exit 3"], restart="on-failure:1", keep=True, name="kept"
    )
    assert (result.exit_code, result.stdout) == (3, "ran\n")
    kept = engine.containers.get("kept")
    assert kept.wait(timeout=10).exit_code == 3
    assert kept.logs() == "ran\n" * 2


def test_a_container_that_cannot_start_again_says_why(engine, image, clock):
    container = engine.start(image, ["sh", "-c", "rm /bin/sh; exit 3"], restart="always")
    restarting(container)
    clock.move(1)
    info = exited(container)
    assert (info.exit_code, "sh" in info.state.error) == (127, True)
    assert not engine._house.delays


def test_another_process_may_stop_what_waits_here(engine, image, clock):
    container = failing(engine, image, "always")
    restarting(container)
    with pyengine.Engine(root=engine.root) as other:  # an engine knows nothing of others
        other.containers.get(container.id).stop()
    assert container.status == "exited"
    clock.move(100)
    clock.alarms.close()
    assert container.status == "exited"
    assert container.logs() == "ran\n"


def test_what_belongs_to_nobody_does_not_wait_for_an_engine_that_is_closed(tmp_path, image):
    with pyengine.Engine(root=tmp_path / "engine") as engine:
        Clock(engine)
        kept = engine.create(image, ["sh", "-c", "exit 3"], owner="none", restart="always")
        kept.start(owner="process")
        restarting(kept)
    with pyengine.Engine(root=tmp_path / "engine") as engine:
        info = engine.containers.get(kept.id).inspect()
        assert (info.status, info.exit_code) == ("exited", 3)
        engine.containers.get(kept.id).remove()


def test_an_engine_that_closes_starts_nothing_again(tmp_path, image):
    with pyengine.Engine(root=tmp_path / "engine") as engine:
        for _ in range(3):
            engine.start(image, ["sh", "-c", "exit 3"], restart="always")
        engine.start(image, "sleep 99", restart="always")
    assert not (tmp_path / "engine" / "owners").exists() or not any(
        (tmp_path / "engine" / "owners").iterdir()
    )
