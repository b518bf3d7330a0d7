"""What a host allows an engine to do, and how to get what it does not allow."""

from __future__ import annotations

from attrs import frozen

from pyengine.errors import InvalidRequest


@frozen
class Feature:
    """One thing that containers may need.

    *works* was found out by trying it; where it does not, *why* names the one cause, and
    *remedy* what to do about it. *what* says what it is for, *cost* what is given up for it.
    *options* are the wishes that are refused without it, as an `Unsupported` names them: those
    that begin with one of these words.

    >>> print(Feature("memory", "a limit of memory", False, "no controller", "have it delegated"))
    memory: no (no controller; have it delegated)
    """

    name: str
    what: str
    works: bool
    why: str = ""
    remedy: str = ""
    cost: str = ""
    options: tuple[str, ...] = ()

    def concerns(self, wish: str) -> bool:
        """Whether *wish*, as an `Unsupported` names it, needs this feature.

        >>> Feature("subids", "", False, options=("user",)).concerns("user 'app'")
        True
        >>> Feature("subids", "", False, options=("user",)).concerns("userns='host'")
        False
        """
        return any(
            wish.startswith(one) and not wish[len(one) : len(one) + 1].isalnum()
            for one in self.options
        )

    def __str__(self) -> str:
        return f"{self.name}: {'yes' if self.works else f'no ({self.why}; {self.remedy})'}"


@frozen
class Capabilities:
    """What an engine can do here.

    *tier* is how: as ``root``; as a user with more ids (``subids``) or with one (``single``);
    or not at all (``none``). *features* tells of each thing; ``capabilities["memory"]`` of one.
    """

    tier: str
    features: tuple[Feature, ...]

    def __getitem__(self, name: str) -> Feature:
        """The feature called *name*. Raises `InvalidRequest` for an unknown one."""
        for feature in self.features:
            if feature.name == name:
                return feature
        known = ", ".join(sorted(feature.name for feature in self.features))
        raise InvalidRequest("feature", name, expected=f"one of {known}")

    def __contains__(self, name: object) -> bool:
        """Whether the feature called *name* is known, and works."""
        return any(feature.name == name and feature.works for feature in self.features)

    @property
    def missing(self) -> tuple[Feature, ...]:
        """Those that do not work."""
        return tuple(feature for feature in self.features if not feature.works)

    def to_dict(self) -> dict[str, object]:
        """All of it in plain values, for JSON."""
        features = [
            {
                "name": feature.name,
                "what": feature.what,
                "works": feature.works,
                "why": feature.why,
                "remedy": feature.remedy,
                "cost": feature.cost,
                "options": list(feature.options),
            }
            for feature in self.features
        ]
        return {"tier": self.tier, "features": features}
