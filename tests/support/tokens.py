"""A token server of the tests' own, whose tokens docker-registry believes."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import trustme
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from support.hostile import Exchange, Hostile
from support.registries import PASSWORD, USER

REFRESH = "the identity of ali"


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TokenServer:
    """Signs tokens; answers at `Hostile`'s ``/token``. It gives nobody more than is allowed.

    *allowed* are the actions of everybody who has proved to be `USER`; *anonymous* those of
    anybody. *posts*: whether it knows OAuth2.
    """

    def __init__(self, directory: Path) -> None:
        self._authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self._leaf = self._authority.issue_cert("tokens.test", key_type=trustme.KeyType.ECDSA)
        self.bundle = directory / "signers.pem"
        self._authority.cert_pem.write_to_path(str(self.bundle))
        self.reset()

    def reset(self) -> None:
        """Be as new."""
        self.allowed, self.anonymous = {"pull", "push"}, {"pull"}
        self.posts = True
        self.lifetime = 300
        self.given: list[str] = []

    def serve(self, exchange: Exchange) -> None:
        """Answer a request for a token."""
        asked = exchange.asked
        if asked.method == "POST":
            if not self.posts:
                exchange.say(404, {})
                return
            form = {k: v[0] for k, v in parse_qs(asked.body.decode()).items()}
            known = form.get("username") == USER and form.get("password") == PASSWORD
            known |= form.get("refresh_token") == REFRESH
            scopes = form.get("scope", "").split()
            offline = form.get("access_type") == "offline"
        else:
            query = parse_qs(urlsplit(asked.path).query)
            pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            known = asked.headers.get("authorization") == f"Basic {pair}"
            if not known and "authorization" in asked.headers:
                exchange.say(401, {})
                return
            scopes, offline = query.get("scope", []), "offline_token" in query
        if not known and asked.method == "POST":
            exchange.say(401, {})
            return
        token = self.token(scopes, self.allowed if known else self.anonymous)
        answer = {"token": token, "access_token": token, "expires_in": self.lifetime}
        if offline and known:
            answer["refresh_token"] = REFRESH
        exchange.say(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def token(self, scopes: list[str], allowed: set[str]) -> str:
        """A token for those of *scopes* that are *allowed*."""
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            granted = sorted(set(actions.split(",")) & allowed)
            access.append({"type": kind, "name": name, "actions": granted})
        now = int(time.time())
        chain = [_pem_body(blob.bytes()) for blob in self._leaf.cert_chain_pems]
        head = {"typ": "JWT", "alg": "ES256", "x5c": chain}
        claims = {
            "iss": "the tests", "sub": USER, "aud": "the registry", "jti": str(len(self.given)),
            "iat": now - 5, "nbf": now - 5, "exp": now + self.lifetime, "access": access,
        }  # fmt: skip
        body = ".".join(_encoded(json.dumps(one).encode()) for one in (head, claims))
        token = f"{body}.{_encoded(self._signed(body.encode()))}"
        self.given.append(token)
        return token

    def _signed(self, data: bytes) -> bytes:
        key = serialization.load_pem_private_key(self._leaf.private_key_pem.bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _pem_body(pem: bytes) -> str:
    return "".join(line for line in pem.decode().splitlines() if "-----" not in line)


def with_tokens(hostile: Hostile, tokens: TokenServer) -> None:
    """Let *hostile* answer for *tokens*."""
    hostile.when("(GET|POST) /token", tokens.serve)
