"""What a root holds on disk, by kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from pyengine.containers import looking
from pyengine.images.telling import Teller
from pyengine.model.images import UsageTally
from pyengine.model.state import LIVELY

if TYPE_CHECKING:
    from pyengine.containers.house import House
    from pyengine.model.images import DiskUsage


def disk_usage(house: House) -> DiskUsage:
    """Images and containers; what could be given back without losing what is in use."""
    house.enter()
    infos = list(looking.all_infos(house, size=True))
    lively = [info for info in infos if info.status in LIVELY]
    size = sum(info.size or 0 for info in infos)
    kept = sum(info.size or 0 for info in lively)
    tally = UsageTally(len(infos), len(lively), size, size - kept)
    return evolve(Teller(house.images).disk_usage(), containers=tally)
