"""What a registry says it wants to see: ``WWW-Authenticate`` headers, read."""

from __future__ import annotations

import re
from collections.abc import Iterable

from attrs import field, frozen

_MOST = 16_384  # characters of all headers together
_GAP = re.compile(r"[ \t,]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PARAMETER = re.compile(
    r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*"
    r'(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))[ \t]*(?:,|$|(?=[ \t]))'
)


@frozen
class Challenge:
    """A way to say who one is: *scheme* in small letters."""

    scheme: str
    parameters: dict[str, str] = field(factory=dict)


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """Every challenge of *headers*, of which one may hold several (RFC 9110, section 11.6.1).

    What cannot be read ends the header that it stands in; it is never an error.

    >>> parse_challenges(['Bearer realm="https://a/t",service=s, Basic realm="b"'])
    (Challenge(scheme='bearer', parameters={'realm': 'https://a/t', 'service': 's'}), \
Challenge(scheme='basic', parameters={'realm': 'b'}))
    """
    found: list[Challenge] = []
    for header in headers:
        found += _read(header[:_MOST])
    return tuple(found)


def _read(text: str) -> list[Challenge]:
    found: list[Challenge] = []
    at = 0
    while at < len(text):
        at = _GAP.match(text, at).end()  # type: ignore[union-attr]
        parameter = _PARAMETER.match(text, at)
        if parameter is not None and found:
            quoted = parameter[2]
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else parameter[3]
            found[-1].parameters.setdefault(parameter[1].lower(), value)
            at = parameter.end()
            continue
        scheme = _TOKEN.match(text, at)
        if scheme is None:
            break
        found.append(Challenge(scheme[0].lower()))
        at = scheme.end()
    return found
