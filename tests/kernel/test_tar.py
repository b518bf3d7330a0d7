"""A tree becomes an archive and a tree again, by us and by GNU tar: it is the same."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.archives import END, directory, entry, remove_all, unpack
from support.trees import tree

from pyengine.errors import InvalidContent, NoSpace
from pyengine.linux.native_layers import Packed, pack

pytestmark = pytest.mark.kernel

CAPABILITY = b"\x01\x00\x00\x02\x00\x20" + b"\0" * 14
LONG = "n" * 200


def _touch(path: Path, nanoseconds: int) -> None:
    os.utime(path, ns=(nanoseconds, nanoseconds), follow_symlinks=False)


def make_everything(top: Path) -> None:
    """Whatever a file system can hold and an archive can keep."""
    (top / "d/e").mkdir(parents=True)
    (top / "d/a").write_bytes(b"hi")
    os.chown(top / "d/a", 5, 6)
    (top / "d/a").chmod(0o6755)
    os.setxattr(top / "d/a", "user.text", b"1")
    os.setxattr(top / "d/a", "security.capability", CAPABILITY)
    os.link(top / "d/a", top / "d/b")
    os.link(top / "d/a", top / "hard")
    os.symlink("../x", top / "d/link")
    os.link(top / "d/link", top / "same-link", follow_symlinks=False)
    os.lchown(top / "d/link", 3_000_000, 4)
    os.setxattr(top / "d/link", "trusted.x", b"y", follow_symlinks=False)
    os.mkfifo(top / "fifo", 0o622)
    os.mknod(top / "null", 0o020666, os.makedev(1, 3))
    os.mknod(top / "disk", 0o060600, os.makedev(259, 70_000))
    os.setxattr(top / "d/e", "user.binary", b"\xff\0=\n")
    os.chown(top / "d/e", 70_000, 5_000_000)
    (top / f"deep/{LONG}/{LONG}/{LONG}").mkdir(parents=True)
    (top / f"deep/{LONG}/{LONG}/{LONG}/{LONG}").write_bytes(b"z")
    os.link(top / f"deep/{LONG}/{LONG}/{LONG}/{LONG}", top / "deep/to-long")
    os.symlink(f"{LONG}/{LONG}", top / "deep/to-far")
    Path(os.fsdecode(os.fsencode(top) + b"/deep/\xff\xfe" + LONG.encode())).write_bytes(b"q")
    (top / "deep/ü").write_bytes(b"")
    (top / "deep").chmod(0o1777)
    with open(top / "d/sparse", "wb") as file:
        file.seek(1 << 20)
        file.write(b"data")
        file.truncate(5 << 20)
    (top / "closed").mkdir()
    (top / "closed/file").write_bytes(b"x" * 511)
    (top / "closed").chmod(0)
    _touch(top / "closed/file", 4_102_444_800_500_000_000)
    _touch(top / "d/a", -315_521_754_123_456_789)
    _touch(top / "d/link", 5_250_000_000)
    _touch(top / "deep", 1)
    top.chmod(0o700)
    _touch(top, 77_000_000_000)


def packed(top: Path, **options: bool | int) -> bytes:
    """The archive of *top*."""
    return _pack(top, **options)[0]


def _pack(top: Path, **options: bool | int) -> tuple[bytes, Packed]:
    fd, (reading, writing) = os.open(top, os.O_RDONLY), os.pipe()
    pieces: list[bytes] = []
    with os.fdopen(reading, "rb") as source:
        reader = threading.Thread(target=lambda: pieces.append(source.read()))
        reader.start()
        try:
            done = pack(fd, writing, **options)  # type: ignore[arg-type]
        finally:
            os.close(writing)
            os.close(fd)
            reader.join()
    assert done.bytes == len(pieces[0])
    return pieces[0], done


def by_gnu_tar(to: Path, data: bytes) -> None:
    """Unpack *data* as root would."""
    command = ["tar", "-xp", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", str(to)]
    subprocess.run(command, input=data, check=True, capture_output=True)


def by_us(to: Path, data: bytes) -> None:
    unpack(to, data, piece=100_000)


@pytest.mark.parametrize("read", [by_gnu_tar, by_us])
def test_what_we_pack_is_the_same_unpacked(tmp_path, read: Callable[[Path, bytes], None]):
    source, to = tmp_path / "source", tmp_path / "to"
    source.mkdir()
    to.mkdir()
    make_everything(source)
    read(to, packed(source))
    assert tree(to) == tree(source)


@pytest.mark.parametrize(
    "words",
    [
        *(["--format=posix"], ["--format=posix", "--sparse", "--sparse-version=0.0"]),
        *(["--format=posix", "--sparse", f"--sparse-version={one}"] for one in ("0.1", "1.0")),
    ],
)
def test_what_gnu_tar_packs_is_the_same_unpacked(tmp_path, words):
    source, to = tmp_path / "source", tmp_path / "to"
    source.mkdir()
    to.mkdir()
    make_everything(source)
    command = ["tar", "-c", *words, "--xattrs", "--xattrs-include=*", "-C", str(source), "."]
    done = subprocess.run(command, check=True, capture_output=True)
    by_us(to, done.stdout)
    assert tree(to) == tree(source)
    if "--sparse" in words:
        assert (to / "d/sparse").stat().st_blocks * 512 < 1 << 20


def test_old_archives_of_gnu_tar_are_unpacked(tmp_path):
    source, to = tmp_path / "source", tmp_path / "to"
    source.mkdir()
    to.mkdir()
    (source / "a" / LONG / LONG).mkdir(parents=True)
    os.symlink(f"{LONG}/{LONG}", source / "a/link")
    os.chown(source / "a", 3_000_000, 4_000_000)
    with open(source / "sparse", "wb") as file:
        for place in range(60):  # so many that there are blocks of a map
            file.seek(place << 16)
            file.write(b"data")
        file.truncate(1 << 24)
    for path in [*source.rglob("*"), source]:
        _touch(path, 10**18)
    command = ["tar", "-c", "--format=gnu", "--sparse", "-C", str(source), "."]
    by_us(to, subprocess.run(command, check=True, capture_output=True).stdout)
    assert tree(to) == tree(source)
    assert (to / "sparse").stat().st_blocks * 512 < 1 << 20


def test_the_archive_depends_on_nothing_but_the_tree(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for top, names in ((one, "abcdefgh"), (other, "hgfedcba")):
        top.mkdir()
        for name in names:
            (top / name).mkdir()
            (top / name / "file").write_bytes(name.encode())
    assert packed(one, mtime=5) == packed(other, mtime=5)
    with tarfile.open(fileobj=io.BytesIO(packed(one, mtime=5))) as tar:
        members = tar.getmembers()
    names = [member.name for member in members[1:]]
    assert names == sorted(names)
    assert {(member.uname, member.gname, member.mtime) for member in members} == {("", "", 5)}


def test_an_overlay_s_marks_become_docker_s(tmp_path):
    (tmp_path / "d").mkdir()
    os.setxattr(tmp_path / "d", "trusted.overlay.opaque", b"y")
    os.setxattr(tmp_path / "d", "trusted.overlay.origin", b"x")
    os.mknod(tmp_path / "d/gone", 0o020000, 0)
    os.link(tmp_path / "d/gone", tmp_path / "gone")  # overlays make them so
    with tarfile.open(fileobj=io.BytesIO(packed(tmp_path))) as tar:
        assert tar.getnames() == [".", "d", "d/.wh..wh..opq", "d/.wh.gone", ".wh.gone"]
        assert all(not member.pax_headers.get("SCHILY.xattr.trusted.overlay") for member in tar)
        assert {member.type for member in tar if ".wh." in member.name} == {tarfile.REGTYPE}
    with tarfile.open(fileobj=io.BytesIO(packed(tmp_path, overlay=False))) as tar:
        assert tar.getnames() == [".", "d", "d/gone", "gone"]


def test_the_marks_of_another_kind_of_overlay_mean_nothing(tmp_path):
    (tmp_path / "d").mkdir()
    os.setxattr(tmp_path / "d", "user.overlay.opaque", b"y")
    assert b"opq" not in packed(tmp_path)
    assert b".wh..wh..opq" in packed(tmp_path, user_xattrs=True)
    assert b"overlay" not in packed(tmp_path)


@pytest.mark.parametrize("mark", ["redirect", "metacopy"])
def test_what_lies_elsewhere_cannot_be_packed(tmp_path, mark):
    (tmp_path / "d").mkdir()
    os.setxattr(tmp_path / "d", f"trusted.overlay.{mark}", b"/x")
    with pytest.raises(InvalidContent, match=r"'d'.* mark of an overlay"):
        packed(tmp_path)
    packed(tmp_path, overlay=False)


def test_a_file_that_looks_like_a_whiteout_cannot_be_packed(tmp_path):
    (tmp_path / ".wh.a").write_bytes(b"")
    with pytest.raises(InvalidContent, match=r"'\.wh\.a'.* whiteout"):
        packed(tmp_path)


def test_capabilities_of_a_user_namespace_become_everybody_s(tmp_path):
    (tmp_path / "ping").write_bytes(b"x")
    version_3 = b"\x01\x00\x00\x03" + CAPABILITY[4:] + (1000).to_bytes(4, "little")
    os.setxattr(tmp_path / "ping", "security.capability", version_3)
    to = tmp_path / "to"
    data = packed(tmp_path)
    to.mkdir()
    by_us(to, data)
    assert os.getxattr(to / "ping", "security.capability") == CAPABILITY


def test_sockets_are_left_out_and_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
    data, done = _pack(tmp_path)
    assert (done.entries, done.lost_sockets) == (1, 1)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert tar.getnames() == ["."]


def test_a_tree_may_be_as_deep_as_names_are_long(tmp_path):
    source, to = tmp_path / "source", tmp_path / "to"
    source.mkdir()
    to.mkdir()
    deep = [
        directory("/".join("d" * depth)) + entry("/".join("d" * depth) + "/f") for depth in (3, 40)
    ]
    by_us(source, b"".join(deep) + entry("/".join("d" * 1900) + "/z") + END)
    before = len(os.listdir("/proc/self/fd"))
    data = packed(source)
    assert len(os.listdir("/proc/self/fd")) == before
    by_us(to, data)
    assert packed(to) == data
    end = os.open(source, os.O_RDONLY)
    for _ in range(2100):
        try:
            os.mkdir("d", dir_fd=end)
        except FileExistsError:
            pass
        below = os.open("d", os.O_RDONLY, dir_fd=end)
        os.close(end)
        end = below
    os.close(end)
    with pytest.raises(InvalidContent, match="longer"):
        packed(source)
    remove_all(source)  # pytest cannot
    remove_all(to)


def test_an_archive_has_its_limit_and_a_disk_its_end(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 5000)
    with pytest.raises(InvalidContent, match="larger than the limit"):
        packed(tmp_path, most_bytes=6000)
    fd, full = os.open(tmp_path, os.O_RDONLY), os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(NoSpace):
        pack(fd, full)
    os.close(fd)
    os.close(full)


def test_a_system_goes_through_both_ways(tmp_path):
    source = tmp_path / "usr"
    ignored = shutil.ignore_patterns("test", "tests", "site-packages", "dist-packages")
    shutil.copytree(Path(os.__file__).parent, source, symlinks=True, ignore=ignored)
    data = packed(source)
    for name, read in {"gnu": by_gnu_tar, "ours": by_us}.items():
        to = tmp_path / name
        to.mkdir()
        read(to, data)
        assert tree(to) == tree(source)
        assert packed(to) == data
