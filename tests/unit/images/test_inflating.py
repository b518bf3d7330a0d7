"""Whatever a layer is compressed with comes out as it went in, in small pieces, or is refused."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import zlib
from collections import deque

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.errors import InvalidContent, Unsupported
from pyengine.images import zstandard
from pyengine.images.inflating import PIECE, Inflater, format_of
from pyengine.images.limits import DEFAULT

CHECKED = {"gzip": gzip.compress, "zstd": lambda data: _zstd(data), "xz": lzma.compress}
COMPRESSORS = {**CHECKED, "bzip2": bz2.compress, "none": bytes}


def _zstd(data):
    compressor = zstandard.compressor(3)
    return compressor.compress(data) + compressor.flush()


def inflated(data, step=1 << 20, limits=DEFAULT):
    inflater = Inflater("layer", "sha256:abc", limits)
    pieces = []
    for at in range(0, len(data), step):
        pieces += [bytes(piece) for piece in inflater.feed(data[at : at + step])]
    pieces += [bytes(piece) for piece in inflater.finish()]
    assert all(len(piece) <= PIECE for piece in pieces)
    assert inflater.taken == len(data)
    assert inflater.given == sum(map(len, pieces))
    return inflater.format, b"".join(pieces)


@pytest.fixture(params=["isal", "zlib"])
def gzip_by(request, monkeypatch):
    if request.param == "zlib":
        monkeypatch.setitem(sys.modules, "isal", None)
    return request.param


contents = st.one_of(
    st.binary(max_size=5000),
    st.tuples(st.binary(max_size=50), st.integers(0, 30000)).map(lambda pair: pair[0] * pair[1]),
)


@pytest.mark.parametrize("kind", COMPRESSORS)
@given(data=contents, step=st.integers(1, 3000))
@settings(max_examples=25, deadline=None)
def test_what_was_compressed_comes_out(kind, data, step):
    if kind == "none":
        data = b"\0" + data
    compressed = COMPRESSORS[kind](data)
    assert inflated(compressed, max(step, len(compressed) // 300)) == (kind, data)


@pytest.mark.parametrize("kind", ["gzip", "zstd", "xz", "bzip2"])
@given(members=st.lists(contents, min_size=2, max_size=5), padding=st.sampled_from([0, 4, 512]))
@settings(max_examples=15, deadline=None)
def test_several_members_are_one_content(kind, members, padding):
    data = b"".join(COMPRESSORS[kind](member) for member in members) + bytes(padding)
    assert inflated(data, 1 + len(data) // 50) == (kind, b"".join(members))


def test_gzip_is_the_same_with_zlib(gzip_by):
    data = os.urandom(70000) + bytes(3 << 20)
    with io.BytesIO() as file:
        with gzip.GzipFile("a name", "wb", fileobj=file, mtime=5) as writer:
            writer.write(data)
        compressed = file.getvalue()
    assert inflated(compressed * 2, 777) == ("gzip", data * 2)
    assert inflated(compressed[:-1] + compressed[-1:] + bytes(9)) == ("gzip", data)


def test_thousands_of_small_members_are_read_as_estargz_has_them(gzip_by):
    members = [b"%d" % number * 20 for number in range(5000)]
    data = b"".join(gzip.compress(member) for member in members)
    assert inflated(data) == ("gzip", b"".join(members))


def test_frames_that_are_to_be_skipped_are_as_in_zstd_chunked():
    skipped = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"abcde"
    assert inflated(_zstd(b"one") + skipped) == ("zstd", b"one")
    assert inflated(skipped + _zstd(b"one")) == ("zstd", b"one")


def test_nothing_at_all_is_not_compressed():
    assert inflated(b"") == ("none", b"")
    assert inflated(b"\x1f\x8b") == ("none", b"\x1f\x8b")
    assert format_of(b"BZh9 is how a file may be called") == "none"


@pytest.mark.parametrize("kind", ["gzip", "zstd", "xz", "bzip2"])
def test_what_ends_too_early_is_refused(kind):
    data = COMPRESSORS[kind](os.urandom(3000))
    for end in (15, len(data) // 2, len(data) - 1):
        with pytest.raises(InvalidContent, match="ends too early"):
            inflated(data[:end])
        with pytest.raises(InvalidContent, match="ends too early"):
            inflated(data + data[:end])


@pytest.mark.parametrize("end", [15, 1000, -8, -4, -1])
def test_gzip_that_ends_too_early_is_refused_by_either(gzip_by, end):
    with pytest.raises(InvalidContent, match="ends too early"):
        inflated(gzip.compress(os.urandom(3000))[:end])


@pytest.mark.parametrize("kind", CHECKED)
@given(at=st.integers(20, 2990), bit=st.integers(0, 7))
@settings(max_examples=20, deadline=None)
def test_a_flipped_bit_is_noticed(kind, at, bit):
    data = bytearray(COMPRESSORS[kind](bytes(range(250)) + os.urandom(3000)))
    data[at] ^= 1 << bit
    with pytest.raises(InvalidContent):
        inflated(bytes(data))


@pytest.mark.parametrize("at", [-1, -3, -5, -8])
def test_gzip_whose_checksum_or_length_is_wrong_is_refused(gzip_by, at):
    data = bytearray(gzip.compress(b"content" * 100))
    data[at] ^= 1
    with pytest.raises(InvalidContent, match="cannot be unpacked"):
        inflated(bytes(data))


@pytest.mark.parametrize("kind", ["gzip", "zstd", "xz", "bzip2"])
def test_what_follows_and_is_no_member_is_refused(kind):
    for rest in (b"garbage that follows", bytes(100) + b"x", bytes(4) + COMPRESSORS[kind](b"x")):
        with pytest.raises(InvalidContent):
            inflated(COMPRESSORS[kind](b"content") + rest)


def test_a_bomb_is_stopped_before_it_fills_anything():
    limits = evolve(DEFAULT, ratio_from=10 << 20)
    for kind in ("gzip", "zstd", "xz", "bzip2"):
        bomb = COMPRESSORS[kind](bytes(64 << 20))
        inflater = Inflater("layer", limits=limits)
        with pytest.raises(InvalidContent, match="taken for a bomb"):
            deque(inflater.feed(bomb), maxlen=0)
        assert inflater.given <= max(10 << 20, 250 * inflater.taken) + PIECE


def test_a_layer_beyond_the_limit_is_stopped():
    limits = evolve(DEFAULT, layer_bytes=1 << 20)
    with pytest.raises(InvalidContent, match="limit of 1048576 bytes"):
        inflated(os.urandom((1 << 20) + 1), limits=limits)
    assert len(inflated(os.urandom(1 << 20), limits=limits)[1]) == 1 << 20


def test_zeros_that_are_no_bomb_are_content():
    assert inflated(gzip.compress(bytes(50 << 20)))[1] == bytes(50 << 20)


def test_members_without_end_that_hold_nothing_are_stopped(gzip_by):
    limits = evolve(DEFAULT, empty_members=100)
    assert inflated(gzip.compress(b"") * 100, limits=limits)[1] == b""
    with pytest.raises(InvalidContent, match="more than 100 of its members are empty"):
        inflated(gzip.compress(b"") * 101, limits=limits)


def test_what_would_need_too_much_memory_is_refused():
    raw = zstandard.compressor(3)
    raw = type(raw)(options={zstandard.CompressionParameter.window_log: 27})
    data = raw.compress(os.urandom(100)) + raw.flush()
    with pytest.raises(InvalidContent, match="zstd data cannot be unpacked"):
        inflated(data)
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 256 << 20}]
    with pytest.raises(InvalidContent, match="xz data cannot be unpacked"):
        inflated(lzma.compress(b"x" * 1000, filters=filters))


def test_zstd_without_a_module_for_it_is_not_supported(monkeypatch):
    data = _zstd(b"content")
    monkeypatch.delitem(sys.modules, "pyengine.images.zstandard")
    monkeypatch.delattr("pyengine.images.zstandard")
    for name in ("backports.zstd", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(Unsupported, match="the package backports"):
        inflated(data)


def test_an_error_says_what_was_read():
    with pytest.raises(InvalidContent) as caught:
        inflated(zlib.compress(b"")[:0] + gzip.compress(b"x" * 100)[:20])
    assert (caught.value.what, caught.value.digest) == ("layer", "sha256:abc")
