"""Requests over urllib3 that are patient and suspicious: no stall, no flood, no wrong peer."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any

import urllib3
from urllib3 import exceptions as broken

from pyengine.errors import InvalidRequest, Unsupported
from pyengine.images.connections import (
    USUAL,
    Patience,
    Refused,
    Watch,
    pool_classes,
)
from pyengine.images.endpoints import Endpoint, proxy_of, tls_context
from pyengine.images.secret import Secret
from pyengine.images.urls import Url, is_forbidden, is_loopback
from pyengine.version import __version__

PIECE = 256 << 10
"""Bytes that are read at once at most."""

_HOPS = 5  # redirects of one request
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAME_METHOD = frozenset({307, 308})
_WORDS = 64 << 10  # bytes that anybody reads of an answer that is no success
_AGENT = f"pyengine/{__version__}"
Body = bytes | Iterable[bytes]


class WireError(Exception):
    """A request came to no answer, or an answer to no end: *why*, in our own words.

    urllib3's words hold whole URLs, and these may hold signatures. *may_be_other_scheme*: nobody
    has answered, or not by TLS; by plain http there may be somebody.
    """

    def __init__(
        self, why: str, *, can_retry: bool = True, may_be_other_scheme: bool = False
    ) -> None:
        super().__init__(why)
        self.why, self.can_retry = why, can_retry
        self.may_be_other_scheme = may_be_other_scheme


class Reply:
    """An answer whose body is still to come; closes with its ``with`` block."""

    def __init__(self, response: urllib3.BaseHTTPResponse, url: Url, watch: Watch) -> None:
        self._response, self.url, self._watch = response, url, watch
        self.was_redirected = False  # to another origin
        self.status: int = response.status
        self.headers: Mapping[str, str] = response.headers

    def all_of(self, name: str) -> list[str]:
        """Every header *name*."""
        return list(self._response.headers.getlist(name))

    def pieces(self, most: int) -> Iterator[bytes]:
        """The body as it comes. Raises `WireError` when it breaks, or has more than *most*."""
        self._watch.expect(most)
        while True:
            try:
                data = self._response.read1(PIECE, decode_content=False)
            except Exception as error:  # noqa: BLE001 — what is none of the wire's goes on as it is
                raise _in_words(error) from None
            if not data:
                return
            most -= len(data)
            if most < 0:
                raise WireError("it sends more than it should", can_retry=False)
            yield data

    def read(self, most: int) -> bytes:
        """The whole body, of *most* bytes. Raises `WireError`."""
        return b"".join(self.pieces(most))

    def words(self) -> bytes:
        """The beginning of a body that is only for its words; nothing if it cannot be had."""
        got = bytearray()
        try:
            for data in self.pieces(_WORDS):
                got += data
        except WireError:
            pass
        return bytes(got)

    def close(self) -> None:
        """Give the connection back, or end it where the body has not come to its end."""
        self._watch.end()
        self._response.close()

    def __enter__(self) -> Reply:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()


class Wire:
    """Connections to *endpoint*, and to wherever it sends us.

    *deadline* is a moment of the monotonic clock. Threads may share it; `stop` ends what all of
    them are waiting for.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        patience: Patience = USUAL,
        deadline: float | None = None,
        environ: Mapping[str, str] | None = None,
        connections: int = 8,
    ) -> None:
        self.endpoint = endpoint
        self._patience = patience
        self._deadline = deadline
        self._environ = os.environ if environ is None else environ
        self._connections = connections
        self._managers: dict[tuple[str, bool], urllib3.PoolManager] = {}
        self._watches: set[Watch] = set()
        self._lock = threading.Lock()
        self._is_stopped = False
        self._own_is_local = is_loopback(endpoint.url.bare_host)

    def open(
        self,
        method: str,
        url: Url,
        headers: Mapping[str, str],
        *,
        authorization: str = "",
        body: Body | None = None,
    ) -> Reply:
        """Ask for *url*, and follow where that leads: so many times.

        *authorization* goes to the origin of *url*, and to no other. Raises `WireError`.
        """
        first = url
        for _ in range(_HOPS + 1):
            sent = {"User-Agent": _AGENT, "Accept-Encoding": "identity", **headers}
            if authorization and url.origin == first.origin:
                sent["Authorization"] = Secret(authorization)
            reply = self._once(method, url, sent, body)
            reply.was_redirected = url.origin != first.origin
            place = reply.headers.get("Location")
            if reply.status not in _REDIRECTS or not place:
                return reply
            with reply:
                reply.words()
                url = self.checked(place, url)
                if method not in ("GET", "HEAD"):
                    if reply.status not in _SAME_METHOD or not isinstance(body, bytes | None):
                        raise WireError(f"it redirects a {method}", can_retry=False)
                    if url.origin != first.origin:  # what we send is for whom we chose
                        raise WireError(f"it redirects a {method} to {url.host}", can_retry=False)
        raise WireError(f"it redirects more than {_HOPS} times", can_retry=False)

    def checked(self, text: str, base: Url) -> Url:
        """The place *text* that *base* sends us to. Raises `WireError` where we shall not go."""
        try:
            url = Url.parse(text, base)
        except InvalidRequest as error:
            raise WireError(f"it sends us to no valid place: {error.why}", can_retry=False) from (
                None
            )
        if base.scheme == "https" and url.scheme != "https":
            raise WireError("it sends us from https to http", can_retry=False)
        if url.origin != self.endpoint.url.origin and not self._may_reach(url.bare_host):
            raise WireError(f"it sends us to {url.host}, which is not public", can_retry=False)
        return url

    def _may_reach(self, host: str) -> bool:
        return not is_forbidden(host) and (self._own_is_local or not is_loopback(host))

    def stop(self) -> None:
        """End every request that is under way, and let none begin."""
        with self._lock:
            self._is_stopped = True
            watches = list(self._watches)
        for watch in watches:
            watch.stop()

    def close(self) -> None:
        """Close every connection that nobody uses."""
        with self._lock:
            managers = list(self._managers.values())
            self._managers.clear()
        for manager in managers:
            manager.clear()

    def _once(self, method: str, url: Url, headers: dict[str, str], body: Body | None) -> Reply:
        is_own = url.origin == self.endpoint.url.origin
        watch = Watch(self._patience, self._deadline, self._ended)
        with self._lock:
            if self._is_stopped:
                raise WireError("stopped", can_retry=False)
            self._watches.add(watch)
        try:
            watch.check()
            with watch.for_this_thread():
                response = self._manager(url, is_own).urlopen(
                    method, str(url), body=body, headers=headers, redirect=False,
                    retries=False, preload_content=False, decode_content=False,
                    assert_same_host=False, timeout=watch.timeout(),
                )  # fmt: skip
            if is_own:
                self._own_is_local |= watch.peer_is_loopback
        except Exception as error:  # noqa: BLE001 — as in `Reply.pieces`
            watch.end()
            raise _in_words(error) from None
        except BaseException:
            watch.end()
            raise
        return Reply(response, url, watch)

    def _ended(self, watch: Watch) -> None:
        with self._lock:
            self._watches.discard(watch)

    def _manager(self, url: Url, is_own: bool) -> urllib3.PoolManager:
        proxy = proxy_of(url, self._environ)
        with self._lock:
            if (proxy, is_own) not in self._managers:
                self._managers[proxy, is_own] = self._new_manager(proxy, is_own)
            return self._managers[proxy, is_own]

    def _new_manager(self, proxy: str, is_own: bool) -> urllib3.PoolManager:
        """Our certificates are shown to the endpoint itself, and to nobody that it names."""
        endpoint = self.endpoint
        if is_own:
            context = tls_context(endpoint.verify, endpoint.certificates)
        else:
            context = tls_context(endpoint.verify)
        more: dict[str, Any] = {
            "ssl_context": context,
            "maxsize": self._connections,
            "blocksize": 65_536,
        }
        if not endpoint.verify:
            more |= {"cert_reqs": "CERT_NONE", "assert_hostname": False}
        manager: urllib3.PoolManager
        if proxy:
            place, headers = _proxy(proxy)
            manager = urllib3.ProxyManager(place, proxy_headers=headers, **more)
        else:
            manager = urllib3.PoolManager(**more)
        guard = None if is_own or proxy else self._may_reach
        manager.pool_classes_by_scheme = pool_classes(guard)
        return manager


def _proxy(text: str) -> tuple[str, dict[str, str]]:
    """A proxy as urllib3 takes it: without the user in its name."""
    scheme, _, rest = text.partition("://")
    user, at, host = rest.rpartition("@")
    if scheme.lower() not in ("http", "https"):
        raise Unsupported(f"a {scheme} proxy", "only http and https ones", "name another proxy")
    url = Url.parse(f"{scheme}://{host.rstrip('/')}", what="proxy")
    headers: dict[str, str] = {}
    if at:
        from urllib.parse import unquote

        made = urllib3.util.make_headers(proxy_basic_auth=unquote(user))
        headers = {name: Secret(value) for name, value in made.items()}
    return str(url), headers


def _in_words(error: Exception) -> Exception:
    """What went wrong below, as `WireError`; or what is none of the wire's errors, as it is."""
    if isinstance(error, Refused):
        return WireError(error.why, can_retry=error.can_retry)
    if isinstance(error, broken.SSLError):
        return _tls_in_words(error)
    if isinstance(error, broken.ProxyError):
        return WireError("the proxy refuses, or cannot be reached", may_be_other_scheme=True)
    if isinstance(error, broken.NameResolutionError):
        return WireError("its name is not known here", may_be_other_scheme=True)
    if isinstance(error, broken.ConnectTimeoutError) and not isinstance(
        error,
        broken.NewConnectionError,  # whose parent it is
    ):
        return WireError("it does not answer: connecting took too long", may_be_other_scheme=True)
    if isinstance(error, broken.ReadTimeoutError | TimeoutError):
        return WireError("it has said nothing for too long")
    if isinstance(error, broken.HTTPError | OSError):
        why = f"the connection failed: {_reason(error)}"
        return WireError(why, may_be_other_scheme=isinstance(error, broken.NewConnectionError))
    return error


def _tls_in_words(error: Exception) -> WireError:
    reason = ""
    for one in _causes(error):
        reason = getattr(one, "reason", None) or reason
        said = getattr(one, "verify_message", None)
        if said:
            return WireError(f"its certificate is not to be believed: {said}", can_retry=False)
    no_tls = str(reason) in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE",
                             "UNKNOWN_PROTOCOL", "UNEXPECTED_MESSAGE")  # fmt: skip
    words = str(reason).replace("_", " ").lower() if isinstance(reason, str) else "no reason given"
    return WireError(f"TLS failed: {words}", can_retry=not no_tls, may_be_other_scheme=no_tls)


def _reason(error: BaseException) -> str:
    for one in _causes(error):
        if isinstance(one, OSError) and one.strerror and not isinstance(one, socket.gaierror):
            return one.strerror.lower()
    names = [type(one).__name__ for one in _causes(error)]
    return "it ended too early" if "IncompleteRead" in names else names[-1]


def _causes(error: BaseException) -> Iterator[BaseException]:
    """*error*, and what it was made of, wherever urllib3 has put that."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__, *one.args, getattr(one, "reason", None)]
