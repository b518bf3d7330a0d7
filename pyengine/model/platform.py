"""Platforms: which operating system and processor a program was made for (rows I08, I43)."""

from __future__ import annotations

import os as _os
import re

from attrs import frozen

from pyengine.errors import InvalidRequest
from pyengine.model.architectures import SPELLINGS

_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_EXPECTED = "'linux/amd64', 'linux/arm64/v8', 'linux', 'arm64', …"

_SYSTEMS = frozenset(
    (
        *("aix", "android", "darwin", "dragonfly", "freebsd", "illumos", "ios", "js", "linux"),
        *("netbsd", "openbsd", "plan9", "solaris", "wasip1", "windows", "zos"),
    )
)
_LEAST = {"amd64": "v1", "arm": "v7", "arm64": "v8"}  # what no variant means
_OLDEST_ARM = 5
_FOREIGN = 1000  # ranks behind every variant of the processor itself


@frozen
class Platform:
    """An operating system and a processor; *variant* is ``""`` for the usual one.

    >>> str(Platform.parse("linux/aarch64")), str(Platform.parse("linux/arm/7"))
    ('linux/arm64', 'linux/arm/v7')
    """

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: object, host: Platform | None = None) -> Platform:
        """Read ``os[/architecture[/variant]]``, or an architecture; *host* has the rest of it.

        Raises `InvalidRequest`.
        """
        if not isinstance(text, str):
            raise InvalidRequest("platform", text, expected=_EXPECTED)
        words = text.split("/")
        if len(words) > 3 or not all(_WORD.fullmatch(word) for word in words):
            raise InvalidRequest("platform", text, expected=_EXPECTED)
        words = [word.lower() for word in words]
        if len(words) > 1:
            return normal(words[0], words[1], words[2] if len(words) == 3 else "")
        here = host or cls.of_machine(_os.uname().machine)
        if words[0] in _SYSTEMS or words[0] == "macos":
            return normal(words[0], here.architecture, here.variant)
        return normal(here.os, words[0], "")

    @classmethod
    def of_machine(cls, machine: str) -> Platform:
        """Linux on a *machine* as uname(2) calls it, such as ``x86_64``.

        >>> str(Platform.of_machine("aarch64"))
        'linux/arm64'
        """
        return normal("linux", machine.lower(), "")

    def __str__(self) -> str:
        return "/".join(word for word in (self.os, self.architecture, self.variant) if word)


def normal(
    os: str,
    architecture: str,
    variant: str = "",
    os_version: str = "",
    os_features: tuple[str, ...] = (),
) -> Platform:
    """The platform in the one way it is written here: ``aarch64`` is ``arm64``, its ``v8`` unsaid.

    >>> str(normal("Linux", "x86_64", "v1"))
    'linux/amd64'
    """
    os, architecture, variant = os.lower(), architecture.lower(), variant.lower()
    if os == "macos":
        os = "darwin"
    architecture, implied = SPELLINGS.get(architecture, (architecture, ""))
    variant = variant or implied
    if variant.isascii() and variant.isdigit() and architecture in _LEAST:
        variant = f"v{variant}"  # "arm/7" is what people write
    if variant.endswith(".0") and architecture == "arm64":
        variant = variant.removesuffix(".0")
    if architecture != "arm" and variant == _LEAST.get(architecture):
        variant = ""
    elif architecture == "arm" and not variant:
        variant = "v7"
    return Platform(os, architecture, variant, os_version, os_features)


def rank(wanted: Platform, offered: Platform) -> int | None:
    """How well programs for *offered* do on *wanted*: 0 is best; `None`, they do not run.

    A processor runs what was made for the older variants of its family; the nearest is best.
    What was made for the 32 bits of the family comes last.

    >>> v7 = Platform("linux", "arm", "v7")
    >>> rank(v7, v7), rank(v7, Platform("linux", "arm", "v6")), rank(v7, Platform("linux", "386"))
    (0, 100, None)
    """
    wanted = normal(wanted.os, wanted.architecture, wanted.variant, "", wanted.os_features)
    offered = normal(offered.os, offered.architecture, offered.variant, "", offered.os_features)
    if wanted.os != offered.os or not set(offered.os_features) <= set(wanted.os_features):
        return None
    if wanted.architecture == offered.architecture:
        return _variants_apart(wanted, offered)
    if wanted.architecture == "amd64" and offered.architecture == "386":
        return _FOREIGN
    if wanted.architecture == "arm64" and offered.architecture == "arm":
        apart = _variants_apart(Platform("linux", "arm", "v8"), offered)
        return None if apart is None else _FOREIGN + apart
    return None


def _variants_apart(wanted: Platform, offered: Platform) -> int | None:
    if wanted.variant == offered.variant:
        return 0
    newest, oldest = _version(wanted), _version(offered)
    if newest is None or oldest is None or oldest > newest:
        return None
    if wanted.architecture == "arm" and oldest < (_OLDEST_ARM, 0):
        return None
    # minor versions count one, major ones a hundred
    return (newest[0] - oldest[0]) * 100 + newest[1] - oldest[1] if newest != oldest else 0


def _version(platform: Platform) -> tuple[int, int] | None:
    """``v8.2`` as numbers; `None` for an architecture without such variants."""
    variant = platform.variant or _LEAST.get(platform.architecture, "")
    major, _, minor = variant.removeprefix("v").partition(".")
    digits = (major, minor or "0")
    if not all(part.isascii() and part.isdigit() and len(part) < 4 for part in digits):
        return None
    return int(major), int(minor or "0")
