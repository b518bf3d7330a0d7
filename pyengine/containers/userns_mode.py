"""What ``userns=`` comes to for a container of this engine: whose its users are."""

from __future__ import annotations

import os

from attrs import evolve

from pyengine.containers.house import House
from pyengine.errors import Unsupported
from pyengine.model.record import ContainerRecord
from pyengine.store.layout import STEADY, Home

NO_USER = (
    "root has all ids of the host, and a container no user to be mapped to",
    "use userns='auto', or 'host'",
)
"""Why root cannot be itself inside, and what it can have."""


def refuse_users(house: House, record: ContainerRecord) -> None:
    """Raise `Unsupported` where what *record* asks for cannot be had; nothing is made yet."""
    mode = record.spec.security.userns
    if os.geteuid() != 0:
        house.joiner_for(record)
        return
    if mode != "auto":
        raise Unsupported(f"userns={mode!r}", *NO_USER)
    from pyengine.containers.own_users import refuse_with_own_users

    refuse_with_own_users(record.spec, counts_births="pids" in house.hierarchy.v2_controllers)
    house.ranges.check(record.lowers)


def give_users(house: House, record: ContainerRecord, home: Home) -> ContainerRecord:
    """*record*, whose directory is *home*, with ids that nobody else has, if it wants some.

    Without root it has those of its joiner.
    """
    if record.spec.security.userns != "auto" or os.geteuid() != 0:
        return record
    if record.spec.owner == "process":
        first = house.ranges.take()
    else:
        first = house.ranges.claim(_place(house, record))
    given = evolve(record, first_id=first)
    try:
        os.chown(home.upper, first, first)
    except BaseException:
        take_users_back(house, given)
        raise
    return given


def take_users_back(house: House, record: ContainerRecord) -> None:
    """A container is removed, or never was: its ids, if it had some, are nobody's now."""
    if record.first_id:
        house.ranges.give_back(record.first_id, _place(house, record))


def require_users(house: House, record: ContainerRecord) -> None:
    """Raise `StoreError` where the ids of a container that starts have become another's."""
    if record.first_id and record.spec.owner != "process":
        house.ranges.require(record.first_id, _place(house, record))


def _place(house: House, record: ContainerRecord) -> str:
    return house.layout.home(STEADY, record.spec.id).path
