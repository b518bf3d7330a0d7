"""What is wrong with a command line, in docker's words where programs read them."""

from __future__ import annotations

from attrs import define

from pyengine.errors import EngineError

FLAG_FAULT = 125
"""What docker ends with, whatever the verb, when it cannot read a flag."""

COUNT_FAULT = 1
"""What docker ends with when there are too many or too few arguments."""

TEMPLATE_FAULT = 64
"""What docker ends with when it cannot read a ``--format``: EX_USAGE of sysexits(3)."""


@define(slots=False, eq=False)
class UsageError(EngineError):
    """The command line cannot be read: *why*, and the *command* whose ``--help`` tells more.

    >>> print(UsageError("unknown flag: --foo", "pyengine ps"))
    unknown flag: --foo
    See 'pyengine ps --help'.
    """

    why: str
    command: str = "pyengine"
    status: int = FLAG_FAULT

    def __str__(self) -> str:
        return f"{self.why}\nSee '{self.command} --help'."


@define(slots=False, eq=False)
class TemplateError(EngineError):
    """A ``--format`` text is wrong: *why*; *given* is the whole text.

    >>> print(TemplateError("{{.Id", "unclosed action"))
    template parsing error: unclosed action: '{{.Id'
    """

    given: str
    why: str
    status: int = TEMPLATE_FAULT

    def __str__(self) -> str:
        shown = repr(self.given if len(self.given) <= 200 else f"{self.given[:160]}…")
        return f"template parsing error: {self.why}: {shown}"
