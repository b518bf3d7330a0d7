"""Packets with descriptors, sent and received whole over a desk's connection."""

from __future__ import annotations

import os
import socket

from pyengine.containers.desk_protocol import MESSAGE
from pyengine.errors import InvalidRequest

FDS = 8
"""Descriptors that may come with one packet."""


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
    data, fds, flags, _ = socket.recv_fds(line, MESSAGE, FDS, socket.MSG_CMSG_CLOEXEC)
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
