from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.errors import InvalidRequest
from pyengine.model.units import (
    LARGEST_SIZE,
    format_ago,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)

modest = settings(max_examples=60, deadline=None)
POWERS = {"": 0, "k": 1, "M": 2, "g": 3, "T": 4, "p": 5}


@modest
@given(
    st.integers(0, 8000),
    st.one_of(st.none(), st.integers(0, 999)),
    st.sampled_from(sorted(POWERS)),
    st.sampled_from(["", "b", "B", "iB"]),
    st.sampled_from(["", " "]),
)
def test_a_size_is_its_number_times_a_power_of_1024(whole, thousandths, unit, suffix, space):
    fraction = "" if thousandths is None else f".{thousandths:03}"
    exact = (whole + Fraction(thousandths or 0, 1000)) * 1024 ** POWERS[unit]
    assert parse_size(f"{whole}{fraction}{space}{unit}{suffix}") == int(exact)


@modest
@given(st.integers(0, LARGEST_SIZE))
def test_a_number_of_bytes_stays_itself_as_number_and_as_text(size):
    assert parse_size(size) == parse_size(str(size)) == size


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "m",
        "-1",
        "1x",
        "1.m",
        ".5m",
        "1 2",
        "1e3",
        "١m",
        "1mm",
        -1,
        True,
        None,
        1.5,
        b"1m",
        LARGEST_SIZE + 1,
        "9p" * 2,
        "99999p",
        "1" * 10000,
    ],
)
def test_what_is_no_size_is_refused_and_named(bad):
    with pytest.raises(InvalidRequest) as caught:
        parse_size(bad, "memory")
    assert caught.value.what == "memory"
    assert caught.value.why or caught.value.expected


@modest
@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_a_duration_is_the_sum_of_its_parts(hours, minutes, seconds, milliseconds):
    exact = hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
    text = f"{hours}h{minutes}m{seconds}s{milliseconds}ms"
    assert parse_duration(text) == pytest.approx(exact)
    assert parse_duration(f"-{text}") == pytest.approx(-exact)
    assert parse_duration(timedelta(seconds=exact)) == pytest.approx(exact)
    assert parse_duration(exact) == exact


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("1.5h", 5400), (".5s", 0.5), ("1.s", 1), ("2us", 2e-6), ("2µs", 2e-6), ("+3s", 3)],
)
def test_durations_read_as_go_reads_them(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "bad",
    ["", "5", "5.5", "s", "1x", "1s ", "--1s", float("nan"), float("inf"), 1e300, True, None, [1]],
)
def test_what_is_no_duration_is_refused_and_named(bad):
    with pytest.raises(InvalidRequest) as caught:
        parse_duration(bad, "interval")
    assert caught.value.what == "interval"


@modest
@given(st.one_of(st.text(max_size=12), st.integers(), st.floats(), st.binary(max_size=4)))
def test_reading_anything_gives_a_value_or_a_reason(anything):
    for read in (parse_size, parse_duration):
        try:
            assert isinstance(read(anything), int | float)
        except InvalidRequest:
            pass


@pytest.mark.parametrize(
    ("size", "decimal", "binary"),
    [
        (0, "0B", "0B"),
        (999, "999B", "999B"),
        (1000, "1kB", "1000B"),
        (1024, "1.024kB", "1KiB"),
        (77_100_000, "77.1MB", "73.53MiB"),
        (3 << 60, "3.459EB", "3EiB"),
    ],
)
def test_sizes_are_printed_as_docker_prints_them(size, decimal, binary):
    assert format_size(size) == decimal
    assert format_size(size, binary=True) == binary
    assert format_size(123_456, precision=3) == "123kB"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.9, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (3600 * 47, "47 hours"),
        (3600 * 48, "2 days"),
        (86400 * 14, "2 weeks"),
        (86400 * 60, "2 months"),
        (86400 * 730, "2 years"),
    ],
)
def test_times_are_said_as_docker_says_them(seconds, words):
    assert format_duration(seconds) == words
    assert format_ago(seconds) == f"{words} ago"
