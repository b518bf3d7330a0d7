"""Damages that a hand, a disk or a bad program does to a store: each is found, and mended."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import tarfile

import pytest
from support.images import make_image, put_image, tar_of
from support.trees import tree

from pyengine.images.unpacking import layer_plans, unpack
from pyengine.model import image_config

pytestmark = pytest.mark.kernel

AGAIN = "unpacked again from its blob"
UNKNOWN = "removed: nothing tells what it stood for"
_CAPABILITY = b"\x01\x00\x00\x02\x00\x04\x00\x00" + bytes(12)  # net_bind_service, as setcap has it


class Tar:
    """A tar of whatever is added; all times are the same."""

    def __init__(self):
        self._file = io.BytesIO()
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self.add(".", tarfile.DIRTYPE, mode=0o755)

    def add(self, name, kind=tarfile.REGTYPE, data=b"", **more):
        member = tarfile.TarInfo(name)
        member.type, member.size, member.mtime = kind, len(data), 1_600_000_000
        for key, value in more.items():
            setattr(member, key, value)
        self._tar.addfile(member, io.BytesIO(data))

    def bytes(self):
        self._tar.close()
        return self._file.getvalue()


def system_tar():
    """A layer with one of everything that a layer may hold."""
    tar = Tar()
    for name, mode in (("bin", 0o755), ("tmp", 0o1777), ("dev", 0o755), ("srv", 0o755)):
        tar.add(name, tarfile.DIRTYPE, mode=mode)
    tar.add("bin/su", data=b"#!su" * 500, mode=0o4755)
    attributes = {
        "SCHILY.xattr.security.capability": _CAPABILITY.decode("latin-1"),
        "SCHILY.xattr.user.note": "hello",
    }
    tar.add("bin/ping", data=b"ping" * 50, mode=0o755, pax_headers=attributes)
    tar.add("bin/ping2", tarfile.LNKTYPE, linkname="bin/ping")
    tar.add("bin/sh", tarfile.SYMTYPE, linkname="su")
    tar.add("dev/null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
    tar.add("dev/pipe", tarfile.FIFOTYPE, mode=0o600)
    tar.add("srv/data", data=bytes(range(256)) * 64, uid=1000, gid=1000, mode=0o640)
    tar.add("srv/hidden", data=b"h")
    tar.add("srv/gone", data=b"g")
    return tar.bytes()


def upper_tar():
    """A layer over it that hides and adds."""
    tar = Tar()
    for name in ("srv", "opt"):
        tar.add(name, tarfile.DIRTYPE, mode=0o755)
    tar.add("srv/.wh.gone")
    tar.add("opt/.wh..wh..opq")
    tar.add("opt/more", data=b"more")
    return tar.bytes()


SYSTEM, UPPER = system_tar(), upper_tar()
IMAGE = make_image([SYSTEM, UPPER])
BASE, TOP = layer_plans(IMAGE.manifest, image_config.parse(IMAGE.config))


class Store:
    """The places of one image in the store of an engine, for who does damage there."""

    def __init__(self, engine, outside):
        self.engine, self.outside = engine, str(outside)
        content = engine._house.images.content
        self.blobs, self.layers, self.layout = content.blobs, content.layers, content.layout
        self.names = content.names
        self.name = self.names.path(engine._house.images.find("image"))
        self.base, self.top = (self.layers.directory(one.chain_id) for one in (BASE, TOP))
        self.record = f"{self.layers.home(BASE.chain_id)}/layer.json"
        self.blob = self.blobs.path(BASE.blob)
        self.other = self.blobs.path(TOP.blob)
        self.config = self.blobs.path(IMAGE.id)
        self.manifest = self.blobs.path(IMAGE.manifest.digest)

    def edit(self, path, **changes):
        """Other fields in a record."""
        with open(path) as file:
            plain = json.load(file)
        rewrite(path, json.dumps({**plain, **changes}).encode())


def rewrite(path, data, keep_time=False):
    """Other bytes in the same file."""
    found = os.stat(path)
    with open(path, "r+b") as file:
        file.truncate(0)
        file.write(data)
    if keep_time:
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def put(path, make=None):
    """Something else where *path* was: what *make* makes, or nothing."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)
    if make is not None:
        make(path)


def file(data=b"x"):
    def make(path):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as made:
            made.write(data)

    return make


def link(target):
    return lambda path: os.symlink(target, path)


def device(minor):
    return lambda path: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, minor))


def whiteout(path):
    os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))


def quiet_change(s):
    path = f"{s.base}/srv/data"
    rewrite(path, b"\xff" + bytes(range(1, 256)) + bytes(range(256)) * 63, keep_time=True)


def unhardened(s):
    shutil.copy2(f"{s.base}/bin/ping", f"{s.base}/bin/copy")
    os.rename(f"{s.base}/bin/copy", f"{s.base}/bin/ping2")


def moved_out(s):
    shutil.move(s.base, f"{s.outside}/fs")
    os.symlink(f"{s.outside}/fs", s.base)


def swapped(s):
    os.rename(s.blob, f"{s.outside}/blob")
    os.rename(s.other, s.blob)
    os.rename(f"{s.outside}/blob", s.other)


# what is done, which kind is found, and what is done about it
IN_FILES = {
    "a byte changed, and no time": quiet_change,
    "a file longer": lambda s: os.truncate(f"{s.base}/srv/data", 20_000),
    "a file empty": lambda s: os.truncate(f"{s.base}/bin/su", 0),
    "a setuid bit lost": lambda s: os.chmod(f"{s.base}/bin/su", 0o755),
    "a setuid bit too many": lambda s: os.chmod(f"{s.base}/srv/data", 0o4755),
    "a sticky bit lost": lambda s: os.chmod(f"{s.base}/tmp", 0o777),
    "another owner": lambda s: os.chown(f"{s.base}/srv/data", 0, 0),
    "another group": lambda s: os.chown(f"{s.base}/srv/data", 1000, 0),
    "another time": lambda s: os.utime(f"{s.base}/bin/su"),
    "a file that is a link": lambda s: put(f"{s.base}/bin/su", link("/etc/passwd")),
    "a file that is a directory": lambda s: put(f"{s.base}/bin/su", os.mkdir),
    "a file that is a fifo": lambda s: put(f"{s.base}/bin/su", os.mkfifo),
    "a link elsewhere": lambda s: put(f"{s.base}/bin/sh", link("/etc/passwd")),
    "a link that is a file": lambda s: put(f"{s.base}/bin/sh", file()),
    "a hard link that is a copy": unhardened,
    "a directory gone": lambda s: put(f"{s.base}/srv"),
    "a directory that leads outside": lambda s: put(f"{s.base}/srv", link(s.outside)),
    "a directory that is a file": lambda s: put(f"{s.base}/tmp", file()),
    "another device": lambda s: put(f"{s.base}/dev/null", device(5)),
    "a device that is a file": lambda s: put(f"{s.base}/dev/null", file(b"")),
    "a fifo gone": lambda s: put(f"{s.base}/dev/pipe"),
    "another attribute": lambda s: os.setxattr(f"{s.base}/bin/ping", "user.note", b"other"),
    "an attribute too many": lambda s: os.setxattr(f"{s.base}/bin/su", "user.more", b"1"),
    "a capability lost": lambda s: os.removexattr(f"{s.base}/bin/ping", "security.capability"),
    "a capability too many": lambda s: os.setxattr(
        f"{s.base}/bin/su", "security.capability", _CAPABILITY
    ),
    "a whiteout lost": lambda s: put(f"{s.top}/srv/gone"),
    "a whiteout too many": lambda s: whiteout(f"{s.top}/srv/hidden"),
    "an opaque mark lost": lambda s: os.removexattr(f"{s.top}/opt", "trusted.overlay.opaque"),
    "an opaque mark too many": lambda s: os.setxattr(
        f"{s.top}/srv", "trusted.overlay.opaque", b"y"
    ),
    "all files gone": lambda s: [put(f"{s.base}/{name}") for name in os.listdir(s.base)],
    "a file too many": lambda s: file()(f"{s.base}/bin/.backdoor"),
    "its files lie outside": moved_out,
    "its files are a file": lambda s: put(s.base, file()),
    "record empty": lambda s: os.truncate(s.record, 0),
    "record that is a directory": lambda s: put(s.record, os.mkdir),
    "record that is a fifo": lambda s: put(s.record, os.mkfifo),
    "record that is a link": lambda s: put(s.record, link("/etc/passwd")),
    "record with another diff id": lambda s: s.edit(s.record, diff_id=TOP.diff_id),
    "record with another parent": lambda s: s.edit(s.record, parent=TOP.chain_id),
    "record with another type": lambda s: s.edit(s.record, size="many"),
}
OF_BLOBS = {
    "blob of zeros": lambda s: rewrite(s.blob, bytes(os.stat(s.blob).st_size)),
    "blob longer by one": lambda s: os.truncate(s.blob, os.stat(s.blob).st_size + 1),
    "blob that is a fifo": lambda s: put(s.blob, os.mkfifo),
    "blob that is a device": lambda s: put(s.blob, device(5)),
    "two blobs swapped": swapped,
    "manifest changed": lambda s: rewrite(s.manifest, b"{}"),
    "config changed": lambda s: rewrite(s.config, b"{}"),
}
OF_NAMES = {
    "name empty": lambda s: os.truncate(s.name, 0),
    "name that is a fifo": lambda s: put(s.name, os.mkfifo),
    "name that is a link": lambda s: put(s.name, link("/etc/passwd")),
    "name with a config of another type": lambda s: s.edit(s.name, config=5),
    "name with no digest for a config": lambda s: s.edit(s.name, config="../../etc/passwd"),
    "name of an image that is not here": lambda s: s.edit(s.name, config="sha256:" + "a" * 64),
}
OPEN = {
    "blobs open to others": lambda s: os.chmod(s.blob, 0o666),
    "names open to others": lambda s: os.chmod(s.layout.image_names, 0o777),
    "layer open to others": lambda s: os.chmod(s.layers.home(BASE.chain_id), 0o755),
}
DAMAGES = (
    {name: (do, "damaged layer", AGAIN) for name, do in IN_FILES.items()}
    | {name: (do, "damaged blob", "removed") for name, do in OF_BLOBS.items()}
    | {name: (do, ("damaged name", "broken image"), "removed") for name, do in OF_NAMES.items()}
    | {name: (do, "open to others", "closed to others") for name, do in OPEN.items()}
)


def seen(directory):
    """The tree of a layer; of a whiteout nobody sees when it was made."""
    rows = tree(directory)
    return {name: (row[:3], row[4:]) if is_whiteout(row) else row for name, row in rows.items()}


def is_whiteout(row):
    return stat.S_ISCHR(int(row[0], 8)) and row[5] == 0


@pytest.fixture
def store(engine, tmp_path):
    put_image(engine, "image", SYSTEM, UPPER)
    put_image(engine, "other", tar_of({"other": b"o" * 3000}))
    images = engine._house.images
    unpack(images.content, (BASE, TOP))
    outside = tmp_path / "outside"
    outside.mkdir()
    assert [one for one in engine.check() if one.kind != "missing layer"] == []
    engine.check(repair=True)
    assert engine.check() == []
    return Store(engine, outside)


def test_there_are_fifty():
    assert len(DAMAGES) >= 50


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damage_is_found_and_mended(engine, store, name):
    # "What it must show" 10
    do, kinds, done = DAMAGES[name]
    before = [seen(directory) for directory in (store.base, store.top)]
    do(store)
    found = [one for one in engine.check() if one.kind in kinds]
    assert found
    assert all(not one.done for one in found)
    mended = [one for one in engine.check(repair=True) if one.kind in kinds]
    assert any(done in one.done for one in mended), mended
    assert [one for one in engine.check() if one.kind != "missing blob"] == []
    assert engine.images.get("other").id
    if "unpacked" in done:
        assert [seen(directory) for directory in (store.base, store.top)] == before


PLACES = {
    "a name": lambda s: put(s.name, os.mkdir),
    "a blob": lambda s: put(s.blob, os.mkdir),
    "a half name": lambda s: os.mkdir(f"{s.layout.image_names}/x.json.new"),
    "a draft": lambda s: os.mkdir(f"{s.layout.ingest}/x.draft"),
    "a part": lambda s: os.mkdir(f"{s.layout.ingest}/{'a' * 64}.part"),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_directory_where_a_file_belongs_is_told_of_and_left_alone(engine, store, name):
    PLACES[name](store)
    (found,) = (one for one in engine.check(repair=True) if one.kind == "foreign")
    assert (found.done, found.advice) == ("", "move it away")
    assert os.path.isdir(found.path)
    assert engine.images.get("other").id
