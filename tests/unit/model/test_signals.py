import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.errors import InvalidRequest
from pyengine.model.signals import parse_signal, signal_name

ALL = list(range(1, 65))


@pytest.mark.parametrize("number", ALL)
def test_every_signal_reads_back_by_its_name_and_number(number):
    name = signal_name(number)
    if number not in (32, 33):  # the C library's own have no names that users may write
        assert parse_signal(name) == number
        assert parse_signal(name.removeprefix("SIG").lower()) == number
    assert parse_signal(number) == parse_signal(str(number)) == number


@pytest.mark.parametrize("member", sorted(signal.Signals))
def test_names_mean_what_this_host_means_by_them(member):
    assert parse_signal(member.name) == member.value
    assert parse_signal(member) == member.value


@pytest.mark.parametrize(
    ("text", "number"),
    [("SIGRTMIN+3", 37), ("RTMIN", 34), ("rtmax-2", 62), ("SIGRTMAX", 64), ("SIGPOLL", 29)],
)
def test_real_time_signals_count_from_both_ends(text, number):
    assert parse_signal(text) == number


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "SIG",
        "SIGSIGTERM",
        "0",
        "65",
        "-1",
        "RTMIN+31",
        "RTMAX+1",
        "RTMIN-1",
        "RTMIN+",
        "RTMINx",
        "TERM ",
        "9.0",
        0,
        -9,
        65,
        True,
        None,
        9.0,
        b"TERM",
        "٩",
    ],
)
def test_what_is_no_signal_is_refused_and_named(bad):
    with pytest.raises(InvalidRequest) as caught:
        parse_signal(bad, "stop_signal")
    assert caught.value.what == "stop_signal"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=12))
def test_any_text_is_a_signal_or_a_reason(text):
    try:
        assert 1 <= parse_signal(text) <= 64
    except InvalidRequest:
        pass


@pytest.mark.parametrize("number", [0, -1, 65])
def test_no_name_is_made_up_for_what_is_no_signal(number):
    with pytest.raises(InvalidRequest):
        signal_name(number)
