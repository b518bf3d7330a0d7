"""An archive becomes a directory; what needs root is in tests/kernel/test_untar*.py."""

from __future__ import annotations

import os
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.archives import (
    END,
    block,
    directory,
    entry,
    extended,
    link,
    record,
    remove_all,
    summed,
    symlink,
    unpack,
)

from pyengine.errors import InvalidContent, KernelError
from pyengine.linux.native_layers import Unpacker, pack


@pytest.fixture
def layer(tmp_path: Path) -> Iterator[Path]:
    top = tmp_path / "layer"
    top.mkdir()
    yield top
    remove_all(top)  # some are deeper than pytest can go


@pytest.mark.parametrize("piece", [1, 7, 511, 512, 513, 1 << 20])
def test_an_archive_may_come_in_pieces_of_any_size(layer, piece):
    data = directory("a", mtime=1.25) + entry("a/one", b"1" * 600) + entry("a/" + "n" * 150, b"2")
    done = unpack(layer, data + END, piece=piece)
    assert (done.entries, done.bytes) == (3, 601)
    assert (layer / "a/one").read_bytes() == b"1" * 600
    assert (layer / "a" / ("n" * 150)).read_bytes() == b"2"
    assert (layer / "a").stat().st_mtime_ns == 1_250_000_000


def test_an_archive_that_ends_early_is_told(layer):
    data = entry("a", b"1" * 600)
    for cut in (1, 511, 512, 700, len(data) - 1):
        with pytest.raises(InvalidContent, match="ends in the middle"):
            unpack(layer, data[:cut])
    with pytest.raises(InvalidContent, match="ends in the middle"):
        unpack(layer, extended(record(b"path", b"a")) + END)


@pytest.mark.parametrize("end", [b"", b"\0" * 512, END, b"\0" * 10240])
def test_an_archive_may_end_as_archives_do(layer, end):
    assert unpack(layer, entry("a", b"1") + end).entries == 1


def test_nothing_is_an_empty_layer(layer):
    assert unpack(layer, b"").entries == 0


def test_what_is_behind_the_end_is_not_looked_at(layer):
    unpack(layer, entry("a") + END + entry("b"))
    assert sorted(os.listdir(layer)) == ["a"]


def test_what_is_behind_the_end_has_an_end(layer):
    with pytest.raises(InvalidContent, match="64 MiB"):
        unpack(layer, END + bytes((64 << 20) + 1))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"<html>" * 200, "no tar archive"),
        (b"\x1f\x8b" + b"\0" * 510, "no tar archive"),
        (b"\0" * 512 + entry("a"), "no tar archive"),
        (entry("a")[:148] + b"0000000\0" + entry("a")[156:], "no tar archive"),
        (block(b"a", size=b"00000x00000"), "no tar archive"),
        (block(b"a", size=b"\xff" * 12), "no tar archive"),
        (block(b"a", size=b"\x80" + b"\xff" * 11), "no tar archive"),
        (block(b"a", uid=b"\xff" * 8), "no tar archive"),
        (block(b"a", kind=b"M"), "type"),
        (block(b"a", kind=b"V"), "type"),
        (block(b"", kind=b"0"), "root"),
        (block(b"./", kind=b"2", linkname=b"/"), "root"),
        (block(b"a", kind=b"2"), "links to nothing"),
        (link("a", "b"), "links to nothing"),
        (directory("b") + link("a", "b"), "links to nothing"),
        (link("a", "."), "links to nothing"),
        (entry("a") + entry("a/b"), "not a directory"),
        (symlink("a", "b") + symlink("b", "a") + entry("a/c"), "lead nowhere"),
        (entry("n" * 256), "longer"),
        (entry("a/" * 2048 + "a"), "longer"),
        (symlink("a", "x" * 4096), "longer"),
        (entry("../a"), "out of the layer"),
        (entry("a/../../b"), "out of the layer"),
        (entry(".wh."), "whiteout"),
        (entry(".wh.."), "whiteout"),
        (entry("a/.wh..."), "whiteout"),
        (entry(".wh.a/b"), "whiteout"),
        (block(b"a", kind=b"3", major=b"0000000", minor=b"0000000"), "whiteout"),
    ],
)
def test_what_is_no_layer_is_refused(layer, data, why):
    with pytest.raises(InvalidContent, match=why):
        unpack(layer, data + END)


@pytest.mark.parametrize(
    "text",
    [
        *(
            b"path=a\n",
            b"x path=a\n",
            b"5 path=a\n",
            b"999 path=a\n",
            b"10 path=aaa",
            b"9 path a\n",
        ),
        *(b"3 \n", b"0 a=\n", b"-9 a=b\n", b"5 =a\n", b"18446744073709551621 a=b\n"),
        *(record(b"mtime", value) for value in (b"x", b"1.x", b"--1", b"1e5", b"9" * 30)),
        *(record(b"uid", value) for value in (b"-1", b"4294967296", b"0x0", b" 1", b"1 ")),
        *(record(b"size", value) for value in (b"-1", b"x", b"99999999999999999999")),
        record(b"SCHILY.xattr.user.a\0b", b""),
    ],
)
def test_extended_headers_that_are_wrong_are_refused(layer, text):
    with pytest.raises(InvalidContent, match="cannot be read"):
        unpack(layer, extended(text) + entry("a") + END)


def test_extended_headers_are_bounded(layer):
    many = record(b"comment", b"x") * 10_001
    with pytest.raises(InvalidContent, match="10000 records"):
        unpack(layer, extended(many) + entry("a") + END)
    with pytest.raises(InvalidContent, match="1 MiB"):
        unpack(layer, extended(record(b"comment", b"x" * (1 << 20))) + entry("a") + END)
    twice = extended(record(b"path", b"b")) + extended(record(b"path", b"c"))
    with pytest.raises(InvalidContent, match="cannot be read"):
        unpack(layer, twice + entry("a") + END)


def test_names_with_zero_bytes_and_other_character_sets_are_refused(layer):
    with pytest.raises(InvalidContent, match="NUL"):
        unpack(layer, extended(record(b"path", b"a\0b")) + entry("a") + END)
    with pytest.raises(InvalidContent, match="UTF-8"):
        unpack(layer, extended(record(b"hdrcharset", b"ISO-8859-1")) + entry("a") + END)
    binary = extended(record(b"hdrcharset", b"BINARY"), record(b"path", b"\xff"))
    unpack(layer, binary + entry("a") + END)
    assert os.listdir(os.fsencode(layer)) == [b"\xff"]


def test_global_headers_say_nothing_about_a_layer(layer):
    everything = extended(record(b"path", b"b"), record(b"mtime", b"5"), kind=b"g")
    unpack(layer, everything + entry("a", mtime=7) + END)
    assert os.listdir(layer) == ["a"]
    assert (layer / "a").stat().st_mtime == 7


def test_sizes_and_numbers_are_bounded_before_anything_is_written(layer):
    with pytest.raises(InvalidContent, match="larger than the limit"):
        unpack(layer, block(b"a", size=b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7), most_bytes=9)
    with pytest.raises(InvalidContent, match="larger than the limit"):
        unpack(layer, entry("b", b"12345") + entry("c", b"12345") + END, most_bytes=9)
    with pytest.raises(InvalidContent, match="more entries"):
        unpack(layer, entry("d") + entry("e") + END, most_entries=1)
    with pytest.raises(InvalidContent, match="cannot be read"):
        unpack(layer, extended(record(b"comment", b""), kind=b"g") * 9 + END, most_entries=5)
    assert sorted(os.listdir(layer)) == ["b", "d"]


@pytest.mark.parametrize(
    "records",
    [
        [(b"GNU.sparse.size", b"9"), (b"GNU.sparse.map", b"0,5,4,1")],  # over each other
        [(b"GNU.sparse.size", b"9"), (b"GNU.sparse.map", b"8,5")],  # beyond its end
        [(b"GNU.sparse.size", b"9"), (b"GNU.sparse.map", b"0,4")],  # less than there is
        [(b"GNU.sparse.size", b"9"), (b"GNU.sparse.map", b"0,6")],  # more
        [(b"GNU.sparse.size", b"9"), (b"GNU.sparse.map", b"0,5,7")],
        [(b"GNU.sparse.size", b"9"), (b"GNU.sparse.map", b"-1,5")],
        [(b"GNU.sparse.map", b"0,5")],
        [(b"GNU.sparse.size", b"-9"), (b"GNU.sparse.map", b"0,5")],
        [(b"GNU.sparse.size", b"9"), (b"GNU.sparse.offset", b"0")],
        [(b"GNU.sparse.size", b"9"), (b"GNU.sparse.numbytes", b"5")],
        [(b"GNU.sparse.major", b"2"), (b"GNU.sparse.realsize", b"9")],
        [(b"GNU.sparse.size", b"9"), (b"GNU.sparse.map", b"9223372036854775807,5")],
    ],
)
def test_maps_of_sparse_files_have_to_be_true(layer, records):
    header = extended(*(record(key, value) for key, value in records))
    with pytest.raises(InvalidContent):
        unpack(layer, header + entry("a", b"12345") + END)


@pytest.mark.parametrize(
    "text", [b"x\n", b"1\n0\n", b"\n", b"99999999\n", b"1\n0\n-5\n", b"1" * 600]
)
def test_maps_ahead_of_the_data_have_to_be_true(layer, text):
    records = [(b"GNU.sparse.major", b"1"), (b"GNU.sparse.realsize", b"9")]
    header = extended(*(record(key, value) for key, value in records))
    data = text + b"\0" * (-len(text) % 512) + b"12345"
    with pytest.raises(InvalidContent):
        unpack(layer, header + entry("a", data) + END)


def test_holes_count_as_bytes(layer):
    records = [(b"GNU.sparse.size", b"1000000"), (b"GNU.sparse.map", b"0,5")]
    data = extended(*(record(key, value) for key, value in records)) + entry("a", b"12345") + END
    with pytest.raises(InvalidContent, match="larger"):
        unpack(layer, data, most_bytes=999_999)
    unpack(layer, data, most_bytes=1_000_000)
    assert (layer / "a").stat().st_size == 1_000_000


def test_headers_of_every_age_are_read(layer):
    data = block(b"seven/", kind=b"\0", magic=b"", size=b"       0 ")
    data += block(b"seven/file", kind=b"\0", magic=b"", size=b"      1 \0") + b"x" * 512
    data += block(b"file", prefix=b"star", magic=b"ustar\x0000")
    base256 = b"\x80" + b"\0" * 10
    data += block(b"large", magic=b"ustar  \0", size=base256 + b"\x02") + b"y" * 512
    data += block(b"before", mtime=b"\xff" * 11 + b"\xfe")
    unpack(layer, data + END)
    assert (layer / "seven/file").read_bytes() == b"x"
    assert (layer / "star/file").read_bytes() == b""
    assert (layer / "large").read_bytes() == b"yy"
    assert (layer / "before").stat().st_mtime == -2
    signed = bytearray(block(b"\xe4" * 5))
    signed[148:156] = b"%06o\0 " % (
        sum(summed(bytes(signed))[:148]) + sum(signed[156:]) + 256 - 1280
    )
    unpack(layer, bytes(signed) + END)
    assert b"\xe4" * 5 in os.listdir(os.fsencode(layer))


def test_the_last_of_several_entries_of_one_name_stays(layer):
    data = directory("d") + entry("d/a") + entry("d", b"file") + entry("e", b"old" * 9)
    data += entry("e", b"new") + symlink("f", "e") + entry("f", b"no link") + symlink("e", "f")
    data += entry("g") + directory("g") + entry("g/h") + directory("g", mode=0o700)
    unpack(layer, data + END)
    assert (layer / "d").read_bytes() == b"file"
    assert (layer / "f").read_bytes() == b"no link"
    assert (layer / "e").readlink() == Path("f")
    assert (layer / "g/h").exists()
    assert (layer / "g").stat().st_mode & 0o777 == 0o700


def test_names_are_what_they_lead_to(layer):
    data = entry("./a//b/./c") + entry("/d") + entry("e/../f") + entry("//g/../../h/../i")[:0]
    unpack(layer, data + END)
    found = {str(path.relative_to(layer)) for path in layer.rglob("*")}
    assert found == {"a", "a/b", "a/b/c", "d", "f"}
    assert (layer / "a").stat().st_mode & 0o777 == 0o755


def test_directories_have_their_times_and_modes_whatever_comes_after(layer):
    names = [f"d{number}" for number in range(200)]  # more than are held open
    data = b"".join(directory(name, mtime=5.5, mode=0o500) for name in names)
    data += b"".join(entry(f"{name}/{file}") for file in "ab" for name in names)
    unpack(layer, data + directory("./", mtime=7, mode=0o711) + END)
    assert {(layer / name).stat().st_mtime for name in names} == {5.5}
    assert {(layer / name).stat().st_mode & 0o777 for name in names} == {0o500}
    assert all((layer / name / "b").exists() for name in names)
    assert layer.stat().st_mtime == 7
    assert layer.stat().st_mode & 0o777 == 0o711


def test_depth_is_bounded_by_names_only(layer):
    deep = "/".join("d" * 2000)
    done = unpack(layer, entry(deep) + link("l", deep) + link("d/x", deep) + END)
    assert done.entries == 3
    assert (layer / "l").stat().st_nlink == 3


def test_links_on_the_way_are_followed_within_the_layer(layer):
    data = directory("usr/lib") + symlink("lib", "usr/lib") + entry("lib/a")
    data += symlink("abs", "/usr/../usr/lib") + entry("abs/b") + symlink("usr/up", "../../../usr")
    data += entry("usr/up/c") + symlink("chain", "lib") + entry("chain/d") + link("l", "chain/d")
    data += symlink("later", "not/yet") + entry("later/e") + link("m", "later/e")
    unpack(layer, data + END)
    assert sorted(os.listdir(layer / "usr/lib")) == ["a", "b", "d"]
    assert sorted(os.listdir(layer / "usr")) == ["c", "lib", "up"]
    assert (layer / "not/yet/e").stat().st_nlink == 2
    assert sorted(os.listdir(layer)) == ["abs", "chain", "l", "later", "lib", "m", "not", "usr"]


def test_a_replaced_directory_is_not_written_to_any_more(layer):
    data = directory("d") + entry("d/a") + symlink("d", "e") + directory("e") + entry("d/b")
    unpack(layer, data + END)
    assert os.listdir(layer / "e") == ["b"]


_names = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="/\0"), min_size=1
)
_parts = _names.filter(lambda name: name not in (".", "..") and not name.startswith(".wh."))
_paths = st.lists(_parts.filter(lambda n: len(os.fsencode(n)) < 200), min_size=1, max_size=4)
_times = st.integers(-(2**40), 2**43).map(lambda parts: parts / 1024)  # never with an exponent


@settings(deadline=None)
@given(
    st.lists(st.tuples(_paths, st.binary(max_size=700), st.integers(0, 0o777), _times), max_size=8),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    st.integers(1, 2000),
)
def test_what_python_packs_we_unpack(files, form, piece):
    import io

    out = io.BytesIO()
    kept: dict[str, tuple[bytes, int, float]] = {}
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for parts, content, mode, time in files:
            name = "/".join(parts)
            if any(name.startswith(f"{one}/") or one.startswith(f"{name}/") for one in kept):
                continue
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), mode
            info.mtime = time if form == tarfile.PAX_FORMAT else int(time)
            tar.addfile(info, io.BytesIO(content))
            kept[name] = content, mode, info.mtime
    with tempfile.TemporaryDirectory() as top:
        unpack(Path(top), out.getvalue(), piece=piece, single_id=True)
        for name, (content, mode, time) in kept.items():
            path = Path(top, name)
            found = path.stat()
            assert found.st_mode & 0o7777 == mode
            assert abs(found.st_mtime - time) < 2e-6
            path.chmod(0o600)
            assert path.read_bytes() == content


def test_a_closed_unpacker_is_closed(layer):
    fd = os.open(layer, os.O_RDONLY)
    unpacker = Unpacker(fd)
    os.close(fd)
    unpacker.feed(entry("a"))
    unpacker.close()
    unpacker.close()
    with pytest.raises(ValueError, match="closed"):
        unpacker.feed(b"x")
    assert os.listdir(layer) == ["a"]


def test_after_an_error_nothing_more_is_taken(layer):
    fd = os.open(layer, os.O_RDONLY)
    with Unpacker(fd, single_id=True) as unpacker:
        for data in (entry("../a"), entry("b")):
            with pytest.raises(InvalidContent, match=r"entry '\.\./a'"):
                unpacker.feed(data)
        with pytest.raises(InvalidContent, match=r"entry '\.\./a'"):
            unpacker.finish()
    os.close(fd)
    assert os.listdir(layer) == []


def test_packing_for_nobody_is_told(layer):
    (layer / "a").write_bytes(b"x" * (1 << 21))
    fd = os.open(layer, os.O_RDONLY)
    reading, writing = os.pipe()
    os.close(reading)
    with pytest.raises(KernelError) as raised:
        pack(fd, writing)
    os.close(writing)
    os.close(fd)
    assert raised.value.strerror == "Broken pipe"
