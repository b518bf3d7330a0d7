"""One server of a registry: found, told who we are, asked again when it fails."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping
from threading import Event, Lock

from attrs import field, frozen

from pyengine.errors import (
    DigestMismatch,
    RateLimited,
    RegistryError,
    RegistryUnavailable,
    TimedOut,
)
from pyengine.images.auth import Authenticator, Scopes
from pyengine.images.connections import USUAL, Patience
from pyengine.images.credentials import Credentials, CredentialStore
from pyengine.images.endpoints import Endpoint, RegistrySettings
from pyengine.images.limits import DEFAULT, Limits
from pyengine.images.refusals import UNAVAILABLE, refusal
from pyengine.images.urls import Url
from pyengine.images.wire import Body, Reply, Wire, WireError

ATTEMPTS = 5
_FIRST, _LONGEST = 0.5, 20.0  # seconds between two attempts
_WAITS_AT_MOST = 60.0  # seconds: who is asked to stay away longer tells it the caller

Wait = Callable[[float], object]
Bodies = Body | Callable[[], Body] | None


@frozen
class Means:
    """What everybody who speaks to registries needs.

    *credentials* stand before what *store* knows. *timeout* (seconds) counts from when this is
    made; *stopping* ends everything. *foreign_layers*: whether URLs in manifests are asked.
    *wait* is for tests, which do not want to.
    """

    settings: RegistrySettings = field(factory=RegistrySettings)
    store: CredentialStore = field(factory=CredentialStore)
    credentials: Credentials | None = None
    limits: Limits = DEFAULT
    patience: Patience = USUAL
    attempts: int = ATTEMPTS
    foreign_layers: bool = False
    timeout: float | None = None
    environ: Mapping[str, str] = field(factory=lambda: os.environ, repr=False)
    stopping: Event = field(factory=Event)
    wait: Wait | None = None
    connections: int = 8
    _began: float = field(factory=time.monotonic)

    @property
    def deadline(self) -> float | None:
        """When time is over, by the monotonic clock."""
        return None if self.timeout is None else self._began + self.timeout

    def pause(self, seconds: float) -> None:
        """Wait, unless everything is to end."""
        (self.wait or self.stopping.wait)(seconds)

    def check(self, doing: str) -> None:
        """Raises `TimedOut` when time is over."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            raise TimedOut(doing, self.timeout or 0.0)


class Persistence:
    """Patience with failures: *failed* waits and returns, or raises when it was the last.

    The waiting grows, and is a different one for each of many clients.
    """

    def __init__(self, means: Means, doing: str, on_retry: Callable[[str], object] | None) -> None:
        self._means, self._doing, self._on_retry = means, doing, on_retry
        self._failures = 0

    def failed(self, error: RegistryError) -> None:
        """*error* is what an attempt came to."""
        means = self._means
        means.check(self._doing)
        self._failures += 1
        asked = error.retry_after if isinstance(error, RateLimited) else None
        too_long = asked is not None and asked > _WAITS_AT_MOST
        most = min(means.attempts, 3) if isinstance(error, DigestMismatch) else means.attempts
        if self._failures >= most or too_long or means.stopping.is_set():
            raise error
        grown = min(_FIRST * 2 ** (self._failures - 1), _LONGEST)
        seconds = grown * random.uniform(0.5, 1.5) if asked is None else asked + random.random()
        if means.deadline is not None:
            seconds = min(seconds, max(means.deadline - time.monotonic(), 0))
        if self._on_retry is not None:
            self._on_retry(error.why)
        means.pause(seconds)
        means.check(self._doing)

    def went_on(self) -> None:
        """There was progress: the next failure is the first again."""
        self._failures = 0


class Server:
    """A server, which is one of *endpoints*: the first that answers at all.

    They are the same host, by https and, where that is allowed, by http.
    """

    def __init__(self, endpoints: tuple[Endpoint, ...], means: Means) -> None:
        self.means = means
        self.registry = endpoints[0].registry
        self.host = endpoints[0].host
        self.is_mirror = endpoints[0].is_mirror
        self._wires = [
            Wire(
                one,
                patience=means.patience,
                deadline=means.deadline,
                environ=means.environ,
                connections=means.connections,
            )
            for one in endpoints
        ]
        self._is_settled = False
        self._lock = Lock()
        self.auth = Authenticator(self._wires[0], self._who_we_are, means.settings)

    def _who_we_are(self) -> Credentials:
        given = self.means.credentials
        if given is not None and not self.is_mirror:
            return given
        return self.means.store.get(self.host if self.is_mirror else self.registry)

    def place(self, target: str) -> Url:
        """The URL of *target*, such as ``/v2/``."""
        return _place(self._wires[0].endpoint, target)

    def checked(self, text: str, base: Url) -> Url:
        """A ``Location`` of this server: at its own origin. Raises `WireError`."""
        url = self._wires[0].checked(text, base)
        if url.origin != base.origin:
            raise WireError(f"it sends us to {url.host} to go on", can_retry=False)
        return url

    def open(
        self,
        method: str,
        target: str | Url,
        scopes: Scopes,
        headers: Mapping[str, str] | None = None,
        body: Bodies = None,
    ) -> Reply:
        """One request, with what it takes to be let in; a *body* may be made anew for each.

        Raises `WireError` where there is no answer, `Unauthorized` and others of the
        conversation about who we are.
        """
        for _ in range(3):  # as anybody; as ourselves; as ourselves with a new token
            used = self.auth.header(scopes)
            reply = self._settle(method, target, headers or {}, used, body)
            if reply.status != 401 or reply.was_redirected:
                return reply
            with reply:
                reply.words()
                self.auth.challenged(reply, scopes, used)
        return reply

    def open_once(self, method: str, target: str) -> Reply:
        """One request as anybody, whatever is said to it. Raises `WireError`."""
        return self._settle(method, target, {}, "", None)

    def _settle(
        self, method: str, target: str | Url, headers: Mapping[str, str], used: str, body: Bodies
    ) -> Reply:
        if self._is_settled:
            return self._sent(self._wires[0], method, target, headers, used, body)
        with self._lock:
            for wire in self._wires:
                try:
                    reply = self._sent(wire, method, target, headers, used, body)
                except WireError as error:
                    if wire is self._wires[-1] or not error.may_be_other_scheme:
                        raise
                    continue
                if not self._is_settled:
                    self._is_settled = True
                    if wire is not self._wires[0]:
                        self.auth = Authenticator(wire, self._who_we_are, self.means.settings)
                        self._wires = [wire]
                break
        return reply

    def _sent(
        self,
        wire: Wire,
        method: str,
        target: str | Url,
        headers: Mapping[str, str],
        used: str,
        body: Bodies,
    ) -> Reply:
        url = _place(wire.endpoint, target) if isinstance(target, str) else target
        made = body() if callable(body) else body
        return wire.open(method, url, headers, authorization=used, body=made)

    def open_elsewhere(self, text: str, headers: Mapping[str, str]) -> Reply:
        """Ask for a URL that a manifest names, as anybody. Raises `WireError`."""
        wire = self._wires[0]
        return wire.open("GET", wire.checked(text, wire.endpoint.url), headers)

    def stop(self) -> None:
        """End whatever is under way."""
        for wire in self._wires:
            wire.stop()

    def close(self) -> None:
        """Close the connections."""
        for wire in self._wires:
            wire.close()

    def persistence(
        self, doing: str, on_retry: Callable[[str], object] | None = None
    ) -> Persistence:
        """How often, and after what time, *doing* is tried again."""
        return Persistence(self.means, doing, on_retry)

    def failure(self, error: WireError, doing: str, image: str, digest: str = "") -> RegistryError:
        """*error*, in the words of who was *doing* something."""
        remedy = ""
        if "certificate" in error.why:
            remedy = f"put its authority's certificate into /etc/docker/certs.d/{self.host}/ca.crt"
        why = f"{doing}: {error.why}"
        if error.can_retry:
            return RegistryUnavailable(self.host, why, image, digest, remedy)
        return RegistryError(self.host, why, image, digest, remedy)

    def refusal(self, reply: Reply, doing: str, image: str, digest: str = "") -> RegistryError:
        """What the status of *reply* means; its body is read, and what we have shown left out."""
        body = self.auth.without_secrets(reply.words())
        host = f"{self.host} ({reply.url.host})" if reply.was_redirected else self.host
        return refusal(host, reply.status, reply.headers, body, doing, image, digest)


def may_be_over(status: int) -> bool:
    """Whether the same request may succeed later."""
    return status in UNAVAILABLE or status == 429


def _place(endpoint: Endpoint, target: str) -> Url:
    base = endpoint.url
    return Url(base.scheme, base.host, base.port, base.path.rstrip("/") + target)
