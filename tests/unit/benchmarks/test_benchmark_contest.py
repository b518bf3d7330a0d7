import itertools
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.contest import Contestant, ContestantFailed, Lap, interleave, part, times

names = st.text("abcdefgh", min_size=1, max_size=8)
numbers = st.integers(0, 10**12)


def contestant(script):
    return Contestant.start("it", [sys.executable, "-c", script])


@given(numbers, st.dictionaries(names, numbers))
def test_a_lap_is_read_as_it_was_said(total, parts):
    said = " ".join([str(total), *(f"{name}={value}" for name, value in parts.items())])
    assert Lap.parse(said + "\n") == Lap(total, parts)


@pytest.mark.parametrize("line", ["", "\n", "soon", "12 clone", "12 clone=long", "1.5"])
def test_what_is_no_lap_is_refused(line):
    with pytest.raises(ValueError, match=r"."):
        Lap.parse(line)


def test_laps_tell_milliseconds_and_parts():
    laps = [Lap(2_000_000, {"memory": 3.0}), Lap(4_000_000, {"memory": 5.0})]
    assert times(laps).values == (2.0, 4.0)
    assert part(laps, "memory").values == (3.0, 5.0)


@given(st.integers(1, 4), st.integers(0, 20), st.integers(0, 3))
def test_everyone_takes_its_turn_once_a_round(members, rounds, warm_up):
    turns = []
    things = {name: lambda name=name: turns.append(name) or len(turns) for name in range(members)}
    found = interleave(things, rounds, warm_up=warm_up)
    assert len(turns) == members * (rounds + warm_up)
    for start in range(0, len(turns), members):
        assert sorted(turns[start : start + members]) == sorted(things)
    assert {len(laps) for laps in found.values()} == {rounds}
    kept = sorted(number for laps in found.values() for number in laps)
    assert kept == list(range(members * warm_up + 1, len(turns) + 1))


def test_nobody_always_comes_after_the_same():
    turns = []
    things = {name: lambda name=name: turns.append(name) for name in "abc"}
    interleave(things, 100)
    followed = {(one, other) for one, other in itertools.pairwise(turns) if one != other}
    assert len(followed) == 6


def test_the_order_is_the_same_in_every_run():
    def order():
        turns = []
        interleave({name: lambda name=name: turns.append(name) for name in "abcd"}, 10)
        return turns

    assert order() == order()


def test_a_contestant_greets_answers_and_leaves():
    script = "import sys\nprint('ready', 42, flush=True)\nfor l in sys.stdin: print(7, flush=True)"
    with contestant(script) as it:
        assert it.greeting == ("42",)
        assert [it.once().nanoseconds for _ in range(3)] == [7, 7, 7]
    assert it.process.returncode == 0


def test_one_that_ends_is_named():
    with (
        contestant("print('ready', flush=True); input()") as it,
        pytest.raises(ContestantFailed, match="no answer of it: it ended"),
    ):
        it.once()


def test_one_that_says_something_else_is_quoted():
    script = "import sys\nprint('ready', flush=True)\nfor l in sys.stdin: print('oh', flush=True)"
    with contestant(script) as it, pytest.raises(ContestantFailed, match="'oh'"):
        it.once()


def test_one_that_never_gets_ready_is_not_left_behind():
    with pytest.raises(ContestantFailed, match="'so'"):
        contestant("print('so what', flush=True)")
