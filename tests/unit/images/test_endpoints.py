"""Who is asked for an image, over which wire, and who is believed."""

from __future__ import annotations

import ssl

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from support.hostile import hostile_server, status
from support.images import tar_of
from support.registries import running_registry

from pyengine.errors import ImageNotFound, InvalidRequest, RegistryError, RegistryUnavailable
from pyengine.images.challenges import Challenge, parse_challenges
from pyengine.images.credentials import Credentials, CredentialStore
from pyengine.images.endpoints import RegistrySettings, endpoints_of, proxy_of
from pyengine.images.refusals import retry_after
from pyengine.images.registry import Repository
from pyengine.images.servers import Means
from pyengine.images.urls import Url, is_forbidden, is_loopback


def settings(**more) -> RegistrySettings:
    """Nothing of this host's own."""
    return RegistrySettings(**{"certificates": (), **more})


def urls(registry, push=False, **more):
    """Where it is asked for, and whether that must prove who it is."""
    return [
        (str(one.url), one.verify) for one in endpoints_of(registry, settings(**more), push=push)
    ]


# --- who is asked ---


def test_docker_hub_is_asked_where_it_is():
    assert urls("docker.io") == [("https://registry-1.docker.io/", True)]
    (hub,) = endpoints_of("docker.io", settings())
    assert hub.key == "https://index.docker.io/v1/"


def test_mirrors_stand_before_docker_hub_and_before_nobody_else():
    mirrors = ("https://mirror.test", "http://cache.test:5000/hub/")
    expected = [
        "https://mirror.test/",
        "http://cache.test:5000/hub",
        "https://registry-1.docker.io/",
    ]
    assert [url for url, _ in urls("docker.io", mirrors=mirrors)] == expected
    assert urls("ghcr.io", mirrors=mirrors) == [("https://ghcr.io/", True)]


def test_nothing_is_pushed_to_a_mirror():
    assert len(urls("docker.io", push=True, mirrors=("https://mirror.test",))) == 1


def test_a_mirror_has_none_of_the_registrys_credentials():
    mirror, hub = endpoints_of("docker.io", settings(mirrors=("https://mirror.test",)))
    assert (mirror.key, hub.key) == ("mirror.test", "https://index.docker.io/v1/")


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.8.7", "[::1]:5000"]
)
def test_this_machine_may_be_asked_by_plain_http(host):
    assert urls(host) == [(f"https://{host}/", False), (f"http://{host}/", False)]


@pytest.mark.parametrize(
    ("host", "insecure", "may"),
    [
        ("reg.test:5000", (), False),
        ("reg.test:5000", ("reg.test:5000",), True),
        ("reg.test:5000", ("reg.test",), True),
        ("reg.test:5001", ("reg.test:5000",), False),
        ("10.1.2.3:5000", ("10.0.0.0/8",), True),
        ("11.1.2.3:5000", ("10.0.0.0/8",), False),
        ("[fd00::1]:5000", ("fd00::/8",), True),
        ("10.evil.test", ("10.0.0.0/8",), False),
        ("127.0.0.1.evil.test", (), False),
    ],
)
def test_others_may_be_asked_by_plain_http_only_if_that_is_said(host, insecure, may):
    assert (len(urls(host, insecure=insecure)) == 2) == may


@pytest.mark.parametrize("text", ["", "http://reg.test", "a b", "reg.test/path", "10.0.0.0/99"])
def test_what_is_no_insecure_registry_is_refused(text):
    with pytest.raises(InvalidRequest, match="insecure registry"):
        settings(insecure=(text,))


@pytest.mark.parametrize("text", ["mirror.test", "ftp://a.test", "https://u:pw@a.test", "https://"])
def test_what_is_no_mirror_is_refused(text):
    with pytest.raises(InvalidRequest) as caught:
        settings(mirrors=(text,))
    assert "pw" not in str(caught.value)


def test_half_a_client_certificate_is_refused(tmp_path):
    (tmp_path / "a.test").mkdir()
    (tmp_path / "a.test" / "client.cert").write_text("x")
    with pytest.raises(InvalidRequest, match=r"no client\.key"):
        endpoints_of("a.test", settings(certificates=(str(tmp_path),)))


# --- proxies ---


@pytest.mark.parametrize(
    ("url", "environ", "proxy"),
    [
        ("https://a.test", {}, ""),
        ("https://a.test", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ("https://a.test", {"https_proxy": "p:1"}, "http://p:1"),
        ("https://a.test", {"HTTP_PROXY": "http://p:1"}, ""),
        ("http://a.test", {"HTTP_PROXY": "http://p:1"}, "http://p:1"),
        ("http://a.test", {"HTTP_PROXY": "http://p:1", "REQUEST_METHOD": "GET"}, ""),
        ("https://localhost", {"HTTPS_PROXY": "http://p:1"}, ""),
        ("https://127.0.0.1:5", {"HTTPS_PROXY": "http://p:1"}, ""),
        ("https://a.test", {"HTTPS_PROXY": "p", "NO_PROXY": "*"}, ""),
        ("https://a.test", {"HTTPS_PROXY": "p", "NO_PROXY": "b.test, a.test"}, ""),
        ("https://x.a.test", {"HTTPS_PROXY": "p", "NO_PROXY": "a.test"}, ""),
        ("https://xa.test", {"HTTPS_PROXY": "p", "NO_PROXY": "a.test"}, "http://p"),
        ("https://a.test", {"HTTPS_PROXY": "p", "NO_PROXY": ".a.test"}, "http://p"),
        ("https://x.a.test", {"HTTPS_PROXY": "p", "no_proxy": "*.a.test"}, ""),
        ("https://a.test:5", {"HTTPS_PROXY": "p", "NO_PROXY": "a.test:6"}, "http://p"),
        ("https://a.test:5", {"HTTPS_PROXY": "p", "NO_PROXY": "a.test:5"}, ""),
        ("https://10.1.1.1", {"HTTPS_PROXY": "p", "NO_PROXY": "10.0.0.0/8"}, ""),
        ("https://10.1.1.1", {"HTTPS_PROXY": "p", "NO_PROXY": "10.1.1.1"}, ""),
        ("https://[fd00::1]", {"HTTPS_PROXY": "p", "NO_PROXY": "fd00::1"}, ""),
    ],
)
def test_proxies_are_those_of_the_environment(url, environ, proxy):
    assert proxy_of(Url.parse(url), environ) == proxy


def test_a_registry_is_reached_through_a_proxy_that_wants_a_password(registry):
    registry.put_image("behind/proxy", "1", [b"x"])
    with hostile_server(registry.port) as proxy:
        means = Means(
            settings=settings(insecure=("registry.test:5000",)),
            environ={"HTTP_PROXY": f"http://ali:pass%20word@{proxy.address}"},
            wait=lambda seconds: None,
        )
        with Repository("registry.test:5000", "behind/proxy", means) as repository:
            assert repository.tags() == ("1",)
        (asked,) = proxy.asked
        assert asked.headers["proxy-authorization"] == "Basic YWxpOnBhc3Mgd29yZA=="
        assert asked.headers["host"] == "registry.test:5000"


def test_a_registry_with_tls_is_reached_through_a_tunnel(secured):
    registry, settings_, _ = secured
    with hostile_server() as proxy:
        proxy.tunnel_to = registry.port
        means = Means(settings=settings_, environ={"HTTPS_PROXY": proxy.address})
        with Repository("registry.test", "team/app", means) as repository:
            assert repository.tags() == ("1",)
        assert [str(one) for one in proxy.asked] == ["CONNECT registry.test:443"]


# --- TLS ---


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """A registry behind TLS that wants to see a certificate, too."""
    directory = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    (directory / "clients.pem").write_bytes(authority.cert_pem.bytes())
    with running_registry(directory, tls=authority) as registry:
        registry.put_image("team/app", "1", [tar_of({"a": b"b"})])
        for host in (registry.address, "registry.test"):
            place = directory / "certs.d" / host
            place.mkdir(parents=True)
            authority.cert_pem.write_to_path(str(place / "ca.crt"))
        yield registry, settings(certificates=(str(directory / "certs.d"),)), authority


def test_a_registry_whose_authority_was_put_down_is_believed(secured):
    registry, settings_, _ = secured
    with Repository(registry.address, "team/app", Means(settings=settings_, environ={})) as one:
        assert one.tags() == ("1",)
        assert one.server.place("/").scheme == "https"


def test_a_registry_on_this_machine_need_not_prove_who_it_is(secured):
    registry, _, _ = secured
    with Repository(registry.address, "team/app", Means(settings=settings(), environ={})) as one:
        assert one.tags() == ("1",)


def test_a_registry_that_is_somebody_else_is_not_asked_and_not_by_plain_http(secured, tmp_path):
    registry, _, _ = secured
    place = tmp_path / registry.address
    place.mkdir()
    trustme.CA().cert_pem.write_to_path(str(place / "ca.crt"))
    means = Means(settings=settings(certificates=(str(tmp_path),)), environ={})
    with (
        Repository(registry.address, "team/app", means) as repository,
        pytest.raises(RegistryError, match=r"not to be believed.*certs\.d"),
    ):
        repository.tags()


def test_a_certificate_that_cannot_be_read_is_named(tmp_path):
    place = tmp_path / "127.0.0.1:1"
    place.mkdir()
    (place / "ca.crt").write_text("no certificate")
    means = Means(settings=settings(certificates=(str(tmp_path),)), environ={})
    with (
        Repository("127.0.0.1:1", "a", means) as repository,
        pytest.raises(InvalidRequest, match=r"ca\.crt"),
    ):
        repository.tags()


def test_our_certificate_is_shown_to_the_registry_that_wants_it(tmp_path):
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(server)
    server.verify_mode = ssl.CERT_REQUIRED
    with hostile_server(tls=server) as front:
        front.default = status(200, b'{"tags":["1"]}')
        place = tmp_path / front.address
        place.mkdir()
        authority.cert_pem.write_to_path(str(place / "ca.crt"))
        ours = authority.issue_cert("us@example.test")
        ours.cert_chain_pems[0].write_to_path(str(place / "client.cert"))
        means = Means(
            settings=settings(certificates=(str(tmp_path),)), environ={}, attempts=1
        )  # fmt: skip
        with pytest.raises(InvalidRequest, match="no client"):
            Repository(front.address, "a", means)
        ours.private_key_pem.write_to_path(str(place / "client.key"))
        with Repository(front.address, "a", means) as repository:
            assert repository.tags() == ("1",)
        (place / "client.key").unlink()
        (place / "client.cert").unlink()
        with Repository(front.address, "a", means) as repository, pytest.raises(RegistryError):
            repository.tags()


def test_nobody_is_sent_from_https_to_http(secured, registry):
    _, _, authority = secured
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    with hostile_server(tls=server) as front:
        front.default = status(307, Location=f"http://{registry.address}/v2/")
        with (
            Repository(front.address, "a", Means(settings=settings(), environ={})) as repository,
            pytest.raises(RegistryError, match="from https to http"),
        ):
            repository.tags()


# --- mirrors at work ---


@pytest.fixture
def hub(monkeypatch, registry):
    """A server in the place of Docker Hub."""
    with hostile_server(registry.port) as front:
        monkeypatch.setattr("pyengine.images.endpoints.HUB_HOST", front.address)
        yield front


def mirrored(*mirrors, **more):
    """`Means` with mirrors."""
    found = settings(mirrors=tuple(f"http://{one.address}" for one in mirrors))
    return Means(settings=found, environ={}, wait=lambda seconds: None, **more)


def test_what_a_mirror_has_is_not_asked_of_docker_hub(hub, hostile, registry):
    registry.put_image("library/mirrored", "1", [b"x"])
    with Repository("docker.io", "library/mirrored", mirrored(hostile)) as repository:
        assert repository.manifest("1").data
    assert hub.asked == []


@pytest.mark.parametrize("code", [401, 403, 404, 429, 500, 503])
def test_what_a_mirror_does_not_have_docker_hub_has(hub, hostile, registry, code):
    registry.put_image("library/mirrored", "1", [b"x"])
    hostile.default = status(code)
    with Repository("docker.io", "library/mirrored", mirrored(hostile)) as repository:
        assert repository.manifest("1").data


def test_a_mirror_that_is_gone_is_asked_once(hub, hostile, registry):
    registry.put_image("library/mirrored", "1", [b"x"])
    hostile.default = lambda it: it.cut()
    with Repository("docker.io", "library/mirrored", mirrored(hostile)) as repository:
        for _ in range(3):
            assert repository.manifest("1").data
    assert len(hostile.asked) == 1


def test_a_mirror_is_told_nothing_of_docker_hubs_credentials(hub, hostile, registry, tmp_path):
    store = CredentialStore(tmp_path / "config.json", environ={})
    store.store("docker.io", Credentials("ali", "hub's own"))
    challenge = status(401, WWW_Authenticate='Basic realm="tell me"')
    hostile.default = challenge
    hub.when("", challenge, times=1)
    registry.put_image("library/mirrored", "1", [b"x"])
    means = mirrored(hostile, store=store)
    with Repository("docker.io", "library/mirrored", means) as repository:
        repository.manifest("1")
    assert all("authorization" not in one.headers for one in hostile.asked)
    assert hub.asked[-1].headers["authorization"].startswith("Basic ")


def test_what_nobody_has_is_not_there(hub, hostile):
    hostile.default = hub.default = status(404)
    with (
        Repository("docker.io", "library/none", mirrored(hostile)) as repository,
        pytest.raises(ImageNotFound),
    ):
        repository.manifest("1")


def test_a_registry_that_nobody_knows_is_unavailable():
    means = Means(settings=settings(), environ={}, attempts=1)
    with (
        Repository("no-such-host.invalid", "a", means) as repository,
        pytest.raises(RegistryUnavailable, match="name"),
    ):
        repository.tags()


# --- texts of strangers ---


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("", []),
        ("Basic", [("basic", {})]),
        ('Basic realm="a b"', [("basic", {"realm": "a b"})]),
        ("basic realm=x", [("basic", {"realm": "x"})]),
        (
            'Bearer realm="https://a/t",service="s",scope="repository:a/b:pull,push"',
            [
                (
                    "bearer",
                    {"realm": "https://a/t", "service": "s", "scope": "repository:a/b:pull,push"},
                )
            ],
        ),
        (
            'Bearer realm="a" , service=b, Basic realm="c"',
            [("bearer", {"realm": "a", "service": "b"}), ("basic", {"realm": "c"})],
        ),
        (r'Basic realm="a\"b"', [("basic", {"realm": 'a"b'})]),
        ('Bearer realm="first",realm="second"', [("bearer", {"realm": "first"})]),
        ("Negotiate, Basic realm=x", [("negotiate", {}), ("basic", {"realm": "x"})]),
        ("\x00\x01", []),
    ],
)
def test_challenges_are_read_as_they_are_written(header, found):
    expected = tuple(Challenge(scheme, parameters) for scheme, parameters in found)
    assert parse_challenges([header]) == expected


@given(st.lists(st.text(max_size=200), max_size=3))
def test_any_header_is_read_in_some_way(headers):
    for one in parse_challenges(headers):
        assert one.scheme == one.scheme.lower()


@given(st.text(max_size=60))
def test_any_text_is_a_url_or_refused(text):
    try:
        url = Url.parse(text)
    except InvalidRequest:
        return
    assert url.scheme in ("http", "https")
    assert Url.parse(str(url)) == url


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1%eth0", "0.0.0.0", "224.0.0.1"]
)
def test_addresses_where_secrets_are_kept_are_forbidden(host):
    assert is_forbidden(host)


def test_names_that_only_look_like_this_machine_are_not_it():
    assert not is_loopback("127.0.0.1.evil.test")
    assert not is_loopback("localhost.evil.test")


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("", None, None),
        ("soon", None, None),
        ("0", 0, 0),
        ("120", 120, 120),
        ("99999999999999999999", 86_400, 86_400),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 86_400, 86_400),
        ("-5", None, None),
    ],
)
def test_when_to_come_back_is_a_number_or_a_date(text, least, most):
    found = retry_after({"Retry-After": text})
    assert found == least if least is None else least <= found <= most
