"""A server in front of a registry that does to a client whatever a network can do."""

from __future__ import annotations

import contextlib
import http.client
import re
import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from attrs import define, field, frozen

Action = Callable[["Exchange"], None]
PATIENCE = 20.0


@frozen
class Asked:
    """One request as it came; header names are small."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    secure: bool

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@frozen
class Answer:
    """What the server behind has answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def but(self, **changed: str | None) -> list[tuple[str, str]]:
        """The headers with some replaced; ``_`` stands for ``-``, `None` leaves one out."""
        names = {name.replace("_", "-").lower(): value for name, value in changed.items()}
        kept = [(k, v) for k, v in self.headers if k.lower() not in names]
        return kept + [(k, v) for k, v in names.items() if v is not None]


@define
class Rule:
    """What is done to the next *times* requests that *pattern* is found in."""

    pattern: re.Pattern[str]
    action: Action
    times: int | None


class Exchange:
    """One request, and the ways to answer it."""

    def __init__(self, handler: _Handler, asked: Asked) -> None:
        self._handler, self.asked = handler, asked
        self.server: Hostile = handler.server.hostile  # type: ignore[attr-defined]

    def ask(self) -> Answer:
        """Ask the server behind."""
        headers = {k: v for k, v in self.asked.headers.items() if k not in _OF_ONE_HOP}
        asked = self.asked
        connection = self.server.behind()
        with contextlib.closing(connection):
            connection.request(asked.method, asked.path, asked.body or None, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())

    def forward(self) -> None:
        """Answer as the server behind does."""
        answer = self.ask()
        self.say(answer.status, answer.headers, answer.body)

    def say(
        self, status: int, headers: list[tuple[str, str]] | dict[str, str], body: bytes = b""
    ) -> None:
        """A whole answer; the length is said unless *headers* say it."""
        given = list(headers.items()) if isinstance(headers, dict) else list(headers)
        names = {name.lower() for name, _ in given}
        if not names & {"content-length", "transfer-encoding"} and status != 204:
            given.append(("Content-Length", str(len(body))))
        self.head(status, given)
        if self.asked.method != "HEAD":
            self.raw(body)

    def head(self, status: int, headers: list[tuple[str, str]]) -> None:
        """A status line and headers."""
        lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, 'Odd')}"]
        lines += [f"{k}: {v}" for k, v in headers if k.lower() != "connection"]
        self.raw("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def raw(self, data: bytes) -> None:
        """Bytes, whatever they mean."""
        self._handler.wfile.write(data)

    def flood(self, data: bytes) -> None:
        """*data* again and again, until the client has had enough."""
        with contextlib.suppress(OSError):
            while not self.server.over.is_set():
                self.raw(data)
        self.cut()

    def cut(self) -> None:
        """Close the connection."""
        self._handler.close_connection = True

    def reset(self) -> None:
        """Close the connection as a firewall does."""
        option = (socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._handler.connection.setsockopt(*option)
        self.cut()

    def stall(self) -> None:
        """Say nothing more until the client has gone, or the server ends."""
        self.server.stalled.set()
        while not self.server.over.is_set():
            if select.select([self._handler.connection], [], [], 0.05)[0]:
                with contextlib.suppress(OSError):
                    if not self._handler.connection.recv(1):
                        break
        self.cut()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 0
    disable_nagle_algorithm = True

    def setup(self) -> None:
        hostile: Hostile = self.server.hostile  # type: ignore[attr-defined]
        if hostile.tls is None and self.request.recv(1, socket.MSG_PEEK) == b"\x16":
            self.request.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\nwe speak no TLS")
            raise ConnectionError("no TLS here")
        if hostile.tls is not None:
            wrapped = hostile.tls.wrap_socket(
                self.request, server_side=True, do_handshake_on_connect=False
            )
            try:
                wrapped.do_handshake()
            except OSError:
                wrapped.close()
                raise
            self.request = wrapped
        hostile.connections += 1
        super().setup()

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()
        if isinstance(self.request, ssl.SSLSocket):
            self.request.close()  # its server knows the socket below it only

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()

    def _serve(self) -> None:
        hostile: Hostile = self.server.hostile  # type: ignore[attr-defined]
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self._local_path(), headers, self._body(headers),
                      hostile.tls is not None)  # fmt: skip
        with hostile.lock:
            hostile.asked.append(asked)
            action = hostile.next_action(f"{asked.method} {self.path}")
        action(Exchange(self, asked))

    def _local_path(self) -> str:
        parts = urlsplit(self.path)
        if parts.scheme and parts.netloc:  # asked as a proxy
            return parts._replace(scheme="", netloc="").geturl()
        return self.path

    def _body(self, headers: dict[str, str]) -> bytes:
        if "chunked" in headers.get("transfer-encoding", ""):
            pieces = []
            while size := int(self.rfile.readline(), 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)
        return self.rfile.read(int(headers.get("content-length", 0)))

    def do_CONNECT(self) -> None:
        hostile: Hostile = self.server.hostile  # type: ignore[attr-defined]
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked("CONNECT", self.path, headers, b"", False)
        with hostile.lock:
            hostile.asked.append(asked)
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        self.close_connection = True
        with socket.create_connection(("127.0.0.1", hostile.tunnel_to), PATIENCE) as other:
            pairs = {self.connection: other, other: self.connection}
            while not hostile.over.is_set():
                for one in select.select(list(pairs), [], [], 0.05)[0]:
                    data = one.recv(65536)
                    if not data:
                        return
                    pairs[one].sendall(data)

    def __getattr__(self, name: str) -> object:
        if name.startswith("do_"):  # whatever the method is
            return self._serve
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:
        pass


_OF_ONE_HOP = {"connection", "transfer-encoding", "content-length", "proxy-authorization"}


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that leaves is what these tests are about


@define(slots=False)
class Hostile:
    """The server: what it was asked, and what it shall do."""

    upstream: int
    tls: ssl.SSLContext | None = None
    port: int = 0
    asked: list[Asked] = field(factory=list)
    connections: int = 0
    rules: list[Rule] = field(factory=list)
    over: threading.Event = field(factory=threading.Event)
    stalled: threading.Event = field(factory=threading.Event)
    lock: threading.Lock = field(factory=threading.Lock)
    tunnel_to: int = 0
    default: Action = Exchange.forward

    @property
    def address(self) -> str:
        """Where it listens: ``127.0.0.1:PORT``."""
        return f"127.0.0.1:{self.port}"

    def behind(self) -> http.client.HTTPConnection:
        """A connection to the server behind."""
        return http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=PATIENCE)

    def when(self, pattern: str, action: Action, times: int | None = None) -> None:
        """Do *action* to the next *times* requests (all) that *pattern* is found in.

        What is searched is ``METHOD PATH``; of several rules the last one said counts.
        """
        with self.lock:
            self.rules.insert(0, Rule(re.compile(pattern), action, times))

    def next_action(self, line: str) -> Action:
        """What is to be done to the request *line*."""
        for rule in self.rules:
            if rule.times != 0 and rule.pattern.search(line):
                if rule.times is not None:
                    rule.times -= 1
                return rule.action
        return self.default

    def heard(self, pattern: str) -> list[Asked]:
        """The requests so far that *pattern* is found in."""
        with self.lock:
            return [one for one in self.asked if re.search(pattern, str(one))]

    def forget(self) -> None:
        """Be as new."""
        with self.lock:
            self.asked.clear()
            self.rules.clear()
            self.stalled.clear()
            self.connections = 0


@contextlib.contextmanager
def hostile_server(upstream: int = 0, tls: ssl.SSLContext | None = None) -> Iterator[Hostile]:
    """A server on loopback in front of port *upstream*, until the block ends."""
    hostile = Hostile(upstream, tls)
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.hostile = hostile  # type: ignore[attr-defined]
        hostile.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield hostile
        finally:
            hostile.over.set()
            server.shutdown()
            thread.join()


def cut_after(count: int) -> Action:
    """Answer as the server behind, but break off after *count* bytes, or before the last one."""

    def cut(exchange: Exchange) -> None:
        answer = exchange.ask()
        exchange.head(answer.status, answer.headers)
        exchange.raw(answer.body[: min(count, len(answer.body) - 1)])
        exchange.cut()

    return cut


def stall_after(count: int) -> Action:
    """Answer as the server behind, but fall silent after *count* bytes, or before the last one."""

    def stall(exchange: Exchange) -> None:
        answer = exchange.ask()
        exchange.head(answer.status, answer.headers)
        exchange.raw(answer.body[: min(count, len(answer.body) - 1)])
        exchange.stall()

    return stall


def corrupt(exchange: Exchange) -> None:
    """Answer as the server behind, with one bit of the body flipped."""
    answer = exchange.ask()
    middle = len(answer.body) // 2
    body = bytearray(answer.body)
    if body:
        body[middle] ^= 1
    exchange.say(answer.status, answer.headers, bytes(body))


def status(code: int, body: bytes = b"", **headers: str) -> Action:
    """Answer with *code*; ``_`` in the names of *headers* stands for ``-``."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda exchange: exchange.say(code, given, body)


def redirect(place: str, code: int = 307) -> Action:
    """Send the client to *place*, where ``{path}`` is what it asked for."""

    def send(exchange: Exchange) -> None:
        exchange.say(code, {"Location": place.replace("{path}", exchange.asked.path)})

    return send
