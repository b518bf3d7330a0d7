"""A moment is the same nanosecond in whichever form it was written."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.errors import InvalidRequest
from pyengine.model.moments import parse_time, rfc3339

LAST = 9_200_000_000 * 10**9
moments = st.integers(0, LAST)
zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(moments)
def test_a_moment_reads_back_what_was_written(moment):
    assert parse_time(rfc3339(moment)) == moment


@given(moments)
def test_a_written_moment_has_nine_digits_after_the_second(moment):
    assert len(rfc3339(moment)) == len("2024-01-31T10:00:00.123456789Z")


@given(moments, st.integers(0, 9), zones)
def test_any_zone_and_any_precision_mean_the_same(moment, digits, zone):
    moment -= moment % 10 ** (9 - digits)
    local = datetime.fromtimestamp(moment // 10**9, zone)
    fraction = f".{moment % 10**9:09}"[: digits + 1] if digits else ""
    text = local.strftime("%Y-%m-%dT%H:%M:%S") + fraction + local.strftime("%z")
    assert parse_time(f"{text[:-2]}:{text[-2:]}") == moment


@given(moments)
def test_seconds_and_nanoseconds_with_a_point_between_are_exact(moment):
    assert parse_time(f"{moment // 10**9}.{moment % 10**9:09}") == moment


@given(moments.filter(lambda moment: moment > 9_200_000_000))
def test_whole_numbers_too_large_for_seconds_are_nanoseconds(moment):
    assert parse_time(moment) == moment


@given(st.integers(0, 9_200_000_000))
def test_whole_numbers_are_seconds(seconds):
    assert parse_time(seconds) == parse_time(str(seconds)) == seconds * 10**9


@given(st.floats(0, 9.1e9))
def test_a_fraction_is_as_exact_as_its_float(seconds):
    assert abs(parse_time(seconds) - Fraction(seconds) * 10**9) <= 0.51  # of a nanosecond


@given(st.datetimes(datetime(1970, 1, 2), datetime(2261, 1, 1)), st.one_of(st.none(), zones))
def test_a_datetime_is_its_moment_and_local_without_a_zone(moment, zone):
    moment = moment.replace(tzinfo=zone)
    past = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    assert parse_time(moment) == past // timedelta(microseconds=1) * 1000


def test_a_length_of_time_is_before_now():
    assert parse_time("10m", now_ns=10**12) == 400 * 10**9
    assert parse_time("1m30s", now_ns=10**12) == 910 * 10**9
    assert abs(parse_time("1h") - (time.time_ns() - 3600 * 10**9)) < 5 * 10**9


def test_the_beginning_of_a_moment_is_enough_and_is_local():
    at_noon = datetime(2024, 6, 1, 12).timestamp()
    assert parse_time("2024-06-01T12") == parse_time("2024-06-01 12:00") == int(at_noon) * 10**9
    assert parse_time("2024-06-01") == int(datetime(2024, 6, 1).timestamp()) * 10**9


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        True,
        b"10m",
        [],
        "",
        "now",
        "-1",
        -1,
        -0.5,
        math.nan,
        math.inf,
        1e300,
        10**19,
        "2024-02-30",
        "2024-01-01T25:00:00Z",
        "2024-01-01T00:00:00.1234567890Z",
        "2024-01-01T00:00:00+25:00",
        "1969-12-31T23:59:59Z",
        "9999-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "٢٠٢٤-01-01",
        "1.2.3",
        "10 minutes",
        "9" * 11,
        datetime(1, 1, 1),
        datetime(9999, 12, 31, tzinfo=timezone(timedelta(hours=-12))),
        timedelta(seconds=1),
    ],
)
def test_what_is_no_moment_between_1970_and_2261_is_refused(wrong):
    with pytest.raises(InvalidRequest) as caught:
        parse_time(wrong, "since")
    assert "since" in str(caught.value)


@settings(max_examples=300)
@given(st.text("0123456789-:.TZ+ mhs", max_size=30))
def test_any_text_is_a_moment_or_an_invalid_request(text):
    try:
        assert 0 <= parse_time(text) <= LAST
    except InvalidRequest:
        pass
