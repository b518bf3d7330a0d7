"""The disk of the machine: this Python, the checkout it tests and what both need of this host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from pathlib import Path

PACKAGES = ("attrs", "cffi", "hypothesis", "jsonschema", "pytest")
"""What tests import, from this Python's site-packages; what these require comes along."""

PROGRAMS = ("mount", "umount")
"""What busybox has too, and does otherwise than tests expect."""

ROOM = 2 << 30
"""Bytes that tests may fill; only what is used costs this host anything."""

_LEFT_OUT = shutil.ignore_patterns(
    *("site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "tkinter"),
    *("ensurepip", "turtledemo", "config-*", "*.a"),
)
_NOT_OF_THE_CHECKOUT = shutil.ignore_patterns(
    *(".git", ".venv", ".*_cache", ".hypothesis", "_build", "build", "vm-*", "*.o"),
)
_Ignored = Callable[[str, list[str]], set[str]]
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\ntester:x:1000:1000::/home/tester:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\ntty:x:5:\ntester:x:1000:\nnogroup:x:65534:\n",
    "etc/hostname": "vm\n",
    "etc/hosts": "127.0.0.1 localhost vm\n",
}
_DIRECTORIES = ("dev", "home", "proc", "root", "run", "sys", "tmp", "var/tmp", "usr/local/bin")


def stage(to: Path, checkout: Path, busybox: Path) -> None:
    """Lay everything out below *to*, each file where this host has it."""
    for name in _DIRECTORIES:
        (to / name).mkdir(parents=True, exist_ok=True)
    _stage_busybox(to, busybox)
    _stage_python(to)
    _copy_tree(checkout, to, _NOT_OF_THE_CHECKOUT)
    for name in PROGRAMS:
        if found := shutil.which(name):
            (to / "usr/bin" / name).unlink()
            _copy(Path(found), to)
    for library in _libraries(_programs(to)):
        _copy(Path(library), to)
    for name, content in _FILES.items():
        (to / name).parent.mkdir(parents=True, exist_ok=True)
        (to / name).write_text(content)


def write(directory: Path, image: Path) -> None:
    """Make *image*, an ext4 file system of what is in *directory*, with room for tests."""
    size = sum(_blocks(path) for path in directory.rglob("*"))
    with open(image, "wb") as file:
        file.truncate((size << 10) + ROOM)
    command = ["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal,^resize_inode", "-b", "4096"]
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    subprocess.run([*command, "-d", directory, image], check=True, env=environment)


def _blocks(path: Path) -> int:
    return 4 * (-(-path.lstat().st_size // 4096) + 1)


def _stage_busybox(to: Path, busybox: Path) -> None:
    for name in ("bin", "sbin"):
        (to / "usr" / name).mkdir(parents=True)
        (to / name).symlink_to(f"usr/{name}")
    (to / "lib").symlink_to("usr/lib")
    (to / "lib64").symlink_to("usr/lib64")
    for name in ("lib", "lib64"):
        (to / "usr" / name).mkdir(parents=True, exist_ok=True)
    shutil.copy(busybox, to / "usr/bin/busybox")
    told = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    for applet in told.stdout.split():
        if applet != "busybox":
            (to / "usr/bin" / applet).symlink_to("busybox")


def _stage_python(to: Path) -> None:
    paths = sysconfig.get_paths()
    for name in {paths["stdlib"], paths["platstdlib"]}:
        _copy_tree(Path(name), to, _LEFT_OUT)
    executable = Path(os.path.realpath(sys.executable))
    _copy(executable, to)
    if sys.prefix != sys.base_prefix:
        _copy(Path(sys.prefix, "pyvenv.cfg"), to)
        _link(Path(sys.executable), executable, to)
    _link(Path("/usr/bin/python3"), executable, to)
    for one in _required(PACKAGES):
        for file in one.files or ():
            path = Path(os.path.normpath(one.locate_file(file)))
            if path.exists() and path.is_relative_to(sys.prefix):
                _copy(path, to)


def _required(names: Iterable[str]) -> Iterator[metadata.Distribution]:
    waiting, seen = list(names), set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # one that another Python would need
            continue
        yield found
        for line in found.requires or ():
            if "extra ==" not in line:
                waiting += re.findall(r"^[\w.-]+", line)


def _programs(to: Path) -> Iterator[Path]:
    for path in to.rglob("*"):
        is_program = path.name in PROGRAMS or path.name.startswith("python3")
        if (is_program or ".so" in path.suffixes) and path.is_file() and not path.is_symlink():
            yield path


def _libraries(programs: Iterable[Path]) -> set[str]:
    """The shared libraries that the dynamic linker would give *programs*."""
    told = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False)
    return set(re.findall(r"(?:=> |^\s+)(/\S+) \(0x", told.stdout, re.MULTILINE))


def _copy_tree(directory: Path, to: Path, ignore: _Ignored) -> None:
    target = _place(directory, to)
    shutil.copytree(
        directory, target, symlinks=True, ignore=ignore, copy_function=_hardlink, dirs_exist_ok=True
    )


def _copy(path: Path, to: Path) -> None:
    target = _place(path, to)
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        _hardlink(os.path.realpath(path), str(target))


def _link(path: Path, meant: Path, to: Path) -> None:
    target = _place(path, to)
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.is_symlink():
        target.symlink_to(meant)


def _place(path: Path, to: Path) -> Path:
    return to / path.relative_to("/")


def _hardlink(source: str, target: str) -> None:
    """Copy without copying: the disk is made of it at once, and nobody writes there."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
