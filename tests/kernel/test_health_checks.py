"""Health checks: what is asked inside, when, and what is told of the answers."""

from __future__ import annotations

import threading

import pytest
from patience import Clock, until

from pyengine import HealthCheck, HealthStatus, InvalidRequest, LogConfig, NotReady, TimedOut

pytestmark = pytest.mark.kernel

IS_WELL = ("CMD-SHELL", "cat /well || { echo ill; exit 1; }")


@pytest.fixture
def clock(engine) -> Clock:
    return Clock(engine)


def checked(engine, image, test=IS_WELL, script="exec sleep 99", **check):
    options = {"interval": 10, "retries": 2, **check}
    health = HealthCheck(test, **options)
    return engine.start(image, ["sh", "-c", script], health=health)


def probed(container, clock, times, seconds=10):
    """The container after another check."""
    clock.move(seconds)
    return until(container, lambda info: len(info.health.log) == times)


def test_a_container_is_starting_then_unhealthy_then_healthy(engine, image, clock):
    # C84
    container = checked(engine, image)
    info = container.inspect()
    assert (info.health.status, info.health.log) == (HealthStatus.STARTING, ())
    clock.move(9.9)
    assert container.inspect().health.log == ()
    first = probed(container, clock, 1, 0.2).health
    assert (first.status, first.failing_streak) == ("starting", 1)
    assert (first.log[0].exit_code, first.log[0].output.splitlines()[-1]) == (1, "ill")
    second = probed(container, clock, 2).health
    assert (second.status, second.failing_streak) == ("unhealthy", 2)
    container.exec(["sh", "-c", "echo fine > /well"], check=True)
    third = probed(container, clock, 3).health
    assert (third.status, third.failing_streak) == ("healthy", 0)
    assert (third.log[2].exit_code, third.log[2].output) == (0, "fine\n")
    assert first.log[0].start <= first.log[0].end <= second.log[1].start


def test_health_is_told_where_docker_tells_it(engine, image, clock):
    # O20 to O22
    container = checked(engine, image)
    told = container.inspect().to_docker_summary()
    assert told["Status"].endswith("(health: starting)")
    probed(container, clock, 1)
    info = probed(container, clock, 2)
    assert info.to_docker_summary()["Status"].endswith(" (unhealthy)")
    assert info.to_docker_summary()["Health"] == {"Status": "unhealthy", "FailingStreak": 2}
    told = info.to_docker()["State"]["Health"]
    assert (told["Status"], told["FailingStreak"], len(told["Log"])) == ("unhealthy", 2, 2)
    assert set(told["Log"][0]) == {"Start", "End", "ExitCode", "Output"}
    plain = engine.start(image, "sleep 99")
    assert "Health" not in plain.inspect().to_docker()["State"]
    for status, found in (("unhealthy", [container]), ("healthy", []), ("none", [plain])):
        assert engine.containers.list(filters={"health": status}) == found


def test_only_a_change_of_health_is_an_event(engine, image, clock):
    # C84, O36
    events = engine.events(filters={"event": "health_status", "type": "container"}, timeout=10)
    container = checked(engine, image, retries=1)
    for times in (1, 2):
        probed(container, clock, times)
    container.exec("touch /well")
    for times in (3, 4):
        probed(container, clock, times)
    with events:
        told = [next(events).action for _ in range(2)]
    assert told == ["health_status: unhealthy", "health_status: healthy"]


def test_failures_do_not_count_within_the_start_period(engine, image, clock):
    # C83
    container = checked(engine, image, retries=1, start_period=600, start_interval=1)
    for times in (1, 2, 3):
        health = probed(container, clock, times, seconds=1).health
        assert (health.status, health.failing_streak) == ("starting", 0)
    container.exec("touch /well")
    assert probed(container, clock, 4, seconds=1).health.status == "healthy"
    clock.move(9.9)
    assert len(container.inspect().health.log) == 4


def test_a_check_that_takes_too_long_is_killed(engine, image, clock, survivors):
    # C83
    script = "echo before; sleep 4711"
    container = checked(engine, image, ("CMD", "sh", "-c", script), timeout=5)
    events = engine.events(filters={"event": "exec_start"}, timeout=10)
    clock.move(10)
    with events:
        next(events)
    until_sleeping = threading.Event()
    while not survivors("sleep 4711"):
        until_sleeping.wait(0.01)
    health = probed(container, clock, 1, seconds=5).health
    assert health.log[0].exit_code == -1
    assert health.log[0].output == "Health check exceeded timeout (5s): before\n"
    assert survivors("sleep 4711") == []
    assert container.status == "running"


def test_a_check_runs_as_the_container_does_and_its_output_is_cut(engine, image, clock):
    # C82, C83, pitfall 36
    test = ("CMD-SHELL", "id -u; pwd; echo $A; head -c 5000 /dev/zero | tr '\\0' x")
    health = HealthCheck(test, interval=10)
    container = engine.start(
        image, "sleep 99", user="65534", workdir="/tmp", env={"A": "b"}, health=health
    )
    output = probed(container, clock, 1).health.log[0].output
    assert output.startswith("65534\n/tmp\nb\nxxx")
    assert (len(output), output[-4:]) == (4096 + 3, "x...")


def test_a_check_that_cannot_run_is_a_failure(engine, image, clock):
    container = checked(engine, image, ("CMD", "nonesuch"))
    health = probed(container, clock, 1).health
    assert (health.log[0].exit_code, "nonesuch" in health.log[0].output) == (-1, True)


def test_nobody_is_asked_while_paused(engine, image, clock):
    # C84, O06
    container = checked(engine, image)
    probed(container, clock, 1)
    container.pause()
    clock.move(10)
    clock.move(10)
    assert container.inspect().to_docker_summary()["Status"].endswith(" (Paused)")
    container.unpause()
    info = probed(container, clock, 2)
    assert [probe.exit_code for probe in info.health.log] == [1, 1]


def test_each_start_is_a_new_beginning(engine, image, clock):
    # C84
    container = checked(engine, image, retries=1)
    assert probed(container, clock, 1).health.status == "unhealthy"
    container.exec("touch /well")
    assert probed(container, clock, 2).health.status == "healthy"
    container.stop(0)
    info = container.inspect()
    assert (info.health.status, len(info.health.log)) == ("unhealthy", 2)
    container.start()
    info = container.inspect()
    assert (info.health.status, info.health.log) == ("starting", ())
    assert probed(container, clock, 1).health.status == "healthy"


def test_who_waits_until_it_is_healthy_is_told_at_once(engine, image, clock):
    container = checked(engine, image)
    with pytest.raises(TimedOut):
        container.wait("healthy", timeout=0.01)
    done = []
    waiting = threading.Thread(target=lambda: done.append(container.wait("healthy", timeout=10)))
    waiting.start()
    container.exec("touch /well")
    clock.move(10)
    waiting.join(10)
    assert [int(status) for status in done] == [0]
    assert int(container.wait("healthy")) == 0


def test_who_waits_until_it_is_healthy_hears_that_it_ended(engine, image, clock):
    container = checked(engine, image, script="echo last words; read x; exit 7")
    with pytest.raises(NotReady, match="exit code 7") as caught:
        container.wait("healthy", timeout=10)
    assert caught.value.logs == "last words\n"
    with pytest.raises(InvalidRequest, match="no health check"):
        engine.start(image, "sleep 99").wait("healthy")


@pytest.mark.parametrize("test", [(), ("NONE",)])
def test_who_has_no_check_is_not_asked(engine, image, clock, test):
    # C82
    container = engine.start(image, "sleep 99", health=HealthCheck(test))
    assert container.inspect().health is None
    assert engine._house.checks == {}


def test_by_the_real_clock_it_is_asked_too(engine, image):
    health = HealthCheck(("CMD", "true"), interval=0.05)
    container = engine.start(image, "sleep 99", health=health)
    assert int(container.wait("healthy", timeout=10)) == 0
    container.remove(force=True)
    assert engine._house.checks == {}


def test_an_engine_is_closed_in_the_middle_of_a_check(engine, image, clock):
    checked(engine, image, ("CMD", "sleep", "4712"))
    events = engine.events(filters={"event": "exec_start"}, timeout=10)
    clock.move(10)
    with events:
        next(events)
    engine.close()


def test_the_local_driver_keeps_what_is_said(engine, image):
    # C87
    log = LogConfig("local", (("max-size", "20k"), ("max-file", "3")))
    script = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done"
    container = engine.start(image, ["sh", "-c", script], log=log)
    container.wait(timeout=30)
    lines = container.logs().splitlines()
    assert lines[-1] == "line 1999"
    assert 100 < len(lines) < 2000
    assert container.logs(tail=2) == "line 1998\nline 1999\n"
    told = container.inspect().to_docker()
    assert (told["LogPath"], told["HostConfig"]["LogConfig"]["Type"]) == ("", "local")
