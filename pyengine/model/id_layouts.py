"""How the ids of a user who is not root are laid out in a user namespace of theirs.

Pure. A span is the first of some ids of the host, and how many follow each other from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pyengine.errors import InvalidRequest
from pyengine.model.ids import MOST_RANGES, IdMaps, IdRange
from pyengine.model.options_program import LARGEST_ID

Span = tuple[int, int]


def spare_spans(spans: Iterable[Span], own: int) -> tuple[Span, ...]:
    """*spans* in their order, no id twice, and without *own*, which stands for itself.

    >>> spare_spans([(100, 10), (105, 10), (0, 3)], 1)
    ((100, 10), (110, 5), (0, 1), (2, 1))
    """
    taken: list[Span] = [(own, 1)]
    found: list[Span] = []
    for span in spans:
        pieces = [span]
        for start, size in taken:
            pieces = [left for piece in pieces for left in _without(piece, start, start + size)]
        found += pieces
        taken += pieces
    return tuple(found)


def _without(span: Span, start: int, end: int) -> Iterator[Span]:
    first, last = span[0], span[0] + span[1]
    if first < min(start, last):
        yield first, min(start, last) - first
    if max(end, first) < last:
        yield max(end, first), last - max(end, first)


def root_is_me(own: int, spare: tuple[Span, ...]) -> Iterator[IdRange]:
    """Root inside is *own* outside; from 1 on they are the *spare* ones."""
    yield IdRange(0, own)
    yield from _from(1, spare)


def keep_own(own: int, spare: tuple[Span, ...], at: int | None = None) -> Iterator[IdRange]:
    """*own* is the same inside, or *at*; the *spare* ones are root, and who else comes around it.

    >>> [str(each) for each in keep_own(1000, ((100000, 5000),))]
    ['1000 1000 1', '0 100000 1000', '1001 101000 4000']
    """
    mine = own if at is None else at
    yield IdRange(mine, own)
    inside = 0
    for start, size in spare:
        if inside <= mine < inside + size:
            below = mine - inside
            yield from _from(inside, ((start, below),))
            start, size, inside = start + below, size - below, mine + 1
        yield from _from(inside, ((start, size),))
        inside += size


def _from(inside: int, spans: Iterable[Span]) -> Iterator[IdRange]:
    for start, size in spans:
        room = min(size, LARGEST_ID + 1 - inside)
        if room > 0:
            yield IdRange(inside, start, room)
        inside += size


def keep_id(mode: str) -> tuple[int | None, int | None]:
    """The user and the group that one shall be inside, from ``keep-id[:uid=…][,gid=…]``.

    >>> keep_id("keep-id:uid=200")
    (200, None)
    """
    name, has_options, options = mode.partition(":")
    expected = "keep-id, or keep-id:uid=N,gid=N"
    found: dict[str, int] = {}
    for option in options.split(",") if has_options else ():
        key, _, value = option.partition("=")
        is_number = value.isascii() and value.isdigit() and len(value) <= 10
        if key not in ("uid", "gid") or key in found or not is_number or int(value) > LARGEST_ID:
            raise InvalidRequest("userns", mode, expected=expected)
        found[key] = int(value)
    if name != "keep-id":
        raise InvalidRequest("userns", mode, expected=expected)
    return found.get("uid"), found.get("gid")


def lay_out(users: Iterable[IdRange], groups: Iterable[IdRange]) -> IdMaps:
    """Both, as far as the kernel takes so many ranges."""
    return IdMaps(tuple(users)[:MOST_RANGES], tuple(groups)[:MOST_RANGES])
