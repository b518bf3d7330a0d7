"""The URLs that registries send us to, read with suspicion."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urljoin, urlsplit

from attrs import frozen

from pyengine.errors import InvalidRequest

LONGEST = 16_384  # signed URLs of object stores reach some thousand characters
_PORTS = {"http": 80, "https": 443}
_VISIBLE = re.compile(r"[!-\[\]-~]+")  # no spaces, controls, backslashes, or what is not ASCII
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]")


@frozen
class Url:
    """A place that can be asked: nothing but http and https, no user, no fragment."""

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, text: str, base: Url | None = None, what: str = "URL") -> Url:
        """Read *text*, which may be relative to *base*. Raises `InvalidRequest`.

        >>> str(Url.parse("/v2/?a=b", Url.parse("https://ghcr.io")))
        'https://ghcr.io/v2/?a=b'
        """
        if not _VISIBLE.fullmatch(text) or len(text) > LONGEST:
            raise _refused(what, text, "it has characters that no URL has, or too many")
        try:
            parts = urlsplit(urljoin(str(base), text) if base is not None else text)
            port = parts.port
        except ValueError:
            raise _refused(what, text, "it cannot be read") from None
        scheme = parts.scheme.lower()
        if scheme not in _PORTS:
            raise _refused(what, text, "it is neither http nor https")
        if "@" in parts.netloc:
            raise _refused(what, text, "it holds a user name")
        host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc.rstrip(":")
        if not _HOST.fullmatch(host) or port == 0:
            raise _refused(what, text, "it has no valid host")
        query = f"?{parts.query}" if parts.query else ""
        return cls(scheme, host.lower(), port or _PORTS[scheme], (parts.path or "/") + query)

    @property
    def origin(self) -> tuple[str, str, int]:
        """Whom credentials belong to."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """``host``, or ``host:port`` where the port is not the usual one."""
        usual = self.port == _PORTS[self.scheme]
        return self.host if usual else f"{self.host}:{self.port}"

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def bare_host(self) -> str:
        """The host as a resolver wants it: IPv6 addresses without brackets."""
        return self.host.strip("[]")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def _refused(what: str, text: str, why: str) -> InvalidRequest:
    # the query may hold a signature that opens the door: it is not told
    shown = text.partition("?")[0]
    if "@" in shown:
        shown = shown.partition("://")[0] + "://…@" + shown.rpartition("@")[2]
    return InvalidRequest(what, shown, "http[s]://host[:port]/path", why)


def is_loopback(host: str) -> bool:
    """Whether *host*, a name or an address without port, is this machine.

    >>> is_loopback("localhost"), is_loopback("127.9.9.9"), is_loopback("[::1]")
    (True, True, True)
    """
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    address = literal(host)
    return address is not None and address.is_loopback


def is_forbidden(host: str) -> bool:
    """Whether *host* is an address where clouds keep their secrets, or no place at all.

    >>> is_forbidden("169.254.169.254"), is_forbidden("10.0.0.1")
    (True, False)
    """
    address = literal(host)
    if address is None:
        return False
    return address.is_link_local or address.is_multicast or address.is_unspecified


def literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """*host* as an address, of which IPv4 mapped into IPv6 is IPv4; `None` for names."""
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
