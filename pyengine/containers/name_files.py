"""The texts of a container's /etc/hosts and /etc/resolv.conf, made before it starts."""

from __future__ import annotations

from functools import lru_cache

from pyengine.model.spec import ContainerSpec

_LOCAL = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::\tip6-localnet\n"
    "ff00::\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n"
)
_LARGEST = 1 << 16


def hosts_of(spec: ContainerSpec, host_text: str = "") -> str:
    """``/etc/hosts``: the host's own for its network, else loopback and the container's name.

    A fully qualified name stands first on its line (row C08), as hostname(1) wants it; what was
    asked for with *extra_hosts* comes last (row C102).
    """
    if spec.namespaces.network == "host":
        text = host_text if host_text.endswith("\n") or not host_text else host_text + "\n"
    else:
        qualified = f"{spec.hostname}.{spec.domainname} " if spec.domainname else ""
        text = f"{_LOCAL}127.0.1.1\t{qualified}{spec.hostname}\n"
    for entry in spec.extra_hosts:
        name, _, address = entry.partition(":")
        text += f"{address}\t{name}\n"
    return text


def resolv_of(spec: ContainerSpec, host_text: str) -> str:
    """``/etc/resolv.conf``: what was asked for, else the host's.

    Outside the host's network its name servers on loopback would name the container itself, so
    they are left out. ``.`` as search domain clears the host's.
    """
    asked = spec.dns or spec.dns_search or spec.dns_options
    if spec.namespaces.network == "host" and not asked:
        return host_text
    servers, search, options = _parse(host_text)
    if spec.namespaces.network != "host":
        servers = tuple(server for server in servers if not _is_loopback(server))
    servers = spec.dns or servers
    search = tuple(word for word in spec.dns_search or search if word != ".")
    options = spec.dns_options or options
    lines = [f"nameserver {server}\n" for server in servers]
    if search:
        lines.append(f"search {' '.join(search)}\n")
    if options:
        lines.append(f"options {' '.join(options)}\n")
    return "".join(lines)


@lru_cache(maxsize=4)
def _parse(text: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Name servers, search domains and options of resolv.conf(5); the last ``search`` counts."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    for line in text[:_LARGEST].split("\n"):
        words = line.split()
        if not words or words[0][0] in "#;":
            continue
        if words[0] == "nameserver" and len(words) > 1:
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            search = tuple(words[1:])
        elif words[0] == "options":
            options.extend(words[1:])
    return tuple(servers), search, tuple(options)


@lru_cache(maxsize=16)
def _is_loopback(server: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return True  # nothing that a resolver could ask
