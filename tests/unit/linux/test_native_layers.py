"""An archive becomes a directory; what needs root is in tests/kernel/test_untar*.py."""

from __future__ import annotations

import io
import os
import tarfile

import pytest

from pyengine.errors import InvalidContent
from pyengine.linux.native_layers import Unpacker


def archive(*entries: tuple[str, bytes | None], **attributes: object) -> bytes:
    """Files with their content, and directories, whose content is ``None``."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.uid, info.gid = os.geteuid(), os.getegid()
            info.type = tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            info.mode = 0o755 if content is None else 0o644
            info.size = len(content or b"")
            for key, value in attributes.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(content or b""))
    return out.getvalue()


@pytest.fixture
def directory(tmp_path):
    top = tmp_path / "layer"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    yield top, fd
    os.close(fd)


def unpack(fd: int, data: bytes, size: int = 1 << 20, **options: object):
    with Unpacker(fd, single_id=True, user_xattrs=True, **options) as unpacker:
        for at in range(0, len(data), size):
            unpacker.feed(memoryview(data)[at : at + size])
        return unpacker.finish()


@pytest.mark.parametrize("size", [1, 7, 511, 512, 513, 1 << 20])
def test_an_archive_may_come_in_pieces_of_any_size(directory, size):
    top, fd = directory
    data = archive(("a", None), ("a/one", b"1" * 600), ("a/" + "n" * 150, b"2"), mtime=1.25)
    done = unpack(fd, data, size)
    assert (done.entries, done.bytes) == (3, 601)
    assert (top / "a/one").read_bytes() == b"1" * 600
    assert (top / "a" / ("n" * 150)).read_bytes() == b"2"
    assert os.stat(top / "a").st_mtime_ns == 1_250_000_000


def test_an_archive_that_ends_early_is_told(directory):
    _, fd = directory
    data = archive(("a", b"1" * 600))
    with pytest.raises(InvalidContent, match="ends in the middle"):
        unpack(fd, data[:900])
    with pytest.raises(InvalidContent, match="no tar archive"):
        unpack(fd, b"<html>" * 200)


def test_a_closed_unpacker_is_closed(directory):
    _, fd = directory
    unpacker = Unpacker(fd)
    unpacker.close()
    unpacker.close()
    with pytest.raises(ValueError, match="closed"):
        unpacker.feed(b"x")
