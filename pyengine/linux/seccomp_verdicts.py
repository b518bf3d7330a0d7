"""What a profile says about every system call of one architecture.

The rules are those of Docker's runtimes, so that a profile means here what it means there:

- a rule with the action of the default says nothing, and names that the architecture does not
  have are left out;
- conditions of one rule are all to be met, but where two of them look at the same argument,
  each is a rule of its own;
- the first rule without conditions decides, whatever the others say;
- of several rules whose conditions are met, the strictest action wins (libseccomp leaves that
  open);
- calls that are newer than all that a strict profile names do not exist (ENOSYS): libraries
  then fall back to older ones, where a refusal would make them give up;
- the 32-bit variant of x86-64, called x32, does not exist either, in any profile;
- where arguments have 32 bits, they are numbers below 2**32.

i386 has one call that does the work of many (``socketcall``, and ``ipc``). A rule for one of the
many without conditions holds for its number there as well. Conditions cannot be looked at, as
these arguments lie in memory: so a rule that loosens does not hold there, and one that tightens
holds always.
"""

from __future__ import annotations

import errno
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from attrs import evolve, frozen

from pyengine.linux.seccomp_profile import (
    ALLOW,
    ERRNO,
    LOG,
    TRACE,
    Comparison,
    Condition,
    Profile,
    Rule,
)
from pyengine.linux.seccomp_tables import (
    I386,
    MULTIPLEXED,
    PRIVATE,
    X86_64,
    Architecture,
    architectures,
    numbers,
)

_MISSING = ERRNO | errno.ENOSYS
_LENIENT = (ALLOW, LOG, TRACE)  # a default that lets newer calls through
_X32 = 0x40000000
_NO_CALL = 0xFFFFFFFF  # what a tracer writes to skip a call
_LOW = 2**32 - 1

Alternative = tuple[int, tuple[Condition, ...]]
"""An action, and what all has to be so for it."""

Verdict = int | tuple[Alternative, ...]
"""An action, or alternatives of which the first that fits decides, the default if none does."""


@frozen
class Section:
    """Every system call of *architecture*: each verdict holds from its number to the next."""

    architecture: Architecture
    default: int
    ranges: tuple[tuple[int, Verdict], ...]


def applies(rule: Rule, capabilities: Collection[str], word: str, kernel: tuple[int, int]) -> bool:
    """Whether *rule* counts with these capabilities, on that architecture and kernel."""
    wanted, unwanted = rule.includes, rule.excludes
    if unwanted.kernel and kernel >= unwanted.kernel:
        return False
    if word in unwanted.architectures or not unwanted.capabilities.isdisjoint(capabilities):
        return False
    if wanted.kernel and kernel < wanted.kernel:
        return False
    if wanted.architectures and word not in wanted.architectures:
        return False
    return wanted.capabilities.issubset(capabilities)


def sections(
    profile: Profile, capabilities: Collection[str], machine: str, kernel: tuple[int, int]
) -> tuple[Section, ...]:
    """The verdicts of *profile* on *machine*, uname's word: first on its own system calls.

    Raises `Unsupported` for a machine whose system calls are not known.
    """
    known = architectures(machine)
    word = known[0].word
    rules = [rule for rule in profile.rules if applies(rule, capabilities, word, kernel)]
    return tuple(
        section(architecture, numbers(architecture), rules, profile.default)
        for architecture in _allowed(profile, known)
    )


def _allowed(profile: Profile, known: tuple[Architecture, ...]) -> list[Architecture]:
    """The machine's own architecture, and those of its others that *profile* names."""
    named = set(profile.architectures)
    for key, companions in profile.companions:
        if key == known[0].key:
            named.update(companions)
    return [known[0], *(one for one in known[1:] if one.key in named)]


def section(
    architecture: Architecture, table: Mapping[str, int], rules: Sequence[Rule], default: int
) -> Section:
    """The verdict on every call; *table* has the numbers of *architecture*'s names."""
    floor = _floor(architecture, table, rules, default)
    verdicts = _verdicts(architecture, table, rules, default)
    starts = [start for start, _ in floor]
    points = {*starts, *verdicts, *(number + 1 for number in verdicts)}
    ranges: list[tuple[int, Verdict]] = []
    for point in sorted(points):
        verdict = verdicts.get(point)
        if verdict is None:
            verdict = floor[bisect_right(starts, point) - 1][1]
        if not ranges or ranges[-1][1] != verdict:
            ranges.append((point, verdict))
    return Section(architecture, default, tuple(ranges))


def _floor(
    architecture: Architecture, table: Mapping[str, int], rules: Iterable[Rule], default: int
) -> list[tuple[int, int]]:
    """What holds where no rule does."""
    if default & 0xFFFF0000 not in _LENIENT and default != _MISSING:
        named = (table.get(name, 0) for rule in rules for name in rule.names)
        newest = max((number for number in named if number < PRIVATE), default=0)
        if newest:
            return [(0, default), (newest + 1, _MISSING)]
    if architecture is X86_64:
        return [(0, default), (_X32, _MISSING), (_NO_CALL, default)]
    return [(0, default)]


def _verdicts(
    architecture: Architecture, table: Mapping[str, int], rules: Iterable[Rule], default: int
) -> dict[int, Verdict]:
    """The verdict on each call that a rule speaks about."""
    found: dict[int, list[Alternative]] = {}
    for rule in rules:
        if rule.action == default:
            continue
        alternatives = list(_alternatives(rule, architecture))
        for name in rule.names:
            if name in table:
                found.setdefault(table[name], []).extend(alternatives)
            if architecture is I386 and name in MULTIPLEXED:
                call, number = MULTIPLEXED[name]
                among = found.setdefault(table[call], [])
                among.extend(_among_others(number, alternatives, default))
    return {number: _settled(alternatives) for number, alternatives in found.items()}


def _alternatives(rule: Rule, architecture: Architecture) -> Iterator[Alternative]:
    """*rule*'s action, once for each set of conditions that are to be met together."""
    conditions = rule.conditions
    together: Sequence[tuple[Condition, ...]] = [conditions]
    if len({one.argument for one in conditions}) < len(conditions):
        together = [(one,) for one in conditions]
    for several in together:
        fitted = several if architecture.wide else _narrowed(several)
        if fitted is not None:
            yield rule.action, tuple(one for one in fitted if one.mask)


def _narrowed(conditions: tuple[Condition, ...]) -> tuple[Condition, ...] | None:
    """*conditions* on numbers below 2**32, without those always met; `None` if one never is.

    The upper half must not be looked at: a 64-bit program that makes a 32-bit call can have
    anything there, and the call takes no notice.
    """
    kept = []
    for one in conditions:
        if one.value <= _LOW:
            kept.append(evolve(one, mask=one.mask & _LOW))
        elif one.comparison not in _MET_BELOW:
            return None
    return tuple(kept)


_MET_BELOW = (Comparison.NOT_EQUAL, Comparison.LESS, Comparison.LESS_OR_EQUAL)


def _among_others(
    number: int, alternatives: Iterable[Alternative], default: int
) -> Iterator[Alternative]:
    """What *alternatives* mean for *number* of a call that does the work of many."""
    # the upper half of ipc's number is a version
    is_number = Condition(0, Comparison.EQUAL, number, 0xFFFF)
    for action, conditions in alternatives:
        if not conditions or strictness(action) > strictness(default):
            yield action, (is_number,)


def strictness(action: int) -> int:
    """Greater for the stricter of two actions, as the kernel orders them (seccomp(2))."""
    kind = action & 0xFFFF0000
    return 0x80000000 - (kind - 2**32 if kind >= 2**31 else kind)


def _settled(alternatives: list[Alternative]) -> Verdict:
    """The first that has no conditions, else all of them, the strictest first."""
    for action, conditions in alternatives:
        if not conditions:
            return action
    unique = dict.fromkeys(alternatives)
    return tuple(sorted(unique, key=lambda one: -strictness(one[0])))
