"""Connections that end when their peer dawdles, floods us, or is somebody whom we do not ask."""

from __future__ import annotations

import functools
import http.client
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import urllib3
from attrs import frozen
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from pyengine.images.urls import is_loopback

_HEADERS = 256 << 10  # bytes of status line and headers
_SLACK = 1 << 20  # bytes that the framing of a body may take, beside as many as its own
_WINDOW = 30.0  # seconds over which the slowest speed is measured

MayReach = Callable[[str], bool]


@frozen
class Patience:
    """How long we wait for a server, in seconds; *slowest*: bytes a second, over half a minute."""

    connect: float = 10.0
    silence: float = 30.0
    headers: float = 60.0
    slowest: float = 256.0


USUAL = Patience()


class Refused(Exception):
    """We went no further with a connection, and say *why*."""

    def __init__(self, why: str, *, can_retry: bool = True) -> None:
        super().__init__(why)
        self.why, self.can_retry = why, can_retry


_here = threading.local()


class Watch:
    """What one request may cost: time for its headers, bytes and pace of its body."""

    def __init__(
        self, patience: Patience, deadline: float | None, ended: Callable[[Watch], None]
    ) -> None:
        self._patience, self._deadline, self._ended = patience, deadline, ended
        self._until = time.monotonic() + patience.connect + patience.headers
        self._is_in_headers = True
        self._budget = _HEADERS
        self._waited, self._came = 0.0, 0  # of the body: seconds, bytes
        self._sock: socket.socket | None = None
        self._is_stopped = False
        self.peer_is_loopback = False

    @contextmanager
    def for_this_thread(self) -> Iterator[None]:
        """Let the connections that this thread makes and uses be watched."""
        _here.watch = self
        try:
            yield
        finally:
            _here.watch = None

    def timeout(self) -> urllib3.Timeout:
        """What urllib3 shall allow by itself."""
        left = self._left()
        connect, silence = self._patience.connect, self._patience.silence
        return urllib3.Timeout(connect=min(connect, left), read=min(silence, left))

    def _left(self) -> float:
        """Seconds of the whole undertaking."""
        if self._deadline is None:
            return 1e9
        return max(self._deadline - time.monotonic(), 0.001)

    def uses(self, sock: socket.socket) -> None:
        """The request goes over *sock*."""
        self._sock = sock
        if self._is_stopped:
            self.stop()

    def check(self) -> None:
        """Raises `Refused` where we shall not go on."""
        if self._is_stopped:
            raise Refused("stopped", can_retry=False)
        now = time.monotonic()
        if self._deadline is not None and now >= self._deadline:
            raise Refused("there is no time left", can_retry=False)
        if self._is_in_headers and now >= self._until:
            raise Refused(f"its headers took more than {self._patience.headers:g} s")

    def next_wait(self) -> float:
        """For how many seconds the next bytes may keep us waiting."""
        self.check()
        wait = min(self._patience.silence, self._left())
        return min(wait, self._until - time.monotonic()) if self._is_in_headers else wait

    def got(self, count: int, seconds: float) -> None:
        """*count* bytes have come, after so many *seconds*.

        Raises `Refused` for too many, or too slow ones.
        """
        self.check()
        self._budget -= count
        if self._budget < 0:
            what = "headers" if self._is_in_headers else "data"
            raise Refused(f"it floods us with {what}", can_retry=False)
        if self._is_in_headers:
            return
        self._waited, self._came = self._waited + seconds, self._came + count
        if self._waited < _WINDOW:
            return
        if self._came / self._waited < self._patience.slowest:
            raise Refused(f"it sends less than {self._patience.slowest:g} bytes a second")
        self._waited, self._came = 0.0, 0

    def headers_came(self) -> None:
        """From here on it is the body; see `expect`."""
        self._is_in_headers = False
        self._budget = _SLACK

    def expect(self, size: int) -> None:
        """The body may have *size* bytes, and its framing as many."""
        self._budget = 2 * size + _SLACK

    def stop(self) -> None:
        """Wake whoever waits for this request; it has ended. Any thread may call it."""
        self._is_stopped = True
        if self._sock is not None:
            try:  # of the socket itself: that of TLS would take its state away from the reader
                socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
            except OSError:
                pass

    def end(self) -> None:
        """Nothing is left to be watched."""
        self._sock = None
        self._ended(self)


class _Reader(io.RawIOBase):
    """The bytes of a socket, as its watch allows."""

    def __init__(self, sock: socket.socket, watch: Watch) -> None:
        self._sock, self._watch = sock, watch
        self._raw: Any = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        self._sock.settimeout(self._watch.next_wait())
        began = time.monotonic()
        count: int = self._raw.readinto(buffer)
        self._watch.got(count, time.monotonic() - began)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(
        self,
        sock: socket.socket,
        debuglevel: int = 0,
        method: str | None = None,
        url: str | None = None,
        *,
        watch: Watch,
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self._watch = watch
        self.fp.close()
        self.fp = io.BufferedReader(_Reader(sock, watch), 65_536)

    def begin(self) -> None:
        super().begin()
        self._watch.headers_came()


class _Watched(HTTPConnection):
    """What both kinds of connections have in common."""

    may_reach: MayReach | None = None

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        peer = str(sock.getpeername()[0])
        watch: Watch = _here.watch
        watch.peer_is_loopback = is_loopback(peer)
        if self.may_reach is not None and not type(self).may_reach(peer):  # type: ignore[misc]
            sock.close()  # a name that was made to lead there
            raise Refused("it sends us to an address that is not public", can_retry=False)
        return sock

    def send(self, data: Any) -> None:
        watch: Watch = _here.watch
        if self.sock is not None:
            self.sock.settimeout(watch.next_wait())
        super().send(data)

    def getresponse(self) -> Any:
        watch: Watch = _here.watch
        if self.sock is not None:
            watch.uses(self.sock)
        self.response_class = functools.partial(_Answer, watch=watch)  # type: ignore[assignment]
        return super().getresponse()


class _WatchedTls(_Watched, HTTPSConnection):
    pass


class _QuietTlsPool(HTTPSConnectionPool):
    def _validate_conn(self, conn: Any) -> None:
        """Connect; urllib3 would warn its host program of what the settings have allowed."""
        if conn.is_closed:
            conn.connect()


def pool_classes(may_reach: MayReach | None) -> dict[str, type[HTTPConnectionPool]]:
    """Pools of watched connections, by scheme, to nobody but those whom *may_reach* allows."""
    allowed = None if may_reach is None else staticmethod(may_reach)
    plain = type("_Plain", (_Watched,), {"may_reach": allowed})
    tls = type("_Tls", (_WatchedTls,), {"may_reach": allowed})
    return {
        "http": type("_PlainPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
        "https": type("_TlsPool", (_QuietTlsPool,), {"ConnectionCls": tls}),
    }
