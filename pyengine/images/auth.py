"""The conversation in which a registry learns who we are: Basic, or tokens (row I16)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

from attrs import frozen

from pyengine.errors import RegistryError, RegistryUnavailable, Unauthorized
from pyengine.images.challenges import Challenge, parse_challenges
from pyengine.images.credentials import Credentials
from pyengine.images.endpoints import RegistrySettings
from pyengine.images.secret import Secret, SecretBytes
from pyengine.images.urls import Url
from pyengine.images.wire import Reply, Wire, WireError

CLIENT = "pyengine"
_ANSWER = 1 << 20  # bytes of a token server's answer
_LIFETIME = 60.0  # seconds of a token that says nothing about it
_MARGIN = 0.1  # of its lifetime: a token that is nearly over may be over when it arrives
# where POST is not known: GCR says 404, Artifactory 401, ACR 400, others 405 or 501
_TRY_GET = frozenset({400, 401, 404, 405, 501})

Scopes = tuple[str, ...]


@frozen
class Token:
    """What a token server gave: until when, by the monotonic clock, and how to get another."""

    header: Secret
    until: float
    refresh: Secret


class Authenticator:
    """What one endpoint has to be shown. Threads share it.

    *credentials* is asked once, when the endpoint asks who we are: a helper takes its time.
    """

    def __init__(
        self,
        wire: Wire,
        credentials: Callable[[], Credentials],
        settings: RegistrySettings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wire, self._settings, self._clock = wire, settings, clock
        self._ask_credentials = credentials
        self._credentials: Credentials | None = None
        self._challenge: Challenge | None = None
        self._tokens: dict[Scopes, Token] = {}
        self._lock = threading.Lock()

    @property
    def credentials(self) -> Credentials:
        """Who we are here."""
        if self._credentials is None:
            self._credentials = self._ask_credentials()
        return self._credentials

    def header(self, scopes: Scopes) -> Secret:
        """The ``Authorization`` for a request that needs *scopes*; "" as long as nobody asked."""
        with self._lock:
            if self._challenge is None:
                return Secret("")
            return self._header(self._challenge, scopes)

    def challenged(self, reply: Reply, scopes: Scopes, used: str) -> None:
        """*reply*, to a request that showed *used*, was 401: the next `header` may be better.

        Raises `Unauthorized` where it cannot be, `RegistryError` for what cannot be understood.
        """
        challenges = parse_challenges(reply.all_of("WWW-Authenticate"))
        with self._lock:
            self._challenge = self._chosen(challenges)
            if used.startswith("Bearer"):
                token = self._tokens.get(scopes)
                if token is not None and token.header == used:
                    del self._tokens[scopes]
            elif used:
                raise self._unauthorized("it does not accept the credentials")
            if self._challenge.scheme == "basic" and not self.credentials.username:
                raise self._unauthorized("it wants a user name and a password")

    def _chosen(self, challenges: Sequence[Challenge]) -> Challenge:
        for scheme in ("bearer", "basic"):
            for challenge in challenges:
                if challenge.scheme == scheme:
                    return challenge
        names = ", ".join(sorted({one.scheme for one in challenges}))
        if not names:
            raise self._unauthorized("it refuses, and does not say what it wants")
        raise self._unauthorized(f"it wants {names}, which we do not know")

    def _unauthorized(self, why: str) -> Unauthorized:
        registry = self._wire.endpoint.registry
        return Unauthorized(registry, why, remedy=f"log in: pyengine login {registry}")

    def _header(self, challenge: Challenge, scopes: Scopes) -> Secret:
        if challenge.scheme == "basic":
            return self.credentials.basic
        if self.credentials.registry_token:
            return Secret(f"Bearer {self.credentials.registry_token}")
        token = self._tokens.get(scopes)
        if token is None or self._clock() >= token.until:
            token = self._tokens[scopes] = self.fetch(challenge, scopes)
        return token.header

    def fetch(self, challenge: Challenge, scopes: Scopes, *, offline: bool = False) -> Token:
        """A new token for *scopes*, and for no others, whatever the challenge names.

        *offline* asks for a token to refresh with as well. Raises `Unauthorized`,
        `RegistryUnavailable` or `RegistryError`.
        """
        realm = self._realm(challenge)
        service = challenge.parameters.get("service", "")
        known = self.credentials
        if known.identity_token or (known.username and known.password):
            grant = _grant(known, service, scopes, offline)
            with self._ask("POST", realm, grant) as reply:
                if reply.status == 200:
                    return self._token(reply, known.identity_token)
                if known.identity_token or reply.status not in _TRY_GET:
                    raise self._refusal(reply)
        asked = [("service", service)] if service else []
        asked += [("scope", scope) for scope in scopes]
        if known.username:
            asked += [("account", known.username)]
        if offline:
            asked += [("offline_token", "true"), ("client_id", CLIENT)]
        mark = "&" if "?" in realm.target else "?"
        url = Url.parse(f"{realm}{mark}{urlencode(asked)}" if asked else str(realm))
        with self._ask("GET", url, authorization=known.basic if known.username else "") as reply:
            if reply.status != 200:
                raise self._refusal(reply)
            return self._token(reply)

    def without_secrets(self, said: bytes) -> bytes:
        """*said* without anything that we have shown: a server may say it back to us."""
        known = self._credentials or Credentials()
        texts = [known.password, known.identity_token, known.registry_token, known.basic[6:]]
        texts += [token.header[7:] for token in list(self._tokens.values())]
        for text in texts:
            for form in {text, json.dumps(text)[1:-1]}:
                if len(form) > 2:
                    said = said.replace(form.encode(), b"***")
        return said

    def _realm(self, challenge: Challenge) -> Url:
        """Where tokens are to be had. It is chosen by whom we speak to: not any place will do."""
        endpoint = self._wire.endpoint
        try:
            realm = self._wire.checked(challenge.parameters.get("realm", ""), endpoint.url)
        except WireError as error:
            raise RegistryError(endpoint.registry, f"its token server: {error.why}") from None
        is_same = realm.host == endpoint.url.host
        if realm.scheme == "http" and not is_same and not self._settings.is_insecure(
            realm.authority
        ):  # fmt: skip
            why = f"its token server {realm.host} speaks plain http"
            remedy = "add it to the insecure registries if you trust the network"
            raise RegistryError(endpoint.registry, why, remedy=remedy)
        return realm

    def _ask(
        self, method: str, url: Url, form: Secret | None = None, authorization: str = ""
    ) -> Reply:
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
        body = SecretBytes(form.encode()) if form else None
        try:
            return self._wire.open(method, url, headers, authorization=authorization, body=body)
        except WireError as error:
            registry = self._wire.endpoint.registry
            raise RegistryUnavailable(registry, f"its token server: {error.why}") from None

    def _refusal(self, reply: Reply) -> RegistryError:
        from pyengine.images.refusals import refusal

        registry = self._wire.endpoint.registry
        if reply.status in (400, 401, 403):
            return self._unauthorized("its token server does not accept the credentials")
        return refusal(registry, reply.status, reply.headers, reply.words(), "its token server")

    def _token(self, reply: Reply, refresh: str = "") -> Token:
        asked_at = self._clock()
        try:
            answer: Any = json.loads(reply.read(_ANSWER))
            token = answer.get("token") or answer.get("access_token")
            lifetime = answer.get("expires_in") or _LIFETIME
            refresh = answer.get("refresh_token") or refresh
            is_well = (
                isinstance(token, str)
                and isinstance(refresh, str)
                and token.isascii()
                and token.isprintable()
                and " " not in token
                and not isinstance(lifetime, bool)
                and 0 < lifetime < 1e9
            )
        except (ValueError, TypeError, AttributeError, RecursionError):
            is_well = False
        except WireError as error:
            registry = self._wire.endpoint.registry
            raise RegistryUnavailable(registry, f"its token server: {error.why}") from None
        if not is_well:
            why = "its token server has answered with something else than a token"
            raise RegistryError(self._wire.endpoint.registry, why)
        until = asked_at + lifetime * (1 - _MARGIN)
        return Token(Secret(f"Bearer {token}"), until, Secret(refresh))


def _grant(known: Credentials, service: str, scopes: Scopes, offline: bool) -> Secret:
    form = {"service": service, "client_id": CLIENT, "scope": " ".join(scopes)}
    if known.identity_token:
        form |= {"grant_type": "refresh_token", "refresh_token": known.identity_token}
    else:
        form |= {"grant_type": "password", "username": known.username}
        form["password"] = known.password
    if offline:
        form["access_type"] = "offline"
    return Secret(urlencode(form))
