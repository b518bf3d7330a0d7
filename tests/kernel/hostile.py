"""Roots that somebody hostile has prepared, and a part of the host they must not reach."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import field, frozen

from pyengine import Engine, EngineError, Result, Unsupported

BUSY = ("cat", "echo", "env", "false", "id", "ls", "mkdir", "readlink", "sh", "sleep", "true")


@frozen
class Canary:
    """A directory of the host with a file in it, that nobody in a container may touch."""

    path: str
    _was: dict[str, tuple[object, ...]] = field(repr=False)

    @classmethod
    def make(cls, path: Path) -> Canary:
        """Lay it out at *path*."""
        (path / "directory").mkdir(parents=True)
        (path / "file").write_text("the host's own\n")
        (path / "directory" / "secret").write_text("do not tell\n")
        return cls(str(path), _look(str(path)))

    @property
    def is_untouched(self) -> bool:
        """Whether nothing was made, written, renamed or mounted there, or changed its mode."""
        return _look(self.path) == self._was


def _look(path: str) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for directory, _, files in os.walk(path):
        for name in (".", *files):
            whole = f"{directory}/{name}"
            status = os.lstat(whole)
            content = Path(whole).read_bytes() if name != "." else b""
            found[whole] = (
                *(status.st_mode, status.st_uid, status.st_gid, status.st_ino, status.st_dev),
                *(status.st_mtime_ns, content, os.path.ismount(whole)),
            )
    return found


def small_root(rootfs: str, path: Path) -> str:
    """A root of its own for somebody to spoil: a few links to the busybox of *rootfs*."""
    for directory in ("bin", "etc", "dev", "proc", "sys", "tmp", "data"):
        (path / directory).mkdir(parents=True)
    for name in ("busybox", "probe"):
        os.link(f"{rootfs}/bin/{name}", path / "bin" / name)
    for name in BUSY:
        os.symlink("busybox", path / "bin" / name)
    for name in ("passwd", "group"):
        shutil.copy(f"{rootfs}/etc/{name}", path / "etc" / name)
    return str(path)


def put_link(root: str, path: str, target: str) -> None:
    """Put a link to *target* at *path* in *root*, whatever is there."""
    where = f"{root}{path}"
    if os.path.isdir(where) and not os.path.islink(where):
        shutil.rmtree(where)
    elif os.path.lexists(where):
        os.unlink(where)
    os.makedirs(os.path.dirname(where), exist_ok=True)
    os.symlink(target, where)


def attempt(call: Callable[[], Result]) -> Result | EngineError:
    """What came of it; anything but an answer or an error of ours is a failure of the test.

    So is that it cannot be had here, where that has not been announced.
    """
    try:
        return call()
    except Unsupported:
        raise
    except EngineError as error:
        return error


# what lies open in a file system of the kernel's that nobody has covered
_WRITABLE = {
    "proc": ("sys/kernel/core_pattern", "sys/kernel/modprobe", "irq/default_smp_affinity"),
    "sysfs": ("kernel/mm",),
    "cgroup2": ("cgroup.procs",),
}
_READABLE = {"proc": ("keys", "timer_list", "interrupts", "kcore"), "sysfs": ("firmware/dmi",)}


def probe(engine: Engine, image: str, *paths: str, **options: object) -> dict[str, Any]:
    """What the probe says of its container, and of *paths* in it."""
    told = engine.run(image, ["/bin/probe", *paths], timeout=60, **options).check()
    found: dict[str, Any] = json.loads(told.stdout)
    return found


def leaks_of(engine: Engine, image: str, **options: object) -> list[str]:
    """What a container finds open of its kernel's files, wherever they are mounted."""
    seen = probe(engine, image, **options)
    places = {_kind_and_place(line) for line in seen["mounts"] or ()}
    # what is mounted on the root itself is not seen at "/", and is at "/.."
    places |= {(kind, "/..") for kind in _WRITABLE}
    wanted = {
        way: {f"{where}/{name}" for kind, where in places for name in names.get(kind, ())}
        for way, names in (("write", _WRITABLE), ("read", _READABLE))
    }
    paths = probe(engine, image, *sorted(set().union(*wanted.values())), **options)["paths"]
    return [
        *(f"{path} is writable" for path in wanted["write"] if paths[path].get("write") == 0),
        *(f"{path} is readable" for path in wanted["read"] if paths[path].get("read", 0) > 0),
    ]


def _kind_and_place(line: str) -> tuple[str, str]:
    left, _, right = line.partition(" - ")
    return right.split()[0], left.split()[4].replace("\\040", " ")
