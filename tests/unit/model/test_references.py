"""References to images: Docker's grammar, and what it leaves out put in."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.errors import InvalidRequest
from pyengine.model.reference import Reference, is_id, is_id_prefix

modest = settings(max_examples=150, deadline=None)
HEX = "0123456789abcdef"
SHA = "sha256:" + 64 * "a"

labels = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,6}[a-zA-Z0-9])?", fullmatch=True)
hosts = st.one_of(
    st.just("localhost"),
    st.lists(labels, min_size=2, max_size=4).map(".".join),
    st.just("[2001:db8::1]"),
)
ports = st.one_of(st.just(""), st.integers(1, 65535).map(lambda port: f":{port}"))
domains = st.one_of(st.just("docker.io"), st.builds(str.__add__, hosts, ports))
components = st.from_regex(r"[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,4}){0,3}", fullmatch=True)
paths = st.lists(components, min_size=1, max_size=4).map("/".join)
tags = st.one_of(st.none(), st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True))
sha256 = st.text(HEX, min_size=64, max_size=64).map("sha256:{}".format)
sha512 = st.text(HEX, min_size=128, max_size=128).map("sha512:{}".format)
digests = st.one_of(st.none(), sha256, sha512)


@st.composite
def references(draw):
    domain, path = draw(domains), draw(paths)
    text = f"{domain}/{path}"
    tag, digest = draw(tags), draw(digests)
    text += "" if tag is None else f":{tag}"
    return Reference.parse(text if digest is None else f"{text}@{digest}")


@modest
@given(references())
def test_a_reference_reads_back_what_it_wrote(reference):
    assert Reference.parse(str(reference)) == reference


@modest
@given(references())
def test_the_familiar_form_means_the_same_image(reference):
    assert Reference.parse(reference.familiar) == reference
    assert len(reference.familiar) <= len(str(reference))


def parsed(text):
    """The reference, or `None` where there is a reason why it is none."""
    try:
        return Reference.parse(text)
    except InvalidRequest as error:
        if not error.why:
            raise
    return None


@modest
@given(st.text(max_size=60))
def test_any_text_is_a_reference_or_has_a_named_reason(text):
    if (reference := parsed(text)) is not None:
        assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "canonical", "familiar", "host"),
    [
        ("alpine", "docker.io/library/alpine", "alpine", "registry-1.docker.io"),
        ("alpine:3", "docker.io/library/alpine:3", "alpine:3", "registry-1.docker.io"),
        ("docker.io/alpine", "docker.io/library/alpine", "alpine", "registry-1.docker.io"),
        ("index.docker.io/a/b", "docker.io/a/b", "a/b", "registry-1.docker.io"),
        ("a/b", "docker.io/a/b", "a/b", "registry-1.docker.io"),
        ("localhost/a", "localhost/a", "localhost/a", "localhost"),
        ("local:5000/a:b", "local:5000/a:b", "local:5000/a:b", "local:5000"),
        ("Local/a", "Local/a", "Local/a", "Local"),
        ("[::1]:5000/a", "[::1]:5000/a", "[::1]:5000/a", "[::1]:5000"),
        (f"a:b@{SHA}", f"docker.io/library/a:b@{SHA}", f"a:b@{SHA}", "registry-1.docker.io"),
        (f"docker.io/{64 * 'a'}", f"docker.io/library/{64 * 'a'}", f"library/{64 * 'a'}", None),
        ("docker.io/a.b/c", "docker.io/a.b/c", "docker.io/a.b/c", None),
        ("docker.io/localhost/x", "docker.io/localhost/x", "docker.io/localhost/x", None),
        ("a:5000", "docker.io/library/a:5000", "a:5000", None),
    ],
)
def test_what_docker_leaves_out_is_put_in(text, canonical, familiar, host):
    reference = Reference.parse(text)
    assert (str(reference), reference.familiar) == (canonical, familiar)
    assert reference.registry_host == (host or "registry-1.docker.io")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        (None, "no text"),
        (" alpine", "blanks"),
        ("alpine\n", "blanks"),
        ("al\0pine", "control"),
        ("alpïne", "beyond ASCII"),
        ("https://ghcr.io/x", "URL"),
        (64 * "a", "are an id"),
        ("Alpine", r"repository name \(library/Alpine\) must be lowercase"),
        ("ghcr.io/X/y", r"repository name \(X/y\) must be lowercase"),
        ("a" * 250, "not be more than 255 characters"),
        ("-.io/a", "'-.io' is no domain"),
        ("a_b.io/c", "'a_b.io' is no domain"),
        ("..:80/a", "'..' is no domain"),
        ("[::1/a", "is no domain"),
        ("a.io:/b", "'' is no port"),
        ("a.io:x/b", "'x' is no port"),
        ("a.io:0/b", "'0' is no port"),
        ("a.io:65536/b", "'65536' is no port"),
        ("a//b", "component of its path is empty"),
        ("/a", "is no domain|is empty"),
        ("a/", "component of its path is empty"),
        ("a.io/", "component of its path is empty"),
        ("a.io/../b", r"'\.\.' is no component"),
        ("a..b", "is no component"),
        ("a___b", "is no component"),
        ("a-", "is no component"),
        (":tag", "component of its path is empty"),
        ("a:", "tag is empty"),
        ("a:" + 129 * "t", "more than 128 characters"),
        ("a:.t", "its tag '.t' is not"),
        ("a:-t", "its tag '-t' is not"),
        ("a:b:c", "is no component"),
        ("a@", "names no algorithm"),
        ("a@sha256:", "64 digits, not 0"),
        ("a@sha256:" + 63 * "a", "64 digits, not 63"),
        ("a@sha256:" + 64 * "A", "not lower-case hexadecimal"),
        ("a@sha256:" + 64 * "g", "not lower-case hexadecimal"),
        ("a@md5:" + 32 * "a", "'md5' is not supported"),
        (f"a@{SHA}@{SHA}", "64 digits"),
    ],
)
def test_what_is_no_reference_is_refused_with_its_reason(text, why):
    with pytest.raises(InvalidRequest, match=why):
        Reference.parse(text)


def test_a_tag_is_put_in_only_where_nothing_says_which():
    assert str(Reference.parse("a").with_default_tag()) == "docker.io/library/a:latest"
    assert Reference.parse(f"a@{SHA}").with_default_tag().tag is None
    assert Reference.parse("a:b").with_default_tag().tag == "b"
    assert Reference.parse("a").target == "latest"
    assert Reference.parse(f"a:b@{SHA}").target == SHA


def test_a_repository_can_be_given_another_tag_or_digest():
    reference = Reference.parse(f"a:b@{SHA}")
    assert reference.with_tag("c").familiar == "a:c"
    assert reference.with_digest(SHA).familiar == f"a@{SHA}"
    with pytest.raises(InvalidRequest, match="tag"):
        reference.with_tag("/")
    with pytest.raises(InvalidRequest, match="digest"):
        reference.with_digest("c0ffee")


def test_ids_are_told_from_names():
    assert is_id(64 * "0")
    assert is_id(SHA)
    assert not is_id(64 * "A")
    assert not is_id(63 * "0")
    assert is_id_prefix("sha256:0")
    assert not is_id_prefix("sha256:")
    assert not is_id_prefix("")
    assert not is_id_prefix("alpine")
