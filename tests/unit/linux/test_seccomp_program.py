"""The program that filters system calls says what the profile says."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seccomp_machine import (
    ALLOW,
    AUDIT,
    COMPANION,
    DATA,
    ENOSYS,
    EPERM,
    KEYS,
    KILL_PROCESS,
    NATIVE,
    NOTHING,
    Reader,
    boundaries,
    lines_of,
    rules_for,
    run,
    table,
    verdict,
)

from pyengine.errors import InvalidRequest, Unsupported
from pyengine.linux.capabilities import DEFAULT
from pyengine.linux.seccomp import compile_profile

KERNEL = (6, 1)
PROFILE = json.loads((DATA / "seccomp.json").read_text())
MACHINES = ("x86_64", "aarch64")
modest = settings(max_examples=40, deadline=None)

NAMES = [
    *("read", "write", "personality", "socket", "clone", "openat", "getpid", "mount", "bpf"),
    *("socketcall", "ipc", "shmget", "connect", "accept", "semop", "removexattrat", "fchown32"),
    *("arm_fadvise64_64", "set_tls", "no_such_call"),
]
words = st.integers(0, 2**64 - 1)
telling = st.one_of(
    st.sampled_from([0, 1, 38, 40, 2**31, 2**32 - 1, 2**32, 2**32 + 38, 2**63, 2**64 - 1]), words
)
operators = st.sampled_from([f"SCMP_CMP_{op}" for op in ("EQ", "NE", "LT", "LE", "GT", "GE")])
conditions = st.one_of(
    st.fixed_dictionaries({"index": st.integers(0, 5), "value": telling, "op": operators}),
    st.fixed_dictionaries(
        {
            "index": st.integers(0, 5),
            "value": telling,
            "valueTwo": telling,
            "op": st.just("SCMP_CMP_MASKED_EQ"),
        }
    ),
)
actions = st.one_of(
    st.fixed_dictionaries(
        {
            "action": st.sampled_from(
                [f"SCMP_ACT_{a}" for a in ("KILL", "KILL_PROCESS", "TRAP", "LOG", "ALLOW", "ALLOW")]
            )
        }
    ),
    st.fixed_dictionaries(
        {"action": st.just("SCMP_ACT_ERRNO"), "errnoRet": st.sampled_from([0, 1, 38, 4095])}
    ),
    st.just({"action": "SCMP_ACT_ERRNO"}),
    st.just({"action": "SCMP_ACT_TRACE", "errnoRet": 65535}),
)
circumstances = st.one_of(
    st.just({}),
    st.just({}),
    st.fixed_dictionaries(
        {},
        optional={
            "caps": st.lists(st.sampled_from(["CAP_CHOWN", "CAP_SYS_ADMIN"]), max_size=2),
            "arches": st.lists(st.sampled_from(["amd64", "arm64", "x86"]), max_size=2),
            "minKernel": st.sampled_from(["4.8", "6.1", "6.2", "10.0"]),
        },
    ),
)
rules = st.builds(
    lambda names, action, arguments, includes, excludes: {
        "names": names,
        **action,
        "args": arguments,
        "includes": includes,
        "excludes": excludes,
    },
    st.lists(st.sampled_from(NAMES), min_size=1, max_size=4),
    actions,
    st.lists(conditions, max_size=3),
    circumstances,
    circumstances,
)
profiles = st.builds(
    lambda action, companion, listed: {
        "defaultAction": action["action"],
        **({"defaultErrnoRet": action["errnoRet"]} if "errnoRet" in action else {}),
        "architectures": [*NATIVE.values(), *(KEYS.values() if companion else ())],
        "syscalls": listed,
    },
    actions,
    st.booleans(),
    st.lists(rules, max_size=8),
)


@modest
@given(profiles, st.sampled_from(MACHINES), st.lists(st.tuples(*[telling] * 6), max_size=4))
def test_every_verdict_is_the_profile_s(profile, machine, more):
    program = compile_profile(profile, DEFAULT, machine, KERNEL).program
    chosen = rules_for(profile, DEFAULT, machine, KERNEL)
    named = len(profile["architectures"]) > 2
    for architecture in (machine, COMPANION[machine])[: 1 + named]:
        reader = Reader(profile, DEFAULT, machine, KERNEL, architecture)
        numbers = table(architecture)
        calls = {numbers[name]: name for name in NAMES if name in numbers}
        for number in (*calls, 2, 466, 467, 500, 0xF0004, 2**30 - 1):
            name = calls.get(number, "")
            if architecture == "i386" and name in ("socketcall", "ipc"):
                continue
            for arguments in (*boundaries(chosen, name), *more):
                want = reader.verdict(number, arguments)
                assert verdict(program, architecture, number, arguments) == want


@modest
@given(profiles, st.sampled_from(MACHINES))
def test_no_profile_lets_another_architecture_in(profile, machine):
    program = compile_profile(profile, DEFAULT, machine, KERNEL).program
    named = len(profile["architectures"]) > 2
    known = {AUDIT[machine], *([AUDIT[COMPANION[machine]]] if named else [])}
    for audit in {*AUDIT.values(), 0, 0xFFFFFFFF, 0x8000003E, 0xC000003F} - known:
        assert {run(program, audit, number)[0] for number in (0, 1, 59)} == {KILL_PROCESS}


@modest
@given(profiles, st.integers(0, 2**30 - 2))
def test_x32_does_not_exist_in_any_profile(profile, number):
    with_x32 = {**profile, "architectures": [*profile["architectures"], "SCMP_ARCH_X32"]}
    program = compile_profile(with_x32, DEFAULT, "x86_64", KERNEL).program
    strict = compile_profile({**with_x32, "syscalls": []}, DEFAULT, "x86_64", KERNEL).program
    assert verdict(program, "x86_64", 1 << 30 | number) == ENOSYS
    assert verdict(strict, "x86_64", 1 << 30 | number) == ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_the_default_profile_says_the_same_of_every_call_there_is(machine):
    for capabilities in (DEFAULT, (), ("CAP_SYS_ADMIN",), ("CAP_SYS_PTRACE", "CAP_BPF")):
        program = compile_profile(PROFILE, capabilities, machine, KERNEL).program
        chosen = rules_for(PROFILE, capabilities, machine, KERNEL)
        for architecture in (machine, COMPANION[machine]):
            reader = Reader(PROFILE, capabilities, machine, KERNEL, architecture)
            calls = {number: name for name, number in table(architecture).items()}
            for number in range(520):
                name = calls.get(number, "")
                if name == "socketcall":
                    continue
                for arguments in boundaries(chosen, name):
                    want = reader.verdict(number, arguments)
                    got = verdict(program, architecture, number, arguments)
                    assert (name, arguments, got) == (name, arguments, want)


def default_verdict(name, *arguments, architecture="x86_64", capabilities=DEFAULT):
    program = compile_profile(PROFILE, capabilities, "x86_64", KERNEL).program
    padded = (*arguments, *NOTHING)[:6]
    return verdict(program, architecture, table(architecture)[name], padded)


@pytest.mark.parametrize("architecture", ["x86_64", "i386"])
@pytest.mark.parametrize(
    "name",
    [
        *("io_uring_setup", "io_uring_enter", "io_uring_register", "bpf", "userfaultfd", "keyctl"),
        *("add_key", "request_key", "mount", "umount2", "setns", "unshare", "kexec_load"),
        *("init_module", "open_by_handle_at", "perf_event_open", "pivot_root", "swapon", "ioperm"),
        *("fsopen", "move_mount", "open_tree", "mount_setattr", "reboot", "acct", "settimeofday"),
    ],
)
def test_what_endangers_the_host_is_refused_by_default(name, architecture):
    assert default_verdict(name, architecture=architecture) == EPERM


def test_namespaces_are_refused_by_default_and_threads_are_not():
    threads = 0x3D0F00
    assert default_verdict("clone", threads) == ALLOW
    for namespace in (0x20000, 0x2000000, 0x4000000, 0x8000000, 1 << 28, 1 << 29, 1 << 30):
        assert default_verdict("clone", threads | namespace) == EPERM
        assert default_verdict("clone", threads | namespace, architecture="i386") == EPERM
        assert default_verdict("clone", namespace, capabilities=("CAP_SYS_ADMIN",)) == ALLOW
    assert default_verdict("clone3") == ENOSYS  # its flags lie in memory: libraries go on to clone
    assert default_verdict("clone3", capabilities=("CAP_SYS_ADMIN",)) == ALLOW


@pytest.mark.parametrize("family", [38, 40])
def test_no_way_of_asking_gives_a_socket_that_is_refused(family):
    for above in (0, 1 << 32, 1 << 63, (2**32 - 1) << 32):  # the kernel looks at the lower half
        assert default_verdict("socket", family | above) != ALLOW
    assert default_verdict("socket", family, architecture="i386") == EPERM
    assert default_verdict("socketcall", 1, architecture="i386") == EPERM


def test_all_other_sockets_are_had_by_default():
    for family in (0, 1, 2, 10, 16, 17, 37, 39, 41, 45, 1000, 2**31, 2**32 - 1):
        assert default_verdict("socket", family) == ALLOW
        assert default_verdict("socket", family, architecture="i386") == ALLOW
    for operation in range(2, 21):
        assert default_verdict("socketcall", operation, architecture="i386") == ALLOW
    for operation in (0, 21, 0x101, 0x26):
        assert default_verdict("socketcall", operation, architecture="i386") == EPERM
    assert default_verdict("ipc", 21, architecture="i386") == ALLOW


def test_calls_that_are_newer_than_the_profile_do_not_exist():
    program = compile_profile(PROFILE, DEFAULT, "x86_64", KERNEL).program
    assert verdict(program, "x86_64", 466) == ALLOW
    for number in (467, 470, 471, 547, 1000, 2**30 - 1, 2**32 - 1):
        assert verdict(program, "x86_64", number) == ENOSYS
    assert verdict(program, "x86_64", 337) == EPERM  # between two that are known


def multiplexed(default, *rules):
    profile = {"defaultAction": default, "architectures": ["SCMP_ARCH_X86"], "syscalls": rules}
    return compile_profile(profile, (), "x86_64", KERNEL).program


def test_what_one_call_does_for_many_is_filtered_as_the_many_are():
    some = [{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]
    deny = {"action": "SCMP_ACT_ERRNO", "errnoRet": 13}
    allow = {"action": "SCMP_ACT_ALLOW"}
    refusing = multiplexed(
        "SCMP_ACT_ALLOW",
        {"names": ["connect", "shmat"], **deny},
        {"names": ["socket", "msgget"], **deny, "args": some},
    )
    allowing = multiplexed(
        "SCMP_ACT_ERRNO",
        {"names": ["connect", "shmat"], **allow},
        {"names": ["socket", "msgget"], **allow, "args": some},
    )
    socketcall, ipc = table("i386")["socketcall"], table("i386")["ipc"]
    for call, number in ((socketcall, 3), (ipc, 21), (ipc, 1 << 16 | 21), (ipc, 7 << 16 | 21)):
        arguments = (number, *NOTHING[1:])
        assert verdict(refusing, "i386", call, arguments) == 0x5000D
        assert verdict(allowing, "i386", call, arguments) == ALLOW
    for call, number in ((socketcall, 1), (ipc, 13)):  # their arguments cannot be seen
        arguments = (number, 2, *NOTHING[2:])
        assert verdict(refusing, "i386", call, arguments) == 0x5000D
        assert verdict(allowing, "i386", call, arguments) == EPERM
    for call, number in ((socketcall, 2), (ipc, 2)):
        arguments = (number, *NOTHING[1:])
        assert verdict(refusing, "i386", call, arguments) == ALLOW
        assert verdict(allowing, "i386", call, arguments) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_the_way_to_a_verdict_is_short(machine):
    program = compile_profile(PROFILE, DEFAULT, machine, KERNEL).program
    assert len(lines_of(program)) < 256
    steps = [run(program, AUDIT[machine], number)[1] for number in range(470)]
    assert max(steps) <= 30
    assert sum(steps) / len(steps) < 14


def test_what_the_kernel_learns_beforehand_does_not_look_at_arguments():
    """Only then is it allowed without running the program again: seccomp_is_const_allow."""
    program = compile_profile(PROFILE, DEFAULT, "x86_64", KERNEL).program
    lines = lines_of(program)
    watched = {"socket", "personality", "clone"}
    for name, number in table("x86_64").items():
        at = 0
        accumulator = None
        while lines[at][0] != 0x06:
            code, yes, no, value = lines[at]
            if code == 0x20 and value > 4:
                break
            if code == 0x20:
                accumulator = number if value == 0 else AUDIT["x86_64"]
            met = {0x15: accumulator == value, 0x35: accumulator >= value}.get(code)
            at += 1 + (value if code == 0x05 else 0 if met is None else yes if met else no)
        assert (lines[at][0] == 0x20) == (name in watched)


@pytest.mark.parametrize("count", [20, 300, 600])
def test_jumps_reach_over_programs_of_any_length(count):
    some = [{"index": i % 6, "value": i << 31, "op": "SCMP_CMP_GT"} for i in range(3)]
    names = sorted(table("x86_64"))[: count // 3]
    rules = [
        {"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": at, "args": [one]}
        for at, name in enumerate(names)
        for one in some
    ]
    profile = {"defaultAction": "SCMP_ACT_LOG", "syscalls": rules}
    program = compile_profile(profile, (), "x86_64", KERNEL).program
    reader = Reader(profile, (), "x86_64", KERNEL, "x86_64")
    for name in names:
        number = table("x86_64")[name]
        for arguments in boundaries(rules, name):
            assert verdict(program, "x86_64", number, arguments) == reader.verdict(
                number, arguments
            )


def test_a_program_that_the_kernel_would_not_take_is_refused():
    some = [{"index": 0, "value": i * 3 << 16, "op": "SCMP_CMP_GT"} for i in range(1500)]
    rules = [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [one]} for one in some]
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}
    with pytest.raises(InvalidRequest, match="4096"):
        compile_profile(profile, (), "x86_64", KERNEL)


def test_a_machine_whose_calls_are_not_known_is_told_so():
    with pytest.raises(Unsupported, match="riscv64"):
        compile_profile(PROFILE, DEFAULT, "riscv64", KERNEL)
