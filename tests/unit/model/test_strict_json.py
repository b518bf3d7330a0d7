"""JSON from strangers is read within limits, and what readers take differently is refused."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.errors import InvalidContent
from pyengine.model.strict_json import MOST_TOKENS, loads

MOST = 8 << 20
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 62), 1 << 62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


def read(data):
    return loads(data, most_bytes=MOST, what="it")


@settings(max_examples=150, deadline=None)
@given(values, st.booleans())
def test_what_json_writes_is_read_as_it_was(value, ascii_only):
    assert read(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | st.text('{}[]",:\\u0d8e1-Na ', max_size=40).map(str.encode))
def test_any_bytes_are_read_as_json_does_or_refused(data):
    try:
        value = read(data)
    except InvalidContent as error:
        if not error.why:
            raise
        return
    assert value == json.loads(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"{} x", "no JSON"),
        (b"\xef\xbb\xbf{}", "no JSON"),
        (b'"\xff"', "not UTF-8 at byte 1"),
        (b'{"a":1,"b":2,"a":1}', "'a' comes twice"),
        (b'[{"a":{"b":1,"\\u0062":1}}]', "'b' comes twice"),
        (b"[NaN]", "NaN is no number"),
        (b"[-Infinity]", "-Infinity is no number"),
        (b"[1e999]", "too large"),
        (b"[1e-9%s]" % (b"9" * 500), "too large"),
        (b"[%s]" % (b"9" * 5000), "beyond 64 bits"),
        (b"[9223372036854775808]", "beyond 64 bits"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\udC00":1}', "surrogate"),
        (b"[" * 65 + b"]" * 65, "deeper than 64"),
        (b'[{"a":' * 100_000, "deeper than 64"),
        (b"[" + b"0," * MOST_TOKENS + b"0]", "tokens"),
        (b"[" + b'"",' * MOST_TOKENS + b'""]', "tokens"),
        (b'"' + b"x" * MOST + b'"', "more than 8388608"),
        (b'["' + b"x" * (MOST - 20) + '\U0001f600"]'.encode(), "bytes of memory"),
    ],
)
def test_an_oddity_is_refused_with_its_reason(data, why):
    with pytest.raises(InvalidContent, match=why):
        read(data)


def test_brackets_within_texts_are_no_nesting():
    text = '\\"[{' * 1000 + "\\"
    assert read(json.dumps([text]).encode()) == [text]
    assert read(b"[" * 64 + b"]" * 64)


def test_pairs_of_surrogates_are_one_character():
    assert read(b'"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize(
    "data",
    [
        b"[" + b"[]," * (MOST_TOKENS // 3 - 1) + b"[]]",
        b"[" + b"{}," * (MOST_TOKENS // 3 - 1) + b"{}]",
        b"{" + b",".join(b'"%d":0' % n for n in range(MOST_TOKENS // 2 - 2)) + b"}",
        b'["' + b"x" * (MOST - 10) + b'"]',
        b'["' + b"\\n" * (MOST // 2 - 10) + b'"]',
        b'["' + b"x" * (MOST // 2) + '\U0001f600"]'.encode(),
        b'["' + b"x" * (MOST - 20) + b'\\ud83d\\ude00"]',
    ],
    ids=["lists", "objects", "names", "text", "escapes", "wide", "pairs"],
)
def test_no_document_costs_much_more_memory_than_its_bytes(data):
    tracemalloc.start()
    try:
        read(data)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 64 << 20
