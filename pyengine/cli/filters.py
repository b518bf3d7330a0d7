"""``--filter name=value``, given any number of times."""

from __future__ import annotations

from collections.abc import Iterable

from pyengine.cli.usage import UsageError


def read_filters(entries: Iterable[str]) -> dict[str, list[str]]:
    """Values by name; the engine knows which names there are.

    >>> read_filters(["label=a=b", "status=exited", "label=c"])
    {'label': ['a=b', 'c'], 'status': ['exited']}
    """
    found: dict[str, list[str]] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not equals:
            why = "bad format of filter (expected name=value)"
            raise UsageError(f'invalid argument "{entry}" for "--filter" flag: {why}')
        found.setdefault(name.strip().lower(), []).append(value.strip())
    return found
