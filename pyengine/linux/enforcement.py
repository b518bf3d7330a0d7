"""What becomes of limits that this host cannot put in force: an error, or a warning if asked so."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import define, field

from pyengine.errors import Unsupported
from pyengine.linux.delegation import Delegation
from pyengine.linux.limits import Refusal
from pyengine.model.warning import LimitNotEnforced


@define
class Enforcement:
    """Collects what is not in force of one container's limits.

    *unenforced* are those that were asked for, with *best_effort*; *notes* say the same of them,
    and of our own defaults, in words to write down.
    """

    best_effort: bool = False
    unenforced: list[LimitNotEnforced] = field(factory=list)
    notes: list[str] = field(factory=list)

    def refuse(self, refusals: Iterable[Refusal], delegation: Delegation | None) -> None:
        """Take note of *refusals*. Raises `Unsupported` for the first that is no best effort.

        *delegation* knows better why a controller of version 2 is missing.
        """
        for one in refusals:
            missing, remedy = one.missing, one.remedy
            if one.controller and delegation is not None:
                missing, remedy = delegation.why_not(one.controller)
            if not one.required:
                self.notes.append(f"no limit on {one.option}: {missing}")
            else:
                self.give_up(Unsupported(one.option, missing, remedy))

    def give_up(self, error: Unsupported) -> None:
        """What was asked cannot be done, as *error* says. Raises it, unless asked not to."""
        if not self.best_effort:
            raise error
        warning = LimitNotEnforced(error.feature, error.missing, error.remedy)
        self.unenforced.append(warning)
        self.notes.append(str(warning))
