"""Packets with descriptors, sent and received whole over a desk's connection."""

from __future__ import annotations

import os
import socket

from pyengine.containers.desk_protocol import MESSAGE
from pyengine.errors import InvalidRequest
from pyengine.linux import passing

FDS = 8
"""Descriptors that may come with one packet."""


def dial(directory: str, name: str, seconds: float) -> tuple[socket.socket, int]:
    """A connection to the socket *name* in *directory*, and whose that directory is.

    *seconds* are how long each packet may take. Raises `OSError`.
    """
    # a socket's name has room for 108 bytes (unix(7)), a directory may have a longer one
    place = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    try:
        line.settimeout(seconds)
        line.connect(f"/proc/self/fd/{place}/{name}")
        return line, os.fstat(place).st_uid
    except BaseException:
        line.close()
        raise
    finally:
        os.close(place)


def send(line: socket.socket, data: bytes, fds: tuple[int, ...] = ()) -> None:
    """Send one packet. Raises `OSError`."""
    if fds:
        socket.send_fds(line, [data], fds)
    else:
        line.send(data)


def receive(line: socket.socket) -> tuple[bytes, list[int]]:
    """The next packet, empty at the end, and what came with it: the caller's to close.

    Raises `OSError`, and `InvalidRequest` for one that was too long.
    """
    data, fds, flags = passing.receive(line, MESSAGE, FDS)
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        close(fds)
        raise InvalidRequest("packet", "a longer one", expected=f"{MESSAGE} bytes, {FDS} fds")
    return data, fds


def close(fds: list[int]) -> None:
    """Let go of descriptors that came."""
    for fd in fds:
        os.close(fd)
    fds.clear()


def peer_uid(line: socket.socket) -> int:
    """The user at the other end (unix(7), SO_PEERCRED)."""
    found = line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(found[4:8], "little")
