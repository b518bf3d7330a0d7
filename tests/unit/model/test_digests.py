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
