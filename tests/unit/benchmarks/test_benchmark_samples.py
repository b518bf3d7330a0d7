import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.samples import Sample, quantile

values = st.lists(st.floats(0, 1e9), min_size=1, max_size=50)
shares = st.floats(0, 1)


@given(values)
def test_the_median_is_what_the_standard_library_says(found):
    assert Sample(found).p50 == pytest.approx(statistics.median(found))


@given(values, shares)
def test_a_quantile_lies_among_its_values(found, share):
    assert min(found) <= quantile(found, share) <= max(found) or quantile(
        found, share
    ) == pytest.approx(min(found))


@given(values, shares, shares)
def test_a_larger_share_never_has_a_smaller_quantile(found, one, other):
    low, high = sorted((one, other))
    assert quantile(found, low) <= quantile(found, high) * (1 + 1e-12)


@given(values.flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))))
def test_the_order_of_measuring_does_not_change_what_is_said(both):
    found, shuffled = both
    assert Sample(found).p90 == Sample(shuffled).p90


@given(st.lists(st.floats(1e-3, 1e6), min_size=1), st.floats(1, 1e9))
def test_a_rate_times_its_time_is_the_amount(seconds, amount):
    for rate, time in zip(Sample(seconds).per(amount).values, seconds, strict=True):
        assert rate * time == pytest.approx(amount)


def test_a_difference_is_taken_round_by_round():
    assert Sample([5, 9]).minus(Sample([1, 2])).values == (4.0, 7.0)
    with pytest.raises(ValueError, match="shorter"):
        Sample([5, 9]).minus(Sample([1]))


def test_nothing_measured_is_no_sample():
    with pytest.raises(ValueError, match="at least one"):
        Sample([])
