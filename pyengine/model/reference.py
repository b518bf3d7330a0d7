"""References: the names that people give to images, in the grammar of Docker (rows I01 to I03)."""

from __future__ import annotations

import re

from attrs import evolve, frozen

from pyengine.errors import InvalidRequest
from pyengine.model import digests

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
LONGEST_NAME = 255
"""Characters of domain and path together."""
LONGEST_TAG = 128

_OFFICIAL = "library/"
_EXPECTED = "[domain[:port]/]path[:tag][@digest]"
_NAME_OF_HUB = "index.docker.io"
_HOST_OF_HUB = "registry-1.docker.io"

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])", re.ASCII)
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*", re.ASCII)
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_ID = re.compile(r"(?:sha256:)?[0-9a-f]{64}", re.ASCII)
_ID_PREFIX = re.compile(r"(?:sha256:)?[0-9a-f]{1,64}", re.ASCII)
_BARE_ID = re.compile(r"[0-9a-f]{64}", re.ASCII)


@frozen
class Reference:
    """The name of an image: *tag*, *digest*, both, or neither (all tags, or the default one).

    >>> reference = Reference.parse("alpine:3")
    >>> str(reference), reference.familiar, reference.registry_host
    ('docker.io/library/alpine:3', 'alpine:3', 'registry-1.docker.io')
    """

    domain: str
    path: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: object) -> Reference:
        """Read *text*, and put in the domain and the ``library/`` that Docker leaves out.

        No tag is put in: see `with_default_tag`. Raises `InvalidRequest`, whose *why* tells
        which part is wrong; an id is no reference (see `is_id`).
        """
        if not isinstance(text, str):
            raise _invalid(text, "it is no text")
        if why := _unreadable(text):
            raise _invalid(text, why)
        name, tag, digest = _cut(text)
        domain, path = _split(name)
        for why in (
            _name_flaw(domain, path),
            _tag_flaw(tag),
            "" if digest is None else digests.why_not(digest),
        ):
            if why:
                raise _invalid(text, why)
        return cls(domain, path, tag, digest)

    @property
    def repository(self) -> str:
        """Domain and path, such as ``docker.io/library/alpine``."""
        return f"{self.domain}/{self.path}"

    @property
    def remote_name(self) -> str:
        """What the registry calls the repository, such as ``library/alpine``."""
        return self.path

    @property
    def registry_host(self) -> str:
        """Where the registry listens: the domain, but for Docker Hub."""
        return _HOST_OF_HUB if self.domain == DEFAULT_DOMAIN else self.domain

    @property
    def familiar_repository(self) -> str:
        """The shortest text that `parse` reads as this repository, such as ``alpine``."""
        if self.domain == DEFAULT_DOMAIN:
            for short in (self.path.removeprefix(_OFFICIAL), self.path):
                # "localhost/x" of the Hub would become another registry's
                if _BARE_ID.fullmatch(short) is None and _split(short) == (self.domain, self.path):
                    return short
        return self.repository

    @property
    def familiar(self) -> str:
        """The whole reference as Docker shows it, such as ``alpine:3``."""
        return self.familiar_repository + self._ending

    @property
    def target(self) -> str:
        """What to ask the registry for: the digest if there is one, or the tag, or ``latest``."""
        return self.digest or self.tag or DEFAULT_TAG

    @property
    def _ending(self) -> str:
        tag = "" if self.tag is None else f":{self.tag}"
        return tag if self.digest is None else f"{tag}@{self.digest}"

    def with_default_tag(self) -> Reference:
        """This, with ``latest`` if it has neither tag nor digest."""
        if self.tag is None and self.digest is None:
            return evolve(self, tag=DEFAULT_TAG)
        return self

    def with_tag(self, tag: str) -> Reference:
        """This repository with *tag*, and no digest; raises `InvalidRequest`."""
        if why := _tag_flaw(tag):
            raise InvalidRequest("tag", tag, why=why)
        return evolve(self, tag=tag, digest=None)

    def with_digest(self, digest: str) -> Reference:
        """This repository with *digest*, and no tag; raises `InvalidRequest`."""
        return evolve(self, tag=None, digest=digests.check(digest))

    def __str__(self) -> str:
        return self.repository + self._ending


def is_id(text: str) -> bool:
    """Whether *text* is the whole id of an image: 64 hexadecimal digits, ``sha256:`` or not.

    >>> is_id("sha256:" + 64 * "a"), is_id("alpine")
    (True, False)
    """
    return _ID.fullmatch(text) is not None


def is_id_prefix(text: str) -> bool:
    """Whether *text* may be the beginning of an id; it may be a name as well.

    >>> is_id_prefix("cafe"), is_id_prefix("sha256:c0ffee"), is_id_prefix("alpine")
    (True, True, False)
    """
    return _ID_PREFIX.fullmatch(text) is not None


def _invalid(text: object, why: str) -> InvalidRequest:
    return InvalidRequest("reference", text, expected=_EXPECTED, why=why)


def _unreadable(text: str) -> str:
    if not text:
        return "it is empty"
    if not text.isascii():
        return "it has characters beyond ASCII"
    if any(character <= " " or character == "\x7f" for character in text):
        return "it has blanks or control characters"
    if "://" in text:
        return "it is a URL; leave out the scheme"
    if _BARE_ID.fullmatch(text):
        return "64 hexadecimal digits are an id"
    return ""


def _cut(text: str) -> tuple[str, str | None, str | None]:
    """Name, tag and digest; a colon before the last slash belongs to a port."""
    name, at, digest = text.partition("@")
    colon = name.rfind(":")
    if colon > name.rfind("/") and not name.endswith("]"):
        return name[:colon], name[colon + 1 :], digest if at else None
    return name, None, digest if at else None


def _split(name: str) -> tuple[str, str]:
    """Domain and path of *name*, with all that it leaves out."""
    first, slash, rest = name.partition("/")
    is_domain = any(sign in first for sign in ".:") or first == "localhost"
    if not slash or not (is_domain or first != first.lower()):
        first, rest = DEFAULT_DOMAIN, name
    if first == _NAME_OF_HUB:
        first = DEFAULT_DOMAIN
    if first == DEFAULT_DOMAIN and "/" not in rest:
        rest = _OFFICIAL + rest
    return first, rest


def _name_flaw(domain: str, path: str) -> str:
    if len(domain) + 1 + len(path) > LONGEST_NAME:
        return f"repository name must not be more than {LONGEST_NAME} characters"
    return _domain_flaw(domain) or _path_flaw(path)


def _domain_flaw(domain: str) -> str:
    host, port = domain, None
    colon = domain.rfind(":")
    if colon > domain.rfind("]"):
        host, port = domain[:colon], domain[colon + 1 :]
    if _DOMAIN.fullmatch(host) is None:
        return f"{host!r} is no domain"
    if port is not None and not (port.isdecimal() and 0 < int(port[:6]) < 1 << 16):
        return f"{port!r} is no port"
    return ""


def _path_flaw(path: str) -> str:
    if path != path.lower():
        return f"repository name ({path}) must be lowercase"
    for component in path.split("/"):
        if not component:
            return "a component of its path is empty"
        if _COMPONENT.fullmatch(component) is None:
            return f"{component!r} is no component of a path"
    return ""


def _tag_flaw(tag: str | None) -> str:
    if tag is None or _TAG.fullmatch(tag):
        return ""
    if not tag:
        return "its tag is empty"
    if len(tag) > LONGEST_TAG:
        return f"its tag has more than {LONGEST_TAG} characters"
    return f"its tag {tag!r} is not [a-zA-Z0-9_][a-zA-Z0-9_.-]*"
