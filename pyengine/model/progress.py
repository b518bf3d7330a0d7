"""Progress: what a pull, a push or a load is doing with each piece of an image."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

Action = Literal[
    "resolving",
    "waiting",
    "downloading",
    "verifying",
    "downloaded",
    "unpacking",
    "done",
    "exists",
    "pushing",
    "pushed",
    "mounted",
    "retrying",
]

_DOCKER = {  # row I05, and I20 for what goes up
    "waiting": "Waiting",
    "downloading": "Downloading",
    "verifying": "Verifying Checksum",
    "downloaded": "Download complete",
    "unpacking": "Extracting",
    "done": "Pull complete",
    "exists": "Already exists",
    "pushing": "Pushing",
    "pushed": "Pushed",
}


@frozen
class ProgressEvent:
    """One step of one piece: *id* is 12 digits of its digest, ``""`` for the whole image.

    *current* and *total* are bytes (`None`: not known); *reference* is the image, *detail*
    what else there is to say: the digest that was resolved, why something is tried again.

    >>> ProgressEvent("downloading", "c0ffee", 10, 20).fraction
    0.5
    """

    action: Action
    id: str = ""
    current: int = 0
    total: int | None = None
    reference: str = ""
    detail: str = ""

    @property
    def fraction(self) -> float | None:
        """How much of it is done, from 0 to 1; `None` where the total is not known."""
        return min(self.current / self.total, 1.0) if self.total else None

    @property
    def is_final(self) -> bool:
        """Whether nothing more will be heard of this piece."""
        return self.action in ("done", "exists", "pushed", "mounted")

    def to_docker(self, *, pushing: bool = False) -> dict[str, object]:
        """The line of Docker's stream for it (rows I05, I20), which has its words for *pushing*."""
        message: dict[str, object] = {"status": self._status(pushing)}
        if self.action in ("downloading", "unpacking", "pushing") and self.id:
            detail: dict[str, object] = {"current": self.current}
            if self.total is not None:
                detail["total"] = self.total
            message["progressDetail"] = detail
        elif self.id:
            message["progressDetail"] = {}
        if self.id:
            message["id"] = self.id
        return message

    def _status(self, pushing: bool) -> str:
        if self.action == "resolving":
            to = f"The push refers to repository [{self.reference}]"
            return to if pushing else f"Pulling from {self.reference}"
        if self.action == "mounted":
            return f"Mounted from {self.detail}"
        if self.action == "retrying":
            return f"Retrying: {self.detail}" if self.detail else "Retrying"
        if pushing and self.action == "exists":
            return "Layer already exists"
        return _DOCKER[self.action]
