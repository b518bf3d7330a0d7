import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report import Bound, Comparison, number, table
from benchmarks.samples import Sample

words = st.text("abc de", min_size=1, max_size=20).map(str.strip).filter(bool)
samples = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=5).map(Sample)
bounds = st.builds(Bound, st.floats(0.001, 1e6), st.booleans(), st.booleans())
comparisons = st.builds(
    Comparison, words, st.just("ms"), samples, words, st.none() | samples, st.none() | bounds
)


@given(st.floats(1e-6, 1e9))
def test_a_printed_number_is_within_one_percent(value):
    assert float(number(value)) == pytest.approx(value, rel=0.051 if value < 10 else 0.01)


@given(st.lists(comparisons, min_size=1, max_size=5))
def test_every_line_of_a_table_ends_where_its_head_does(found):
    head, *lines = table(found).splitlines()
    assert len(lines) == len(found)
    assert head.split()[0] == "what"
    assert {len(line) for line in lines} == {len(head)}  # the last column stands at the right


@given(comparisons)
def test_a_row_begins_with_what_was_measured_and_ends_with_how_often(found):
    row = table([found]).splitlines()[1]
    assert row.startswith(found.what)
    assert row.split()[-1] == str(len(found.ours))


@given(comparisons)
def test_json_holds_every_single_value(found):
    read = json.loads(json.dumps(found.as_json()))
    assert tuple(read["ours"]["values"]) == found.ours.values
    assert (read["theirs"] is None) == (found.theirs is None)
    assert read["n"] == len(found.ours)


def test_a_reason_is_told_where_the_bound_is_missed_only():
    def told(bound):
        ours, theirs = Sample([3]), Sample([2])
        return table([Comparison("x", "ms", ours, "limit", theirs, bound, "it is slow")])

    assert told(Bound(1.4)).endswith("\nx: it is slow")
    assert "slow" not in told(Bound(1.6))
    assert "slow" not in told(None)


def test_a_ratio_is_that_of_the_medians():
    found = Comparison("x", "ms", Sample([3, 3, 90]), "limit", Sample([2, 2, 2]))
    assert found.ratio == 1.5


@pytest.mark.parametrize(
    ("bound", "is_met"),
    [
        (None, None),
        (Bound(1.5), True),
        (Bound(1.4), False),
        (Bound(1.5, at_least=True), True),
        (Bound(1.6, at_least=True), False),
        (Bound(3, absolute=True), True),
        (Bound(2.9, absolute=True), False),
        (Bound(3, at_least=True, absolute=True), True),
    ],
)
def test_a_bound_is_for_the_ratio_or_the_figure_itself(bound, is_met):
    found = Comparison("x", "ms", Sample([3]), "limit", Sample([2]), bound)
    assert found.is_met is is_met


def test_without_anything_to_compare_with_there_is_no_ratio_to_meet():
    alone = Comparison("errors", "", Sample([0]), wanted=Bound(0, absolute=True))
    assert alone.ratio is None
    assert alone.is_met is True
    assert Comparison("x", "", Sample([1]), wanted=Bound(1)).is_met is False


def test_what_misses_its_bound_stands_out():
    missed = Comparison("x", "ms", Sample([3]), "limit", Sample([2]), Bound(1.2))
    assert "≤ 1.2" in table([missed])
    assert "NO" in table([missed]).split()
