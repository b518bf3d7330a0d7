"""What a registry says instead of an image, as errors that tell what to do."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from pyengine.errors import RateLimited, RegistryError, RegistryUnavailable, Unauthorized

UNAVAILABLE = frozenset({408, 425, 500, 502, 503, 504})
"""Statuses after which the same request may succeed."""

_LONGEST = 86_400.0  # seconds that a server may ask us to stay away


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that a ``Retry-After`` names, as a number or as a date; `None` if it does not.

    >>> retry_after({"Retry-After": "120"})
    120.0
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _LONGEST)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), _LONGEST)


def errors_in(body: bytes) -> tuple[tuple[str, str], ...]:
    """Codes and messages of ``{"errors": [{"code", "message"}]}``; none in anything else."""
    try:
        said: Any = json.loads(body)
        if isinstance(said, dict) and isinstance(said.get("errors"), list):
            return tuple(
                (str(one.get("code", "")), str(one.get("message", ""))[:300])
                for one in said["errors"][:5]
                if isinstance(one, dict)
            )
    except (ValueError, RecursionError):
        pass
    return ()


def refusal(
    registry: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    doing: str,
    image: str = "",
    digest: str = "",
) -> RegistryError:
    """What *status* means for who was *doing* something."""
    errors = errors_in(body)
    said = "; ".join(f"{code}: {message}" if message else code for code, message in errors)
    why = f"{doing}: it says {status}" + (f" ({said})" if said else "")
    codes = {code for code, _ in errors}
    if status == 429 or "TOOMANYREQUESTS" in codes:
        after = retry_after(headers)
        remedy = f"come back in {after:g} s" if after is not None else "come back later"
        return RateLimited(registry, why, image, digest, f"{remedy}, or log in", after)
    if status in (401, 403):
        remedy = f"see that it exists and that you may; log in: pyengine login {registry}"
        return Unauthorized(registry, why, image, digest, remedy)
    if status in UNAVAILABLE:
        return RegistryUnavailable(registry, why, image, digest, "try again later")
    if 300 <= status < 400:
        why = f"{doing}: it redirects without saying where to"
    elif b"<html" in body[:1024].lower():
        why += ", and shows a web page: it is no registry, or something stands before it"
    return RegistryError(registry, why, image, digest)
