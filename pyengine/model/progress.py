"""Progress: what a pull, a push or a load is doing with each piece of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import frozen

from pyengine.errors import InvalidRequest

if TYPE_CHECKING:
    from pyengine.model.reference import Reference

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
    "waiting": "Pulling fs layer",
    "downloading": "Downloading",
    "verifying": "Verifying Checksum",
    "downloaded": "Download complete",
    "unpacking": "Extracting",
    "done": "Pull complete",
    "exists": "Already exists",
    "pushing": "Pushing",
    "pushed": "Pushed",
}
_PUSHING = {"waiting": "Preparing", "exists": "Layer already exists"}


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

    @property
    def is_counting(self) -> bool:
        """Whether it tells how far something is, and more such will come."""
        return bool(self.id) and self.action in ("downloading", "unpacking", "pushing")

    def to_docker(self, *, pushing: bool = False) -> dict[str, object]:
        """The line of Docker's stream for it (rows I05, I20), which has its words for *pushing*."""
        message: dict[str, object] = {"status": self._status(pushing)}
        if self.is_counting:
            detail: dict[str, object] = {"current": self.current}
            if self.total is not None:
                detail["total"] = self.total
            message["progressDetail"] = detail
        elif self.id:
            message["progressDetail"] = {}
        if self.id:
            message["id"] = self.id
        elif self.action == "resolving" and self.detail and not pushing:
            message["id"] = self.detail
        return message

    def to_lines(self, *, pushing: bool = False) -> tuple[str, ...]:
        """What docker's command prints of it where lines are not drawn anew; nothing of counts.

        >>> ProgressEvent("downloaded", "c0ffee").to_lines()
        ('c0ffee: Download complete',)
        """
        if self.is_counting:
            return ()
        message = self.to_docker(pushing=pushing)
        line = f"{message['id']}: {message['status']}" if "id" in message else message["status"]
        is_whole = not self.id and self.action in ("done", "exists")
        digest = (f"Digest: {self.detail}",) if is_whole and self.detail and not pushing else ()
        return (*digest, str(line))

    def _status(self, pushing: bool) -> str:
        if self.action == "resolving":
            name = _name(self.reference)
            if pushing:
                return f"The push refers to repository [{name.repository if name else ''}]"
            return f"Pulling from {name.path if name else self.reference}"
        if not self.id and self.action in ("done", "exists"):
            return self._outcome(pushing)
        if self.action == "mounted":
            return f"Mounted from {self.detail}"
        if self.action == "retrying":
            return f"Retrying: {self.detail}" if self.detail else "Retrying"
        return (_PUSHING if pushing else {}).get(self.action) or _DOCKER[self.action]

    def _outcome(self, pushing: bool) -> str:
        """What is said of the whole image in the end."""
        if pushing:
            name = _name(self.reference)
            tag = (name.tag if name else "") or "latest"
            size = f" size: {self.total}" if self.total is not None else ""
            return f"{tag}: digest: {self.detail}{size}"
        if self.action == "exists":
            return f"Status: Image is up to date for {self.reference}"
        return f"Status: Downloaded newer image for {self.reference}"


def _name(text: str) -> Reference | None:
    from pyengine.model.reference import Reference

    try:
        return Reference.parse(text)
    except InvalidRequest:  # that of an archive, for instance
        return None
