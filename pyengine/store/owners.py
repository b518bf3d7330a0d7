"""Owner directories: what a process has on disk, and whether it is still there to want it."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from attrs import frozen

from pyengine.errors import NotPermitted, StoreError
from pyengine.model.state import LARGEST_PID
from pyengine.store import records
from pyengine.store.layout import STEADY, Layout

TRASH = ".trash"
STAGED = ".new-"
DEAD = ".dead-"  # of a process that is gone, whose containers are being ended


@frozen
class Owner:
    """The process that an owner directory belongs to; a pid alone would be reused."""

    pid: int
    start_time: int
    pid_namespace: int

    def fault(self) -> str:
        """Why this cannot be true of any process; empty if it can."""
        if not (0 < self.pid <= LARGEST_PID and 0 <= self.start_time < 1 << 63):
            return f"no process has the number {self.pid}, or started at {self.start_time}"
        return ""


def is_name(name: str) -> bool:
    """Whether `claim` may have called an owner directory so."""
    return _NAME.fullmatch(name) is not None


_NAME = re.compile(r"[1-9]\d{0,9}-[0-9a-f]{12}", re.ASCII)
_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)


def prepare(layout: Layout) -> None:
    """Make the directories of *layout* that lack; nobody else may look into them.

    Raises `NotPermitted` for a directory of another user's, and `StoreError` for one that
    cannot be made or holds somebody else's things.
    """
    _make_private(layout.root, "root= or PYENGINE_ROOT")
    _make_private(layout.run, "run_root=")
    for place in (layout.owners, layout.names, layout.layers, layout.mountpoint):
        try:
            os.makedirs(place, 0o700, exist_ok=True)
        except OSError as error:
            records.refuse(place, error)


def steady(layout: Layout) -> str:
    """The directory of containers that belong to nobody; made if it lacks. Raises `OSError`."""
    path = f"{layout.owners}/{STEADY}"
    os.makedirs(path, 0o700, exist_ok=True)
    return path


def _make_private(path: str, option: str) -> None:
    try:
        os.makedirs(path, 0o700, exist_ok=True)
        found = os.lstat(path)
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "is not a directory")
        if found.st_uid != os.geteuid():
            raise NotPermitted(
                f"use {path} as an engine's own",
                f"it belongs to user {found.st_uid}",
                f"choose another with {option}",
            )
        if found.st_mode & 0o077:
            # never take a directory of others' away from them because somebody misspelt a path
            if os.listdir(path) and not os.path.isdir(f"{path}/owners"):
                why = "is open to others, and holds other things"
                raise StoreError(path, why, f"choose another with {option}")
            os.chmod(path, 0o700)
    except OSError as error:
        if isinstance(error, NotPermitted):
            raise
        records.refuse(path, error)


def claim(
    layout: Layout, owner: Owner, announce: Callable[[str], object] = lambda name: None
) -> tuple[str, int]:
    """Make an owner directory and lock it: its name, and the fd that holds the lock.

    The lock is there before the name is, so nobody takes it for an orphan; *announce* is told
    the name before anything of it is there.
    """
    name = f"{owner.pid}-{os.urandom(6).hex()}"
    announce(name)
    staged, path = f"{layout.owners}/{STAGED}{name}", f"{layout.owners}/{name}"
    fd = -1
    try:
        os.mkdir(staged, 0o700)  # one by one: what makedirs makes on its way has the umask's mode
        os.mkdir(f"{staged}/{TRASH}", 0o700)
        fd = os.open(staged, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX)
        records.write(f"{staged}/owner.json", owner)
        os.rename(staged, path)
    except (OSError, StoreError) as error:
        _give_up(staged, fd)
        if isinstance(error, StoreError):
            raise
        records.refuse(path, error)
    return name, fd


def _give_up(staged: str, fd: int) -> None:
    """Leave nothing of a directory that cannot be made: there may be no space for it."""
    for path in (f"{staged}/owner.json.new", f"{staged}/owner.json"):
        with suppress(OSError):
            os.unlink(path)
    for path in (f"{staged}/{TRASH}", staged):
        with suppress(OSError):
            os.rmdir(path)
    if fd >= 0:
        os.close(fd)


def hide(layout: Layout, name: str) -> str:
    """Say of an owner directory that it goes: what it is called then, also if others were quicker.

    From then on every opener of the root takes part in its removal.
    """
    with suppress(OSError):  # of what is there still, the end is all that somebody wants
        os.rename(f"{layout.owners}/{name}", f"{layout.owners}/{DEAD}{name}")
    return name if os.path.isdir(f"{layout.owners}/{name}") else f"{DEAD}{name}"


def names(layout: Layout) -> list[str]:
    """Every owner directory that is there."""
    try:
        return [name for name in os.listdir(layout.owners) if not name.startswith(".")]
    except FileNotFoundError:
        return []


def orphans(layout: Layout, is_alive: Any) -> Iterator[tuple[str, int]]:
    """Owner directories whose process is gone, each with an fd that holds its lock now.

    *is_alive* tells whether an `Owner` still runs. A forked child of a dead owner may have
    inherited its lock, so the lock alone is not believed.
    """
    for name in names(layout):
        if not is_name(name) and name != STEADY:
            continue  # it is not ours, so nobody is dead
        path = f"{layout.owners}/{name}"
        try:
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        if _is_locked(fd):
            try:
                owner = records.read(f"{path}/owner.json", Owner)
            except StoreError:  # somebody holds it, and nobody knows who that is
                owner = None
            if owner is None or is_alive(owner):
                os.close(fd)
                continue
        yield name, fd


def is_held(layout: Layout, name: str) -> bool:
    """Whether somebody holds the lock of that owner directory: all that is known where it does
    not say (any more) whose it is.
    """
    try:
        fd = os.open(f"{layout.owners}/{name}", os.O_RDONLY | os.O_DIRECTORY | _SAFELY)
    except OSError:
        return False
    try:
        return _is_locked(fd)
    finally:
        os.close(fd)


_SAFELY = os.O_NOFOLLOW | os.O_CLOEXEC


def _is_locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def containers_of(layout: Layout, owner: str) -> list[str]:
    """The ids of the containers in an owner directory."""
    try:
        found = os.listdir(f"{layout.owners}/{owner}")
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):  # it is no owner's directory
            return []
        raise
    return [name for name in found if _ID.fullmatch(name)]


def claim_name(
    layout: Layout, name: str, owner: str, container_id: str, record: str = ""
) -> str | None:
    """Give *name* to a container; or the id of the one that has it already.

    A name is another link to the container's *record*, which tells where it is (it costs no
    inode); where there is none yet, a symbolic link tells it. Raises `StoreError`.
    """
    path = f"{layout.names}/{name}"
    while True:
        try:
            if record and _linked(record, path):
                return None
            os.symlink(f"{owner}/{container_id}", path)
        except FileExistsError:
            holder = holder_of(layout, name)
            if holder is None and os.path.lexists(path) and holder_of(layout, name) is None:
                raise StoreError(path, "is no container's name", "move it away") from None
            if holder is None:
                continue  # it has just been given back
            if is_gone(layout, *holder):
                release_name(layout, name, *holder)  # left behind by a kill
                continue
            return holder[1]
        except OSError as error:
            records.refuse(path, error)
        return None


def is_gone(layout: Layout, owner: str, container_id: str) -> bool:
    """Whether nothing is left of a container, so that a name it had is free.

    One of nobody's may still be in the directory of who makes it: it moves from there to its
    own place, never back, so it is looked for in that order.
    """
    drafts = names(layout) if owner == STEADY else ()
    places = [*(layout.home(maker, container_id) for maker in drafts if maker != STEADY)]
    return not any(os.path.isdir(home.path) for home in (*places, layout.home(owner, container_id)))


def holder_of(layout: Layout, name: str) -> tuple[str, str] | None:
    """Owner and id of the container called *name*."""
    path = f"{layout.names}/{name}"
    try:
        owner, _, container_id = os.readlink(path).partition("/")
    except ValueError:
        return None
    except OSError as error:
        if error.errno != errno.EINVAL:  # it is no symbolic link
            return None
        try:
            return records.place_in(path)
        except OSError:
            return None
    return (owner, container_id) if _ID.fullmatch(container_id) else None


def names_of(layout: Layout, owner: str, container_id: str) -> list[str]:
    """What a container is called, where its record does not tell."""
    wanted = owner, container_id
    return [name for name in os.listdir(layout.names) if holder_of(layout, name) == wanted]


def _linked(record: str, path: str) -> bool:
    """Whether this file system lets *path* be another name of *record*."""
    try:
        os.link(record, path)
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS):
            return False
        raise
    return True


def release_name(layout: Layout, name: str, owner: str, container_id: str) -> None:
    """Take *name* back, if that container still has it. Raises `StoreError`."""
    if holder_of(layout, name) != (owner, container_id):
        return
    try:
        lock = os.open(layout.names, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        records.refuse(layout.names, error)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # or between look and deed it may have become another's
        if holder_of(layout, name) == (owner, container_id):
            os.unlink(f"{layout.names}/{name}")
    except FileNotFoundError:
        pass
    except OSError as error:
        records.refuse(f"{layout.names}/{name}", error)
    finally:
        os.close(lock)
