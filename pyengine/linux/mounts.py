"""What is mounted on this host, as ``/proc/self/mountinfo`` tells it (proc_pid_mountinfo(5))."""

from __future__ import annotations

import os

from attrs import frozen

from pyengine.errors import InvalidRequest


@frozen
class MountPoint:
    """One mount: where it is, and its optional fields, such as ``shared:12``."""

    path: str
    propagation: tuple[str, ...]


def parse_mountinfo(text: str) -> list[MountPoint]:
    """The mounts in the order they were made; lines that are none are left out.

    >>> parse_mountinfo("1 0 8:1 / / rw shared:1 - ext4 /dev/sda rw")
    [MountPoint(path='/', propagation=('shared:1',))]
    """
    found = []
    for line in text.split("\n"):
        left, separator, _ = line.partition(" - ")
        fields = left.split(" ")
        if separator and len(fields) >= 6:
            path = fields[4].encode().decode("unicode_escape") if "\\" in fields[4] else fields[4]
            found.append(MountPoint(path, tuple(fields[6:])))
    return found


def mount_of(path: str, mounts: list[MountPoint]) -> MountPoint | None:
    """The mount that *path* (absolute, without links) lies on."""
    best: MountPoint | None = None
    for mount in mounts:
        inside = path == mount.path or path.startswith(mount.path.rstrip("/") + "/")
        if inside and (best is None or len(mount.path) >= len(best.path)):
            best = mount
    return best


def file_system_of(path: str) -> str:
    """What kind of file system *path* lies on, such as ``ext4``."""
    device = os.stat(path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            if left.split(" ")[2:3] == [number]:
                return right.partition(" ")[0]
    return "this file system"


def check_propagation(source: str, propagation: str) -> None:
    """Raise `InvalidRequest` unless mounts can travel as *propagation* wants from *source*.

    ``shared`` needs a shared mount of the host below it, ``slave`` a shared or a slave one
    (mount_namespaces(7)).
    """
    kind = propagation.removeprefix("r")
    if kind not in ("shared", "slave"):
        return
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        mount = mount_of(os.path.realpath(source), parse_mountinfo(file.read()))
    fields = mount.propagation if mount is not None else ()
    wanted = ("shared:",) if kind == "shared" else ("shared:", "master:")
    if not any(field.startswith(wanted) for field in fields):
        where = mount.path if mount is not None else "/"
        kinds = " or ".join(word.rstrip(":") for word in wanted)
        why = f"{source} is mounted on {where}, but that is not a {kinds} mount"
        remedy = f"rprivate, or `mount --make-rshared {where}` first"
        raise InvalidRequest("propagation", propagation, why=why, expected=remedy)
