"""Conditions are values: they are read, shown, and combined as sets of facts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

import pyengine
from pyengine import InvalidRequest
from pyengine.model.readiness import Both, Condition, Either, is_met, leaves

LEAVES = [pyengine.ready.port(number) for number in range(1, 6)]
conditions = some.recursive(
    some.sampled_from(LEAVES),
    lambda inner: some.builds(Both, inner, inner) | some.builds(Either, inner, inner),
    max_leaves=12,
)


@given(conditions, some.sets(some.sampled_from(LEAVES)))
def test_a_condition_means_what_its_text_says(condition, true):
    text = str(condition).replace("&", "and").replace("|", "or")
    meaning = eval(text, {"port": lambda number: LEAVES[number - 1] in true})
    assert is_met(condition, true.__contains__) == meaning


@given(conditions)
def test_all_leaves_are_enough_and_none_is_not(condition):
    assert set(leaves(condition)) <= set(LEAVES)
    assert is_met(condition, set(leaves(condition)).__contains__)
    assert not is_met(condition, lambda leaf: False)


def test_a_condition_is_shown_as_it_was_written():
    from pyengine import ready

    asked = ready.http("/x", port=8080) & ready.exec("test -e /x") | ready.log("up", times=3)
    shown = "http('/x', port=8080, status=200) & exec(['test', '-e', '/x']) | log('up', times=3)"
    assert str(asked) == shown
    assert isinstance(asked, Condition)


@pytest.mark.parametrize(
    "make",
    [
        lambda ready: ready.port(0),
        lambda ready: ready.log("("),
        lambda ready: ready.log(b"x"),
        lambda ready: ready.log("x", times=0),
        lambda ready: ready.http("x"),
        lambda ready: ready.http("/x y"),
        lambda ready: ready.http("/x\r\nHost: y"),
        lambda ready: ready.http("/", status=20),
        lambda ready: ready.exec(""),
        lambda ready: ready.exec([]),
    ],
)
def test_a_condition_that_makes_no_sense_is_refused(make):
    with pytest.raises(InvalidRequest):
        make(pyengine.ready)


def test_only_conditions_can_be_combined():
    with pytest.raises(TypeError):
        pyengine.ready.port(80) & "x"
    with pytest.raises(TypeError):
        pyengine.ready.port(80) | None
