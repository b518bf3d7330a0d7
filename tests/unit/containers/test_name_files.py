"""The texts of /etc/hosts and /etc/resolv.conf, whatever the host's own look like."""

from __future__ import annotations

import ipaddress

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from pyengine.containers.name_files import hosts_of, resolv_of
from pyengine.model.options import ContainerOptions
from pyengine.model.spec import ContainerSpec, Namespaces

SPEC = ContainerSpec("0" * 64, "web", "host:", ("true",), hostname="web")
ON_HOST = evolve(SPEC, namespaces=Namespaces(network="host"))
HOST = """\
# made by somebody
; and by somebody else
nameserver 127.0.0.53
nameserver 10.0.0.2
nameserver ::1
nameserver fe80::1%eth0
search first.example
domain last.example
options ndots:2 trust-ad
sortlist 130.155.160.0
"""
names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,5})?", fullmatch=True)
addresses = st.ip_addresses().map(str)


def entries(text: str) -> dict[str, list[str]]:
    """Address to names, as hosts(5) is read."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.split()
        if words and not words[0].startswith("#"):
            found.setdefault(words[0], []).extend(words[1:])
    return found


def words(text: str, keyword: str) -> list[list[str]]:
    """The lines of one keyword of resolv.conf(5)."""
    return [line.split()[1:] for line in text.splitlines() if line.split()[0] == keyword]


# --- hosts ---


def test_a_container_finds_itself_and_loopback():
    found = entries(hosts_of(SPEC))
    assert "localhost" in found["127.0.0.1"]
    assert "localhost" in found["::1"]
    assert found["127.0.1.1"] == ["web"]


def test_a_qualified_name_comes_first_on_its_line():
    found = entries(hosts_of(evolve(SPEC, domainname="example.org")))
    assert found["127.0.1.1"] == ["web.example.org", "web"]


def test_on_the_host_s_network_the_host_s_names_hold():
    assert hosts_of(ON_HOST, "10.0.0.1\thost\n") == "10.0.0.1\thost\n"
    assert hosts_of(ON_HOST, "10.0.0.1\thost") == "10.0.0.1\thost\n"
    assert hosts_of(ON_HOST, "") == ""


def test_elsewhere_the_host_s_names_are_not_told():
    assert "secret" not in hosts_of(SPEC, "10.0.0.1\tsecret\n")


@given(st.lists(st.tuples(names, addresses), max_size=5), st.booleans())
def test_added_hosts_are_read_back_after_all_others(pairs, on_host):
    asked = ContainerOptions.from_keywords(
        "host:", extra_hosts=[f"{name}:{address}" for name, address in pairs]
    )
    spec = evolve(ON_HOST if on_host else SPEC, extra_hosts=asked.extra_hosts)
    text = hosts_of(spec, "10.9.8.7 host")
    assert text.endswith("\n")
    lines = text.splitlines()
    last = [line.split() for line in lines[len(lines) - len(pairs) :]]
    assert last == [[address, name] for name, address in pairs]
    assert text.startswith(hosts_of(evolve(spec, extra_hosts=()), "10.9.8.7 host"))


# --- resolv.conf ---


def test_name_servers_on_the_host_s_loopback_are_left_out():
    text = resolv_of(SPEC, HOST)
    assert words(text, "nameserver") == [["10.0.0.2"], ["fe80::1%eth0"]]
    assert words(text, "search") == [["last.example"]]  # the last of search and domain counts
    assert words(text, "options") == [["ndots:2", "trust-ad"]]


def test_the_host_s_network_uses_the_host_s_file_as_it_is():
    assert resolv_of(ON_HOST, HOST) == HOST


def test_on_the_host_s_network_what_is_asked_is_added_to_the_host_s():
    text = resolv_of(evolve(ON_HOST, dns_search=("mine.example",)), HOST)
    assert words(text, "search") == [["mine.example"]]
    assert ["127.0.0.53"] in words(text, "nameserver")


@pytest.mark.parametrize(
    ("changes", "keyword", "expected"),
    [
        ({"dns": ("9.9.9.9", "1.1.1.1")}, "nameserver", [["9.9.9.9"], ["1.1.1.1"]]),
        ({"dns": ("127.0.0.1",)}, "nameserver", [["127.0.0.1"]]),  # who asks for it gets it
        ({"dns_search": ("a.example", "b.example")}, "search", [["a.example", "b.example"]]),
        ({"dns_search": (".",)}, "search", []),
        ({"dns_options": ("use-vc",)}, "options", [["use-vc"]]),
    ],
)
def test_what_is_asked_replaces_the_host_s(changes, keyword, expected):
    assert words(resolv_of(evolve(SPEC, **changes), HOST), keyword) == expected


def test_a_host_without_name_servers_gives_none():
    assert resolv_of(SPEC, "") == ""
    assert words(resolv_of(SPEC, "nameserver 127.0.0.1\n"), "nameserver") == []


@given(st.text())
def test_a_host_s_file_may_hold_anything(host_text):
    text = resolv_of(SPEC, host_text)
    for line in text.splitlines():
        assert line.split()[0] in ("nameserver", "search", "options")
    for (server,) in words(text, "nameserver"):
        assert not ipaddress.ip_address(server.partition("%")[0]).is_loopback


@given(st.lists(addresses, max_size=3), st.lists(names, max_size=3), st.lists(names, max_size=3))
def test_a_file_of_ours_says_the_same_when_it_is_read_again(dns, search, options):
    asked = ContainerOptions.from_keywords("host:", dns=dns, dns_search=search, dns_options=options)
    spec = evolve(
        ON_HOST, dns=asked.dns, dns_search=asked.dns_search, dns_options=asked.dns_options
    )
    text = resolv_of(spec, "")
    again = resolv_of(evolve(ON_HOST, dns=("0.0.0.0",)), text)  # all but the servers from the file
    assert words(again, "search") == ([search] if search else [])
    assert words(again, "options") == ([options] if options else [])
    assert words(text, "nameserver") == [[server] for server in asked.dns]


def test_a_giant_host_file_is_read_up_to_a_limit():
    text = resolv_of(SPEC, "nameserver 10.0.0.1\n" + "# filler\n" * 100_000 + "search late\n")
    assert words(text, "search") == []
    assert words(text, "nameserver") == [["10.0.0.1"]]
