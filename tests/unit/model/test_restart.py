"""When a container starts again by itself, and when it does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pyengine.model.restart import (
    FIRST_DELAY,
    LONGEST_DELAY,
    STEADY_AFTER,
    next_delay,
    starts_again,
)

policies = some.sampled_from(("no", "always", "unless-stopped", "on-failure"))
codes = some.integers(0, 255)
counts = some.integers(0, 50)


def test_the_wait_doubles_from_a_tenth_of_a_second_to_a_minute():
    # C80
    waits = [0.0]
    for _ in range(12):
        waits.append(next_delay(waits[-1], 0.5))
    assert waits[1:5] == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert waits[-2:] == [60.0, 60.0]


@given(some.lists(some.floats(0, 100), min_size=1))
def test_a_wait_is_never_shorter_than_the_first_nor_longer_than_a_minute(runs):
    delay = 0.0
    for ran in runs:
        before, delay = delay, next_delay(delay, ran)
        assert FIRST_DELAY <= delay <= LONGEST_DELAY
        assert delay == FIRST_DELAY or delay == min(2 * before, LONGEST_DELAY)


@given(some.floats(0, LONGEST_DELAY), some.floats(STEADY_AFTER, 1e9))
def test_who_ran_for_ten_seconds_waits_as_at_first(last, ran):
    # pitfall 11
    assert next_delay(last, ran) == FIRST_DELAY


@given(policies, counts, codes, counts)
def test_what_was_stopped_by_hand_stays_stopped(policy, most, code, restarts):
    # C80
    again = starts_again(policy, most, exit_code=code, restarts=restarts, stopped_by_hand=True)
    assert not again


@given(counts, codes, counts)
def test_always_and_unless_stopped_ask_for_nothing_else(most, code, restarts):
    for policy in ("always", "unless-stopped"):
        assert starts_again(policy, most, exit_code=code, restarts=restarts, stopped_by_hand=False)
    assert not starts_again("no", most, exit_code=code, restarts=restarts, stopped_by_hand=False)


@given(some.integers(1, 20), codes)
def test_on_failure_tries_so_often_and_only_after_a_failure(most, code):
    tries = 0
    while starts_again("on-failure", most, exit_code=code, restarts=tries, stopped_by_hand=False):
        tries += 1
    assert tries == (most if code else 0)


@given(some.integers(1, 255), some.integers(0, 1 << 31))
def test_on_failure_without_a_number_never_gives_up(code, restarts):
    assert starts_again("on-failure", 0, exit_code=code, restarts=restarts, stopped_by_hand=False)
