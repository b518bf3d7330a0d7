"""A profile is read exactly, or refused with the place that is wrong."""

from __future__ import annotations

import contextlib
import errno
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seccomp_machine import ALLOW, ENOSYS, EPERM, table, verdict

from pyengine.errors import InvalidRequest, Unsupported
from pyengine.linux.seccomp import compile_profile, filter_for
from pyengine.linux.seccomp_profile import Comparison, Condition, load, parse

ERRNO, TRACE = 0x50000, 0x7FF00000


def profile(*rules, action="SCMP_ACT_ERRNO", **more):
    return {"defaultAction": action, "syscalls": list(rules), **more}


def rule(*names, action="SCMP_ACT_ALLOW", **more):
    return {"names": list(names) or ["read"], "action": action, **more}


def condition(**more):
    return {"index": 0, "value": 1, "op": "SCMP_CMP_EQ", **more}


def filtered(*rules, capabilities=(), kernel=(6, 1), machine="x86_64", **more):
    return compile_profile(profile(*rules, **more), capabilities, machine, kernel)


def answer(filter, name="read", *arguments):
    return verdict(filter.program, "x86_64", table("x86_64")[name], (*arguments, *[0] * 6)[:6])


WRONG = {
    "the profile": [[], None, "x", 5, True],
    "defaultAction": [
        {},
        {"defaultAction": None},
        profile(action="SCMP_ACT_NO"),
        profile(action=5),
    ],
    "defaultErrnoRet": [
        *(profile(defaultErrnoRet=wrong) for wrong in (-1, 4096, "1", 1.0, True, [])),
    ],
    "defaultErrno": [
        profile(defaultErrno="ENOTHING"),
        profile(defaultErrno="errorcode"),
        profile(defaultErrno="EPERM", defaultErrnoRet=2),
        profile(defaultErrno=1),
    ],
    "architectures": [profile(architectures="SCMP_ARCH_X86"), profile(architectures={})],
    "architectures[1]": [
        profile(architectures=["SCMP_ARCH_X86", wrong]) for wrong in ("x86", "", None, 5, [])
    ],
    "archMap": [
        profile(archMap={}),
        profile(archMap=[{"architecture": "SCMP_ARCH_ARM"}], architectures=["SCMP_ARCH_ARM"]),
    ],
    "archMap[0].architecture": [profile(archMap=[{}]), profile(archMap=[{"architecture": "arm"}])],
    "archMap[0].subArchitectures[0]": [
        profile(archMap=[{"architecture": "SCMP_ARCH_ARM", "subArchitectures": ["arm"]}])
    ],
    "syscalls": [profile() | {"syscalls": wrong} for wrong in ({}, "read", 5)],
    "syscalls[0]": [
        *(profile(wrong) for wrong in ("read", 5, [])),
        profile(rule(arguments=[])),
        profile(rule(name="read")),
    ],
    "syscalls[1].names": [
        profile(rule(), {"action": "SCMP_ACT_ALLOW"}),
        profile(rule(), rule() | {"names": []}),
        profile(rule(), rule() | {"names": "read"}),
    ],
    "syscalls[0].names[1]": [profile(rule("read", wrong)) for wrong in ("", None, 5, ["a"])],
    "syscalls[0].action": [
        profile(rule(action="SCMP_ACT_NO")),
        profile({"names": ["read"]}),
        profile(rule(errnoRet=1)),  # an action that gives no errno
        profile(rule(action="SCMP_ACT_KILL", errno="EPERM")),
    ],
    "syscalls[0].errnoRet": [profile(rule(action="SCMP_ACT_ERRNO", errnoRet=4096))],
    "syscalls[0].comment": [profile(rule(comment=5))],
    "syscalls[0].args": [profile(rule(args={})), profile(rule(args=5))],
    "syscalls[0].args[0]": [profile(rule(args=[wrong])) for wrong in (5, "a", [], {"arg": 0})],
    "syscalls[0].args[0].index": [
        profile(rule(args=[condition(index=wrong)])) for wrong in (-1, 6, "0", None, 0.0, True)
    ],
    "syscalls[0].args[0].value": [
        profile(rule(args=[condition(value=wrong)])) for wrong in (-1, 2**64, "0", None, 1.5)
    ],
    "syscalls[0].args[0].valueTwo": [
        profile(rule(args=[condition(valueTwo=wrong)])) for wrong in (-1, 2**64, "0", 7)
    ],
    "syscalls[0].args[0].op": [
        profile(rule(args=[condition(op=wrong)])) for wrong in ("==", "", None, "SCMP_CMP_XX", 5)
    ],
    "syscalls[0].includes": [profile(rule(includes=wrong)) for wrong in (5, [], {"cap": []})],
    "syscalls[0].includes.caps[0]": [
        profile(rule(includes={"caps": [wrong]})) for wrong in ("SYS_ADMIN", "CAP_FLY", 5)
    ],
    "syscalls[0].excludes.arches[0]": [
        profile(rule(excludes={"arches": [wrong]})) for wrong in ("SCMP_ARCH_X86", "amd46", 5)
    ],
    "syscalls[0].excludes.minKernel": [
        profile(rule(excludes={"minKernel": wrong})) for wrong in ("4", "4.8.1", "new", 4.8, "-1.0")
    ],
    "flags": [profile(flags="SECCOMP_FILTER_FLAG_LOG"), profile(flags=4)],
    "flags[0]": [profile(flags=[wrong]) for wrong in ("LOG", 4, None)],
}
CASES = [(where, wrong) for where, several in WRONG.items() for wrong in several]


@pytest.mark.parametrize(("where", "wrong"), CASES)
def test_what_is_wrong_is_refused_with_its_place(where, wrong):
    with pytest.raises(InvalidRequest) as caught:
        parse(wrong)
    assert caught.value.what == "seccomp"
    assert f"at {where};" in str(caught.value) or f"at {where}." in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[1", "nothing", '{"defaultAction": "SCMP_ACT_ALLOW"} x', "\0"),
        '{"defaultAction": "SCMP_ACT_ALLOW", "defaultAction": "SCMP_ACT_KILL"}',
        '{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": NaN}',
        '{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": -Infinity}',
        '{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": ' + "9" * 5000 + "}",
        '{"a":' * 50_000,
        "[" * 200_000,
    ],
    ids=lambda text: repr(text[:20]),
)
def test_hostile_json_is_refused(text):
    with pytest.raises(InvalidRequest, match="seccomp"):
        filter_for(text, ())


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
)
keys = st.sampled_from(
    [
        *("defaultAction", "defaultErrnoRet", "syscalls", "archMap", "architectures", "flags"),
        *("names", "action", "args", "includes", "excludes", "caps", "index", "op", "value"),
        *("errnoRet", "listenerPath"),
    ]
)
likely = st.sampled_from(["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ARCH_X86", "SCMP_CMP_EQ", 1])
shaped = st.recursive(
    likely | values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
)


@settings(max_examples=60, deadline=None)
@given(shaped | st.dictionaries(keys, shaped))
def test_whatever_comes_is_read_or_refused(value):
    with contextlib.suppress(InvalidRequest, Unsupported):
        assert compile_profile(value, (), "x86_64", (6, 1)).program


@pytest.mark.parametrize(
    "wrong",
    [
        profile(action="SCMP_ACT_NOTIFY"),
        profile(rule(action="SCMP_ACT_NOTIFY")),
        profile(listenerPath="/run/listener"),
        profile(listenerMetadata="x"),
        profile(flags=["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]),
    ],
)
def test_what_needs_a_listener_is_unsupported(wrong):
    with pytest.raises(Unsupported, match="nobody listens"):
        parse(wrong)


@pytest.mark.parametrize(
    ("given_action", "action"),
    [
        ({"action": "SCMP_ACT_KILL"}, 0),
        ({"action": "SCMP_ACT_KILL_THREAD"}, 0),
        ({"action": "SCMP_ACT_KILL_PROCESS"}, 0x80000000),
        ({"action": "SCMP_ACT_TRAP"}, 0x30000),
        ({"action": "SCMP_ACT_LOG"}, 0x7FFC0000),
        ({"action": "SCMP_ACT_ALLOW"}, ALLOW),
        ({"action": "SCMP_ACT_ERRNO"}, ERRNO | errno.EPERM),
        ({"action": "SCMP_ACT_ERRNO", "errnoRet": 0}, ERRNO),
        ({"action": "SCMP_ACT_ERRNO", "errnoRet": 4095}, ERRNO | 4095),
        ({"action": "SCMP_ACT_ERRNO", "errno": "EACCES"}, ERRNO | errno.EACCES),
        ({"action": "SCMP_ACT_ERRNO", "errno": "EACCES", "errnoRet": 13}, ERRNO | 13),
        ({"action": "SCMP_ACT_ERRNO", "errno": "", "errnoRet": None}, EPERM),
        ({"action": "SCMP_ACT_TRACE"}, TRACE | errno.EPERM),
        ({"action": "SCMP_ACT_TRACE", "errnoRet": 65535}, TRACE | 65535),
    ],
)
def test_every_action_becomes_the_kernel_s(given_action, action):
    assert answer(filtered(rule() | given_action, action="SCMP_ACT_KILL_PROCESS")) == action
    assert parse(profile(rule() | given_action)).rules[0].action == action
    as_default = {"defaultAction": given_action["action"]}
    if "errnoRet" in given_action:
        as_default["defaultErrnoRet"] = given_action["errnoRet"]
    if "errno" in given_action:
        as_default["defaultErrno"] = given_action["errno"]
    assert parse(as_default).default == action


@pytest.mark.parametrize(
    ("flags", "bits"),
    [
        ({}, 4),  # SECCOMP_FILTER_FLAG_SPEC_ALLOW
        ({"flags": None}, 4),
        ({"flags": []}, 0),
        ({"flags": ["SECCOMP_FILTER_FLAG_LOG"]}, 2),
        ({"flags": ["SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_LOG"]}, 6),
        ({"flags": ["SECCOMP_FILTER_FLAG_TSYNC"]}, 0),  # a child has one thread
    ],
)
def test_flags_are_the_kernel_s_and_never_synchronize_threads(flags, bits):
    assert filtered(rule(), **flags).flags == bits


def test_a_rule_counts_where_its_capabilities_are():
    needs = rule(includes={"caps": ["CAP_BPF", "CAP_CHOWN"]})
    shuns = rule(excludes={"caps": ["CAP_BPF", "CAP_CHOWN"]})
    for capabilities, needed, shunned in (
        ((), EPERM, ALLOW),
        (("CAP_BPF",), EPERM, EPERM),
        (("CAP_BPF", "CAP_CHOWN"), ALLOW, EPERM),
    ):
        assert answer(filtered(needs, capabilities=capabilities)) == needed
        assert answer(filtered(shuns, capabilities=capabilities)) == shunned


def test_a_rule_counts_from_its_kernel_on():
    for kernel, since, until in (
        ((4, 7), EPERM, ALLOW),
        ((4, 8), ALLOW, EPERM),
        ((4, 10), ALLOW, EPERM),
        ((10, 0), ALLOW, EPERM),
    ):
        assert answer(filtered(rule(includes={"minKernel": "4.8"}), kernel=kernel)) == since
        assert answer(filtered(rule(excludes={"minKernel": "4.8"}), kernel=kernel)) == until
    for nothing in ({"minKernel": ""}, {"minKernel": None}, {}, None):
        assert answer(filtered(rule(includes=nothing), kernel=(0, 0))) == ALLOW


def test_a_rule_counts_on_its_architecture():
    for word, here in (("amd64", ALLOW), ("arm64", EPERM), ("x86", EPERM)):
        assert answer(filtered(rule(includes={"arches": [word]}))) == here
        assert answer(filtered(rule(excludes={"arches": [word]}))) == (
            EPERM if here == ALLOW else ALLOW
        )


def test_a_companion_is_let_in_by_name_only():
    native = {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}
    other = {"architecture": "SCMP_ARCH_ARM", "subArchitectures": ["SCMP_ARCH_X86"]}
    for more, companion in (
        ({}, False),
        ({"archMap": None}, False),
        ({"archMap": [other]}, False),
        ({"archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": None}]}, False),
        ({"archMap": [other, native]}, True),
        ({"architectures": ["SCMP_ARCH_X86"]}, True),
        ({"architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_S390X"]}, False),
    ):
        program = filtered(rule(), **more).program
        read = table("i386")["read"]
        assert verdict(program, "i386", read) == (ALLOW if companion else 0x80000000)


def test_the_old_way_to_name_a_call_is_understood():
    old = {"name": "read", "action": "SCMP_ACT_ALLOW", "args": None, "comment": ""}
    assert answer(filtered(old)) == ALLOW
    assert answer(filtered(old | {"names": []})) == ALLOW


def test_names_of_other_architectures_are_left_out():
    assert answer(filtered(rule("read", "no_such_call", "s390_pci_mmio_read"))) == ALLOW


def test_a_mask_cuts_both_sides_of_a_comparison():
    masked = condition(op="SCMP_CMP_MASKED_EQ", value=0xF0, valueTwo=0x1F)
    assert parse(profile(rule(args=[masked]))).rules[0].conditions == (
        Condition(0, Comparison.EQUAL, 0x10, 0xF0),
    )
    for argument, allowed in ((0x10, True), (0x1F, True), (0x0F, False), (0x30, False)):
        assert (answer(filtered(rule(args=[masked])), "read", argument) == ALLOW) == allowed


def test_the_first_rule_without_conditions_decides():
    some = [condition()]
    first = rule(action="SCMP_ACT_LOG")
    for rules in ([first, rule()], [rule(args=some), first, rule()], [first, rule(args=some)]):
        assert answer(filtered(*rules), "read", 1) == 0x7FFC0000


def test_a_rule_that_says_what_the_default_says_does_not_hide_another():
    same = rule(action="SCMP_ACT_ERRNO", errnoRet=1)
    assert answer(filtered(same, rule(args=[condition()])), "read", 1) == ALLOW


def test_of_several_rules_that_are_met_the_strictest_wins():
    several = [
        rule(args=[condition(index=at)], action=action)
        for at, action in enumerate(["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRAP"])
    ]
    for rules in (several, several[::-1]):
        made = filtered(*rules)
        assert answer(made, "read", 1) == ALLOW
        assert answer(made, "read", 1, 1) == 0x7FFC0000
        assert answer(made, "read", 1, 1, 1) == 0x30000


def test_conditions_on_one_argument_are_rules_of_their_own():
    either = rule(args=[condition(value=1), condition(value=2), condition(index=1, value=3)])
    made = filtered(either)
    for arguments, allowed in (((1,), True), ((2,), True), ((0, 3), True), ((0, 0), False)):
        assert (answer(made, "read", *arguments) == ALLOW) == allowed
    both = filtered(rule(args=[condition(value=1), condition(index=1, value=3)]))
    assert answer(both, "read", 1, 3) == ALLOW
    assert answer(both, "read", 1, 0) == EPERM


def test_a_profile_that_asks_for_enosys_gets_nothing_else():
    made = filtered(rule(), defaultErrnoRet=38)
    assert answer(made, "write") == ENOSYS
    assert verdict(made.program, "x86_64", 2000) == ENOSYS


def test_a_profile_that_names_nothing_refuses_everything_alike():
    made = filtered(action="SCMP_ACT_KILL_PROCESS")
    assert {verdict(made.program, "x86_64", n) for n in (0, 1, 500, 2000)} == {0x80000000}


def test_json_reads_as_it_does_elsewhere():
    value = profile(rule(args=[condition(value=2**64 - 1)]), comment=None)
    del value["comment"]
    assert load(json.dumps(value)) == value
