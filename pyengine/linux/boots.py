"""Which boot of the machine this is."""

from __future__ import annotations

from functools import cache

_PATH = "/proc/sys/kernel/random/boot_id"


@cache
def boot_id() -> str:
    """A name that is another after each boot; empty where the kernel does not tell (random(4))."""
    try:
        with open(_PATH, encoding="ascii") as file:
            return file.read(64).strip()
    except (OSError, UnicodeDecodeError):
        return ""
