"""What can go wrong, named for what the caller can do next.

::

    EngineError
    ├── InvalidRequest (ValueError)      the request itself is wrong: mend it
    ├── NotFound (LookupError)           name something that exists
    │   ├── ImageNotFound, ContainerNotFound, NetworkNotFound, VolumeNotFound
    │   └── ExecutableNotFound           the program is not in the image (exit code 127)
    ├── AlreadyExists                    choose another name
    ├── InUse                            let go of it first
    │   └── PortInUse (OSError)
    ├── WrongState                       bring the container into another state first
    ├── NotPermitted (PermissionError)   ask for less, or ask as somebody else
    │   └── NotExecutable                the program may not be executed (exit code 126)
    ├── Unsupported                      the host, or this version, cannot; the remedy is named
    ├── InvalidContent                   an image, or a piece of one, is not what it must be
    ├── RegistryError
    │   └── Unauthorized, RateLimited, DigestMismatch, RegistryUnavailable
    ├── BuildFailed
    ├── ProgramFailed                    the program ran, and said no
    │   └── OomKilled
    ├── TimedOut (TimeoutError)
    ├── NotReady
    ├── EngineClosed
    ├── ForeignProcess                   the handle came through a fork: make a new engine
    ├── StoreError                       the disk
    │   └── NoSpace
    └── KernelError (OSError)            a system call failed; *doing* says what it was for

Facts are fields, messages are made from them once, and every error survives a pickle.
Errors carry ids and values, never handles.
"""

from __future__ import annotations

import errno as _errno
import os
from typing import TYPE_CHECKING

from attrs import define

if TYPE_CHECKING:
    from pyengine.model.result import Result

__all__ = [
    "AlreadyExists",
    "BuildFailed",
    "ContainerNotFound",
    "DigestMismatch",
    "EngineClosed",
    "EngineError",
    "ExecutableNotFound",
    "ForeignProcess",
    "ImageNotFound",
    "InUse",
    "InvalidContent",
    "InvalidRequest",
    "KernelError",
    "NetworkNotFound",
    "NoSpace",
    "NotExecutable",
    "NotFound",
    "NotPermitted",
    "NotReady",
    "OomKilled",
    "PortInUse",
    "ProgramFailed",
    "RateLimited",
    "RegistryError",
    "RegistryUnavailable",
    "StoreError",
    "TimedOut",
    "Unauthorized",
    "Unsupported",
    "VolumeNotFound",
    "WrongState",
]


class EngineError(Exception):
    """Anything pyengine raises on purpose.

    *exit_code* is what ``docker run`` would end with (row O44 of Docker's behaviour).
    """

    exit_code = 125


def _shown(value: object) -> str:
    """Quote *value* as the user gave it, but never let a giant one fill the message."""
    return _cut(repr(value))


def _cut(text: str) -> str:
    if not text.isprintable():  # a terminal that shows it shall not do what it says
        text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return text if len(text) <= 200 else f"{text[:160]}… ({len(text)} characters)"


@define(slots=False, eq=False)
class InvalidRequest(EngineError, ValueError):
    """The request is wrong in itself; nothing was touched.

    >>> print(InvalidRequest("memory", "1m", expected="at least 6m", why="below the minimum"))
    memory '1m' is not valid: below the minimum; expected at least 6m
    """

    what: str
    given: object
    expected: str = ""
    why: str = ""

    def __str__(self) -> str:
        text = f"{self.what} {_shown(self.given)} is not valid"
        if self.why:
            text += f": {self.why}"
        if self.expected:
            text += f"; expected {self.expected}" if self.why else f": expected {self.expected}"
        return text


@define(slots=False, eq=False)
class NotFound(EngineError, LookupError):
    """There is no such thing; *name* is what was asked for."""

    name: str
    hint: str = ""

    _kind = "object"

    def __str__(self) -> str:
        text = f"No such {self._kind}: {_cut(self.name)}"
        return text + (f": {_cut(self.hint)}" if self.hint else "")


class ImageNotFound(NotFound):
    """No image, root directory or archive answers to that name."""

    _kind = "image"


class ContainerNotFound(NotFound):
    """No container answers to that name or id."""

    _kind = "container"


class NetworkNotFound(NotFound):
    """No network answers to that name or id."""

    _kind = "network"


class VolumeNotFound(NotFound):
    """No volume answers to that name."""

    _kind = "volume"


class ExecutableNotFound(NotFound):
    """The program to run does not exist in the container's file system."""

    exit_code = 127
    _kind = "executable"

    def __str__(self) -> str:
        # docker's clients look for these very words (pitfall 13)
        if "/" in self.name:
            name = _cut(self.name)
            text = f"exec: {_shown(self.name)}: stat {name}: no such file or directory"
        else:
            text = f"exec: {_shown(self.name)}: executable file not found in $PATH"
        return text + (f": {self.hint}" if self.hint else "")


@define(slots=False, eq=False)
class AlreadyExists(EngineError):
    """The name is taken; *holder* is the id of who has it."""

    kind: str
    name: str
    holder: str = ""

    def __str__(self) -> str:
        by = f" by {self.kind} {self.holder!r}" if self.holder else ""
        return (
            f"Conflict. The {self.kind} name {self.name!r} is already in use{by}: "
            f"remove or rename that {self.kind}, or choose another name"
        )


@define(slots=False, eq=False)
class InUse(EngineError):
    """Somebody still needs it; *why* says it in full, where there is more to say than who."""

    kind: str
    name: str
    users: tuple[str, ...] = ()
    why: str = ""

    def __str__(self) -> str:
        if self.why:
            return _cut(self.why)
        by = f" by {', '.join(self.users)}" if self.users else ""
        return f"{self.kind} {self.name!r} is in use{by}"


class PortInUse(InUse, OSError):
    """Another program listens on that port of the host."""


@define(slots=False, eq=False)
class WrongState(EngineError):
    """The container is in the wrong state: bring it into another first.

    >>> print(WrongState("web", "exited", "pause"))
    cannot pause container 'web': it is exited
    """

    container: str
    status: str
    action: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"cannot {self.action} container {self.container!r}: it is {self.status}"
        return text + (f"; {self.hint}" if self.hint else "")


@define(slots=False, eq=False)
class NotPermitted(EngineError, PermissionError):
    """The host refuses *doing* to this user; *remedy* is what would help."""

    doing: str
    why: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        text = f"not permitted to {self.doing}"
        text += f": {self.why}" if self.why else ""
        return text + (f"; {self.remedy}" if self.remedy else "")


class NotExecutable(NotPermitted):
    """The program exists and may not be executed."""

    exit_code = 126

    def __str__(self) -> str:
        text = f"exec: {self.doing!r}: {self.why or 'permission denied'}"
        return text + (f"; {self.remedy}" if self.remedy else "")


@define(slots=False, eq=False)
class Unsupported(EngineError):
    """*feature* cannot be had, because of *missing*; *remedy* says how to get it.

    >>> print(Unsupported("network 'bridge'", "networks are not built yet", "use network=None"))
    network 'bridge' is not supported: networks are not built yet; use network=None
    """

    feature: str
    missing: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        text = f"{self.feature} is not supported"
        text += f": {self.missing}" if self.missing else ""
        return text + (f"; {self.remedy}" if self.remedy else "")


@define(slots=False, eq=False)
class InvalidContent(EngineError):
    """Content that came from elsewhere is not what it must be; nothing of it was kept.

    *what* is the piece, *digest* its name where it has one, *image* the image it belongs to.

    >>> print(InvalidContent("manifest", "it has no layers", image="alpine:3"))
    image 'alpine:3': manifest is not valid: it has no layers
    """

    what: str
    why: str
    digest: str = ""
    image: str = ""

    def __str__(self) -> str:
        what = f"{_cut(self.what)} {self.digest}" if self.digest else _cut(self.what)
        text = f"{what} is not valid: {_cut(self.why)}"
        return f"image {_shown(self.image)}: {text}" if self.image else text


@define(slots=False, eq=False)
class RegistryError(EngineError):
    """A registry did not give what was asked: *why*, for which *image* or *digest*.

    *registry* is empty where it came from a file.

    >>> print(RegistryError("ghcr.io", "it says 500", "ghcr.io/a/b:1", remedy="try again later"))
    registry 'ghcr.io': image 'ghcr.io/a/b:1': it says 500; try again later
    """

    registry: str
    why: str = ""
    image: str = ""
    digest: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        said = (
            f"registry {_shown(self.registry)}" if self.registry else "",
            f"image {_shown(self.image)}" if self.image else "",
            f"blob {_cut(self.digest)}" if self.digest else "",
            _cut(self.why),
        )
        text = ": ".join(part for part in said if part)
        return text + (f"; {_cut(self.remedy)}" if self.remedy else "")


class Unauthorized(RegistryError):
    """The registry wants other credentials."""


@define(slots=False, eq=False)
class RateLimited(RegistryError):
    """The registry wants us to come back after *retry_after* seconds; `None` if it said none."""

    retry_after: float | None = None


class DigestMismatch(RegistryError):
    """What came is not what was asked for."""


class RegistryUnavailable(RegistryError):
    """The registry cannot be reached."""


@define(slots=False, eq=False)
class BuildFailed(EngineError):
    """An instruction of a build failed."""

    stage: str
    instruction: str
    file: str = ""
    line: int = 0
    result: Result | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.instruction} failed in stage {self.stage!r}"


@define(slots=False, eq=False)
class ProgramFailed(EngineError):
    """The program ran and ended with something else than 0; *result* has its output."""

    result: Result

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        """The program's own exit code."""
        return self.result.exit_code

    def __str__(self) -> str:
        result = self.result
        said = (result.stderr or result.stdout).strip()
        tail = said if len(said) <= 500 else f"…{said[-500:]}"
        how = f"ended with exit code {result.exit_code}"
        return f"the program {how}" + (f": {tail}" if tail else "")


class OomKilled(ProgramFailed):
    """The kernel ended the program because it used more memory than it was allowed."""

    def __str__(self) -> str:
        return "the kernel killed the program: it used more memory than its limit; raise memory="


@define(slots=False, eq=False)
class TimedOut(EngineError, TimeoutError):
    """Time ran out; what was started has been ended, *stdout* and *stderr* is what it said."""

    phase: str
    timeout: float
    stdout: str = ""
    stderr: str = ""

    def __str__(self) -> str:
        return f"{self.phase} took longer than {self.timeout:g} s"


@define(slots=False, eq=False)
class NotReady(EngineError):
    """The container ended, or time ran out, before *condition* came true."""

    condition: str
    logs: str = ""
    why: str = ""

    def __str__(self) -> str:
        tail = self.logs[-500:]
        text = f"not ready: {self.condition}" + (f": {self.why}" if self.why else "")
        return text + (f"; its last output: {tail}" if tail else "")


class EngineClosed(EngineError):
    """The engine has been closed: make a new one."""

    def __str__(self) -> str:
        return "the engine is closed: make a new one"


@define(slots=False, eq=False)
class ForeignProcess(EngineError):
    """The engine belongs to process *owner*; this is a fork of it: make an engine here."""

    owner: int

    def __str__(self) -> str:
        return (
            f"this engine belongs to process {self.owner}, and this is process {os.getpid()}, "
            "forked from it: make an Engine of its own here"
        )


@define(slots=False, eq=False)
class StoreError(EngineError):
    """The disk did not do what it should: *path*, *why*, *remedy*."""

    path: str
    why: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.why}" + (f"; {self.remedy}" if self.remedy else "")


class NoSpace(StoreError):
    """There is no space, or no quota, left at *path*."""


@define(slots=False, eq=False)
class KernelError(EngineError, OSError):
    """A system call failed; *doing* says what for.

    >>> error = KernelError(2, "mount proc on /proc")
    >>> print(error)
    could not mount proc on /proc: No such file or directory (ENOENT)
    """

    errno: int
    doing: str
    hint: str = ""

    @property
    def strerror(self) -> str:  # type: ignore[override]
        """What the C library calls this errno."""
        return os.strerror(self.errno)

    def __str__(self) -> str:
        name = _errno.errorcode.get(self.errno, str(self.errno))
        text = f"could not {self.doing}: {self.strerror} ({name})"
        return text + (f"; {self.hint}" if self.hint else "")
