"""What a container has changed of its image, path by path."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen


class ChangeKind(StrEnum):
    """Docker's letter for each."""

    CHANGED = "C"
    ADDED = "A"
    DELETED = "D"


@frozen
class Change:
    """One path, absolute in the container, and what happened to it."""

    path: str
    kind: ChangeKind

    def to_docker(self) -> dict[str, object]:
        """An item of Docker's ``/containers/{id}/changes``."""
        numbers = {ChangeKind.CHANGED: 0, ChangeKind.ADDED: 1, ChangeKind.DELETED: 2}
        return {"Path": self.path, "Kind": numbers[self.kind]}
