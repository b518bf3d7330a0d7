"""What is thought of a container after each of its health checks."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as some

from pyengine.model.codec import from_plain, to_plain
from pyengine.model.health import (
    MOST_OUTPUT,
    REMEMBERED,
    Health,
    HealthStatus,
    Probe,
    argv_of,
    is_checked,
    settled,
    shown_output,
)
from pyengine.model.spec import HealthCheck

TEST = ("CMD", "true")
checks = some.builds(
    HealthCheck,
    test=some.just(TEST),
    start_period=some.floats(0, 50),
    interval=some.floats(0.001, 100),
    start_interval=some.floats(0.001, 100),
    retries=some.integers(1, 8),
)
results = some.lists(some.tuples(some.integers(-1, 3), some.floats(0.001, 30)), max_size=40)


def _lives(check, results):
    """Each health of a container whose checks ended so, with the probe that led to it."""
    health, now = Health(run=1000.0), 1000.0
    for code, takes in results:
        start = now + health.pause_before_next(now, check)
        now = start + takes
        before, probe = health, Probe(start, now, code, "")
        health = health.after(probe, check)
        yield before, probe, health


@given(checks, results)
def test_a_single_success_is_health(check, results):
    # C84
    for _, probe, health in _lives(check, results):
        if probe.exit_code == 0:
            assert (health.status, health.failing_streak) == (HealthStatus.HEALTHY, 0)


@given(checks, results)
def test_only_enough_failures_in_a_row_are_illness(check, results):
    # C84
    row = 0
    for before, probe, health in _lives(check, results):
        excused = (
            before.status is HealthStatus.STARTING and probe.start - 1000.0 < check.start_period
        )
        row = 0 if probe.exit_code == 0 else row + (not excused)
        assert health.failing_streak == row
        if probe.exit_code != 0:
            assert (health.status is HealthStatus.UNHEALTHY) == (
                row >= check.retries or before.status is HealthStatus.UNHEALTHY
            )


@given(checks, results)
def test_the_last_five_checks_are_told_in_order(check, results):
    # C83
    probes = [(probe, health) for _, probe, health in _lives(check, results)]
    if probes:
        assert probes[-1][1].log == tuple(probe for probe, _ in probes[-REMEMBERED:])


@given(checks, results)
def test_it_is_asked_more_often_only_while_it_starts(check, results):
    # C83
    for _, probe, health in _lives(check, results):
        starts = health.status is HealthStatus.STARTING
        soon = starts and probe.end - health.run < check.start_period
        wanted = check.start_interval if soon else check.interval
        assert health.pause_before_next(probe.end, check) == wanted


@given(checks, results)
def test_a_health_is_read_back_as_it_was_written(check, results):
    for _, _, health in _lives(check, results):
        assert from_plain(Health, to_plain(health)) == health


def test_what_is_not_said_of_a_check_is_as_docker_has_it():
    # C83
    asked = HealthCheck(TEST, interval=0, timeout=0, start_interval=0, retries=0)
    assert settled(asked) == HealthCheck(TEST)
    given = HealthCheck(TEST, interval=1, timeout=2, start_period=3, start_interval=4, retries=5)
    assert settled(given) == given


def test_no_test_and_the_test_none_check_nothing():
    # C82
    unchecked = (None, HealthCheck(), HealthCheck(("NONE",)))
    assert not any(map(is_checked, unchecked))
    assert is_checked(HealthCheck(("CMD-SHELL", "true")))


def test_a_shell_runs_only_where_one_is_asked_for():
    # C82
    assert argv_of(HealthCheck(("CMD", "a", "b c"))) == ("a", "b c")
    assert argv_of(HealthCheck(("CMD-SHELL", "a b"))) == ("/bin/sh", "-c", "a b")


@given(some.binary(max_size=MOST_OUTPUT + 10))
def test_long_output_is_cut_and_says_so(data):
    # C83
    shown = shown_output(data)
    assert shown.endswith("...") or len(data) <= MOST_OUTPUT
    if len(data) <= MOST_OUTPUT:
        assert shown == data.decode(errors="replace")


def test_a_later_run_is_another_health():
    health = Health(run=1.0).after(Probe(2.0, 3.0, 0), HealthCheck(TEST))
    assert health.run == 1.0
    assert evolve(health, run=2.0) != health
