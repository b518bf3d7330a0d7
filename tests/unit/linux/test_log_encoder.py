"""Output becomes lines of JSON and comes back, byte for byte, whatever bytes they are."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyengine.errors import KernelError
from pyengine.linux.native_log import LONGEST, ROOM, Rest, decode, encode

TAIL = b'","stream":"stdout","time":"2024-01-31T10:00:00.123456789Z"}\n'
TIME = 1_706_695_200_123_456_789
CANARY = b"\xa5" * 64

modest = settings(max_examples=300, deadline=None)

# what is likely to be mistaken: halves of characters, things JSON escapes, ends of lines
tricky = st.sampled_from(
    [
        *(bytes([byte]) for byte in (0, 7, 8, 9, 10, 13, 27, 31, 32, 34, 92, 127, 128, 191, 255)),
        "é".encode(),
        "€".encode(),
        "𝄞".encode(),
        "\u2028".encode(),
        b"\xc0\x80",  # too long for what they say
        b"\xe0\x80\x80",
        b"\xf0\x80\x80\x80",
        b"\xed\xa0\x80",  # a surrogate
        b"\xed\xb2\x80",  # the very one that stands for a byte
        b"\xf4\x90\x80\x80",  # above U+10FFFF
        b"\xf5",
        b"\xe2\x82",
        b"\xf0\x9d\x84",
        b"\\udc80",
        b"x" * 7,
        b"x" * 8,
        b"x" * 100,
        b"\n",
    ]
)
outputs = st.one_of(st.binary(max_size=200), st.lists(tricky, max_size=40).map(b"".join))


def encoded(data, rest=Rest.END, tail=TAIL, room=ROOM + 200):
    """All entries of *data*, through a buffer with a fence around it; and what was left."""
    made, at = b"", 0
    while True:
        out = bytearray(room) + CANARY
        used, size = encode(data[at:], rest, tail, memoryview(out)[:room])
        assert bytes(out[room:]) == CANARY
        assert size <= room
        made += bytes(out[:size])
        at += used
        if not used:
            return made, data[at:]


def logs(made):
    return [json.loads(line)["log"] for line in made.splitlines()]


def lone(data):
    return data.decode(errors="surrogateescape")


@modest
@given(outputs)
@example(b"\xe2\x82")
def test_any_bytes_are_valid_json_that_python_reads_back(data):
    made, left = encoded(data)
    assert left == b""
    assert made.isascii() or made.decode()  # nothing but UTF-8 is ever in the file
    assert "".join(logs(made)) == lone(data)
    assert "".join(logs(made)).encode(errors="surrogateescape") == data


@modest
@given(outputs)
def test_each_entry_is_one_line_of_output(data):
    made, _ = encoded(data)
    assert [one.encode(errors="surrogateescape") for one in logs(made)] == re.findall(
        rb"[^\n]*\n|[^\n]+", data
    )


@modest
@given(outputs)
def test_what_was_encoded_is_decoded(data):
    made, _ = encoded(data)
    entries = decode(made)
    assert entries.data == data
    assert entries.used == len(made)
    assert all(row[0] == TIME and row[7] == 1 for row in entries.rows)
    lines = [made[row[1] : row[1] + row[2]] for row in entries.rows]
    assert b"".join(lines) == made
    assert [entries.data[row[3] : row[3] + row[4]] for row in entries.rows] == [
        one.encode(errors="surrogateescape") for one in logs(made)
    ]


@modest
@given(outputs, st.lists(st.integers(0, 300), max_size=6))
def test_where_reads_happened_to_end_cannot_be_seen(data, cuts):
    whole, _ = encoded(data)
    made, pending = b"", b""
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, end in pairwise(edges):
        more, pending = encoded(pending + data[start:end], Rest.KEEP)
        made += more
    assert made + encoded(pending)[0] == whole


@modest
@given(outputs)
def test_a_line_that_has_not_ended_waits(data):
    made, left = encoded(data, Rest.KEEP)
    assert left == data[data.rfind(b"\n") + 1 :]
    assert all(one.endswith("\n") for one in logs(made))


@modest
@given(st.lists(st.sampled_from(["a", "é", "€", "𝄞", "\n"]), max_size=20), st.integers(0, 60))
def test_flushing_never_tears_a_character(characters, cut):
    text = "".join(characters)
    data = text.encode()[:cut]
    made, left = encoded(data, Rest.FLUSH)
    assert all(one.isprintable() or one.endswith("\n") for one in logs(made))
    assert len(left) <= 3
    assert "".join(logs(made)).encode() + left == data


@settings(max_examples=60, deadline=None)
@given(
    st.integers(LONGEST - 9, LONGEST + 9),
    st.sampled_from(["a", "é", "€", "𝄞", '"', "\x01", "\udcff", "\udce2"]),
    st.binary(max_size=4),
)
def test_a_line_longer_than_16_kib_is_split_between_characters(length, character, end):
    unit = character.encode(errors="surrogateescape")
    shift = b"." * (length % 4)  # so that the limit falls on every byte of the character
    data = shift + unit * (2 * length // len(unit)) + end
    made, left = encoded(data)
    assert left == b""
    pieces = [one.encode(errors="surrogateescape") for one in logs(made)]
    assert b"".join(pieces) == data
    assert all(len(piece) <= LONGEST for piece in pieces)
    assert len(pieces[0]) >= LONGEST - 3
    if character < "\udc00" or character > "\udfff":
        pieces[0].decode()


def test_16_kib_with_the_newline_are_one_entry_and_a_byte_more_are_two():
    assert [len(one) for one in logs(encoded(b"x" * (LONGEST - 1) + b"\n")[0])] == [LONGEST]
    assert [len(one) for one in logs(encoded(b"x" * LONGEST + b"\n")[0])] == [LONGEST, 1]


def test_what_waits_is_never_more_than_16_kib():
    for data in (b"x" * 50_000, b"x" * (LONGEST - 2) + "€".encode()[:2], b"\xff" * LONGEST):
        _, left = encoded(data, Rest.KEEP)
        assert len(left) < LONGEST


@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=40), st.integers(ROOM, ROOM + 5000))
def test_a_small_buffer_only_takes_more_calls(pattern, room):
    data = pattern * 3000
    assert encoded(data, room=room + len(TAIL))[0] == encoded(data, room=8 * ROOM)[0]


def test_the_longest_entry_fits_the_smallest_buffer():
    data = b"\x01" * LONGEST  # six bytes for each
    tail = b"t" * 5000
    out = bytearray(ROOM + len(tail)) + CANARY
    used, size = encode(data, Rest.KEEP, tail, memoryview(out)[: -len(CANARY)])
    assert used == LONGEST
    assert size == len('{"log":"') + 6 * LONGEST + len(tail)
    assert out[-len(CANARY) :] == CANARY


def test_a_buffer_without_room_for_one_entry_is_refused():
    with pytest.raises(KernelError, match="ENOBUFS"):
        encode(b"x\n", Rest.END, TAIL, bytearray(ROOM + len(TAIL) - 1))


@modest
@given(outputs)
def test_whatever_is_in_the_file_decoding_survives_it(text):
    entries = decode(text)
    assert entries.used == text.rfind(b"\n") + 1
    assert len(entries.rows) == text.count(b"\n")
    assert len(entries.data) <= len(text)


lines = st.fixed_dictionaries(
    {"log": st.text(max_size=20), "stream": st.sampled_from(["stdout", "stderr"])},
    optional={
        "attrs": st.dictionaries(st.text(max_size=5), st.text(max_size=5), min_size=1, max_size=3)
    },
)


@modest
@given(lines, st.booleans())
def test_lines_as_docker_writes_them_are_understood(line, ascii_only):
    line["time"] = "2024-01-31T10:00:00.12Z"  # docker leaves zeros out
    line = {name: line[name] for name in ("log", "stream", "attrs", "time") if name in line}
    text = json.dumps(line, separators=(",", ":"), ensure_ascii=ascii_only)
    encoded_text = text.encode(errors="surrogatepass") + b"\n"
    entries = decode(encoded_text)
    row = entries.rows[0]
    if row[7] == 0:  # only what is written as two halves is left to Python's decoder
        assert "\\ud" in text
        return
    assert entries.data == line["log"].encode(errors="surrogatepass")
    assert row[0] == TIME - 3_456_789
    assert row[7] == (1 if line["stream"] == "stdout" else 2)
    carried = encoded_text[row[5] : row[5] + row[6]]
    assert (json.loads(carried) if carried else None) == line.get("attrs")


@pytest.mark.parametrize(
    "time",
    [
        "2024-01-31T10:00:00",
        "2024-01-31T10:00:00.Z",
        "2024-01-31T10:00:00.1234567890Z",
        "2024-13-31T10:00:00Z",
        "2024-01-00T10:00:00Z",
        "2024-01-31T24:00:00Z",
        "2024-01-31T10:60:00Z",
        "2024-01-31 10:00:00Z",
        "2024-01-31T10:00:00+01:00",
        "1969-12-31T23:59:59Z",
        "2262-01-01T00:00:00Z",
        "",
    ],
)
def test_a_time_that_is_not_ours_is_left_to_somebody_else(time):
    text = f'{{"log":"x","stream":"stdout","time":"{time}"}}\n'.encode()
    assert decode(text).rows[0][7] == 0


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b'{"log":"x',
        b'{"log":"x"}',
        b'{"log":"\\',
        b'{"log":"\\u12',
        b'{"log":"\\x"}',
        b'{"log":"\\ud800"}',
        b'{"log":"\t","stream":"stdout","time":"2024-01-31T10:00:00Z"}',
        b'{"log":"x","stream":"stdin","time":"2024-01-31T10:00:00Z"}',
        b'{"log":"x","stream":"stdout","attrs":{"a":"b","time":"2024-01-31T10:00:00Z"}',
        b'{"log":"x","stream":"stdout","attrs":',
        b'{"log":"x","stream":"stdout","time":"2024-01-31T10:00:00Z"} ',
        b'{"log":"x","stream":"stdout","time":"2024-01-31T10:00:00Z"',
    ],
)
def test_a_damaged_line_does_not_spoil_its_neighbours(line):
    good = b'{"log":"good\\n","stream":"stderr","time":"2024-01-31T10:00:00Z"}\n'
    entries = decode(good + line + b"\n" + good)
    assert [row[7] for row in entries.rows] == [2, 0, 2]
    assert entries.data == b"good\ngood\n"


def test_every_day_has_its_place():
    for day, expected in (
        ("1970-01-01T00:00:00Z", 0),
        ("1972-02-29T00:00:00Z", 68_169_600),
        ("2000-03-01T00:00:00Z", 951_868_800),
        ("2100-02-28T23:59:59Z", 4_107_542_399),
        ("2261-12-31T00:00:00Z", 9_214_560_000),
    ):
        text = f'{{"log":"","stream":"stdout","time":"{day}"}}\n'.encode()
        assert decode(text).rows[0][0] == expected * 1_000_000_000
