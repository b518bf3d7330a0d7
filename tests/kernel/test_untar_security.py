"""Archives that want out of their directory, or want to steer an overlay: security.md, 14 to 17.

Each is thrown at a naive unpacker as well, which falls for it: so the archive is what it claims.
"""

from __future__ import annotations

import io
import os
import resource
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support.archives import (
    BLOCK,
    DEVICE,
    END,
    FIFO,
    block,
    directory,
    entry,
    extended,
    link,
    record,
    symlink,
    unpack,
)
from support.trees import tree

from pyengine.errors import InvalidContent

pytestmark = pytest.mark.kernel

NEW = {"uid": 5, "gid": 6, "mtime": 7}

# What lies beside the layer is ../outside, with a directory and a file that is secret.
ESCAPES: dict[str, Callable[[str], bytes]] = {
    "an absolute name": lambda outside: entry(f"{outside}/new", b"x"),
    "two dots": lambda _: entry("../outside/new", b"x"),
    "two dots behind a directory": lambda _: directory("d") + entry("d/../../outside/new", b"x"),
    "through a link": lambda _: symlink("l", "../outside") + entry("l/new", b"x"),
    "through an absolute link": lambda outside: symlink("l", outside) + entry("l/new", b"x"),
    "through a chain of links": lambda _: (
        symlink("a", "b")
        + symlink("b", "c/..")
        + symlink("c", "../outside/d")
        + entry("a/new", b"x")
    ),
    "over a link": lambda _: symlink("l", "../outside/secret") + entry("l", b"x"),
    "a hard link to outside": lambda outside: link("h", "../outside/secret") + entry("h", b"x"),
    "a hard link to an absolute name": lambda outside: (
        link("h", f"{outside}/secret") + entry("h", b"x")
    ),
    "a hard link through a link": lambda _: (
        symlink("l", "../outside") + link("h", "l/secret") + entry("h", b"x")
    ),
    "a directory over a link": lambda _: (
        symlink("l", "../outside/d") + directory("l", mode=0o777, **NEW)
    ),
    "a directory that becomes a link": lambda _: (
        directory("d") + entry("d/a") + entry("d/a") + symlink("d", "../outside") + entry("d/new")
    ),
    "a directory that becomes a link, for a directory": lambda _: (
        directory("d")
        + directory("d/e")
        + symlink("d", "../outside")
        + directory("d/d", mode=0o777)
    ),
    "the root becomes a link": lambda _: symlink("./", "../outside") + entry("new", b"x"),
    "a whiteout through a link": lambda _: symlink("l", "../outside") + entry("l/.wh.secret"),
    "a whiteout of two dots": lambda _: (
        directory("d")
        + entry("d/.wh.../../outside/secret")[:0]
        + entry("d/.wh..")
        + entry(".wh...")
    ),
    "a whiteout behind two dots": lambda _: entry("../outside/.wh.secret"),
    "an opaque mark through a link": lambda _: symlink("l", "../outside") + entry("l/.wh..wh..opq"),
    "a fifo through a link": lambda _: symlink("l", "../outside") + entry("l/new", kind=FIFO),
    "a device through a link": lambda _: (
        symlink("l", "../outside") + entry("l/new", kind=DEVICE, devmajor=1, devminor=3)
    ),
    "attributes through a link": lambda _: (
        symlink("l", "../outside/secret")
        + extended(record(b"SCHILY.xattr.user.stolen", b"1"))
        + entry("l", kind=tarfile.SYMTYPE, linkname="../outside/secret")[0:512]
    ),
    "a sparse file over a link": lambda _: (
        symlink("l", "../outside/secret")
        + extended(
            record(b"GNU.sparse.size", b"5"),
            record(b"GNU.sparse.map", b"0,1"),
            record(b"GNU.sparse.name", b"l"),
        )
        + entry("s", b"x")
    ),
    "a long name of GNU's": lambda _: (
        block(b"././@LongLink", kind=b"L", size=b"00000000017")
        + b"../outside/new".ljust(512, b"\0")
        + entry("harmless", b"x")
    ),
    "a long name in an extended header": lambda _: (
        extended(record(b"path", b"../outside/new")) + entry("harmless", b"x")
    ),
}

NOT_FOR_PYTHON = {  # its own module has the mechanism, or lacks the feature
    "the root becomes a link",
    "a directory that becomes a link",
    "a directory that becomes a link, for a directory",
    "a whiteout of two dots",
    "attributes through a link",
}


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    layer, outside = tmp_path / "layer", tmp_path / "outside"
    layer.mkdir()
    (outside / "d").mkdir(parents=True)
    (outside / "secret").write_bytes(b"secret")
    (outside / "secret").chmod(0o600)
    return layer, outside


def naive(to: Path, data: bytes) -> None:
    """As many do it: by path, with the whiteouts afterwards."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            before, _, name = member.name.rpartition("/")
            if name == ".wh..wh..opq":
                os.setxattr(to / before, "trusted.overlay.opaque", b"y")
            elif name.startswith(".wh."):
                (to / before / name[4:]).unlink()
            else:
                tar.extract(member, to, filter="fully_trusted")


@pytest.mark.parametrize("attack", ESCAPES)
def test_nothing_outside_the_layer_changes(places, attack):
    layer, outside = places
    before = tree(outside)
    try:
        unpack(layer, ESCAPES[attack](str(outside)) + END)
    except InvalidContent:
        pass  # some lead nowhere within the layer, others are refused
    assert tree(outside) == before
    assert not (layer / "h").exists() or (layer / "h").stat().st_nlink == 1


@pytest.mark.parametrize("attack", [name for name in ESCAPES if name not in NOT_FOR_PYTHON])
def test_a_naive_unpacker_falls_for_it(places, attack):
    layer, outside = places
    before = tree(outside)
    try:
        naive(layer, ESCAPES[attack](str(outside)) + END)
    except (OSError, tarfile.TarError):
        pass
    assert tree(outside) != before


STEERING = [
    (b"trusted.overlay.redirect", b"/etc"),
    (b"trusted.overlay.opaque", b"y"),
    (b"trusted.overlay.metacopy", b""),
    (b"trusted.overlay.whiteout", b"y"),
    (b"trusted.overlay.origin", b"x"),
    (b"trusted.overlay.overlay.opaque", b"y"),
    (b"user.overlay.opaque", b"y"),
    (b"user.overlay.redirect", b"/etc"),
]


@pytest.mark.parametrize(("key", "value"), STEERING)
@pytest.mark.parametrize("make", [entry, directory])
def test_an_archive_does_not_steer_the_overlay(places, key, value, make):
    layer, _ = places
    data = extended(record(b"SCHILY.xattr." + key, value), record(b"SCHILY.xattr.user.a", b"b"))
    done = unpack(layer, data + make("a") + END)
    assert os.listxattr(layer / "a") == ["user.a"]
    assert done.lost_attributes == 1


def test_only_our_own_whiteouts_exist(places):
    layer, _ = places
    with pytest.raises(InvalidContent, match="whiteout"):
        unpack(layer, entry("a", kind=DEVICE, devmajor=0, devminor=0) + END)
    with pytest.raises(InvalidContent, match="links to nothing"):
        unpack(layer, entry(".wh.w") + link("b", "w") + END)
    assert not (layer / "b").exists()


def test_devices_fifos_and_setuid_files_are_kept_and_not_opened(places):
    layer, _ = places
    data = entry("null", kind=DEVICE, devmajor=1, devminor=3, mode=0o666)
    data += entry("disk", kind=BLOCK, devmajor=259, devminor=1000, mode=0o600, uid=3)
    data += entry("fifo", kind=FIFO, mode=0o622) + entry("su", b"x", mode=0o6755, uid=7, gid=8)
    data += entry("fifo", kind=FIFO, mode=0o622)  # and again, over one that nobody reads
    unpack(layer, data + END)
    null, disk, fifo, setuid = (os.lstat(layer / name) for name in ("null", "disk", "fifo", "su"))
    assert stat.S_ISCHR(null.st_mode)
    assert null.st_rdev == os.makedev(1, 3)
    assert null.st_mode & 0o7777 == 0o666
    assert stat.S_ISBLK(disk.st_mode)
    assert (disk.st_rdev, disk.st_uid) == (os.makedev(259, 1000), 3)
    assert stat.S_ISFIFO(fifo.st_mode)
    assert fifo.st_mode & 0o7777 == 0o622
    assert (setuid.st_mode & 0o7777, setuid.st_uid, setuid.st_gid) == (0o6755, 7, 8)


MEASURED = """
import os, resource, sys
from support.archives import END, directory, entry
from pyengine.linux.native_layers import Unpacker

def archive():
    for number in range({count}):
        yield {made}
    yield END

fd = os.open(sys.argv[1], os.O_RDONLY)
with Unpacker(fd) as unpacker:
    pieces = archive()
    unpacker.feed(next(pieces))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for piece in pieces:
        unpacker.feed(piece)
    unpacker.finish()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""

FLOODS = {
    "directories": "directory('d' * 200 + str(number))",
    "directories in reverse, each used twice": (
        "entry(f'{number:07}/a') + entry(f'{0 if number % 2 else number:07}/b')"
    ),
    "a chain of directories": "directory('/'.join('d' * (number % 300 + 1)))",
    "whiteouts": "entry(f'd/.wh.{number}')",
}


@pytest.mark.parametrize("flood", FLOODS)
def test_memory_does_not_grow_with_the_archive(flood):
    code = MEASURED.format(count=5_000 if "chain" in flood else 30_000, made=FLOODS[flood])
    paths = ":".join((*sys.path, str(Path(__file__).parent.parent)))
    with tempfile.TemporaryDirectory(dir="/dev/shm") as layer:
        done = subprocess.run(
            [sys.executable, "-c", code, layer],
            env={"PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=True,
        )
    assert int(done.stdout) < 4096  # KiB; the names alone are more


def test_a_full_disk_is_told_apart_from_a_wrong_archive(places):
    from pyengine.errors import NoSpace

    layer, _ = places
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", layer], check=True)
    try:
        with pytest.raises(NoSpace, match="No space left"):
            unpack(layer, entry("a", b"x" * (2 << 20)) + END)
    finally:
        subprocess.run(["umount", layer], check=True)


def test_files_larger_than_this_process_may_write_are_an_error(places):
    layer, _ = places
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    records = [
        record(b"GNU.sparse.size", b"9223372036854775807"),
        record(b"GNU.sparse.map", b"0,1"),
    ]
    with pytest.raises(InvalidContent, match="larger"):
        unpack(layer, extended(*records) + entry("a", b"x") + END)
    with pytest.raises(OSError, match="too large"):
        unpack(layer, extended(*records) + entry("a", b"x") + END, most_bytes=1 << 63)
