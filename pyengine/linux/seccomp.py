"""Which system calls a container's programs may make: Docker's profiles as kernel programs.

The default profile, ``data/seccomp.json``, is Docker's (moby/profiles 0.2.3, Apache-2.0) with two
holes closed, through both of which a program gets an ``AF_ALG`` or ``AF_VSOCK`` socket there:

- the kernel looks at the lower 32 bits of socket(2)'s first argument only, and a family with
  something above them passed for one that is greater than 40;
- ``socketcall``, i386's older way to a socket, hides the family in memory. Its number for
  ``socket`` is refused, its other numbers are not. 32-bit programs that know no other way have
  no network; who needs them passes a profile that allows ``socketcall``.

Programs of the 32-bit companion, i386 or 32-bit ARM, are filtered with their own numbers if the
profile names that architecture, as the default does; x32 is refused in any case. A call in any
other convention ends its process.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from attrs import frozen

from pyengine.errors import InvalidRequest
from pyengine.linux import seccomp_default

if TYPE_CHECKING:
    from pyengine.linux.seccomp_profile import Profile

# The compiler takes five times as long to import as a container takes to start, and the usual
# container's filter is laid out already: so it is imported by those who need it, below.

_LONGEST = 1 << 20  # characters of JSON; a hundredth of it fills the longest program


@frozen
class Filter:
    """A classic BPF program, as seccomp(2) takes it.

    *program* is an array of ``struct sock_filter``, eight bytes an instruction in the byte
    order of the machine. *flags* are the ``SECCOMP_FILTER_FLAG_*`` to install it with; never
    ``TSYNC``: a child has one thread.
    """

    program: bytes
    flags: int = 0


def filter_for(
    profile: str | None, capabilities: tuple[str, ...] | frozenset[str]
) -> Filter | None:
    """The filter of *profile* for a container with *capabilities*, on this machine.

    *profile* is ``default``, the JSON text of a profile in Docker's format (row C52), or `None`
    for no filter. *capabilities* are names with ``CAP_``, what the container's programs can
    have at most. The answer is remembered. Raises `InvalidRequest` for a profile that is
    wrong, telling where, and `Unsupported` for what needs a listener, and for an architecture
    other than x86-64 and aarch64.
    """
    return None if profile is None else _filter_here(profile, frozenset(capabilities))


@lru_cache(maxsize=32)
def _filter_here(profile: str, capabilities: frozenset[str]) -> Filter:
    machine = os.uname()
    kernel = _version(machine.release)
    if profile == "default":
        ready = seccomp_default.program(machine.machine, capabilities, kernel)
        if ready is not None:
            return Filter(ready, seccomp_default.FLAGS)
    return _compiled(_parsed(profile), capabilities, machine.machine, kernel)


def _version(release: str) -> tuple[int, int]:
    """The first two numbers of uname's *release*, such as ``6.18.44-cloud``."""
    found = re.match(r"(\d+)\.(\d+)", release, re.ASCII)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _parsed(profile: str) -> Profile:
    from pyengine.linux.seccomp_profile import load, parse

    if profile == "default":
        return default_profile()
    if len(profile) > _LONGEST:
        raise InvalidRequest("seccomp", profile, expected=f"at most {_LONGEST} characters")
    return parse(load(profile))


@cache
def default_profile() -> Profile:
    """The profile that is called ``default``."""
    import json

    from pyengine.linux.seccomp_profile import parse
    from pyengine.linux.seccomp_tables import DATA

    with open(os.path.join(DATA, "seccomp.json"), encoding="ascii") as file:
        return parse(json.load(file))


def compile_profile(
    profile: object,
    capabilities: Collection[str],
    architecture: str,
    kernel_version: tuple[int, int],
) -> Filter:
    """The filter of *profile*, a value as `json.loads` makes it, for any machine.

    *architecture* is uname's word, ``x86_64`` or ``aarch64``; *kernel_version* is what a rule's
    ``minKernel`` is compared with. Pure; raises as `filter_for` does.

    >>> len(compile_profile({"defaultAction": "SCMP_ACT_ALLOW"}, (), "aarch64", (6, 1)).program)
    40
    """
    from pyengine.linux.seccomp_profile import parse

    return _compiled(parse(profile), capabilities, architecture, kernel_version)


def _compiled(
    profile: Profile, capabilities: Collection[str], machine: str, kernel: tuple[int, int]
) -> Filter:
    from pyengine.linux.seccomp_program import assemble
    from pyengine.linux.seccomp_verdicts import sections

    return Filter(assemble(sections(profile, capabilities, machine, kernel)), profile.flags)
