"""Unpacking and packing with users that this process has no right to, by another that has."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
from typing import Any

from pyengine.errors import EngineError, KernelError
from pyengine.linux import native
from pyengine.linux.layer_worker import TAKEN, error_from_json
from pyengine.linux.native_joiner import Joiner, instruct
from pyengine.linux.native_layers import MOST_BYTES, MOST_ENTRIES, Packed, Unpacked
from pyengine.linux.plan import Plan

MODULE = "pyengine.linux.layer_worker"
"""What runs in the other process."""

_ROOM = 1 << 20  # bytes on their way
_MOST_ANSWER = 1 << 16
_ENDED = "the process that does it has ended"


class LayerWorker:
    """A process of root of the users that *joiner* has, started when it is needed.

    *command* and *env* run `MODULE`. Whether these users are one only, so that files cannot be
    given away, is known from their ids. Threads may share it.

    >>> worker = LayerWorker(joiner, command, env)                          # doctest: +SKIP
    >>> unpacker = worker.unpacker(directory_fd)                            # doctest: +SKIP
    """

    def __init__(self, joiner: Joiner, command: tuple[str, ...], env: tuple[str, ...]) -> None:
        self._joiner = joiner
        self._plan = Plan(command, env)
        self._single = joiner.ids is not None and joiner.ids.is_single
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._pidfd = -1

    def unpacker(
        self,
        directory_fd: int,
        *,
        most_bytes: int = MOST_BYTES,
        most_entries: int = MOST_ENTRIES,
    ) -> RemoteUnpacker:
        """As `native_layers.Unpacker`, for an overlay that is mounted with ``userxattr``."""
        options = {
            "user_xattrs": True,
            "single_id": self._single,
            "most_bytes": most_bytes,
            "most_entries": most_entries,
        }
        return RemoteUnpacker(self._ask("unpack", options, (directory_fd,)))

    def pack(
        self,
        directory_fd: int,
        out_fd: int,
        *,
        overlay: bool = True,
        mtime: int | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> Packed:
        """As `native_layers.pack`, for an overlay that is mounted with ``userxattr``."""
        options = {
            "overlay": overlay,
            "user_xattrs": True,
            "mtime": mtime,
            "most_bytes": most_bytes,
        }
        with self._ask("pack", options, (directory_fd,), (out_fd,)) as channel:
            return Packed(**answer_of(channel))

    def close(self) -> None:
        """End the process, and wait until it is gone."""
        with self._lock:
            self._end()

    def _ask(
        self,
        what: str,
        options: dict[str, Any],
        before: tuple[int, ...],
        after: tuple[int, ...] = (),
    ) -> socket.socket:
        """Ask for *what*: the channel to go on by."""
        request = json.dumps({"do": what, "options": options}).encode()
        with self._lock:
            channel = self._try(request, before, after)
            if channel is None:  # somebody has killed it
                self._end()
                channel = self._try(request, before, after)
        if channel is None:
            raise KernelError(errno.EPIPE, f"{what} a layer", _ENDED)
        return channel

    def _try(
        self, request: bytes, before: tuple[int, ...], after: tuple[int, ...]
    ) -> socket.socket | None:
        """The channel, once the request was taken; nothing if there is nobody to take it."""
        if self._socket is None:
            self._start()
        assert self._socket is not None
        ours, theirs = socket.socketpair()
        try:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
            with theirs:
                fds = [*before, theirs.fileno(), *after]
                socket.send_fds(self._socket, [request], fds, socket.MSG_NOSIGNAL)
            if ours.recv(len(TAKEN)):
                return ours
        except (BrokenPipeError, ConnectionResetError):
            pass
        except BaseException:
            ours.close()
            raise
        ours.close()
        return None

    def _start(self) -> None:
        ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        try:
            with theirs:
                child = self._joiner.conceive(cgroup=-1)
                try:
                    instruct(child, self._plan, (theirs.fileno(), null, null))
                except BaseException:
                    native.end(child)
                    raise
            failure = native.hear(child)
            if failure is not None:
                native.bury(child)
                raise failure.error()
        except BaseException:
            ours.close()
            raise
        finally:
            os.close(null)
        self._socket, self._pidfd = ours, child.pidfd

    def _end(self) -> None:
        if self._socket is None:
            return
        ours, pidfd = self._socket, self._pidfd
        self._socket, self._pidfd = None, -1
        ours.shutdown(socket.SHUT_RDWR)  # a fork of ours may hold it too
        ours.close()
        native.wait(pidfd)
        os.close(pidfd)


class RemoteUnpacker:
    """`native_layers.Unpacker`, at work in another process; made by `LayerWorker`."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._error: EngineError | None = None

    def __enter__(self) -> RemoteUnpacker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Go on with *data*. Raises what has gone wrong with it, or with something before it."""
        if self._error is not None:
            raise self._error
        try:
            self._channel.sendall(data, socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError):
            self._finish()
            raise KernelError(
                errno.EPIPE, "unpack a layer", "the process that does it has ended"
            ) from None

    def finish(self) -> Unpacked:
        """That was all; see `native_layers.Unpacker.finish`."""
        return Unpacked(**self._finish())

    def close(self) -> None:
        """Let go of it; what is unpacked stays as it is, and nothing more comes."""
        try:
            self._channel.shutdown(socket.SHUT_WR)
            while self._channel.recv(_MOST_ANSWER):
                pass
        except OSError:
            pass  # it has been closed, or the other end has
        self._channel.close()

    def _finish(self) -> dict[str, Any]:
        if self._error is not None:
            raise self._error
        try:
            try:
                self._channel.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it has gone, and left its answer
            return answer_of(self._channel)
        except EngineError as error:
            self._error = error
            raise


def answer_of(channel: socket.socket) -> dict[str, Any]:
    """What is said at the other end of *channel*; raises the error it tells of."""
    said = b""
    try:
        while (piece := channel.recv(_MOST_ANSWER)) and len(said) < _MOST_ANSWER:
            said += piece
    except ConnectionResetError:
        pass  # it has not read all of what came
    if not said:
        raise KernelError(errno.EPIPE, "unpack or pack a layer", _ENDED)
    answer: dict[str, Any] = json.loads(said)
    if "error" in answer:
        raise error_from_json(answer["error"])
    return answer
