"""Where the images of a registry are fetched: mirrors, the registry itself, whom to believe."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import field, frozen

from pyengine.errors import InvalidRequest
from pyengine.images.urls import Url, is_loopback, literal

if TYPE_CHECKING:
    import ssl

HUB = "docker.io"
HUB_HOST = "registry-1.docker.io"
HUB_KEY = "https://index.docker.io/v1/"
"""Under this key the credentials of Docker Hub are kept, since before there were others."""

_USUAL_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
)


def certificate_directories() -> tuple[str, ...]:
    """Where administrators, and users, keep a directory ``HOST[:PORT]`` of certificates."""
    usual = ("/etc/containers/certs.d", "/etc/docker/certs.d")
    if os.geteuid() == 0:
        return usual
    return (*usual, os.path.expanduser("~/.config/docker/certs.d"))


def _parsed_insecure(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_insecure(text) for text in texts)


def _insecure(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text.strip("[]"), strict=False))
    except ValueError:
        pass
    if not re.fullmatch(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9a-fA-F:]+\]:\d{1,5}", text):
        raise InvalidRequest("insecure registry", text, "HOST, HOST:PORT or ADDRESS/BITS")
    return text.lower()


def _parsed_mirrors(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        Url.parse(text, what="registry mirror")
    return tuple(text.rstrip("/") for text in texts)


@frozen
class RegistrySettings:
    """What a host's owner says about registries.

    *mirrors* are URLs that stand before Docker Hub (row I18); *insecure* are hosts, ``HOST:PORT``
    or networks, which need not prove who they are and may speak plain http; *certificates* are
    directories such as ``/etc/docker/certs.d``.
    """

    mirrors: tuple[str, ...] = field(default=(), converter=_parsed_mirrors)
    insecure: tuple[str, ...] = field(default=(), converter=_parsed_insecure)
    certificates: tuple[str, ...] = field(factory=certificate_directories)

    def is_insecure(self, host: str) -> bool:
        """Whether ``HOST[:PORT]`` may be spoken to without proof of who it is."""
        bare = split_port(host)[0]
        if is_loopback(bare) or {host.lower(), bare.lower()} & set(self.insecure):
            return True
        address = literal(bare)
        return address is not None and any(
            address in ipaddress.ip_network(one) for one in self.insecure if "/" in one
        )

    def certificates_of(self, host: str) -> Certificates:
        """The certificates kept for ``HOST[:PORT]``. Raises `InvalidRequest` for half a pair."""
        authorities: list[str] = []
        pairs: list[tuple[str, str]] = []
        for directory in self.certificates:
            place = f"{directory}/{host}"
            try:
                names = sorted(os.listdir(place))
            except OSError:
                continue
            authorities += [f"{place}/{name}" for name in names if name.endswith(".crt")]
            for name in (name for name in names if name.endswith(".cert")):
                key = name.removesuffix(".cert") + ".key"
                if key not in names:
                    why = f"there is no {key} beside it"
                    raise InvalidRequest("client certificate", f"{place}/{name}", why=why)
                pairs.append((f"{place}/{name}", f"{place}/{key}"))
        return Certificates(tuple(authorities), tuple(pairs))


@frozen
class Certificates:
    """Files: authorities to believe, and (certificate, key) to show."""

    authorities: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()


@frozen
class Endpoint:
    """A server that has a registry's images."""

    registry: str
    """The registry as references name it."""
    url: Url
    verify: bool = True
    is_mirror: bool = False
    certificates: Certificates = Certificates()

    @property
    def host(self) -> str:
        """``HOST[:PORT]`` of the server."""
        return self.url.authority

    @property
    def key(self) -> str:
        """Under which key its credentials are kept. A mirror has none of the registry's."""
        if self.is_mirror:
            return self.host
        return credentials_key(self.registry)


def credentials_key(registry: str) -> str:
    """The key of *registry* in config files.

    >>> credentials_key("docker.io"), credentials_key("ghcr.io")
    ('https://index.docker.io/v1/', 'ghcr.io')
    """
    return HUB_KEY if registry in (HUB, f"index.{HUB}", HUB_HOST) else registry


def split_port(host: str) -> tuple[str, str]:
    """``HOST[:PORT]`` in two; IPv6 addresses stand in brackets."""
    name, colon, port = host.rpartition(":")
    return (name, port) if colon and port.isdigit() else (host, "")


def endpoints_of(
    registry: str, settings: RegistrySettings, *, push: bool = False
) -> tuple[Endpoint, ...]:
    """Who is asked for the images of *registry*, in this order.

    Nothing is ever pushed to a mirror. An insecure registry is asked by https first; whoever has
    put an authority's certificate down for it wants it to be verified.
    """
    if registry != HUB:
        return tuple(_own(registry, registry, settings))
    mirrors = () if push else tuple(_mirror(one, settings) for one in settings.mirrors)
    return (*mirrors, *_own(HUB, HUB_HOST, settings))


def _own(registry: str, host: str, settings: RegistrySettings) -> list[Endpoint]:
    certificates = settings.certificates_of(host)
    secure = Url.parse(f"https://{host}", what="registry")
    if not settings.is_insecure(host) or certificates.authorities:
        return [Endpoint(registry, secure, certificates=certificates)]
    plain = Url.parse(f"http://{host}", what="registry")
    return [
        Endpoint(registry, secure, verify=False, certificates=certificates),
        Endpoint(registry, plain, verify=False),
    ]


def _mirror(text: str, settings: RegistrySettings) -> Endpoint:
    url = Url.parse(text, what="registry mirror")
    certificates = settings.certificates_of(url.authority)
    verify = bool(certificates.authorities) or not settings.is_insecure(url.authority)
    return Endpoint(HUB, url, verify, is_mirror=True, certificates=certificates)


def tls_context(verify: bool, certificates: Certificates = Certificates()) -> ssl.SSLContext:
    """How to speak https: believing the host's authorities, and those of *certificates*.

    Raises `InvalidRequest` for certificates that cannot be read.
    """
    import ssl

    if not verify:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without authorities: that is quicker
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context = ssl.create_default_context()
        if not context.cert_store_stats()["x509_ca"] and not ssl.get_default_verify_paths().capath:
            for path in filter(os.path.exists, _USUAL_BUNDLES):  # a Python of another system
                context.load_verify_locations(path)
                break
    try:
        for path in certificates.authorities:
            context.load_verify_locations(path)
        for path, key in certificates.pairs:
            # a password would be asked for on the terminal
            context.load_cert_chain(path, key, password=lambda: b"")
    except (OSError, ValueError) as error:
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or "cannot be read"
        raise InvalidRequest("certificate", path, why=str(why)) from None
    return context


def proxy_of(url: Url, environ: Mapping[str, str]) -> str:
    """The proxy that the environment names for *url*, or "" (rules of Go's httpproxy).

    This machine is never asked for through a proxy, whatever NO_PROXY says.
    """
    name = f"{url.scheme}_proxy"
    proxy = environ.get(name.upper()) or environ.get(name) or ""
    if url.scheme == "http" and environ.get("REQUEST_METHOD"):
        proxy = environ.get(name) or ""  # a CGI program: HTTP_PROXY is what its client sent
    if not proxy or is_loopback(url.bare_host):
        return ""
    refusing = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    if any(_spared(url, one.strip().lower()) for one in refusing.split(",")):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _spared(url: Url, pattern: str) -> bool:
    if pattern in ("", "*"):
        return pattern == "*"
    address = literal(url.host)
    if "/" in pattern:
        try:
            return address is not None and address in ipaddress.ip_network(pattern, strict=False)
        except ValueError:
            return False
    host, port = split_port(pattern) if literal(pattern) is None else (pattern, "")
    if port and int(port) != url.port:
        return False
    if address is not None:
        return literal(host) == address
    host = host.removeprefix("*")
    return url.host.endswith(host) if host.startswith(".") else (
        url.host == host or url.host.endswith(f".{host}")
    )  # fmt: skip
