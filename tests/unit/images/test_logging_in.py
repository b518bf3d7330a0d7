"""Who we are is shown to whom it concerns, and to nobody else."""

from __future__ import annotations

import base64
import json
import logging
import traceback
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from support.hostile import Exchange, hostile_server, redirect, status
from support.images import content_in, tar_of
from support.registries import PASSWORD, USER, running_registry, sha256
from support.tokens import REFRESH, TokenServer, with_tokens

from pyengine.errors import RateLimited, RegistryError, RegistryUnavailable, Unauthorized
from pyengine.images.catalog import Images
from pyengine.images.credentials import Credentials, CredentialStore
from pyengine.images.login import log_in, log_out
from pyengine.images.pulling import pull
from pyengine.images.registry import Repository
from pyengine.images.servers import Means
from pyengine.images.uploads import Uploads
from pyengine.model.reference import Reference

OURS = Credentials(USER, PASSWORD)
BASIC = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
WRONG = Credentials(USER, "not the password")


@pytest.fixture
def store(tmp_path):
    return CredentialStore(tmp_path / "config.json", environ={"PATH": ""})


def means(store, credentials=None, **more):
    return Means(
        store=store, credentials=credentials, wait=lambda s: None, environ={}, **more
    )  # fmt: skip


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    """A registry with Basic auth that has one image, and a server in front of it."""
    with running_registry(tmp_path_factory.mktemp("locked"), basic=True) as registry:
        registry.put_image("team/app", "1", [tar_of({"a": b"b"})])
        with hostile_server(registry.port) as front:
            yield front


@pytest.fixture(scope="module")
def _guarded(tmp_path_factory):
    """A registry that wants tokens, and a server in front of it that is the token server, too."""
    directory = tmp_path_factory.mktemp("tokens")
    tokens = TokenServer(directory)
    with hostile_server() as front:
        realm = f"http://{front.address}/token"
        with running_registry(
            directory / "registry", token_realm=realm, signers=tokens.bundle
        ) as registry:
            front.upstream = registry.port
            front.tokens = tokens
            yield front


@pytest.fixture
def guarded(_guarded):
    _guarded.forget()
    _guarded.tokens.reset()
    with_tokens(_guarded, _guarded.tokens)
    return _guarded


def push_blob(server, store, credentials, repository="team/app", **more):
    """Needs to be allowed to push."""
    with Repository(
        server.address, repository, means(store, credentials, **more), push=True
    ) as opened:
        data = repository.encode()
        return Uploads(opened).blob(sha256(data), len(data), lambda start: iter([data[start:]]))


def written(store):
    """What stands in its file."""
    return json.loads(Path(store.path).read_text())


# --- Basic ---


def test_basic_credentials_are_shown_when_they_are_asked_for(locked, store):
    locked.forget()
    with Repository(locked.address, "team/app", means(store, OURS)) as repository:
        assert repository.manifest("1").data
        assert repository.tags() == ("1",)
    shown = [one.headers.get("authorization") for one in locked.asked]
    assert shown == [None, f"Basic {BASIC}", f"Basic {BASIC}"]


@pytest.mark.parametrize("credentials", [None, WRONG])
def test_who_is_refused_is_told_what_to_do(locked, store, credentials):
    with (
        Repository(locked.address, "team/app", means(store, credentials)) as repository,
        pytest.raises(Unauthorized, match=f"pyengine login {locked.address}") as caught,
    ):
        repository.manifest("1")
    assert "team/app" in str(caught.value)


def test_logging_in_writes_down_what_was_accepted(locked, store):
    log_in(locked.address, OURS, means(store))
    assert written(store) == {"auths": {locked.address: {"auth": BASIC}}}
    with Repository(locked.address, "team/app", means(store)) as repository:
        assert repository.manifest("1").data
    assert log_out(locked.address, means(store))
    assert store.get(locked.address).is_empty
    assert not log_out(locked.address, means(store))


def test_logging_in_with_what_is_refused_writes_nothing(locked, store, tmp_path):
    with pytest.raises(Unauthorized):
        log_in(locked.address, WRONG, means(store))
    assert list(tmp_path.iterdir()) == []


def test_logging_in_where_nobody_is_says_so(store):
    with pytest.raises(RegistryUnavailable, match="refused"):
        log_in("127.0.0.1:1", OURS, means(store))


# --- tokens ---


def test_anybody_gets_a_token_for_what_everybody_may(guarded, store, tmp_path):
    guarded.tokens.anonymous = {"pull", "push"}
    assert push_blob(guarded, store, None, "open/app") == "pushed"
    (asked,) = guarded.heard("/token")
    assert asked.method == "GET"
    assert "authorization" not in asked.headers


def test_who_we_are_is_told_to_the_token_server_alone(guarded, store):
    assert push_blob(guarded, store, OURS, "mine/app") == "pushed"
    (asked,) = guarded.heard("/token")
    assert asked.method == "POST"
    form = {k: v[0] for k, v in parse_qs(asked.body.decode()).items()}
    assert form["grant_type"] == "password"
    assert form["scope"] == "repository:mine/app:pull,push"
    assert form["service"] == "the registry"
    others = [one for one in guarded.asked if "/token" not in one.path]
    assert all(BASIC not in str(one.headers) for one in others)
    assert others[-1].headers["authorization"] == f"Bearer {guarded.tokens.given[-1]}"


@pytest.mark.parametrize("code", [400, 401, 404, 405, 501])
def test_a_token_server_that_knows_no_post_is_asked_by_get(guarded, store, code):
    guarded.when("POST /token", status(code))
    assert push_blob(guarded, store, OURS, f"old/app{code}") == "pushed"
    post, get = guarded.heard("/token")
    assert (post.method, get.method) == ("POST", "GET")
    assert get.headers["authorization"] == f"Basic {BASIC}"
    assert "account=ali" in get.path


def test_an_identity_token_stands_for_a_password(guarded, store):
    known = Credentials(identity_token=REFRESH)
    assert push_blob(guarded, store, known, "identity/app") == "pushed"
    (asked,) = guarded.heard("/token")
    assert b"grant_type=refresh_token" in asked.body


def test_a_registry_token_is_shown_as_it_is(guarded, store):
    token = guarded.tokens.token(["repository:raw/app:pull,push"], {"pull", "push"})
    assert push_blob(guarded, store, Credentials(registry_token=token), "raw/app") == "pushed"
    assert guarded.heard("/token") == []


def test_a_token_that_is_over_is_renewed(guarded, store):
    guarded.tokens.anonymous = {"pull", "push"}
    guarded.tokens.lifetime = 0.000001
    guarded.tokens.token = lambda scopes, allowed: TokenServer.token(
        _long(guarded), scopes, allowed
    )
    push_blob(guarded, store, None, "short/app")
    del guarded.tokens.token
    assert len(guarded.heard("/token")) > 2


def _long(server):
    """Tokens that live longer than is said of them."""
    import copy

    tokens = copy.copy(server.tokens)
    tokens.lifetime = 300
    return tokens


def test_a_token_that_the_registry_has_forgotten_is_renewed_once(guarded, store):
    guarded.tokens.anonymous = {"pull", "push"}
    push_blob(guarded, store, None, "forgotten/app")
    challenge = f'Bearer realm="http://{guarded.address}/token",service="the registry"'
    guarded.when("HEAD", status(401, WWW_Authenticate=challenge), times=2)
    push_blob(guarded, store, None, "forgotten/app")
    assert len(guarded.heard("/token")) == 3


def test_threads_share_one_token(guarded, store, tmp_path):
    from support.registries import Registry

    token = guarded.tokens.token(["repository:many/layers:pull,push"], {"pull", "push"})
    registry = Registry(guarded.address, tmp_path, None, False)
    original = registry.request
    registry.request = lambda method, path, body=b"", headers=None: original(
        method, path, body, {**(headers or {}), "Authorization": f"Bearer {token}"}
    )
    registry.put_image("many/layers", "1", [tar_of({str(n): b"x"}) for n in range(6)])
    guarded.asked.clear()
    reference = Reference.parse(f"{guarded.address}/many/layers:1")
    pull(Images(content_in(tmp_path)), reference, means(store))
    assert len(guarded.heard("/token")) == 1


def test_logging_in_keeps_an_identity_and_no_password(guarded, store):
    log_in(guarded.address, OURS, means(store))
    entry = written(store)["auths"][guarded.address]
    assert entry == {
        "auth": base64.b64encode(f"{USER}:".encode()).decode(),
        "identitytoken": REFRESH,
    }
    assert push_blob(guarded, store, None, "logged/in") == "pushed"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        b'{"token":5}',
        b'{"token":"a\\r\\nX-Header: b"}',
        b'{"token":"a b"}',
        b'{"token":"a","expires_in":"soon"}',
        b'{"token":"a","expires_in":-1}',
        b'{"token":' + b"[" * 50_000,
        b"<html>",
    ],
)
def test_what_is_no_token_is_refused(guarded, store, answer):
    guarded.when("/token", status(200, answer))
    with pytest.raises(RegistryError, match="something else than a token"):
        push_blob(guarded, store, None)


@pytest.mark.parametrize(
    ("code", "error"), [(403, Unauthorized), (503, RegistryUnavailable), (429, RateLimited)]
)
def test_a_token_server_that_refuses_is_named(guarded, store, code, error):
    guarded.when("/token", status(code))
    with pytest.raises(error, match="its token server"):
        push_blob(guarded, store, OURS)


@pytest.mark.parametrize(
    ("realm", "why"),
    [
        ("http://169.254.169.254/token", "not public"),
        ("http://tokens.example.test/token", "plain http"),
        ("file:///etc/passwd", "neither http nor https"),
        ("", "valid place|cannot be read|characters"),
        ("http://a:b@127.0.0.1/", "user name"),
    ],
)
def test_a_token_server_that_nobody_should_ask_is_not_asked(guarded, store, realm, why):
    guarded.when("/v2/", status(401, WWW_Authenticate=f'Bearer realm="{realm}",service="x"'))
    with pytest.raises(RegistryError, match=why):
        push_blob(guarded, store, OURS)


def test_a_wider_scope_than_is_needed_is_not_asked_for(guarded, store):
    challenge = (
        f'Bearer realm="http://{guarded.address}/token",service="the registry",'
        'scope="repository:another/one:pull,push registry:catalog:*"'
    )
    guarded.when("HEAD", status(401, WWW_Authenticate=challenge), times=1)
    push_blob(guarded, store, OURS, "narrow/app")
    assert all(b"another" not in one.body for one in guarded.heard("/token"))


# --- nobody else ---


@pytest.mark.parametrize("credentials", [OURS, Credentials(registry_token="a-registry-token")])
def test_nothing_of_us_goes_to_where_a_blob_was_moved(guarded, store, credentials):
    with hostile_server(guarded.upstream) as elsewhere:
        challenge = 'Basic realm="x"' if credentials is OURS else 'Bearer realm="http://x/"'
        guarded.when("", lambda it: (
            redirect(f"http://{elsewhere.address}{{path}}")(it)
            if "authorization" in it.asked.headers
            else status(401, WWW_Authenticate=challenge)(it)))  # fmt: skip
        elsewhere.default = status(200, b"blob")
        with Repository(guarded.address, "a", means(store, credentials)) as repository:
            assert b"".join(repository.blob(sha256(b"blob"), 4)) == b"blob"
        (asked,) = elsewhere.asked
        assert "authorization" not in asked.headers


def test_who_a_blob_was_moved_to_cannot_ask_who_we_are(guarded, store):
    with hostile_server() as elsewhere:
        guarded.when("", redirect(f"http://{elsewhere.address}{{path}}"))
        elsewhere.default = status(401, WWW_Authenticate='Basic realm="tell me"')
        with (
            Repository(guarded.address, "a", means(store, OURS)) as repository,
            pytest.raises(RegistryError),
        ):
            list(repository.blob(sha256(b"blob"), 4))
        assert all("authorization" not in one.headers for one in elsewhere.asked)


def test_a_form_with_a_password_is_sent_nowhere_else(guarded, store):
    with hostile_server() as elsewhere:
        guarded.when("POST /token", redirect(f"http://{elsewhere.address}/token"))
        with pytest.raises(RegistryError):
            push_blob(guarded, store, OURS)
        assert elsewhere.asked == []


def says_it_back(exchange):
    """A registry that repeats what it was told."""
    asked = exchange.asked
    told = {**asked.headers, "form": parse_qs(asked.body.decode(errors="replace"))}
    if "authorization" not in asked.headers and "/token" not in asked.path:
        challenge = f'Bearer realm="http://{exchange.server.address}/token",service="x"'
        exchange.say(401, {"WWW-Authenticate": challenge})
        return
    errors = [{"code": json.dumps(told), "message": json.dumps(told)}]
    exchange.say(418, {}, json.dumps({"errors": errors}).encode())


@pytest.mark.parametrize("where", ["basic", "tokens", "cut-token", "no-token"])
def test_no_secret_is_in_an_error_a_log_or_a_traceback(guarded, locked, store, caplog, where):
    caplog.set_level(logging.DEBUG)
    locked.forget()
    server = locked if where == "basic" else guarded
    if where == "basic":
        locked.when("HEAD .*blobs", status(401, WWW_Authenticate='Basic realm="x"'), times=1)
    server.when("POST .*uploads", says_it_back)
    if where.endswith("-token"):
        server.when("POST /token", Exchange.cut if where == "cut-token" else status(200, b"x"))
    with pytest.raises(RegistryError) as caught:
        push_blob(server, store, OURS, "secret/app", attempts=1)
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    frames = [one for one in shown.stack if "/pyengine/" in one.filename]
    said = f"{caught.value} {vars(caught.value)} {[one.locals for one in frames]} {caplog.text}"
    assert len(frames) > 2
    assert where.endswith("-token") or "418" in said
    for secret in (PASSWORD, PASSWORD.replace(" ", "+"), BASIC, *guarded.tokens.given):
        assert secret not in said


def test_credentials_show_nothing_but_the_user(store):
    shown = repr(Credentials("ali", "secret1", "secret2", "secret3"))
    assert "ali" in shown
    assert "secret" not in shown
