"""A filter by which files are given away without being so, for who has nobody to give them to.

It stands beside the container's own, whose verdicts it leaves as they are: of two filters the
kernel follows the one that lets less be done (seccomp(2)).
"""

from __future__ import annotations

import os
from functools import cache
from struct import Struct

from pyengine.linux.seccomp import Filter
from pyengine.linux.seccomp_tables import AARCH64, ARM, I386, X86_64, Architecture, architectures

_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # struct seccomp_data
_ALLOW, _DONE = 0x7FFF0000, 0x00050000  # SECCOMP_RET_ALLOW, and SECCOMP_RET_ERRNO with no error
_AS_IT_IS = 2**32 - 1
_INSTRUCTION = Struct("=HBBI")

CALLS = {
    X86_64.name: {"chown": 92, "fchown": 93, "lchown": 94, "fchownat": 260},
    I386.name: {"lchown32": 198, "fchown32": 207, "chown32": 212, "fchownat": 298},
    AARCH64.name: {"fchown": 55, "fchownat": 54},
    ARM.name: {"lchown32": 198, "fchown32": 207, "chown32": 212, "fchownat": 325},
}
"""The calls that give a file away, by architecture. Who still uses those of i386 with ids of 16
bits is told the truth.
"""

_Line = tuple[int, int, int, int]


def pretend_filter() -> Filter:
    """`filter_of` this machine."""
    return filter_of(os.uname().machine)


@cache
def filter_of(machine: str) -> Filter:
    """Giving a file to another user or group than 0 succeeds, and nothing is done.

    All else is as it would be without. Raises `Unsupported` on machines whose system calls are
    not known by name.
    """
    lines: list[_Line] = [(_LOAD, 0, 0, _ARCHITECTURE)]
    for architecture in architectures(machine):
        block = _block(architecture)
        lines += [(_IF_EQUAL, 0, len(block), architecture.audit), *block]
    lines.append((_RETURN, 0, 0, _ALLOW))
    return Filter(b"".join(_INSTRUCTION.pack(*line) for line in lines))


def _block(architecture: Architecture) -> list[_Line]:
    calls = CALLS[architecture.name]
    by_place = [number for name, number in calls.items() if name == "fchownat"]
    others = [number for name, number in calls.items() if name != "fchownat"]
    first, second = _check(1), _check(2)
    lines: list[_Line] = [(_LOAD, 0, 0, _NUMBER)]
    left = len(others) + len(by_place)
    for number in others:
        left -= 1
        lines.append((_IF_EQUAL, left + 1, 0, number))
    for number in by_place:
        left -= 1
        lines.append((_IF_EQUAL, left + 1 + len(first), 0, number))
    return [*lines, (_RETURN, 0, 0, _ALLOW), *first, *second]


def _check(argument: int) -> list[_Line]:
    """Whether the ids at *argument* and behind it are root's, or stay what they are."""
    return [
        (_LOAD, 0, 0, _ARGUMENTS + 8 * argument),  # its lower half: the kernel looks at no more
        (_IF_EQUAL, 1, 0, 0),
        (_IF_EQUAL, 0, 4, _AS_IT_IS),
        (_LOAD, 0, 0, _ARGUMENTS + 8 * (argument + 1)),
        (_IF_EQUAL, 1, 0, 0),
        (_IF_EQUAL, 0, 1, _AS_IT_IS),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _DONE),
    ]
