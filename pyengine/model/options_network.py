"""Options about the network: which one, names and their servers, ports."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from pyengine.errors import InvalidRequest, Unsupported
from pyengine.model.options_words import flag, integer, several, text, texts

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?")
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.ASCII | re.IGNORECASE)
_NOT_BUILT = "networks are not built yet"


def network(given: object) -> str:
    """``none``, ``host``, or what names another network."""
    name = given if isinstance(given, str) else getattr(given, "name", None)
    if not isinstance(name, str):
        raise InvalidRequest("network", given, expected="'none', 'host', or a network")
    return text(name, "network") or "none"


def require_built_network(name: str) -> None:
    """`Unsupported` unless *name* is ``none`` or ``host``."""
    if name not in ("none", "host"):
        remedy = "use network=None, or network='host' to share the host's"
        raise Unsupported(f"network {name!r}", _NOT_BUILT, remedy)


def not_built(option: str) -> Callable[[object], None]:
    """A reader of an option about networks: `Unsupported`, unless nothing is asked with it."""

    def read(given: object) -> None:
        if option == "publish_all":
            flag(given, option)
        elif not isinstance(given, str | int | Mapping):
            given = several(given, option)
        if given:
            remedy = "use network='host' to share the host's"
            raise Unsupported(f"{option}=", _NOT_BUILT, remedy)

    return read


def address(given: object, what: str) -> str:
    """An IPv4 or IPv6 address, as its standard text."""
    import ipaddress

    try:
        return str(ipaddress.ip_address(text(given, what).strip("[]")))
    except ValueError as error:
        raise InvalidRequest(what, given, expected="an IPv4 or IPv6 address") from error


def dns(given: object) -> tuple[str, ...]:
    """Addresses of name servers."""
    return tuple(address(one, "dns") for one in several(given, "dns"))


def dns_search(given: object) -> tuple[str, ...]:
    """Domains; ``.`` says: none, not even the host's."""
    for domain in (found := texts(given, "dns_search")):
        if domain != "." and _HOST.fullmatch(domain.removesuffix(".")) is None:
            raise InvalidRequest("dns_search", domain, expected="a domain, or '.'")
    return found


def dns_options(given: object) -> tuple[str, ...]:
    """Words of resolv.conf(5)."""
    for option in (found := texts(given, "dns_options")):
        if not option.isprintable() or " " in option or not option:
            raise InvalidRequest("dns_options", option, expected="a word such as 'ndots:2'")
    return found


def extra_hosts(given: object) -> tuple[str, ...]:
    """``NAME:ADDRESS`` (or ``NAME=ADDRESS``) texts, or a mapping of names to addresses (C102)."""
    if isinstance(given, Mapping):
        items = [(text(name, "extra_hosts"), where) for name, where in given.items()]
    else:
        items = [_extra_host(text(one, "extra_hosts")) for one in several(given, "extra_hosts")]
    found = []
    for name, where in items:
        if _HOST.fullmatch(name) is None:
            raise InvalidRequest("extra_hosts", name, expected="a host's name")
        if where == "host-gateway":
            raise Unsupported("host-gateway in extra_hosts", _NOT_BUILT, "name an address")
        found.append(f"{name}:{address(where, 'extra_hosts')}")
    return tuple(found)


def _extra_host(given: str) -> tuple[str, str]:
    colon, equals = given.find(":"), given.find("=")
    at = equals if equals >= 0 and (colon < 0 or equals < colon) else colon
    if at < 0:
        raise InvalidRequest("extra_hosts", given, expected="'NAME:ADDRESS'")
    return given[:at], given[at + 1 :]


def expose(given: object) -> tuple[str, ...]:
    """Ports such as ``80``, ``"53/udp"`` or ``"8000-8010"``, each as ``PORT/PROTOCOL``."""
    items = (given,) if isinstance(given, int) else several(given, "expose")
    found: dict[str, None] = {}
    for one in items:
        found.update(dict.fromkeys(_ports(one)))
    return tuple(found)


def _ports(given: object) -> list[str]:
    whole = str(integer(given, "expose", 1, 65535)) if isinstance(given, int) else given
    match = _PORT.fullmatch(text(whole, "expose"))
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if match is None or not 1 <= first <= last <= 65535:
        raise InvalidRequest("expose", given, expected="80, '53/udp' or '8000-8010/tcp'")
    protocol = (match[3] or "tcp").lower()
    return [f"{port}/{protocol}" for port in range(first, last + 1)]
