"""The architectures whose system calls are known by name, and the numbers these have there.

``data/syscalls-*.json`` are the kernel's own tables up to Linux 6.19: ``asm/unistd_64.h`` and its
siblings, and what was added after them. A test compares them with the headers of the machine
it runs on.
"""

from __future__ import annotations

import os
from functools import cache

from attrs import frozen

from pyengine.errors import Unsupported

DATA = os.path.join(os.path.dirname(os.path.dirname(__file__)), "data")


@frozen
class Architecture:
    """A calling convention, as ``seccomp_data.arch`` tells them apart (linux/audit.h).

    *key* is what a profile calls it, *word* what conditions of a profile call it; *wide* tells
    that arguments have 64 bits.
    """

    name: str
    key: str
    word: str
    audit: int
    wide: bool


X86_64 = Architecture("x86_64", "SCMP_ARCH_X86_64", "amd64", 0xC000003E, wide=True)
I386 = Architecture("i386", "SCMP_ARCH_X86", "x86", 0x40000003, wide=False)
AARCH64 = Architecture("aarch64", "SCMP_ARCH_AARCH64", "arm64", 0xC00000B7, wide=True)
ARM = Architecture("arm", "SCMP_ARCH_ARM", "arm", 0x40000028, wide=False)

_RUNS = {"x86_64": (X86_64, I386), "aarch64": (AARCH64, ARM)}

KEYS = frozenset(
    f"SCMP_ARCH_{name}"
    for name in (
        *("X86", "X86_64", "X32", "ARM", "AARCH64", "LOONGARCH64", "M68K", "MIPS", "MIPS64"),
        *("MIPS64N32", "MIPSEL", "MIPSEL64", "MIPSEL64N32", "PARISC", "PARISC64", "PPC", "PPC64"),
        *("PPC64LE", "RISCV64", "S390", "S390X", "SH", "SHEB"),
    )
)
"""Every architecture that a profile may name, whether or not it is this machine's."""

WORDS = frozenset(
    (
        *("386", "amd64", "arm", "arm64", "loong64", "loongarch64", "m68k", "mips", "mips64"),
        *("mips64le", "mips64n32", "mipsel", "mipsel64", "mipsel64n32", "mipsle", "parisc"),
        *("parisc64", "ppc", "ppc64", "ppc64le", "riscv64", "s390", "s390x", "x32", "x86"),
    )
)
"""Every word for an architecture that the conditions of a profile may use."""

PRIVATE = 0xF0000  # ARM's own calls start here, far above everybody's (asm/unistd.h)

_SOCKET = (
    "socket bind connect listen accept getsockname getpeername socketpair send recv sendto "
    "recvfrom shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg"
)  # linux/net.h
MULTIPLEXED = {name: ("socketcall", number) for number, name in enumerate(_SOCKET.split(), start=1)}
"""What i386 also does through one call that has the real one's number as its argument."""
for _name, _number in (
    *(("semop", 1), ("semget", 2), ("semctl", 3), ("semtimedop", 4), ("msgsnd", 11)),
    *(("msgrcv", 12), ("msgget", 13), ("msgctl", 14), ("shmat", 21), ("shmdt", 22)),
    *(("shmget", 23), ("shmctl", 24)),
):  # linux/ipc.h
    MULTIPLEXED[_name] = ("ipc", _number)


def architectures(machine: str) -> tuple[Architecture, ...]:
    """What a kernel for *machine*, uname's word, runs: its own architecture, then others.

    Raises `Unsupported` for a machine whose system calls are not in the tables.

    >>> [known.name for known in architectures("x86_64")]
    ['x86_64', 'i386']
    """
    if machine not in _RUNS:
        missing = "its system calls are not in pyengine's tables"
        raise Unsupported(f"a seccomp filter on {machine}", missing, "use seccomp='unconfined'")
    return _RUNS[machine]


@cache
def numbers(architecture: Architecture) -> dict[str, int]:
    """The number of each system call of *architecture*."""
    import json  # milliseconds to load: only for who needs it

    path = os.path.join(DATA, f"syscalls-{architecture.name}.json")
    with open(path, encoding="ascii") as file:
        table: dict[str, int] = json.load(file)
    return table
