"""Which ids of the host stand behind the ids inside a user namespace (user_namespaces(7))."""

from __future__ import annotations

from attrs import field, frozen

from pyengine.errors import InvalidRequest
from pyengine.model.options_program import LARGEST_ID

MOST_RANGES = 340
"""Lines that the kernel takes in a map."""


@frozen
class IdRange:
    """*size* ids that follow each other: *inside*, and what they are *outside*.

    >>> str(IdRange(0, 100000, 65536))
    '0 100000 65536'
    """

    inside: int
    outside: int
    size: int = 1

    def __attrs_post_init__(self) -> None:
        last = max(self.inside, self.outside) + self.size - 1
        if self.size < 1 or min(self.inside, self.outside) < 0 or last > LARGEST_ID:
            raise InvalidRequest("id range", str(self), expected=f"ids from 0 to {LARGEST_ID}")

    def __str__(self) -> str:
        return f"{self.inside} {self.outside} {self.size}"

    def outside_of(self, number: int) -> int | None:
        """What *number*, inside, is outside; `None` if it is not of this range."""
        at = number - self.inside
        return self.outside + at if 0 <= at < self.size else None


def _check(instance: object, attribute: object, ranges: tuple[IdRange, ...]) -> None:
    if not 1 <= len(ranges) <= MOST_RANGES:
        raise InvalidRequest("id ranges", len(ranges), expected=f"1 to {MOST_RANGES} of them")
    for side in ("inside", "outside"):
        end = 0
        for start, size in sorted((getattr(each, side), each.size) for each in ranges):
            if start < end:
                raise InvalidRequest("id ranges", "; ".join(map(str, ranges)), why="they overlap")
            end = start + size


@frozen(cache_hash=True)
class IdMaps:
    """The users and the groups of a user namespace; what is not named does not exist there.

    >>> IdMaps.single(1000, 1000).users
    (IdRange(inside=0, outside=1000, size=1),)
    """

    users: tuple[IdRange, ...] = field(validator=_check)
    groups: tuple[IdRange, ...] = field(validator=_check)
    why_single: str = field(default="", eq=False)  # why there is nobody else, where there is not

    @classmethod
    def single(cls, user: int, group: int) -> IdMaps:
        """Root inside is *user* and *group* outside, and nobody else is anybody."""
        return cls((IdRange(0, user),), (IdRange(0, group),))

    @classmethod
    def range(cls, first: int, size: int) -> IdMaps:
        """Users and groups from 0 on are those from *first* on outside, *size* of them.

        >>> IdMaps.range(1879048192, 65536).users
        (IdRange(inside=0, outside=1879048192, size=65536),)
        """
        return cls((IdRange(0, first, size),), (IdRange(0, first, size),))

    @property
    def is_single(self) -> bool:
        """Whether there is one user only, who must not change their groups."""
        return len(self.users) == 1 and self.users[0].size == 1

    def has_user(self, user: int) -> bool:
        """Whether *user* is somebody inside."""
        return any(each.outside_of(user) is not None for each in self.users)

    def has_group(self, group: int) -> bool:
        """Whether *group* is a group inside."""
        return any(each.outside_of(group) is not None for each in self.groups)

    def first_groups(self) -> tuple[int, int]:
        """The first group there is, and the last of those that follow it without a gap.

        >>> groups = IdRange(0, 1000), IdRange(1, 100000, 65536)
        >>> IdMaps((IdRange(0, 1000),), groups).first_groups()
        (0, 65536)
        """
        ordered = sorted(self.groups, key=lambda one: one.inside)
        end = ordered[0].inside
        for each in ordered:
            if each.inside != end:
                break
            end += each.size
        return ordered[0].inside, end - 1


def text_of(ranges: tuple[IdRange, ...]) -> str:
    """*ranges* as ``/proc/PID/uid_map`` takes them."""
    return "".join(f"{each}\n" for each in ranges)
