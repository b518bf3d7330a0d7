"""Everything there is to know of one container, as one value."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from pyengine.model.health import Health
from pyengine.model.spec import ContainerSpec
from pyengine.model.state import ContainerState, Status


@frozen
class ContainerInfo:
    """A container as it was when it was looked at.

    *spec* is what it is, *state* what it does. *log_path* is its log file, *root* the directory
    of its writable layer, both on the host. *size* is how many bytes that layer holds, where it
    was asked for. *health* is what its health checks have said, where it has any and has run.
    *holders* are the pids of the processes that hold it, where several share it. *image_id* is the
    digest of its image, empty where that is a directory.
    """

    spec: ContainerSpec
    state: ContainerState
    log_path: str = ""
    root: str = ""
    size: int | None = None
    health: Health | None = None
    holders: tuple[int, ...] | None = None
    image_id: str = ""

    @property
    def id(self) -> str:
        """64 hexadecimal digits."""
        return self.spec.id

    @property
    def name(self) -> str:
        """Its name, without a slash."""
        return self.spec.name

    @property
    def image(self) -> str:
        """Its image, as the user wrote it."""
        return self.spec.image

    @property
    def created(self) -> float:
        """When it was made, in seconds since 1970."""
        return self.spec.created

    @property
    def status(self) -> Status:
        """What it does: ``created``, ``running``, ``paused``, ``exited``, …"""
        return self.state.status

    @property
    def pid(self) -> int:
        """Its first process as the host numbers it; 0 where none runs."""
        return self.state.pid

    @property
    def exit_code(self) -> int:
        """How its program ended last: 128 + n by signal n; 0 before the first end."""
        return self.state.exit_code

    @property
    def labels(self) -> dict[str, str]:
        """Its labels, the image's among them."""
        return dict(self.spec.labels)

    def to_docker(self) -> dict[str, Any]:
        """The message of Docker's ``/containers/{id}/json`` (row O20)."""
        from pyengine.model.docker_inspect import to_docker

        return to_docker(self)

    def to_docker_summary(self, now: float | None = None) -> dict[str, Any]:
        """An entry of Docker's ``/containers/json`` (row O22), *now* in seconds since 1970."""
        from pyengine.model.docker_inspect import to_docker_summary

        return to_docker_summary(self, now)
