"""What a caller asked to be warned of, where it would be an error otherwise."""

from __future__ import annotations


class LimitNotEnforced(UserWarning):
    """A limit that was asked for with ``best_effort=True`` is not in force.

    *option* is the keyword, *missing* why it cannot be had here, *remedy* what would help.

    >>> LimitNotEnforced("memory", "no cgroup is delegated to this user", "run as root").option
    'memory'
    """

    def __init__(self, option: str, missing: str, remedy: str = "") -> None:
        super().__init__(option, missing, remedy)  # as they came: it survives a pickle
        self.option = option
        self.missing = missing
        self.remedy = remedy

    def __str__(self) -> str:
        hint = f"; {self.remedy}" if self.remedy else ""
        return f"{self.option} is not enforced: {self.missing}{hint}"
