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
from contextlib import suppress
from typing import TYPE_CHECKING

from pyengine.containers import packets
from pyengine.linux.native_guard import DeadOnesGuard
from pyengine.store.layout import Layout

if TYPE_CHECKING:
    from pyengine.containers.guarding import Guard
    from pyengine.containers.running import Running

STDIN, STDOUT, STDERR, PIDFD = range(1, 5)
"""What is kept of a container. The master of its terminal counts as its output."""

PARTS = STDIN, STDOUT, STDERR, PIDFD

_DOOR = ".held"
_PATIENCE = 5.0


def key_of(container_id: str, part: int) -> int:
    """The number by which a guard knows *part* of a container."""
    return int(container_id[:15], 16) << 4 | part


def keep_all(guard: Guard, running: Running) -> None:
    """Have *guard* keep what there is of a program that we watch."""
    container_id, streams = running.spec.id, running.born.streams
    stdin = -1 if running.spec.tty else running.stdin  # a terminal is one thing
    for part, fd in zip(
        PARTS, (stdin, streams.stdout, streams.stderr, running.born.pidfd), strict=True
    ):
        if fd >= 0:
            guard.keep(key_of(container_id, part), fd)
    if not running.spec.tty:
        running.loses_stdin = lambda: let_go(guard, container_id, STDIN)


def take_all(guard: DeadOnesGuard, container_id: str) -> dict[int, int]:
    """What was kept of a container, by its part; all of it the caller's to close.

    Raises `OSError`; nothing is lost then.
    """
    taken: dict[int, int] = {}
    try:
        for part in PARTS:
            fd = guard.take(key_of(container_id, part))
            if fd >= 0:
                taken[part] = fd
    except BaseException:
        for fd in taken.values():
            os.close(fd)
        raise
    return taken


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
    with suppress(OSError):  # it is gone, or the next opener tries again
        os.unlink(f"{layout.desks}/{door_of(owner)}")
    door.close()


def visit(layout: Layout, owner: str) -> DeadOnesGuard | None:
    """The guard of *owner*, who is dead; `None` where that has gone with it."""
    try:
        line, _ = packets.dial(layout.desks, door_of(owner), _PATIENCE)
    except OSError:  # it was killed too, or never was
        return None
    if packets.peer_uid(line) in (0, os.geteuid()):
        return DeadOnesGuard(line)
    line.close()
    return None


def forget(layout: Layout, owner: str) -> None:
    """Nobody wants anything of *owner*, who is dead, any more."""
    guard = visit(layout, owner)
    if guard is not None:
        with suppress(OSError):  # it has just left
            guard.dismiss()
        guard.close()
    with suppress(OSError):  # it was quicker, or the next opener tries again
        os.unlink(f"{layout.desks}/{door_of(owner)}")
