"""Digests name content, and nothing else passes for one."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyengine.errors import InvalidRequest
from pyengine.model import digests


@given(st.binary(max_size=200))
def test_content_is_what_its_digest_names(data):
    for digest in (digests.of(data), f"sha512:{hashlib.sha512(data).hexdigest()}"):
        assert digests.check(digest) == digest
        assert digests.verify(data, digest)
        assert not digests.verify(data + b"x", digest)


@given(st.text(max_size=80))
def test_other_text_is_no_digest(text):
    with pytest.raises(InvalidRequest) as caught:
        digests.check(text)
    assert caught.value.why


def test_a_digest_has_an_algorithm_and_digits():
    assert digests.algorithm_of(digests.EMPTY) == "sha256"
    assert len(digests.hex_of(digests.EMPTY)) == 64
    assert digests.of(b"") == digests.EMPTY


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "no text"),
        (64 * "a", "names no algorithm"),
        (f"md5:{32 * 'a'}", "'md5' is not supported"),
        (f"SHA256:{64 * 'a'}", "'SHA256' is not supported"),
        ("sha256:", "64 digits, not 0"),
        (f"sha256:{63 * 'a'}", "64 digits, not 63"),
        (f"sha256:{65 * 'a'}", "64 digits, not 65"),
        (f"sha512:{64 * 'a'}", "128 digits, not 64"),
        (f"sha256:{64 * 'A'}", "not lower-case hexadecimal"),
        (f"sha256:{63 * 'a'}\n", "not lower-case hexadecimal"),
        (f"sha256:{63 * 'a'}٣", "not lower-case hexadecimal"),
        (f"sha256:../{61 * 'a'}", "not lower-case hexadecimal"),
    ],
)
def test_what_is_no_digest_is_refused_with_its_reason(text, why):
    with pytest.raises(InvalidRequest, match=why):
        digests.check(text)
