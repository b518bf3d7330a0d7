"""Which names go when an image is removed, and when it may not be (row I29)."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve

from pyengine.errors import InUse
from pyengine.images.image_use import ImageUse, Uses
from pyengine.images.lookup import is_tag, repository_of
from pyengine.store.image_names import Named

Plan = tuple[tuple[Named, ...], tuple[Named, ...]]
"""Names to drop, and names to write before that."""


def plan(every: Iterable[Named], found: Named, force: bool, uses: Uses, *, by_name: bool) -> Plan:
    """What happens to *every* name when *found* is removed, by its name or by its id.

    Raises `InUse` where Docker answers with a conflict.
    """
    names = [named for named in every if named.config == found.config]
    users = [use for use in uses() if use.image == found.config]
    return (_by_name if by_name else _by_id)(names, found, force, users)


def _by_name(names: list[Named], found: Named, force: bool, users: list[ImageUse]) -> Plan:
    if users and not force and _is_single(names):
        user, short = users[0].container[:12], found.config[7:19]
        why = f'conflict: unable to remove repository reference "{_shown(found)}" (must force)'
        why += f" - container {user} is using its referenced image {short}"
        raise InUse("image", _shown(found), tuple(use.container for use in users), why)
    dropped = [found]
    left = [named for named in names if named != found and named.reference]
    if not any(is_tag(named) and repository_of(named) == repository_of(found) for named in left):
        # what is left in that repository is by digest: nobody gave it
        dropped += [named for named in left if repository_of(named) == repository_of(found)]
    if not left or set(left) <= set(dropped):
        if any(use.is_running for use in users):
            return tuple(dropped), (evolve(found, reference="", pulled=False),)
        dropped += [named for named in names if not named.reference]
    return tuple(dropped), ()


def _by_id(names: list[Named], found: Named, force: bool, users: list[ImageUse]) -> Plan:
    running = [use for use in users if use.is_running]
    if running:
        raise _conflict(found, running, "cannot be forced", "image is being used by running")
    if not force and not _is_single(names):
        why = f"conflict: unable to delete {found.config[7:19]} (must be forced)"
        why += " - image is referenced in multiple repositories"
        raise InUse("image", found.config[7:19], (), why)
    if not force and users:
        raise _conflict(found, users, "must be forced", "image is being used by stopped")
    return tuple(names), ()


def _conflict(found: Named, users: list[ImageUse], how: str, why: str) -> InUse:
    short, containers = found.config[7:19], tuple(use.container for use in users)
    text = f"conflict: unable to delete {short} ({how}) - {why} container {containers[0][:12]}"
    return InUse("image", short, containers, text)


def _is_single(names: list[Named]) -> bool:
    """Whether it has one tag at most, and all its names are of one repository."""
    repositories = {repository_of(named) for named in names if named.reference}
    return len(repositories) <= 1 and sum(map(is_tag, names)) <= 1


def _shown(named: Named) -> str:
    from pyengine.model.reference import Reference

    return Reference.parse(named.reference).familiar
