"""Verdicts on system calls, laid out as the classic BPF program that gives them.

The kernel runs a new filter once for every system call it has, to learn which are allowed
whatever their arguments are; so the numbers are found by halving, seven steps for a hundred
ranges, and nothing is computed that its small interpreter of that moment cannot follow
(``seccomp_is_const_allow`` in kernel/seccomp.c).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct

from pyengine.errors import InvalidRequest
from pyengine.linux.seccomp_profile import KILL_PROCESS, Comparison, Condition
from pyengine.linux.seccomp_verdicts import Alternative, Section, Verdict

LONGEST = 4096  # BPF_MAXINSNS, instructions

# linux/bpf_common.h
_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP = 0x05  # BPF_JMP | BPF_JA
_IF_EQUAL, _IF_GREATER, _IF_AT_LEAST = 0x15, 0x25, 0x35
_RETURN = 0x06

# struct seccomp_data, linux/seccomp.h
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16

_EXCEPTIONS = 4  # more of them in one run would make the search a walk again
_FARTHEST = 250  # a conditional jump crosses 255; what is laid in between needs a few
_LOW = 2**32 - 1

_INSTRUCTION = Struct("=HBBI")

_Run = tuple[int, Verdict, list[tuple[int, Verdict]]]
"""Where it starts, its verdict, and the numbers in it that have another."""


class _Backwards:
    """A program, written from its end: jumps go forward only, so their targets are there.

    A place is an index into *lines*, counted from the end of the program.
    """

    def __init__(self) -> None:
        self.lines: list[tuple[int, int, int, int]] = []
        self._nearest: dict[int, int] = {}
        self._returns: dict[int, int] = {}

    def program(self) -> bytes:
        """The instructions in the order the machine takes them."""
        return b"".join(_INSTRUCTION.pack(*line) for line in reversed(self.lines))

    def answer(self, action: int) -> int:
        """Give *action* as the verdict."""
        if action not in self._returns:
            self._returns[action] = self._put(_RETURN, action)
        return self._returns[action]

    def load(self, offset: int, then: int) -> int:
        """Take the word at *offset* of the call's description, then go on with *then*."""
        return self._before(then, _LOAD, offset)

    def keep(self, bits: int, then: int) -> int:
        """Clear all but *bits* of what was taken."""
        return self._before(then, _AND, bits)

    def choose(self, test: int, value: int, yes: int, no: int) -> int:
        """Go on with *yes* if what was taken stands the *test*, else with *no*."""
        if yes == no:
            return yes
        yes, no = self._near(yes), self._near(no)
        here = len(self.lines)
        return self._put(test, value, here - yes - 1, here - no - 1)

    def _put(self, code: int, value: int, yes: int = 0, no: int = 0) -> int:
        self.lines.append((code, yes, no, value))
        return len(self.lines) - 1

    def _before(self, then: int, code: int, value: int) -> int:
        if then != len(self.lines) - 1:
            self._put(_JUMP, len(self.lines) - then - 1)
        return self._put(code, value)

    def _near(self, place: int) -> int:
        """*place*, or one in reach that leads there."""
        near = self._nearest.get(place, place)
        if len(self.lines) - near <= _FARTHEST:
            return near
        code, _, _, value = self.lines[near]
        if code == _RETURN:
            near = self._put(_RETURN, value)
        else:
            near = self._put(_JUMP, len(self.lines) - near - 1)
        self._nearest[place] = near
        return near


def assemble(sections: Sequence[Section]) -> bytes:
    """The program for all *sections*; a call of any other architecture ends its process.

    Raises `InvalidRequest` for one that the kernel would not take.
    """
    code = _Backwards()
    place = code.answer(KILL_PROCESS)
    for part in reversed(sections):
        numbers = code.load(_NUMBER, _halved(code, part))
        place = code.choose(_IF_EQUAL, part.architecture.audit, numbers, place)
    code.load(_ARCHITECTURE, place)
    length = len(code.lines)
    if length > LONGEST:
        why = f"the profile needs a program of {length} instructions"
        raise InvalidRequest("seccomp", f"{length} instructions", f"at most {LONGEST}", why)
    return code.program()


def _halved(code: _Backwards, part: Section) -> int:
    """Find the verdict for the number that was taken."""
    known: dict[Verdict, int] = {}

    def place_of(verdict: Verdict) -> int:
        if verdict not in known:
            known[verdict] = _verdict(code, verdict, part)
        return known[verdict]

    def tree(runs: Sequence[_Run]) -> int:
        if len(runs) == 1:
            _, verdict, exceptions = runs[0]
            place = place_of(verdict)
            for number, other in exceptions:
                place = code.choose(_IF_EQUAL, number, place_of(other), place)
            return place
        middle = len(runs) // 2
        above = tree(runs[middle:])
        below = tree(runs[:middle])
        return code.choose(_IF_AT_LEAST, runs[middle][0], above, below)

    return tree(_runs(part.ranges))


def _runs(ranges: Sequence[tuple[int, Verdict]]) -> list[_Run]:
    """*ranges* with single numbers in the midst of another verdict as exceptions from it.

    An exception costs one comparison where two borders cost two.
    """
    found: list[_Run] = []
    at = 0
    while at < len(ranges):
        start, verdict = ranges[at]
        exceptions: list[tuple[int, Verdict]] = []
        while (
            len(exceptions) < _EXCEPTIONS
            and at + 2 < len(ranges)
            and ranges[at + 2] == (ranges[at + 1][0] + 1, verdict)
        ):
            exceptions.append(ranges[at + 1])
            at += 2
        found.append((start, verdict, exceptions))
        at += 1
    return found


def _verdict(code: _Backwards, verdict: Verdict, part: Section) -> int:
    if isinstance(verdict, int):
        return code.answer(verdict)
    place = code.answer(part.default)
    wide = part.architecture.wide
    for action, conditions, lows in reversed(_gathered(verdict)):
        yes = code.answer(action)
        if lows:
            place = _equal(code, conditions[0], lows, wide, yes, place)
        else:
            no = place
            place = yes
            for condition in reversed(conditions):
                place = _compared(code, condition, wide, place, no)
    return place


def _gathered(
    alternatives: Iterable[Alternative],
) -> list[tuple[int, tuple[Condition, ...], list[int]]]:
    """*alternatives*, those that differ only in the lower half of one value taken together."""
    found: dict[object, tuple[int, tuple[Condition, ...], list[int]]] = {}
    for action, conditions in alternatives:
        first = conditions[0]
        if len(conditions) == 1 and first.comparison is Comparison.EQUAL:
            key = action, first.argument, first.mask, first.value >> 32
            found.setdefault(key, (action, conditions, []))[2].append(first.value & _LOW)
        else:
            found[action, conditions] = action, conditions, []
    return list(found.values())


def _compared(code: _Backwards, condition: Condition, wide: bool, yes: int, no: int) -> int:
    """Go on with *yes* if *condition* is met, else with *no*."""
    low = condition.value & _LOW
    match condition.comparison:
        case Comparison.EQUAL:
            return _equal(code, condition, [low], wide, yes, no)
        case Comparison.NOT_EQUAL:
            return _equal(code, condition, [low], wide, no, yes)
        case Comparison.GREATER:
            return _greater(code, condition, _IF_GREATER, wide, yes, no)
        case Comparison.GREATER_OR_EQUAL:
            return _greater(code, condition, _IF_AT_LEAST, wide, yes, no)
        case Comparison.LESS:
            return _greater(code, condition, _IF_AT_LEAST, wide, no, yes)
        case Comparison.LESS_OR_EQUAL:
            return _greater(code, condition, _IF_GREATER, wide, no, yes)


def _equal(
    code: _Backwards, condition: Condition, lows: list[int], wide: bool, yes: int, no: int
) -> int:
    """Whether the lower half is one of *lows*, and the upper one *condition*'s."""
    place = yes
    if low_mask := condition.mask & _LOW:
        place = no
        for low in reversed(lows):
            place = code.choose(_IF_EQUAL, low, yes, place)
        place = _half(code, condition.argument, low_mask, place, upper=False)
    if wide and (high_mask := condition.mask >> 32):
        place = code.choose(_IF_EQUAL, condition.value >> 32, place, no)
        place = _half(code, condition.argument, high_mask, place, upper=True)
    return place


def _greater(
    code: _Backwards, condition: Condition, test: int, wide: bool, yes: int, no: int
) -> int:
    """Whether the lower half stands the *test*, unless the upper halves decide it before."""
    place = code.choose(test, condition.value & _LOW, yes, no)
    place = _half(code, condition.argument, _LOW, place, upper=False)
    if wide:
        high = condition.value >> 32
        place = code.choose(_IF_EQUAL, high, place, no)
        place = code.choose(_IF_GREATER, high, yes, place)
        place = _half(code, condition.argument, _LOW, place, upper=True)
    return place


def _half(code: _Backwards, argument: int, mask: int, then: int, *, upper: bool) -> int:
    """Take the *mask*ed half of *argument*; all our machines store the lower half first."""
    if mask != _LOW:
        then = code.keep(mask, then)
    return code.load(_ARGUMENTS + 8 * argument + 4 * upper, then)
