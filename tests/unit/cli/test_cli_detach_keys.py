import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.cli.detach import KeyWatcher, parse_keys
from pyengine.errors import InvalidRequest

modest = settings(max_examples=200, deadline=None)

letters = "abc\x10\x11"
keys = st.text(letters, min_size=1, max_size=4).map(str.encode)
streams = st.lists(st.text(letters, max_size=5).map(str.encode), max_size=8)


@modest
@given(keys, streams)
def test_every_byte_before_the_keys_goes_through_however_it_arrives(wanted, pieces):
    watcher = KeyWatcher(wanted)
    out = b"".join(map(watcher.feed, pieces))
    whole = b"".join(pieces)
    at = whole.find(wanted)
    assert watcher.found == (at >= 0)
    if at >= 0:
        assert out == whole[:at]
    else:
        assert whole.startswith(out)
        assert wanted.startswith(whole[len(out) :])  # only what may become the keys is kept


@modest
@given(keys, streams)
def test_the_pieces_make_no_difference(wanted, pieces):
    one, other = KeyWatcher(wanted), KeyWatcher(wanted)
    by_pieces = b"".join(map(one.feed, pieces))
    at_once = other.feed(b"".join(pieces))
    assert (by_pieces, one.found) == (at_once, other.found)


@modest
@given(st.integers(0, 31))
def test_every_control_key_has_a_name(code):
    assert parse_keys(f"ctrl-{chr(code + 64).lower()}") == bytes([code])


@modest
@given(st.text(max_size=20))
def test_any_text_is_keys_or_refused(text):
    try:
        wanted = parse_keys(text)
    except InvalidRequest:
        return
    assert len(wanted) == len(text.split(","))


def test_what_follows_the_keys_waits_until_the_watch_begins_anew():
    watcher = KeyWatcher(parse_keys("ctrl-p,ctrl-q"))
    assert watcher.feed(b"a\x10\x11b") == b"a"
    assert watcher.feed(b"c") == b""
    assert watcher.reset() == b"bc"
    assert watcher.feed(b"d\x10") == b"d"
    assert watcher.feed(b"\x10") == b"\x10"


@pytest.mark.parametrize("text", ["", "ctrl-", "ctrl-1", "ctrl-é", "ab", "ctrl-p,,x", "é", "\x01"])
def test_what_is_no_key_is_refused(text):
    with pytest.raises(InvalidRequest):
        parse_keys(text)
