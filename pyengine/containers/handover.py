"""What a keeper that was killed hands over to the next: descriptors, which its guard has kept.

=============  =====================================  ==========================================
What is kept   Without it                             When it is let go
=============  =====================================  ==========================================
a terminal     the program would get SIGHUP           its end is recorded
its input      the program would see the end of it    the same, or its input has been closed
its outputs    what nobody has read would go with     its end is recorded
               its last process
a pidfd        how it ended while nobody watched      the same
               would be unknown (Linux 6.15)
=============  =====================================  ==========================================
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from pyengine.containers import packets
from pyengine.linux.native_guard import DeadOnesGuard
from pyengine.store.layout import Layout

if TYPE_CHECKING:
    from pyengine.containers.guarding import Guard

STDIN, STDOUT, STDERR, PIDFD = range(1, 5)
"""What is kept of a container. The master of its terminal counts as its output."""

PARTS = STDIN, STDOUT, STDERR, PIDFD

_DOOR = ".held"
_PATIENCE = 5.0


def key_of(container_id: str, part: int) -> int:
    """The number by which a guard knows *part* of a container."""
    return int(container_id[:15], 16) << 4 | part


def keep(guard: Guard, container_id: str, **fds: int) -> None:
    """Have *guard* keep what there is of *stdin*, *stdout*, *stderr* and *pidfd*."""
    for part, name in zip(PARTS, ("stdin", "stdout", "stderr", "pidfd"), strict=True):
        if fds.get(name, -1) >= 0:
            guard.keep(key_of(container_id, part), fds[name])


def let_go(guard: Guard, container_id: str, *parts: int) -> None:
    """*guard* need keep no more of these *parts*: of none, if none are named."""
    for part in parts or PARTS:
        guard.unkeep(key_of(container_id, part))


# --- doors: a socket beside the owner's desk, at which its guard answers once it is dead ---


def door_of(owner: str) -> str:
    """The name of an owner's door."""
    return f"{owner}{_DOOR}"


def open_door(layout: Layout, owner: str) -> socket.socket:
    """Make one, and listen; nobody answers as long as the owner lives. Raises `OSError`."""
    os.makedirs(layout.desks, 0o700, exist_ok=True)
    place = os.open(layout.desks, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        door.bind(f"/proc/self/fd/{place}/{door_of(owner)}")
        door.listen(8)
    except OSError:
        door.close()
        raise
    finally:
        os.close(place)
    return door


def close_door(layout: Layout, owner: str, door: socket.socket) -> None:
    """Take the name back, and let nobody in any more."""
    with suppress(FileNotFoundError):
        os.unlink(f"{layout.desks}/{door_of(owner)}")
    door.close()


def visit(layout: Layout, owner: str) -> DeadOnesGuard | None:
    """The guard of *owner*, who is dead; `None` where that has gone with it."""
    try:
        place = os.open(layout.desks, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        line.settimeout(_PATIENCE)
        line.connect(f"/proc/self/fd/{place}/{door_of(owner)}")
        if packets.peer_uid(line) in (0, os.geteuid()):
            return DeadOnesGuard(line)
    except OSError:  # it was killed too, or never was
        pass
    finally:
        os.close(place)
    line.close()
    return None


def doors(layout: Layout) -> Iterator[str]:
    """The owners who have, or had, a door."""
    try:
        names = os.listdir(layout.desks)
    except FileNotFoundError:
        return
    for name in names:
        if name.endswith(_DOOR):
            yield name.removesuffix(_DOOR)


def forget(layout: Layout, owner: str) -> None:
    """Nobody wants anything of *owner*, who is dead, any more."""
    guard = visit(layout, owner)
    if guard is not None:
        with suppress(OSError):  # it has just left
            guard.dismiss()
        guard.close()
    with suppress(FileNotFoundError):  # or it was quicker
        os.unlink(f"{layout.desks}/{door_of(owner)}")
