"""Which cgroup trees this host has, and the directories all our containers share in them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from functools import lru_cache

from attrs import field, frozen

from pyengine.errors import KernelError
from pyengine.linux import cgroup_files as files
from pyengine.linux.cgroup_names import OWN, PARENT, branch, is_branch, is_level
from pyengine.linux.delegation import CONTROLLERS, NOT_DELEGATED, REMEDY, Delegation
from pyengine.linux.delegation import find as find_delegation
from pyengine.linux.device_filter import DEFAULT_POLICY

_V1 = frozenset(
    ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb")
)

MADE_BY_US = "trusted.pyengine" if os.geteuid() == 0 else "user.pyengine"
"""The mark on a parent directory that we made, and may remove when it is empty; users have theirs
(Linux 5.7), which root takes no notice of.
"""


@frozen
class CgroupInfo:
    """What a host's cgroups are, in Docker's words.

    *version* is "2" where limits live in the version 2 tree, else "1"; "" without any.
    *controllers* are those that can limit a container; *can_freeze* and *can_kill* say whether
    a container is paused, and ended, as one.
    """

    version: str
    driver: str
    controllers: tuple[str, ...]
    can_freeze: bool
    can_kill: bool


@frozen(eq=False)
class Hierarchy:
    """The cgroup trees that this process may make cgroups in.

    *v2* is the directory of the version 2 tree below which we make ours (None: there is none
    to write to), *v2_controllers* what it can limit, *v1* each controller's mount point.
    *delegation* is how we came by *v2*, and why it cannot do more. *refused* is why the kernel
    does not let us filter devices by eBPF, once it has said so.
    """

    v2: str | None
    v1: Mapping[str, str]
    v2_controllers: frozenset[str] = frozenset()
    delegation: Delegation | None = field(default=None, repr=False)
    v1_controllers: frozenset[str] = field(init=False)
    refused: list[str] = field(init=False, factory=list, repr=False)
    _prepared: set[str] = field(init=False, factory=set, repr=False)
    _filtered: dict[str, int] = field(init=False, factory=dict, repr=False)

    @v1_controllers.default
    def _names_of_v1(self) -> frozenset[str]:
        return frozenset(self.v1)

    @staticmethod
    def probe() -> Hierarchy:
        """What this host has; looked up once in a process."""
        return _probe()

    def describe(self) -> CgroupInfo:
        """What to tell who asks about the host."""
        limits = sorted(self.v2_controllers.intersection(CONTROLLERS) | set(self.v1))
        version = "1" if self.v1 else "2" if self.v2 else ""
        as_one = self.v2 is not None or "freezer" in self.v1
        return CgroupInfo(version, "cgroupfs" if version else "none", tuple(limits), as_one, as_one)

    def why_nowhere(self) -> tuple[str, str]:
        """Why no tree is ours to write to, and what would help."""
        if os.geteuid() != 0:
            return NOT_DELEGATED, REMEDY
        return "no cgroup tree of this host is ours to write to", "run where they may be written"

    def prepare(self, tree: str, parent: str) -> str:
        """Make *parent* (``/a/b``) below the mount point *tree*, ready for containers.

        Gives its path. The work is done once in a process and remembered by `remember`.
        """
        path = tree
        if tree == self.v2:
            self.settle()
        for part in parent.split("/")[1:]:
            above, path = path, f"{path}/{part}"
            if tree == self.v2:
                enable(above, self.v2_controllers)
            if _make(path):
                _mark(path)
            if tree == self.v1.get("cpuset"):
                inherit_cpuset(above, path)
        if tree == self.v2:
            enable(path, self.v2_controllers)
        self._prepared.add(path)
        return path

    def settle(self) -> None:
        """Take our place in what was delegated to us, before others of ours are born there."""
        if self.delegation is not None:
            self.delegation.settle()

    def is_prepared(self, path: str) -> bool:
        """Whether `prepare` has made *path* in this process (it may be gone again since)."""
        return path in self._prepared

    def share_filter(self, path: str, attach: Callable[[str], None]) -> None:
        """Let *attach* put a device filter on *path*, once in a process; see `has_filter`."""
        number = os.stat(path).st_ino
        attach(path)
        self._filtered[path] = number

    def has_filter(self, path: str) -> bool:
        """Whether *path* is still the directory that `share_filter` put one on.

        Another engine may have removed it and made it anew, not filtered yet; the kernel
        numbers each cgroup once and never again.
        """
        number = self._filtered.get(path)
        try:
            return number is not None and os.stat(path).st_ino == number
        except FileNotFoundError:
            return False

    def forget(self, path: str) -> None:
        """Prepare *path*, and what is above it, again next time."""
        self._prepared.discard(path)

    def names(self) -> list[str]:
        """The containers that have a cgroup below `PARENT`, whoever made it."""
        found = set()
        if self.v2 is not None:
            for above in files.children(self.v2 + PARENT):
                found.update(_with_levels(above))
        for tree in set(self.v1.values()):
            found.update(_with_levels(tree + PARENT))
        return sorted({_last(path) for path in found if not is_branch(_last(path))})

    def levels(self, level: str) -> list[tuple[str, str]]:
        """Where the containers of one owner may have cgroups: a tree, and a path in it."""
        found = []
        if self.v2 is not None:
            found += [(self.v2, f"{branch(DEFAULT_POLICY)}/{level}")]
            found += [(self.v2, f"{PARENT}/{OWN}/{level}")]
        return found + [(tree, f"{PARENT}/{level}") for tree in sorted(set(self.v1.values()))]

    def all_levels(self) -> set[str]:
        """The names of all levels, whoever's they are."""
        places = [f"{tree}{PARENT}" for tree in set(self.v1.values())]
        if self.v2 is not None:
            places += files.children(self.v2 + PARENT)
        found = {_last(path) for place in places for path in files.children(place)}
        return {name for name in found if is_level(name)}

    def in_level(self, level: str) -> set[str]:
        """The names of what has a cgroup in the level of one owner."""
        return {
            _last(path)
            for tree, above in self.levels(level)
            for path in files.children(tree + above)
        }

    def remove_level(self, level: str) -> None:
        """Remove the directories of one owner's containers where there are none."""
        for tree, path in self.levels(level):
            _try_rmdir(tree + path)

    def tidy(self, level: str = "") -> None:
        """Remove the directories that our containers share, where no container is left.

        *level* is our own; those of others are theirs to remove, but for that of nobody's.
        """
        for above, own in self.levels(level) if level else ():
            for path in files.tree(above + own):  # what could not be removed when it ended, too
                _try_rmdir(path)
        self.remove_level("none")
        trees = {self.v2, *self.v1.values()} - {None}
        for tree in trees:
            parent = f"{tree}{PARENT}"
            # branches only: a container that has not started yet is just as empty
            shared = [path for path in files.children(parent) if is_branch(_last(path))]
            for path in (*shared, parent):
                _try_rmdir(path)
        if self.delegation is not None:
            self.delegation.restore()
        self._prepared.clear()


def _with_levels(place: str) -> list[str]:
    """The containers directly in *place*, and those in levels there."""
    found = []
    for path in files.children(place):
        found += files.children(path) if is_level(_last(path)) else [path]
    return found


def _try_rmdir(path: str) -> None:
    try:
        os.rmdir(path)
    except OSError:  # somebody lives there, or somebody else was quicker
        return


@lru_cache(maxsize=1)
def _probe() -> Hierarchy:
    try:
        mountinfo = files.read("/proc/self/mountinfo", 1 << 20)
    except OSError:
        return Hierarchy(None, {})
    v2, v1 = parse_mounts(mountinfo.decode(errors="surrogateescape"))
    given = find_delegation(v2)
    usable = {name: path for name, path in v1.items() if os.access(path, os.W_OK)}
    return Hierarchy(given.directory, usable, given.controllers, given)


def parse_mounts(mountinfo: str) -> tuple[str | None, dict[str, str]]:
    """The mount point of the version 2 tree, and of each version 1 controller.

    *mountinfo* is the text of proc_pid_mountinfo(5).
    """
    v2, v1 = None, {}
    for line in mountinfo.splitlines():
        left, separator, right = line.partition(" - ")
        before, after = left.split(" "), right.split(" ")
        if not separator or len(before) < 6 or len(after) < 3:
            continue
        if after[0] == "cgroup2":
            v2 = _unescaped(before[4])
        elif after[0] == "cgroup":
            for option in after[2].split(","):
                if option in _V1:
                    v1[option] = _unescaped(before[4])
    return v2, v1


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _unescaped(path: str) -> str:
    if "\\" not in path:
        return path
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, character)
    return path


def _make(path: str) -> bool:
    try:
        files.make(path)
    except FileExistsError:
        return False
    except OSError as error:
        raise KernelError(error.errno or errno.EIO, f"make cgroup {path}") from error
    return True


def _mark(path: str) -> None:
    try:
        os.setxattr(path, MADE_BY_US, b"1")
    except OSError:  # an old kernel, or not root: then it is not removed with its last container
        return


def remove_marked(path: str) -> None:
    """Remove *path* and what is above it, as far as we made it and it is empty."""
    while path.count("/") > 1:
        try:
            os.getxattr(path, MADE_BY_US)
            os.rmdir(path)
        except OSError:
            return
        path = path.rpartition("/")[0]


def enable(path: str, available: frozenset[str]) -> None:
    """Let the children of *path* be limited by every controller of ours that is *available*.

    What the kernel refuses stays off: whoever needs it finds its file missing, and says so.
    """
    wanted = available.intersection(CONTROLLERS)
    if not wanted:
        return
    enabled = files.read_or_none(path + "/cgroup.subtree_control") or b""
    for name in sorted(wanted.difference(enabled.decode().split())):
        try:  # one by one: a refused one takes all others of the same write with it
            files.write(path + "/cgroup.subtree_control", b"+" + name.encode())
        except OSError:
            continue


def inherit_cpuset(above: str, path: str) -> None:
    """Give a new v1 cpuset the processors and memory of its parent: it is born without any."""
    for file in ("/cpuset.cpus", "/cpuset.mems"):
        if not (files.read_or_none(path + file) or b"").strip():
            inherited = files.read_or_none(above + file)
            if inherited and inherited.strip():
                files.write(path + file, inherited.strip())
