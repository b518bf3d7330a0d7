"""Debian's crun, the fastest of the usual runtimes, told to make the same container.

What is timed is the process ``crun run``, from its start to its end; it works on a plain
directory, so it is spared the overlay that we and the limit mount.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

import pyengine
from benchmarks.bundle import config, oci_seccomp, without_root
from benchmarks.limit import timer
from benchmarks.nobody import Nobody
from pyengine.linux.capabilities import DEFAULT
from pyengine.linux.hierarchy import parse_mounts

CGROUP = "/pyengine-crun"
_HIDE = 'umount "$0" && exec "$@"'


def find_crun() -> str | None:
    """crun's path; ``None``, having said so, if it is not installed."""
    path = shutil.which("crun")
    if path is None:
        print("no crun here to compare with: apt-get install -y crun", file=sys.stderr)
    return path


def _mountinfo() -> str:
    return Path("/proc/self/mountinfo").read_text()


def hidden_tree(mountinfo: str) -> str:
    """The version 2 tree beside version 1 trees, if it has controllers; else nothing.

    crun refuses to work on such a host: the tree is to be out of its sight, then.
    """
    v2, v1 = parse_mounts(mountinfo)
    if v2 is None or not v1 or not Path(v2, "cgroup.controllers").read_text().strip():
        return ""
    return v2


@frozen
class Crun:
    """crun with a state directory of its own; *hidden* is a mount it must not see."""

    path: str
    directory: Path
    hidden: str

    def _command(self, *words: str) -> list[str]:
        root = str(self.directory / "state")
        return [self.path, "--root", root, "--cgroup-manager", "cgroupfs", *words]

    def _out_of_sight(self, command: Sequence[str]) -> list[str]:
        if not self.hidden:
            return list(command)
        return ["unshare", "--mount", "sh", "-c", _HIDE, self.hidden, *command]

    def timed(self, *words: str) -> list[str]:
        """The contestant that runs a command of crun's."""
        return self._out_of_sight(timer(self._command(*words)))

    def timed_without_root(self, who: Nobody, bundle: str) -> list[str]:
        """The contestant that runs *bundle* as *who*, whom it is given."""
        config_file = Path(bundle, "config.json")
        spec = without_root(json.loads(config_file.read_text()), who.user)
        config_file.write_text(json.dumps(spec))
        who.give(self.directory)
        words = ("--root", str(self.directory / "state"), "--cgroup-manager", "disabled", "run")
        # no newuidmap is found, and so none is tried in vain
        command = ["env", "PATH=/nowhere", *timer([self.path, *words, "--bundle", bundle, "run"])]
        return self._out_of_sight(who.command(command))

    def do(self, *words: str) -> None:
        """Run a command of crun's once."""
        nothing = subprocess.DEVNULL
        command = self._out_of_sight(self._command(*words))
        subprocess.run(command, check=True, stdin=nothing, stdout=nothing)

    def bundle(self, name: str, argv: Sequence[str], rootfs: Path) -> str:
        """A bundle that runs *argv* in a copy of *rootfs*; made with a name of its own."""
        place = self.directory / name
        shutil.copytree(rootfs, place / "rootfs", symlinks=True)
        for file in ("hosts", "hostname", "resolv.conf"):
            (place / file).write_text("127.0.0.1\tlocalhost\n")
        machine = os.uname()
        profile = json.loads((Path(pyengine.__file__).parent / "data/seccomp.json").read_text())
        seccomp = oci_seccomp(profile, DEFAULT, machine.machine, machine.release)
        spec = config(argv, str(place / "rootfs"), str(place), f"{CGROUP}/{name}", seccomp)
        (place / "config.json").write_text(json.dumps(spec))
        return str(place)

    @contextmanager
    def running(self, name: str, argv: Sequence[str], rootfs: Path) -> Iterator[None]:
        """A container *name* that runs *argv* meanwhile."""
        bundle = self.bundle(name, argv, rootfs)
        self.do("run", "--detach", "--bundle", bundle, name)
        try:
            yield
        finally:
            self.do("delete", "--force", name)


@contextmanager
def crun(directory: Path) -> Iterator[Crun | None]:
    """crun, working in *directory*; ``None`` if it is not there."""
    path = find_crun()
    if path is None:
        yield None
        return
    directory.mkdir()
    try:
        yield Crun(path, directory, hidden_tree(_mountinfo()))
    finally:
        _remove_cgroups()


def _remove_cgroups() -> None:
    """What crun leaves: the directory above its containers, in every tree."""
    mountinfo = _mountinfo()
    v2, v1 = parse_mounts(mountinfo)
    trees = {v2, *v1.values(), *_named_trees(mountinfo)} - {None}
    for tree in trees:
        if os.path.isdir(f"{tree}{CGROUP}"):
            os.rmdir(f"{tree}{CGROUP}")


def _named_trees(mountinfo: str) -> Iterator[str]:
    """The mount points of version 1 trees without a controller, such as systemd's."""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        if right.startswith("cgroup ") and "name=" in right:
            yield left.split(" ")[4]
