"""Signals by name and by number, as Docker's commands and images write them.

The numbers are those of Linux on x86, Arm, RISC-V, POWER and s390 alike (signal(7)); the first
real-time signal is 34, because glibc keeps 32 and 33 for itself.
"""

from __future__ import annotations

from functools import lru_cache

from pyengine.errors import InvalidRequest

_IN_ORDER = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP "
    "TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
)
_NAMES = tuple(_IN_ORDER.split(" "))
_NUMBERS = {name: number for number, name in enumerate(_NAMES, 1)}
_NUMBERS |= {"IOT": 6, "CLD": 17, "POLL": 29, "UNUSED": 31}

SIGKILL = 9
SIGTERM = 15
FIRST_REAL_TIME = 34
LAST_REAL_TIME = 64

_EXPECTED = "a signal's name or number: 'SIGTERM', 'term', 15, 'SIGRTMIN+3'"


def parse_signal(value: object, what: str = "signal") -> int:
    """The number of the signal *value* names: 1 to 64.

    Names may be in any case, with or without ``SIG``; numbers may be texts. *what* names it in
    the `InvalidRequest` that anything else raises.

    >>> parse_signal("SIGTERM"), parse_signal("kill"), parse_signal("RTMIN+3")
    (15, 9, 37)
    """
    if isinstance(value, str):
        number = _parse_text(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = int(value)  # an enum's member becomes what the kernel takes
    else:
        number = 0
    if not 1 <= number <= LAST_REAL_TIME:
        raise InvalidRequest(what, value, expected=_EXPECTED)
    return number


@lru_cache(maxsize=64)
def _parse_text(text: str) -> int:
    """The signal's number, or 0."""
    if _is_number(text):
        return int(text)
    name = text.upper().removeprefix("SIG")
    if (number := _NUMBERS.get(name)) is not None:
        return number
    for start, base, sign in (("RTMIN", FIRST_REAL_TIME, "+"), ("RTMAX", LAST_REAL_TIME, "-")):
        if not name.startswith(start):
            continue
        rest = name.removeprefix(start)
        if not rest:
            return base
        if rest[0] == sign and _is_number(rest[1:]):
            number = base + int(rest)
            return number if FIRST_REAL_TIME <= number <= LAST_REAL_TIME else 0
    return 0


def _is_number(text: str) -> bool:
    return 0 < len(text) <= 3 and text.isascii() and text.isdigit()


def signal_name(number: int) -> str:
    """What the signal *number* is called, such as ``SIGTERM``; `InvalidRequest` beyond 64.

    >>> signal_name(15), signal_name(37)
    ('SIGTERM', 'SIGRTMIN+3')
    """
    if 1 <= number <= len(_NAMES):
        return f"SIG{_NAMES[number - 1]}"
    if FIRST_REAL_TIME <= number <= LAST_REAL_TIME:
        offset = number - FIRST_REAL_TIME
        return f"SIGRTMIN+{offset}" if offset else "SIGRTMIN"
    if number in (32, 33):
        return f"SIG{number}"
    raise InvalidRequest("signal", number, expected="1 to 64")
