"""Descriptors received over a unix socket, which programs that this process starts do not get."""

from __future__ import annotations

import array
import socket


def receive(line: socket.socket, size: int, most: int) -> tuple[bytes, list[int], int]:
    """The next packet, at most *size* bytes, with at most *most* descriptors, the caller's to
    close; and its flags (recvmsg(2)).

    (`socket.recv_fds` takes no notice of the flags that it is given: CPython #107898.) Raises
    `OSError`.
    """
    found = array.array("i")
    room = socket.CMSG_LEN(most * found.itemsize)
    data, messages, flags, _ = line.recvmsg(size, room, socket.MSG_CMSG_CLOEXEC)
    for level, kind, content in messages:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(content[: len(content) - len(content) % found.itemsize])
    return data, found.tolist(), flags
