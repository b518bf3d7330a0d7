"""libseccomp, which Docker's runtimes use, makes the same of a profile, call by call.

Needs libseccomp.so.2 (Debian: libseccomp2), as an oracle; the library itself does not use it.
"""

from __future__ import annotations

import ctypes
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seccomp_machine import (
    ALLOW,
    AUDIT,
    COMPANION,
    DATA,
    ENOSYS,
    KILL_PROCESS,
    NATIVE,
    NOTHING,
    action_of,
    boundaries,
    newest_named,
    rank,
    rules_for,
    table,
    verdict,
)

from pyengine.linux.capabilities import DEFAULT, NAMES
from pyengine.linux.seccomp import compile_profile

KERNEL = (6, 1)
MACHINES = ("x86_64", "aarch64")
PROFILE = json.loads((DATA / "seccomp.json").read_text())

# seccomp.h
BAD_ARCHITECTURE = 2
COMPARISONS = {
    f"SCMP_CMP_{op}": number
    for number, op in enumerate(("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"), start=1)
}
UNKNOWN = -1


class Comparison(ctypes.Structure):
    """struct scmp_arg_cmp."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def library():
    """libseccomp, with the types of what is called."""
    oracle = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    pointer, number = ctypes.c_void_p, ctypes.c_uint32
    oracle.seccomp_init.restype = pointer
    oracle.seccomp_init.argtypes = (number,)
    oracle.seccomp_release.argtypes = (pointer,)
    oracle.seccomp_release.restype = None
    oracle.seccomp_attr_set.argtypes = (pointer, ctypes.c_int, number)
    oracle.seccomp_arch_add.argtypes = (pointer, number)
    oracle.seccomp_arch_remove.argtypes = (pointer, number)
    oracle.seccomp_arch_native.restype = number
    oracle.seccomp_export_bpf.argtypes = (pointer, ctypes.c_int)
    oracle.seccomp_syscall_resolve_name.argtypes = (ctypes.c_char_p,)
    oracle.seccomp_syscall_resolve_name_arch.argtypes = (number, ctypes.c_char_p)
    oracle.seccomp_rule_add_array.argtypes = (
        pointer,
        number,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(Comparison),
    )
    return oracle


ORACLE = library()


def oracle_program(profile: dict, capabilities, machine: str, companion: bool) -> bytes:
    """What runc has libseccomp make of *profile*."""
    default = action_of(profile, "defaultAction", "defaultErrnoRet")
    context = ORACLE.seccomp_init(default)
    try:
        wanted = [AUDIT[machine], *([AUDIT[COMPANION[machine]]] if companion else [])]
        for audit in wanted:
            assert ORACLE.seccomp_arch_add(context, audit) in (0, -17)  # EEXIST: it is native
        if ORACLE.seccomp_arch_native() not in wanted:
            assert ORACLE.seccomp_arch_remove(context, ORACLE.seccomp_arch_native()) == 0
        assert ORACLE.seccomp_attr_set(context, BAD_ARCHITECTURE, KILL_PROCESS) == 0
        for rule in rules_for(profile, capabilities, machine, KERNEL):
            if action_of(rule) != default:
                add_rule(context, rule)
        return exported(context)
    finally:
        ORACLE.seccomp_release(context)


def add_rule(context, rule: dict) -> None:
    """As runc adds it: conditions on one argument become rules of their own."""
    conditions = [
        Comparison(one["index"], COMPARISONS[one["op"]], one["value"], one.get("valueTwo", 0))
        for one in rule.get("args") or []
    ]
    twice = len({one.arg for one in conditions}) < len(conditions)
    for name in rule["names"]:
        number = ORACLE.seccomp_syscall_resolve_name(name.encode())
        if number == UNKNOWN:
            continue
        for together in [[one] for one in conditions] if twice else [conditions]:
            array = (Comparison * len(together))(*together)
            action = action_of(rule)
            added = ORACLE.seccomp_rule_add_array(context, action, number, len(together), array)
            assert added in (0, -17)  # EEXIST: the very same rule


def exported(context) -> bytes:
    """The program, through a file that has no name."""
    file = os.memfd_create("filter")
    try:
        assert ORACLE.seccomp_export_bpf(context, file) == 0
        return os.pread(file, 1 << 20, 0)
    finally:
        os.close(file)


def known(architecture: str) -> dict[str, int]:
    """The calls that both know; libseccomp does not know the newest."""
    return {
        name: number
        for name, number in table(architecture).items()
        if ORACLE.seccomp_syscall_resolve_name_arch(AUDIT[architecture], name.encode()) != UNKNOWN
    }


def differences(profile: dict, capabilities, machine: str, companion: bool) -> list[tuple]:
    """Every call on which the two do not agree.

    They need not agree on the newest calls, of which runc says ENOSYS before libseccomp is
    asked, and on i386's calls that do the work of many.
    """
    ours = compile_profile(profile, capabilities, machine, KERNEL).program
    theirs = oracle_program(profile, capabilities, machine, companion)
    chosen = rules_for(profile, capabilities, machine, KERNEL)
    default = action_of(profile, "defaultAction", "defaultErrnoRet")
    strict = rank(default) < rank(0x7FF00000)
    found = []
    for architecture in (machine, *([COMPANION[machine]] if companion else [])):
        newest = newest_named(chosen, architecture)
        calls = {number: name for name, number in known(architecture).items()}
        unknown = set(table(architecture).values()) - set(calls)
        for number in {*range(560), *calls, 0xF0001, 2**30 - 1} - unknown:
            name = calls.get(number, "")
            if architecture == "i386" and name in ("socketcall", "ipc"):
                continue
            for arguments in boundaries(chosen, name):
                if architecture != machine and any(one >= 2**32 for one in arguments):
                    continue
                want = verdict(theirs, architecture, number, arguments)
                if strict and 0 < newest < number and want == default:
                    want = ENOSYS
                got = verdict(ours, architecture, number, arguments)
                if got != want:
                    found.append((architecture, number, name, arguments, hex(got), hex(want)))
    return found


def without_large_families(profile: dict) -> dict:
    """The profile without our addition to Docker's, on which libseccomp takes no stand."""
    rules = [rule for rule in profile["syscalls"] if rule.get("errnoRet") != 97]
    assert len(rules) == len(profile["syscalls"]) - 1
    return {**profile, "syscalls": rules}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    "capabilities",
    [
        *(DEFAULT, (), NAMES, ("CAP_SYS_ADMIN",), (*DEFAULT, "CAP_SYS_PTRACE", "CAP_BPF")),
        *((*DEFAULT, "CAP_SYS_TIME", "CAP_SYSLOG"), ("CAP_SYS_NICE", "CAP_SYS_MODULE")),
    ],
    ids=len,
)
def test_the_default_profile_is_what_libseccomp_makes_of_it(machine, capabilities):
    profile = without_large_families(PROFILE)
    assert differences(profile, capabilities, machine, companion=True) == []


def test_libseccomp_kills_what_comes_from_another_architecture_as_we_do():
    theirs = oracle_program(PROFILE, DEFAULT, "x86_64", companion=True)
    ours = compile_profile(PROFILE, DEFAULT, "x86_64", KERNEL).program
    for architecture in ("aarch64", "arm"):
        assert verdict(theirs, architecture, 1) == verdict(ours, architecture, 1) == KILL_PROCESS


@pytest.mark.parametrize("architecture", sorted(AUDIT))
def test_libseccomp_gives_every_call_the_number_we_give_it(architecture):
    resolve = ORACLE.seccomp_syscall_resolve_name_arch
    theirs = {
        name: resolve(AUDIT[architecture], name.encode()) for name in table(architecture)
    }  # below zero: not known, or done through another call as well
    differing = {name: n for name, n in theirs.items() if n >= 0 and n != table(architecture)[name]}
    assert differing == {}
    assert sum(number >= 0 for number in theirs.values()) > 300


values = st.sampled_from([0, 1, 7, 8, 38, 0x7E020000, 2**31, 2**32 - 1])
large = st.one_of(values, st.sampled_from([2**32, 2**32 + 1, 2**63, 2**64 - 1]))
operators = st.sampled_from(sorted(set(COMPARISONS) - {"SCMP_CMP_MASKED_EQ"}))


def conditions(numbers, index):
    """Conditions on argument *index*."""
    return st.one_of(
        st.builds(lambda value, op: {"index": index, "value": value, "op": op}, numbers, operators),
        st.builds(
            lambda value, other: {
                "index": index,
                "value": value,
                "valueTwo": other,
                "op": "SCMP_CMP_MASKED_EQ",
            },
            numbers,
            numbers,
        ),
    )


def one_rule(name, numbers):
    """One rule about *name* that looks at several arguments: all have to be met."""
    several = st.tuples(*(conditions(numbers, index) for index in (0, 1, 3)))
    return several.map(lambda listed: [{"names": [name], "args": list(listed)}])


def several_rules(name):
    """Several rules about *name* that look at one argument each: one has to be met.

    All with the same upper half: where it differs libseccomp 2.5 mixes the rules up, and lets 1
    through where they allow what is <= 0 and what is >= 2**32.
    """
    return st.lists(conditions(values, 0), min_size=1, max_size=3).map(
        lambda listed: [{"names": [name], "args": [one]} for one in listed]
    )


def rules_about(names, numbers):
    """Rules with one action for each name: libseccomp leaves open which of several wins."""
    actions = st.sampled_from(
        [
            {"action": "SCMP_ACT_ALLOW"},
            {"action": "SCMP_ACT_LOG"},
            {"action": "SCMP_ACT_KILL_PROCESS"},
            {"action": "SCMP_ACT_TRAP"},
            {"action": "SCMP_ACT_ERRNO", "errnoRet": 13},
            {"action": "SCMP_ACT_TRACE", "errnoRet": 7},
        ]
    )
    of_one = [
        st.builds(
            lambda listed, action: [{**rule, **action} for rule in listed],
            st.one_of(
                st.just([]),
                st.just([{"names": [name]}]),
                one_rule(name, numbers),
                several_rules(name),
            ),
            actions,
        )
        for name in names
    ]
    return st.tuples(*of_one).map(lambda each: [rule for listed in each for rule in listed])


defaults = st.sampled_from(
    [
        {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1},
        {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38},
        {"defaultAction": "SCMP_ACT_ALLOW"},
        {"defaultAction": "SCMP_ACT_KILL"},
        {"defaultAction": "SCMP_ACT_KILL_PROCESS"},
        {"defaultAction": "SCMP_ACT_LOG"},
    ]
)
CALLS = ("read", "personality", "clone", "openat", "socket", "memfd_create", "futex_waitv")


@settings(max_examples=40, deadline=None)
@given(defaults, rules_about(CALLS, large), st.sampled_from(MACHINES))
def test_any_profile_is_what_libseccomp_makes_of_it(default, rules, machine):
    profile = {**default, "architectures": [NATIVE[machine]], "syscalls": rules}
    assert differences(profile, (), machine, companion=False) == []


@settings(max_examples=40, deadline=None)
@given(
    defaults,
    rules_about([name for name in CALLS if name != "socket"], values),
    st.sampled_from(MACHINES),
)
def test_any_profile_is_what_libseccomp_makes_of_it_for_32_bits(default, rules, machine):
    both = ["SCMP_ARCH_X86", "SCMP_ARCH_ARM"]
    profile = {**default, "architectures": both, "syscalls": rules}
    assert differences(profile, (), machine, companion=True) == []


def test_i386_sockets_through_one_call_are_what_libseccomp_makes_of_them():
    """Where we can agree: rules that have no conditions."""
    deny = {"action": "SCMP_ACT_ERRNO", "errnoRet": 13}
    several = ["socket", "accept", "sendmmsg", "semop", "shmctl", "msgget"]
    for default, action in (
        ({"defaultAction": "SCMP_ACT_ALLOW"}, deny),
        ({"defaultAction": "SCMP_ACT_ERRNO"}, {"action": "SCMP_ACT_ALLOW"}),
    ):
        rules = [{"names": several, **action}]
        profile = {**default, "architectures": ["SCMP_ARCH_X86"], "syscalls": rules}
        ours = compile_profile(profile, (), "x86_64", KERNEL).program
        theirs = oracle_program(profile, (), "x86_64", companion=True)
        verdicts = set()
        for call in ("socketcall", "ipc"):
            for operation in range(30):
                arguments = (operation, *NOTHING[1:])
                number = table("i386")[call]
                got = verdict(ours, "i386", number, arguments)
                assert got == verdict(theirs, "i386", number, arguments)
                verdicts.add(got)
        assert verdicts == {ALLOW, 0x5000D} or verdicts == {ALLOW, 0x50001}
