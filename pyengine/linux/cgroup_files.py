"""The few ways of reading, writing, removing and waiting on the files of a cgroup directory."""

from __future__ import annotations

import errno
import os
import select
import time
from collections.abc import Callable, Iterator

from pyengine.errors import KernelError

READ_LIMIT = 1 << 22
"""No file of a cgroup is larger; ``cgroup.procs`` of 4 million processes is cut here."""


def read(path: str, limit: int = READ_LIMIT) -> bytes:
    """All of a kernel file, up to *limit* bytes. Raises `OSError`."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        content = os.read(handle, min(limit, 65_536))
        if len(content) < 4_096:  # kernfs gives a short file in one piece
            return content
        pieces = [content]
        while content and limit > 0:
            content = os.read(handle, 65_536)
            limit -= len(content)
            pieces.append(content)
        return b"".join(pieces)
    finally:
        os.close(handle)


def read_or_none(path: str | None) -> bytes | None:
    """As `read`; None where the file, or its cgroup, does not exist."""
    if path is None:
        return None
    try:
        return read(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP, errno.EINVAL):
            return None
        raise KernelError(error.errno or errno.EIO, f"read {path}") from error


def write(path: str, content: bytes) -> None:
    """Write *content* in one system call, as kernel files want it. Raises `OSError`."""
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.write(handle, content)
    finally:
        os.close(handle)


def flat_keyed(content: bytes | None) -> dict[str, int]:
    """Read ``key number`` lines.

    >>> flat_keyed(b"anon 12\\nfile max\\n")
    {'anon': 12}
    """
    table = {}
    for line in (content or b"").splitlines():
        key, _, value = line.partition(b" ")
        if value.isdigit():
            table[key.decode("ascii", "replace")] = int(value)
    return table


def number(content: bytes | None) -> int | None:
    """One number; None for ``max``, nothing, or what the kernel means by unlimited in v1."""
    if content is None:
        return None
    text = content.strip()
    # v1 shows "unlimited" as the largest multiple of the page size in 63 bits
    if not text.isdigit() or (value := int(text)) >= (1 << 63) - 65_536:
        return None
    return value


def children(path: str) -> list[str]:
    """The cgroups directly below *path*."""
    try:
        with os.scandir(path) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def tree(path: str) -> Iterator[str]:
    """*path* and every cgroup below it, children before parents."""
    # depth is bounded by the kernel (cgroup.max.depth), and by the length of a path
    for child in children(path):
        yield from tree(child)
    yield path


def events(path: str) -> dict[str, int]:
    """``populated`` and ``frozen`` of a version 2 cgroup; empty where it is gone."""
    return flat_keyed(read_or_none(path + "/cgroup.events"))


def wait_for_event(path: str, key: str, value: int, timeout: float) -> bool:
    """Wait at most *timeout* seconds until *key* of ``cgroup.events`` is *value*.

    A cgroup that is gone counts as having become so. The kernel wakes a poller of the file
    whenever a line changes (cgroup-v2.rst).
    """
    try:
        handle = os.open(path + "/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        poller = select.poll()
        poller.register(handle, select.POLLPRI)
        deadline = time.monotonic() + timeout
        while True:
            try:
                found = flat_keyed(os.pread(handle, 4_096, 0))
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return True
                raise
            if found.get(key) == value:
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            poller.poll(left * 1000)
    finally:
        os.close(handle)


def make(path: str) -> None:
    """Make a cgroup that everybody may look into, whatever the host program's umask is.

    Raises `OSError`.
    """
    os.mkdir(path, _MODE)
    try:
        os.chmod(path, _MODE)
    except OSError:  # nobody would know of it
        os.rmdir(path)
        raise


_MODE = 0o755


def wait_until(condition: Callable[[], bool], timeout: float) -> bool:
    """Ask *condition* again and again, at growing distances, at most *timeout* seconds.

    Only for version 1, whose files wake nobody.
    """
    deadline = time.monotonic() + timeout
    pause = 0.000_2
    while not condition():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        select.select((), (), (), min(pause, left))
        pause = min(pause * 2, 0.02)
    return True


def remove_tree(path: str, timeout: float, events_of: str | None) -> None:
    """Remove the cgroup at *path* and all below it; one that is gone already is no error.

    Processes that are just dying hold it for a moment: *events_of* is the version 2 cgroup
    whose emptiness to wait for, None where there is none. Raises `KernelError` (EBUSY) when
    *timeout* seconds were not enough.
    """
    if _try_remove(path):
        return
    for directory in list(tree(path)):
        _try_remove(directory)
    if events_of is not None and os.path.isdir(path):
        wait_for_event(events_of, "populated", 0, timeout)

    def is_removed() -> bool:
        for directory in list(tree(path)):
            _try_remove(directory)
        return not os.path.isdir(path)

    if not wait_until(is_removed, timeout if events_of is None else min(timeout, 1.0)):
        raise KernelError(errno.EBUSY, f"remove cgroup {path}", hint="processes still live in it")


def _try_remove(path: str) -> bool:
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno == errno.EBUSY:
            return False
        raise KernelError(error.errno or errno.EIO, f"remove cgroup {path}") from error
    return True
