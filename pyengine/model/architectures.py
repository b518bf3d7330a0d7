"""Processors: what the kernel and people call them, and what images do."""

from __future__ import annotations

SPELLINGS = {  # each with the variant that the word implies
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "i486": ("386", ""),
    "i586": ("386", ""),
    "i686": ("386", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "armv5tel": ("arm", "v5"),
    "armv6l": ("arm", "v6"),
    "armv7l": ("arm", "v7"),
    "armv8l": ("arm", "v8"),
    "loongarch64": ("loong64", ""),
    "powerpc64le": ("ppc64le", ""),
}


def architecture_of(word: str) -> str:
    """What images call *word*, a machine of uname(2) or another spelling.

    >>> architecture_of("x86_64"), architecture_of("riscv64")
    ('amd64', 'riscv64')
    """
    return SPELLINGS.get(word, (word, ""))[0]
