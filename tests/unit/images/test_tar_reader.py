"""The tar of an archive is read as others read it, within limits, and what is no tar is said."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.image_archives import Link, tar

from pyengine.errors import InvalidContent
from pyengine.images.limits import DEFAULT, Limits
from pyengine.images.shelves import PieceSource, SeekableSource
from pyengine.images.tar_reader import TarReader

FORMATS = st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
WORDS = st.text("abé漢.-_ ", min_size=1, max_size=60)
FILES = st.lists(st.tuples(WORDS, st.binary(max_size=1500)), max_size=6)


def written(files, form):
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w", format=form) as archive:
            for name, data in files:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        return file.getvalue()


def sources(data):
    yield SeekableSource(io.BytesIO(data))
    yield PieceSource(iter([data[at : at + 300] for at in range(0, len(data), 300)]))


def read(source, limits=DEFAULT):
    reader = TarReader(source, limits)
    return [(member, b"".join(reader.data())) for member in reader]


@given(FILES, FORMATS)
@settings(max_examples=60)
def test_what_pythons_own_writes_is_read(files, form):
    try:
        data = written(files, form)
    except ValueError:  # a name that is too long for the form
        return
    for source in sources(data):
        assert [(member.name, content) for member, content in read(source)] == files


@given(st.integers(min_value=0, max_value=150), st.sampled_from([tarfile.GNU_FORMAT, 2]))
def test_long_names_and_targets_are_read_whole(length, form):
    member = tarfile.TarInfo("d/" + "n" * length)
    member.type, member.linkname = tarfile.SYMTYPE, "t" * (2 * length + 1)
    data = member.tobuf(form) + bytes(1024)
    for source in sources(data):
        ((found, _),) = read(source)
        assert (found.name, found.target, found.is_symbolic) == (member.name, member.linkname, True)


@given(st.binary(max_size=3000))
@settings(max_examples=200)
@example(b"")
@example(b"\0" * 1024)
@example(b"x" * 512)
def test_bytes_of_any_kind_are_a_tar_or_refused(data):
    for source in sources(data):
        try:
            read(source)
        except InvalidContent:
            continue


@given(st.integers(min_value=0, max_value=3 * 512 - 1), st.integers(min_value=0, max_value=255))
@settings(max_examples=300)
def test_a_tar_with_a_byte_changed_is_a_tar_or_refused(at, value):
    data = bytearray(tar({"a": b"x" * 100, "b/" * 60 + "c": b"y"}))
    data[at] = value
    for source in sources(bytes(data)):
        try:
            read(source)
        except InvalidContent:
            continue


@pytest.mark.parametrize("cut", [100, 512, 700, 1100])
def test_a_tar_that_ends_in_a_file_or_a_header_is_refused(cut):
    data = tar({"a": b"x" * 1000, "b": b"y" * 1000})
    with pytest.raises(InvalidContent, match=r"ends in the middle|no tar"):
        read(PieceSource(iter([data[:cut]])))


def sized(size_field):
    member = tarfile.TarInfo("a").tobuf(tarfile.GNU_FORMAT)
    header = bytearray(member[:124] + size_field + member[136:])
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (sized(b"\xff" * 12), "no number of bytes"),
        (sized(b"99999999999\0"), "no number"),
        (sized(b"-0000000001\0"), "no number"),
        (b"", "empty"),
    ],
)
def test_a_size_that_is_none_is_refused(data, why):
    with pytest.raises(InvalidContent, match=why):
        read(SeekableSource(io.BytesIO(data)))


@pytest.mark.parametrize(
    "records",
    [
        b"6 a=\n",
        b"99 path=x\n",
        b"0 path=x\n",
        b"path=x\n",
        b"10 path=x",
        b"9 path=\0\n",
        b"11 size=-1\n",
    ],
)
def test_a_damaged_pax_header_is_refused(records):
    head = tarfile.TarInfo("p")
    head.type, head.size = b"x", len(records)
    data = head.tobuf(tarfile.USTAR_FORMAT) + records.ljust(512, b"\0") + tar({"a": b"x"})
    with pytest.raises(InvalidContent, match=r"PAX|NUL|size"):
        read(SeekableSource(io.BytesIO(data)))


def extension(kind, size, data=b""):
    head = tarfile.TarInfo("p")
    head.type, head.size = kind, size
    return head.tobuf(tarfile.GNU_FORMAT) + data


def test_headers_without_end_are_refused_before_they_fill_the_memory():
    huge = extension(b"x", 1 << 40)
    with pytest.raises(InvalidContent, match="more than 262144 bytes"):
        read(PieceSource(iter([huge])))
    many = extension(b"L", 2, b"a\0".ljust(512, b"\0")) * 20
    with pytest.raises(InvalidContent, match="more than 8 headers"):
        read(PieceSource(iter([many])))


def test_entries_and_their_names_are_limited():
    data = tar({f"{number:0100}": b"" for number in range(11)})
    with pytest.raises(InvalidContent, match="more than 10 entries"):
        read(SeekableSource(io.BytesIO(data)), Limits(archive_entries=10))
    with pytest.raises(InvalidContent, match="names have more than 1000 bytes"):
        read(SeekableSource(io.BytesIO(data)), Limits(archive_name_bytes=1000))


def test_a_sparse_file_is_refused_as_nobody_reads_it_alike():
    with pytest.raises(InvalidContent, match="sparse"):
        read(SeekableSource(io.BytesIO(extension(b"S", 0) + bytes(1024))))


def test_links_of_both_kinds_are_told_apart():
    data = tar({"a": b"x", "b": Link("a"), "c": Link("a", is_symbolic=False)})
    found = [member for member, _ in read(SeekableSource(io.BytesIO(data)))]
    assert [(one.kind, one.target, one.is_symbolic) for one in found] == [
        ("file", "", False),
        ("link", "a", True),
        ("link", "a", False),
    ]
