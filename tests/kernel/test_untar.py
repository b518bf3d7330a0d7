"""Layers as an overlay shows them, against a model that applies archives one after the other."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.archives import END, directory, entry, extended, record, symlink, unpack

from pyengine.errors import InvalidContent
from pyengine.linux.native_layers import pack
from pyengine.linux.native_mounts import overlay

pytestmark = pytest.mark.kernel

Tree = dict[str, bytes | None]  # a file's content, or None: a directory


class Model:
    """What a container sees, after each entry of each layer in its turn."""

    def __init__(self) -> None:
        self.seen: Tree = {}
        self.own: set[str] = set()  # of the layer at hand

    def below(self, path: str) -> list[str]:
        return [one for one in self.seen if one.startswith(f"{path}/") or not path]

    def drop(self, paths: list[str]) -> None:
        for path in paths:
            self.seen.pop(path, None)
            self.own.discard(path)

    def make_parents(self, path: str) -> None:
        parts = path.split("/")[:-1]
        for length in range(1, len(parts) + 1):
            above = "/".join(parts[:length])
            if self.seen.get(above) is not None:
                if above in self.own:
                    raise InvalidContent(path, "below a file")
                self.drop([above])
            self.seen[above] = None
            self.own.add(above)

    def file(self, path: str, content: bytes) -> None:
        self.make_parents(path)
        self.drop([path, *self.below(path)])
        self.seen[path] = content
        self.own.add(path)

    def directory(self, path: str) -> None:
        self.make_parents(path)
        if self.seen.get(path) is not None:
            self.drop([path])
        self.seen[path] = None
        self.own.add(path)

    def whiteout(self, path: str) -> None:
        self.make_parents(path)
        self.drop([one for one in (path, *self.below(path)) if one not in self.own])

    def opaque(self, path: str) -> None:
        self.make_parents(f"{path}/x")
        self.drop([one for one in self.below(path) if one not in self.own])


def apply(model: Model, entries: list[tuple[str, str]]) -> bytes:
    """The archive of *entries*, which *model* has seen."""
    model.own = set()
    data = b""
    for number, (what, path) in enumerate(entries):
        above, _, name = path.rpartition("/")
        prefix = f"{above}/" if above else ""
        content = f"{number} {path}".encode()
        if what == "file":
            model.file(path, content)
            data += entry(path, content)
        elif what == "directory":
            model.directory(path)
            data += directory(path)
        elif what == "whiteout":
            model.whiteout(path)
            data += entry(f"{prefix}.wh.{name}")
        else:
            model.opaque(path)
            data += entry(f"{path}/.wh..wh..opq")
    return data + END


def look(top: str) -> Tree:
    found: Tree = {}
    for path in Path(top).rglob("*"):
        if path.exists():  # the kernel lists a whiteout where it hides nothing
            found[str(path.relative_to(top))] = None if path.is_dir() else path.read_bytes()
    return found


@contextmanager
def mounted(*layers: Path) -> Iterator[str]:
    """The path of what an overlay shows of *layers*, the lowest first."""
    fd = overlay((*(str(layer) for layer in reversed(layers)), str(layers[0].parent / "none")))
    try:
        yield f"/proc/self/fd/{fd}/."
    finally:
        os.close(fd)


_paths = st.lists(st.sampled_from("ab"), min_size=1, max_size=3).map("/".join)
_entries = st.lists(
    st.tuples(st.sampled_from(["file", "directory", "whiteout", "opaque", "file"]), _paths),
    max_size=8,
)


def _repacked(layer: Path, to: Path) -> None:
    reading, writing = os.pipe()
    fd = os.open(layer, os.O_RDONLY)
    os.set_blocking(reading, True)
    with os.fdopen(reading, "rb") as source:
        pack(fd, writing)  # small enough for the pipe
        os.close(writing)
        unpack(to, source.read())
    os.close(fd)


_BELOW = [("file", "a/b")]


@settings(max_examples=300, deadline=None)
@example([_BELOW, [("whiteout", "a"), ("directory", "a")]], False)
@example([_BELOW, [("whiteout", "a"), ("file", "a/a")]], False)
@example([_BELOW, [("file", "a"), ("directory", "a")]], False)
@example([_BELOW, [("directory", "a"), ("whiteout", "a")]], True)
@example([_BELOW, [("file", "a/a"), ("opaque", "a")]], True)
@example([_BELOW, [("opaque", "a"), ("file", "a/a")]], True)
@given(st.lists(_entries, min_size=1, max_size=3), st.booleans())
def test_an_overlay_of_layers_shows_what_their_entries_say_one_after_the_other(layers, again):
    model = Model()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as top:
        Path(top, "none").mkdir()
        paths = []
        for number, entries in enumerate(layers):
            path = Path(top, str(number))
            path.mkdir()
            try:
                data = apply(model, entries)
            except InvalidContent:
                return
            unpack(path, data)
            if again:  # packed and unpacked, it is the same
                copy = Path(top, f"{number}-copy")
                copy.mkdir()
                _repacked(path, copy)
                path = copy
            paths.append(path)
        with mounted(*paths) as seen:
            assert look(seen) == model.seen


def test_a_layer_below_a_link_of_a_lower_one_replaces_it(tmp_path):
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    for path in (lower, upper, tmp_path / "none"):
        path.mkdir()
    unpack(lower, directory("usr/lib") + symlink("lib", "usr/lib") + entry("lib/a") + END)
    unpack(upper, entry("lib/b") + END)
    with mounted(lower, upper) as seen:
        assert look(f"{seen}/lib") == {"b": b""}  # as docker and containerd have it
        assert look(f"{seen}/usr/lib") == {"a": b""}


def test_an_opaque_root_is_told(tmp_path):
    assert unpack(tmp_path, entry(".wh..wh..opq") + END).hides_all
    assert not unpack(tmp_path, entry("a/.wh..wh..opq") + entry(".wh..wh.plnk/1") + END).hides_all
    assert os.getxattr(tmp_path / "a", "trusted.overlay.opaque") == b"y"
    assert sorted(os.listdir(tmp_path)) == ["a"]


def test_capabilities_outlive_the_owner_and_the_mode(tmp_path):
    capability = b"\x01\x00\x00\x02\x00\x20" + b"\0" * 14
    data = extended(record(b"SCHILY.xattr.security.capability", capability))
    unpack(tmp_path, data + entry("ping", b"x", uid=5, gid=6, mode=0o4711) + END)
    found = (tmp_path / "ping").stat()
    assert os.getxattr(tmp_path / "ping", "security.capability") == capability
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (5, 6, 0o4711)


def test_owners_are_whatever_the_archive_says(tmp_path):
    large = {"uid": 4_000_000_000, "gid": 3_000_000}
    unpack(
        tmp_path, entry("a", **large) + directory("b", **large) + symlink("c", "a", **large) + END
    )
    for name in "abc":
        found = os.lstat(tmp_path / name)
        assert (found.st_uid, found.st_gid) == (4_000_000_000, 3_000_000)
    with pytest.raises(InvalidContent, match="owner"):
        unpack(tmp_path, entry("d", uid=0xFFFFFFFF) + END)


def test_neither_umask_nor_the_directory_has_a_say_in_modes_and_owners(tmp_path):
    os.chown(tmp_path, 0, 77)
    tmp_path.chmod(0o2755)
    subprocess.run(["setfacl", "-d", "-m", "u:5:rwx,g::rwx", tmp_path], check=True)
    before = os.umask(0o077)
    try:
        unpack(tmp_path, entry("a", mode=0o666) + directory("b/", mode=0o777) + entry("c/d") + END)
    finally:
        os.umask(before)
    for name, mode in {"a": 0o666, "b": 0o777, "c": 0o755, "c/d": 0o644}.items():
        found = (tmp_path / name).stat()
        assert (found.st_mode & 0o7777, found.st_gid) == (mode, 0), name


def test_attributes_that_are_too_large_are_the_archive_s_fault(tmp_path):
    data = extended(record(b"SCHILY.xattr.user.a", b"x" * 70_000)) + entry("a")
    with pytest.raises(InvalidContent, match="extended attribute"):
        unpack(tmp_path, data + END)
    names = extended(record(b"SCHILY.xattr.user." + b"a" * 300, b"x")) + entry("a")
    with pytest.raises(InvalidContent, match="extended attribute"):
        unpack(tmp_path, names + END)
