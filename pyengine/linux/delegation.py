"""The part of the version 2 tree that is ours to use, and what can be limited in it.

Who was given a cgroup may make others below it, and let them be limited by the controllers it
was given, but not while a program lives in it directly ("no internal processes", cgroup-v2.rst).
So where only we live there, we move to a leaf first: this process, its descendants and the
guards of engines, nobody else. Where others live there or below, it is not for us to move them,
nor to change how they are counted: then we use what is handed down already, and say what is
missing and why.
"""

from __future__ import annotations

import errno
import os
import threading

from attrs import field, frozen

from pyengine.errors import KernelError
from pyengine.linux import cgroup_files as files
from pyengine.linux.cgroup_names import PARENT
from pyengine.linux.process import parent_of

CONTROLLERS = ("cpuset", "cpu", "io", "memory", "pids")
"""The controllers of version 2 that limits and statistics need."""

LEAF = "/pyengine-host"
"""Where this process goes when it has to leave the cgroup that it divides."""

_DELEGATED = "user.delegate"
"""systemd (251) marks a cgroup that it has given away with Delegate=."""

_HELPERS = (b"pyengine-guard", b"memfd:pyengine-")
"""What our own helpers are called, who may be nobody's children; their names end at 15 bytes."""

NOT_DELEGATED = "no cgroup is delegated to this user"
REMEDY = "start this program with systemd-run --user --scope -p Delegate=yes, or run as root"
_lock = threading.Lock()


@frozen(eq=False)
class Delegation:
    """Where we may make cgroups: below *directory* (None: nowhere), limited by *controllers*.

    *withheld* are controllers that it has and does not hand down, and *resident* is who lives
    there and is not ours to move. *pending* are those that `settle` has to hand down first.
    *root* is where the whole tree is mounted.
    """

    directory: str | None
    controllers: frozenset[str] = frozenset()
    withheld: frozenset[str] = frozenset()
    resident: str = ""
    pending: frozenset[str] = frozenset()
    root: str | None = None
    _moved: list[bool] = field(init=False, factory=list, repr=False)

    def why_not(self, controller: str) -> tuple[str, str]:
        """Why *controller* limits nothing here, and what would help."""
        if self.directory is None:
            return NOT_DELEGATED, REMEDY
        if controller in self.withheld:
            why = f"cgroup {self.directory} does not hand down its {controller} controller"
            return f"{why}, and {self.resident} lives there, who is not ours to move", REMEDY
        remedy = "let systemd delegate it (Delegate=yes), run as root, or leave it out"
        return f"cgroup {self.directory} has no {controller} controller", remedy

    def place_of(self, pid: int, name: str) -> str | None:
        """The cgroup called *name* that *pid* lives in or below, wherever in the tree it is."""
        parts = _path_of(pid).split("/")
        if self.root is None or name not in parts:
            return None
        return self.root + "/".join(parts[: parts.index(name) + 1])

    def settle(self) -> None:
        """Hand down what is *pending*, having moved to a leaf; next to nothing if that is done.

        Raises `KernelError` where somebody came to live there meanwhile.
        """
        if not self.pending or self.directory is None:
            return
        with _lock:
            if self.pending <= _words(self.directory, "cgroup.subtree_control"):
                return
            try:
                self._move(self.directory, self.directory + LEAF)
                _hand_down(self.directory, "+", self.pending)
            except OSError as error:
                doing = f"divide cgroup {self.directory}"
                hint = "another program lives there" if error.errno == errno.EBUSY else ""
                raise KernelError(error.errno or errno.EIO, doing, hint) from error

    def restore(self) -> None:
        """Undo `settle`, if nobody of ours needs it any more."""
        directory = self.directory
        if directory is None or not self._moved or os.path.isdir(directory + PARENT):
            return
        with _lock:
            if not all(map(_is_family, _members(directory + LEAF))):
                return  # a keeper, who stays
            try:
                _hand_down(directory, "-", self.pending)
                _move_all(directory + LEAF, directory)
                os.rmdir(directory + LEAF)
            except OSError:  # somebody else uses it as well by now
                return
            self._moved.clear()

    def _move(self, directory: str, leaf: str) -> None:
        if not _members(directory):
            return
        if not os.path.isdir(leaf):  # one that was killed may have left it
            files.make(leaf)
        self._moved.append(True)
        _move_all(directory, leaf)


def find(mount_point: str | None) -> Delegation:
    """What we may use of the version 2 tree at *mount_point* (None: there is none)."""
    directory = None if mount_point is None else _ours(mount_point)
    if directory is None:
        return Delegation(None, root=mount_point)
    offered = _words(directory, "cgroup.controllers")
    if not os.path.exists(directory + "/cgroup.type"):  # the root of all: anybody may live there
        return Delegation(directory, offered, root=mount_point)
    enabled = _words(directory, "cgroup.subtree_control")
    lacking = offered.intersection(CONTROLLERS) - enabled
    if not lacking:
        return Delegation(directory, enabled, root=mount_point)
    resident = _resident(directory)
    if resident:
        return Delegation(directory, enabled, lacking, resident, root=mount_point)
    return Delegation(directory, enabled | lacking, pending=lacking, root=mount_point)


def _ours(mount_point: str) -> str | None:
    """The whole tree, or what was delegated: the nearest so marked, else the highest we may use."""
    if _is_writable(mount_point):
        return mount_point
    directory, found = mount_point, []
    for part in _path_of(os.getpid()).split("/")[1:]:
        directory = f"{directory}/{part}"
        if _is_writable(directory):
            found.append(directory)
    marked = [path for path in found if _is_marked(path)]
    return marked[-1] if marked else found[0] if found else None


def _path_of(pid: int) -> str:
    """Where *pid* lives below the root of the version 2 tree, as we see it; ``""``: nowhere."""
    try:
        lines = files.read(f"/proc/{pid}/cgroup").decode(errors="surrogateescape").splitlines()
    except OSError:  # it is gone
        return ""
    return next((line[3:] for line in lines if line.startswith("0::")), "")


def _is_writable(directory: str) -> bool:
    # moving a process needs leave to write to the procs file of the common ancestor as well
    return os.access(directory, os.W_OK) and os.access(directory + "/cgroup.procs", os.W_OK)


def _is_marked(directory: str) -> bool:
    try:
        return os.getxattr(directory, _DELEGATED) == b"1"
    except OSError:
        return False


def _resident(directory: str) -> str:
    """Who lives in *directory* or below and is not of our family, in words; ``""``: nobody."""
    for path in files.tree(directory):
        if f"{path}/".startswith(f"{directory}{PARENT}/"):  # containers, whichever engine's
            continue
        for pid in _members(path):
            if not _is_family(pid):
                return f"process {pid} ({_comm(pid).decode(errors='replace')})"
    return ""


def _is_family(pid: int) -> bool:
    """Whether *pid* is this process, descends from it, or helps an engine; or it is gone."""
    own = os.getpid()
    if pid > 0 and _comm(pid).startswith(_HELPERS):
        return True
    while pid != own:
        if pid <= 0:  # it is outside our pid namespace
            return False
        above = parent_of(pid)
        if above is None:
            return _is_gone(pid)
        pid = above
    return True


def _comm(pid: int) -> bytes:
    try:
        return files.read(f"/proc/{pid}/comm").strip()
    except OSError:  # it is gone, or hidden
        return b"?"


def _is_gone(pid: int) -> bool:
    try:
        os.close(os.pidfd_open(pid))
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False  # /proc hides it from us (hidepid=): it is somebody else's


def _members(directory: str) -> list[int]:
    return [int(pid) for pid in (files.read_or_none(directory + "/cgroup.procs") or b"").split()]


def _move_all(origin: str, target: str) -> None:
    """Move our family from *origin*, until none was forked there meanwhile. Raises `OSError`."""
    for _ in range(16):
        members = _members(origin)
        if not members:
            return
        for pid in members:
            if not _is_family(pid):
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
            try:
                files.write(target + "/cgroup.procs", b"%d" % pid)
            except ProcessLookupError:
                continue


def _hand_down(directory: str, sign: str, controllers: frozenset[str]) -> None:
    words = " ".join(sign + name for name in sorted(controllers))
    files.write(directory + "/cgroup.subtree_control", words.encode())


def _words(directory: str, file: str) -> frozenset[str]:
    return frozenset((files.read_or_none(f"{directory}/{file}") or b"").decode().split())
