"""What a program that ran to its end has to show."""

from __future__ import annotations

from functools import cached_property

from attrs import frozen

from pyengine.errors import OomKilled, ProgramFailed
from pyengine.model.usage import Usage

_NOTHING = Usage()


@frozen(slots=False)
class Result:
    """A program's exit code and everything it said.

    *stdout_bytes* and *stderr_bytes* are exactly what was written; with a terminal both are in
    *stdout_bytes*. *duration* is seconds from start to end. *signal* is the one that ended it,
    and *exit_code* then 128 + signal.

    >>> result = Result(0, b"hi\\n")
    >>> result.stdout, bool(result)
    ('hi\\n', True)
    """

    exit_code: int
    stdout_bytes: bytes = b""
    stderr_bytes: bytes = b""
    duration: float = 0.0
    usage: Usage = _NOTHING
    signal: int | None = None
    oom_killed: bool = False

    @cached_property
    def stdout(self) -> str:
        """Standard output as text; what is not UTF-8 shows as U+FFFD."""
        return self.stdout_bytes.decode(errors="replace")

    @cached_property
    def stderr(self) -> str:
        """Standard error as text; what is not UTF-8 shows as U+FFFD."""
        return self.stderr_bytes.decode(errors="replace")

    def __bool__(self) -> bool:
        return self.exit_code == 0

    def check(self) -> Result:
        """This result, if the program succeeded; else raise `ProgramFailed` or `OomKilled`."""
        if self.oom_killed:
            raise OomKilled(self)
        if self.exit_code != 0:
            raise ProgramFailed(self)
        return self
