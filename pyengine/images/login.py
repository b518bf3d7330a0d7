"""Logging in: a registry has accepted who we are before it is written down (row I17)."""

from __future__ import annotations

from pyengine.errors import RegistryUnavailable, Unauthorized
from pyengine.images.challenges import parse_challenges
from pyengine.images.credentials import Credentials
from pyengine.images.endpoints import endpoints_of
from pyengine.images.servers import Means, Server
from pyengine.images.wire import WireError


def log_in(registry: str, credentials: Credentials, means: Means) -> Credentials:
    """Show *credentials* to *registry*, and keep what it has accepted; answers that.

    A token server that gives out an identity token spares us keeping the password. Raises
    `Unauthorized`, `RegistryUnavailable`, `RegistryError`; nothing is written then.

    >>> log_in("ghcr.io", Credentials("ali", "secret"), Means())           # doctest: +SKIP
    Credentials(username='ali', password='***', identity_token='', registry_token='')
    """
    if not registry.strip() or credentials.is_empty:
        raise Unauthorized(registry, "a user name and a password, or a token, are needed")
    from attrs import evolve

    server = Server(
        endpoints_of(registry, means.settings, push=True), evolve(means, credentials=credentials)
    )
    try:
        accepted = _ask(server, credentials)
    except WireError as error:
        raise RegistryUnavailable(server.host, f"log in: {error.why}") from None
    finally:
        server.close()
    means.store.store(registry, accepted)
    return accepted


def log_out(registry: str, means: Means) -> bool:
    """Forget who we are to *registry*; whether anything was known."""
    return means.store.erase(registry)


def _ask(server: Server, credentials: Credentials) -> Credentials:
    with server.open_once("GET", "/v2/") as reply:
        reply.words()
        if reply.status == 200:  # it asks nobody for anything
            return credentials
        if reply.status != 401:
            raise server.refusal(reply, "log in", "")
        challenges = parse_challenges(reply.all_of("WWW-Authenticate"))
        server.auth.challenged(reply, (), "")
    bearer = next((one for one in challenges if one.scheme == "bearer"), None)
    if bearer is not None and not credentials.registry_token:
        token = server.auth.fetch(bearer, (), offline=True)
        if token.refresh:
            return Credentials(credentials.username, identity_token=token.refresh)
        return credentials
    with server.open("GET", "/v2/", ()) as reply:
        if reply.status != 200:
            raise server.refusal(reply, "log in", "")
    return credentials
