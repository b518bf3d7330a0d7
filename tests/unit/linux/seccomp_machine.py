"""A machine for seccomp's programs, and a reader of profiles that is as plain as can be.

Both know nothing of the compiler: the first is what the kernel documents, the second what Docker's
runtimes do with a profile, one call at a time.
"""

from __future__ import annotations

import json
import struct
from functools import cache
from pathlib import Path

import pyengine

DATA = Path(pyengine.__file__).parent / "data"
AUDIT = {"x86_64": 0xC000003E, "i386": 0x40000003, "aarch64": 0xC00000B7, "arm": 0x40000028}
KEYS = {"i386": "SCMP_ARCH_X86", "arm": "SCMP_ARCH_ARM"}
NATIVE = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
COMPANION = {"x86_64": "i386", "aarch64": "arm"}
WORD = {"x86_64": "amd64", "aarch64": "arm64"}
ALLOW, EPERM, ENOSYS, KILL_PROCESS = 0x7FFF0000, 0x50001, 0x50026, 0x80000000
NOTHING = (0, 0, 0, 0, 0, 0)


@cache
def table(architecture: str) -> dict[str, int]:
    """The numbers of an architecture's system calls."""
    found: dict[str, int] = json.loads((DATA / f"syscalls-{architecture}.json").read_text())
    return found


@cache
def lines_of(program: bytes) -> list[tuple[int, int, int, int]]:
    """The instructions, checked as the kernel checks them before it takes a filter."""
    lines = list(struct.iter_unpack("=HBBI", program))
    assert 0 < len(lines) <= 4096
    for at, (code, yes, no, value) in enumerate(lines):
        assert code in (0x20, 0x54, 0x05, 0x15, 0x25, 0x35, 0x45, 0x06)
        if code in (0x15, 0x25, 0x35, 0x45):
            assert at + 1 + max(yes, no) < len(lines)
        elif code == 0x05:
            assert at + 1 + value < len(lines)
        elif code == 0x20:
            assert value % 4 == 0
            assert value < 64
    assert lines[-1][0] == 0x06
    return lines


def run(program: bytes, architecture: int, number: int, arguments=NOTHING) -> tuple[int, int]:
    """The verdict on a call, and how many instructions it took (linux/filter.h)."""
    lines = lines_of(program)
    data = struct.pack("=IIQ6Q", number, architecture, 0x7F00DEADBEEF, *arguments)
    at = accumulator = steps = 0
    while True:
        code, yes, no, value = lines[at]
        at += 1
        steps += 1
        if code == 0x20:
            accumulator = struct.unpack_from("=I", data, value)[0]
        elif code == 0x54:
            accumulator &= value
        elif code == 0x05:
            at += value
        elif code == 0x15:
            at += yes if accumulator == value else no
        elif code == 0x25:
            at += yes if accumulator > value else no
        elif code == 0x35:
            at += yes if accumulator >= value else no
        elif code == 0x45:
            at += yes if accumulator & value else no
        else:
            return value, steps


def verdict(program: bytes, architecture: str, number: int, arguments=NOTHING) -> int:
    """The verdict of a *program* on a call of *architecture*, by its name."""
    return run(program, AUDIT[architecture], number, arguments)[0]


ACTIONS = {
    "SCMP_ACT_KILL": 0,
    "SCMP_ACT_KILL_THREAD": 0,
    "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
    "SCMP_ACT_TRAP": 0x30000,
    "SCMP_ACT_ERRNO": 0x50000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": ALLOW,
}
STRICTEST_FIRST = (KILL_PROCESS, 0, 0x30000, 0x50000, 0x7FF00000, 0x7FFC0000, ALLOW)
COMPARE = {
    "SCMP_CMP_EQ": lambda a, b: a == b,
    "SCMP_CMP_NE": lambda a, b: a != b,
    "SCMP_CMP_LT": lambda a, b: a < b,
    "SCMP_CMP_LE": lambda a, b: a <= b,
    "SCMP_CMP_GT": lambda a, b: a > b,
    "SCMP_CMP_GE": lambda a, b: a >= b,
}


def action_of(entry: dict, key: str = "action", number: str = "errnoRet") -> int:
    """The SECCOMP_RET_* of a rule, or of a whole profile."""
    kind = ACTIONS[entry[key]]
    return kind | entry.get(number, 1) if kind in (0x50000, 0x7FF00000) else kind


def rank(action: int) -> int:
    """0 for the strictest."""
    return STRICTEST_FIRST.index(action & 0xFFFF0000)


def rules_for(profile: dict, capabilities, machine: str, kernel) -> list[dict]:
    """The rules that count."""
    return [rule for rule in profile["syscalls"] if _counts(rule, capabilities, machine, kernel)]


def _counts(rule: dict, capabilities, machine: str, kernel) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    version = [int(one) for one in (includes.get("minKernel") or "0.0").split(".")]
    unwanted = [int(one) for one in (excludes.get("minKernel") or "9999.0").split(".")]
    arches = includes.get("arches") or [WORD[machine]]
    return (
        all(name in capabilities for name in includes.get("caps") or [])
        and not any(name in capabilities for name in excludes.get("caps") or [])
        and WORD[machine] in arches
        and WORD[machine] not in (excludes.get("arches") or [])
        and list(kernel) >= version
        and list(kernel) < unwanted
    )


def holds(condition: dict, arguments, bits: int) -> bool:
    """Whether an argument is what it has to be."""
    given = arguments[condition["index"]] & ((1 << bits) - 1)
    value = condition["value"]
    if condition["op"] == "SCMP_CMP_MASKED_EQ":
        return given & value == condition.get("valueTwo", 0) & value
    return COMPARE[condition["op"]](given, value)


def always(condition: dict, bits: int) -> bool:
    """Whether a condition is met by everything because it looks at nothing."""
    most = (1 << bits) - 1
    value = condition["value"]
    if condition["op"] == "SCMP_CMP_MASKED_EQ":
        return value & most == 0 and condition.get("valueTwo", 0) & value == 0
    below = ("SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE")
    return value > most and condition["op"] in below


class Reader:
    """What Docker's runtimes make of a profile, one call of one architecture at a time.

    Not for i386's ``socketcall`` and ``ipc``, nor for x32.
    """

    def __init__(self, profile: dict, capabilities, machine: str, kernel, architecture: str):
        self.default = action_of(profile, "defaultAction", "defaultErrnoRet")
        self.bits = 64 if architecture == machine else 32
        self.rules = rules_for(profile, capabilities, machine, kernel)
        self.newest = newest_named(self.rules, architecture)
        self.calls: dict[int, list[tuple[int, list[dict]]]] = {}
        for rule in self.rules:
            action, conditions = action_of(rule), rule.get("args") or []
            indexes = [one["index"] for one in conditions]
            twice = len(set(indexes)) < len(indexes)
            for name in rule["names"]:
                if action != self.default and name in table(architecture):
                    listed = self.calls.setdefault(table(architecture)[name], [])
                    listed += [(action, [one]) for one in conditions] if twice else []
                    listed += [] if twice else [(action, conditions)]

    def verdict(self, number: int, arguments) -> int:
        """The SECCOMP_RET_* of a call."""
        if number in self.calls:
            return self._decided(self.calls[number], arguments)
        strict = rank(self.default) < rank(0x7FF00000) and self.default != ENOSYS
        return ENOSYS if strict and 0 < self.newest < number else self.default

    def _decided(self, rules: list[tuple[int, list[dict]]], arguments) -> int:
        for action, conditions in rules:
            if all(always(one, self.bits) for one in conditions):
                return action
        matching = [
            action
            for action, conditions in rules
            if all(holds(one, arguments, self.bits) for one in conditions)
        ]
        return min(matching, key=rank) if matching else self.default


def newest_named(rules: list[dict], architecture: str) -> int:
    """The greatest number that the rules know a name for; ARM's private ones aside."""
    numbers = table(architecture)
    named = [numbers.get(name, 0) for rule in rules for name in rule["names"]]
    return max((number for number in named if number < 0xF0000), default=0)


def boundaries(rules: list[dict], name: str) -> list[tuple[int, ...]]:
    """Arguments at, just below and just above what the rules compare those of *name* with."""
    conditions = [
        condition for rule in rules if name in rule["names"] for condition in rule.get("args") or []
    ]
    if not conditions:
        return [NOTHING]
    found = {NOTHING, (2**64 - 1,) * 6, (2**32,) * 6}
    for condition in conditions:
        value, other = condition["value"], condition.get("valueTwo", 0)
        masked = (other & value, other & value | ~value, other ^ (value & -value))
        for center in (value, *masked, value ^ 1 << 32, 1 << 32):
            for near in (center - 1, center, center + 1):
                one = list(NOTHING)
                one[condition["index"]] = near % 2**64
                found.add(tuple(one))
    one = list(NOTHING)
    for condition in conditions:  # and as many of them at once as there are
        one[condition["index"]] = condition["value"]
        found.add(tuple(one))
    return sorted(found)
