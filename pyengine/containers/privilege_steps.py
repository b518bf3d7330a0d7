"""The steps in which a child gives up what is not its program's, from the outside in."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from struct import pack

from pyengine.containers.identity import Identity
from pyengine.linux.capabilities import mask
from pyengine.linux.plan import Block, Step
from pyengine.linux.seccomp import Filter
from pyengine.model.spec import Security, Ulimit

_SYS_ADMIN = mask(("CAP_SYS_ADMIN",))
RLIMITS = (  # RLIMIT_*, asm-generic/resource.h
    *("cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as"),
    *("locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime"),
)
_UNLIMITED = 2**64 - 1


def rlimits(ulimits: tuple[Ulimit, ...]) -> Iterator[Step]:
    """One step for each resource limit; -1 is unlimited."""
    for limit in ulimits:
        numbers = [n if n >= 0 else _UNLIMITED for n in (limit.soft, limit.hard)]
        yield Step(
            "rlimit",
            fd=RLIMITS.index(limit.name),
            data=pack("=2Q", *numbers),
            doing=f"limit {limit.name} to {limit.soft}:{limit.hard}",
        )


def rlimits_raised(ulimits: tuple[Ulimit, ...]) -> Iterator[Step]:
    """The limits that are higher than our own now: later there will be no right to raise them."""
    import resource

    for limit in ulimits:
        soft, hard = resource.getrlimit(RLIMITS.index(limit.name))
        if hard != -1 and (limit.hard == -1 or limit.hard > hard):
            yield from rlimits((Ulimit(limit.name, soft, limit.hard),))


@lru_cache(maxsize=64)
def privileges(
    security: Security,
    identity: Identity,
    filter: Filter | None,
    *,
    owner: int | None,
    own_stdio: bool,
    capabilities: int | None = None,
    regroups: bool = True,
    pretends: bool = False,
) -> Block:
    """Give up everything that is not the program's, the filter as late as it can be installed.

    Without no_new_privs the kernel wants CAP_SYS_ADMIN for a filter (seccomp(2)), so a user
    other than root keeps capabilities across the change of ids until the filter is in, and
    loses them in the last step. *owner* is the index of the owner's pidfd; `None` leaves out
    the step that ties the process to it, `NOBODY` takes back what tied it while it was born.
    *regroups*: whether it may change its groups; *pretends*: whether it gives files away only
    seemingly, for there is nobody else.
    """
    if capabilities is None:
        capabilities = mask(security.capabilities)
    is_root = identity.uid == 0
    keeps = filter is not None and not is_root and not security.no_new_privileges
    steps = [Step("bound", flags=capabilities, doing="drop capabilities from the bounding set")]
    if own_stdio and not is_root:
        steps.append(Step("own_stdio", flags=identity.uid, doing="give it its streams"))
    if security.no_new_privileges:
        steps.append(Step("no_new_privs"))
    if keeps:
        steps.append(Step("keepcaps"))
    if regroups:
        steps.append(_groups(identity.groups))
    steps.append(
        Step(
            "ids",
            flags=identity.uid,
            fd=identity.gid if identity.gid < 2**31 else identity.gid - 2**32,
            doing=f"become user {identity.uid}, group {identity.gid}",
        )
    )
    if keeps:
        steps.append(Step("caps", flags=_SYS_ADMIN))
    if owner is not None:
        steps.append(_UNTIE if owner == NOBODY else tie(owner))
    if pretends:
        from pyengine.linux.seccomp_pretend import pretend_filter

        steps.append(_filter(pretend_filter()))
    if filter is not None:
        steps.append(_filter(filter))
    steps.append(Step("caps", flags=capabilities if is_root else 0, doing="drop capabilities"))
    return Block(tuple(steps))


def _filter(filter: Filter) -> Step:
    return Step(
        "seccomp",
        data=filter.program,
        fd=len(filter.program) // 8,
        flags=filter.flags,
        doing="install the seccomp filter",
    )


def _groups(groups: tuple[int, ...]) -> Step:
    return Step(
        "groups",
        data=pack(f"={len(groups)}I", *groups),
        flags=len(groups),
        doing=f"join groups {', '.join(map(str, groups))}",
    )


def tie(owner: int) -> Step:
    """Let it be killed when its owner ends, whose pidfd is *owner*; -1: who hears its report."""
    return Step("pdeathsig", flags=9, fd=owner, doing="tie its life to its owner's")


NOBODY = -2
_UNTIE = Step("pdeathsig", flags=0, doing="let it outlive its owner")
ENTER = Step("enter", doing="be born inside the container")
CONTROL = Step("ctty", doing="take control of its terminal")
