"""A process that unpacks and packs layers as root of a user namespace: whose ids its caller lacks.

It is asked on its standard input, a socket of packets: a request is a JSON object, beside it come
the fds of a directory, of a channel, and for packing of where the archive goes. An archive to
unpack comes through the channel, to its end; the answer goes back through it, a JSON object. Each
request has a thread. When nobody can ask any more the process ends, whatever it is at.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Mapping
from typing import Any

from attrs import asdict

from pyengine.errors import EngineError, InvalidContent, KernelError, NoSpace
from pyengine.linux.native_layers import Unpacker, pack

MOST_REQUEST = 4096
"""Bytes of a request."""

TAKEN = b"+"
"""What is said of a request first of all."""

_PIECE = 1 << 20


def error_as_json(error: EngineError) -> dict[str, object]:
    """*error* for who asked; `error_from_json` is the other way round."""
    if isinstance(error, InvalidContent):
        return {"content": [error.what, error.why]}
    if isinstance(error, NoSpace):
        return {"space": [error.path, error.why, error.remedy]}
    if isinstance(error, KernelError):
        return {"kernel": [error.errno, error.doing, error.hint]}
    return {"kernel": [0, str(error), ""]}


def error_from_json(said: Mapping[str, Any]) -> EngineError:
    """The error that `error_as_json` has told of."""
    if "content" in said:
        return InvalidContent(*said["content"])
    if "space" in said:
        return NoSpace(*said["space"])
    return KernelError(*said["kernel"])


def _unpack(options: dict[str, Any], directory: int, channel: socket.socket) -> dict[str, object]:
    room = memoryview(bytearray(_PIECE))
    with Unpacker(directory, **options) as unpacker:
        while size := channel.recv_into(room):
            unpacker.feed(room[:size])
        return asdict(unpacker.finish())


def _serve(request: dict[str, Any], fds: list[int]) -> None:
    directory, channel = fds[0], socket.socket(fileno=fds[1])
    options = request["options"]
    with channel:
        try:
            channel.sendall(TAKEN, socket.MSG_NOSIGNAL)
            if request["do"] == "unpack":
                answer = _unpack(options, directory, channel)
            else:
                answer = asdict(pack(directory, fds[2], **options))
        except EngineError as error:
            answer = {"error": error_as_json(error)}
        except OSError:
            return  # who asked has gone
        finally:
            for fd in (directory, *fds[2:]):
                os.close(fd)
        try:
            channel.sendall(json.dumps(answer).encode(), socket.MSG_NOSIGNAL)
        except OSError:
            pass  # who asked does not want to know


def main() -> int:
    """Serve whoever holds the other end of standard input."""
    asked = socket.socket(fileno=os.dup(0))
    while True:
        data, fds, _, _ = socket.recv_fds(asked, MOST_REQUEST, 3)
        if not data:
            os._exit(0)  # threads that are at work have nobody to work for
        threading.Thread(target=_serve, args=(json.loads(data), fds)).start()


if __name__ == "__main__":
    sys.exit(main())
