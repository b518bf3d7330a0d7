"""Capabilities: their names, what a container gets of them, and what this process could give.

A set of capabilities is a collection of names with ``CAP_`` where people meet it, and a bit
mask where the kernel does (capabilities(7)).
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache, lru_cache

from pyengine.errors import InvalidRequest, KernelError, Unsupported

_WORDS = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP "
    "LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER "
    "SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE "
    "SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP "
    "MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF "
    "CHECKPOINT_RESTORE"
)
NAMES = tuple(f"CAP_{word}" for word in _WORDS.split())
"""All 41, each at the place of its number (linux/capability.h)."""

DEFAULT = (
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)
"""The 14 that Docker gives a container that asked for nothing (row C51)."""

_LAST, _STATUS = "/proc/sys/kernel/cap_last_cap", "/proc/thread-self/status"
_BITS = {name: 1 << number for number, name in enumerate(NAMES)}


def adjust(
    base: Collection[str],
    add: Collection[str],
    drop: Collection[str],
    *,
    privileged: bool = False,
    last_cap: int = len(NAMES) - 1,
) -> tuple[str, ...]:
    """*base* with *add* and without *drop*, in the order of their numbers (row C51).

    Names are ``CAP_X`` or ``ALL``. With ``ALL`` added it is everything but *drop*, with ``ALL``
    dropped exactly *add*; a name in both is there. *privileged* is everything, whatever else
    was asked. The kernel knows capabilities up to *last_cap*. Raises `InvalidRequest` for a
    name that is none, and `Unsupported` for one that is added and newer than the kernel.

    >>> adjust(DEFAULT, ["CAP_NET_ADMIN"], ["ALL"])
    ('CAP_NET_ADMIN',)
    >>> set(adjust(DEFAULT, [], ["CAP_MKNOD"])) == set(DEFAULT) - {"CAP_MKNOD"}
    True
    """
    _check("cap_add", add)
    _check("cap_drop", drop)
    everything = NAMES[: last_cap + 1]
    if privileged:
        return everything
    for name in add:
        if name != "ALL" and name not in everything:
            raise Unsupported(f"capability {name}", "this kernel is older than it", "leave it out")
    if "ALL" in add:
        return tuple(name for name in everything if name not in drop)
    kept = () if "ALL" in drop else [name for name in base if name not in drop]
    return tuple(name for name in everything if name in add or name in kept)


def _check(what: str, names: Collection[str]) -> None:
    for name in names:
        if name != "ALL" and name not in _BITS:
            raise InvalidRequest(what, name, why="unknown capability")


def mask(names: Collection[str]) -> int:
    """*names* as a bit mask. Raises `InvalidRequest` for a name that is no capability.

    >>> hex(mask(("CAP_CHOWN", "CAP_SYS_ADMIN")))
    '0x200001'
    """
    return _mask(names if isinstance(names, tuple | frozenset) else tuple(names))


@lru_cache(maxsize=64)
def _mask(names: tuple[str, ...] | frozenset[str]) -> int:
    bits = 0
    for name in names:
        if name not in _BITS:
            raise InvalidRequest("capability", name, why="unknown capability")
        bits |= _BITS[name]
    return bits


def names_of(bits: int) -> tuple[str, ...]:
    """The names of what is set in the mask *bits*, in the order of their numbers.

    A bit that is newer than this table has its number for a name, such as ``CAP_41``.

    >>> names_of(0x200001)
    ('CAP_CHOWN', 'CAP_SYS_ADMIN')
    """
    return tuple(
        NAMES[number] if number < len(NAMES) else f"CAP_{number}"
        for number in range(bits.bit_length())
        if bits >> number & 1
    )


@cache
def last_cap() -> int:
    """The number of the newest capability that both the running kernel and this table know."""
    try:
        with open(_LAST, "rb") as file:
            return min(int(file.read()), len(NAMES) - 1)
    except OSError as error:
        raise KernelError(error.errno or 0, f"read {_LAST}") from error


def bounding() -> int:
    """The mask of what the calling thread, and whatever it executes, can ever have."""
    return _own("CapBnd")


def held() -> int:
    """The mask of what the calling thread can hand on: it has it, and its bounding set too.

    A container's capabilities are cut down to these: taking more is refused by capset(2).
    """
    return _own("CapPrm", "CapBnd")


def _own(*fields: str) -> int:
    """What all of *fields* of the calling thread's status have in common."""
    try:
        with open(_STATUS, encoding="ascii", errors="replace") as file:
            lines = dict(line.partition(":")[::2] for line in file)
    except OSError as error:
        raise KernelError(error.errno or 0, f"read {_STATUS}") from error
    bits = (1 << 64) - 1
    for field in fields:
        bits &= int(lines[field], 16)
    return bits
