"""The program that filters devices says what the policy says."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.errors import InvalidRequest
from pyengine.linux.device_filter import (
    DEFAULT_POLICY,
    UNRESTRICTED,
    DevicePolicy,
    device_policy,
    device_rule,
    program,
    v1_lines,
)
from pyengine.model.spec import DeviceRule

KINDS = {"b": 1, "c": 2}
RIGHTS = {"m": 1, "r": 2, "w": 4}


def run(code: bytes, kind: str, major: int, minor: int, access: str) -> int:
    """A machine for the few instructions the filter is made of (RFC 9669)."""
    context = struct.pack("<III", sum(RIGHTS[a] for a in access) << 16 | KINDS[kind], major, minor)
    lines = [struct.unpack_from("<BBhi", code, at) for at in range(0, len(code), 8)]
    registers = [0] * 11
    position = 0
    while True:
        opcode, operands, offset, value = lines[position]
        target, source = operands & 15, operands >> 4
        unsigned = value & 0xFFFFFFFF
        position += 1
        if opcode == 0x61:
            registers[target] = struct.unpack_from("<I", context, offset)[0]
        elif opcode == 0xBF:
            registers[target] = registers[source]
        elif opcode == 0xB7:
            registers[target] = value
        elif opcode == 0x54:
            registers[target] = registers[target] & unsigned
        elif opcode == 0x74:
            registers[target] = (registers[target] & 0xFFFFFFFF) >> value
        elif opcode == 0x05:
            position += offset
        elif opcode == 0x56:
            position += offset if registers[target] & 0xFFFFFFFF != unsigned else 0
        elif opcode == 0x45:
            position += offset if registers[target] & unsigned else 0
        elif opcode == 0x95:
            return registers[0]
        else:
            raise AssertionError(f"unknown instruction {opcode:#x}")


def decide(policy: DevicePolicy, kind: str, major: int, minor: int, access: str) -> bool:
    """The policy, word for word: each right is decided by the last rule that names it."""

    def is_allowed(right: str) -> bool:
        for rule, allows in reversed(policy.rules):
            if (
                right in rule.access
                and rule.kind in ("a", kind)
                and rule.major in (None, major)
                and rule.minor in (None, minor)
            ):
                return allows
        return False

    return all(is_allowed(right) for right in access)


numbers = st.sampled_from((0, 1, 3, 5, 10, 136, 229, (1 << 32) - 1))
accesses = st.sets(st.sampled_from("rwm"), min_size=1).map(lambda s: "".join(sorted(s)))
rules = st.builds(
    DeviceRule, st.sampled_from("abc"), st.none() | numbers, st.none() | numbers, accesses
)
policies = st.lists(st.tuples(rules, st.booleans()), max_size=6).map(
    lambda found: DevicePolicy(tuple(found))
)


@settings(max_examples=300)
@given(policies, st.sampled_from("bc"), numbers, numbers, accesses)
def test_the_program_decides_as_the_policy_does(policy, kind, major, minor, access):
    verdict = run(program(policy), kind, major, minor, access)
    assert verdict == decide(policy, kind, major, minor, access)


@settings(max_examples=100)
@given(policies)
def test_every_instruction_of_a_program_can_be_reached(policy):
    code = program(policy)
    lines = [struct.unpack_from("<BBhi", code, at) for at in range(0, len(code), 8)]
    reached, todo = set(), [0]
    while todo:
        position = todo.pop()
        if position in reached:
            continue
        reached.add(position)
        opcode, _, offset, _ = lines[position]
        if opcode in (0x05, 0x56, 0x45):
            todo.append(position + 1 + offset)
        if opcode not in (0x05, 0x95):
            todo.append(position + 1)
    assert reached == set(range(len(lines)))


@pytest.mark.parametrize(
    ("kind", "major", "minor", "access", "allowed"),
    [
        ("c", 1, 3, "rwm", True),
        ("c", 1, 7, "rw", True),
        ("c", 5, 2, "rw", True),
        ("c", 136, 17, "rw", True),
        ("c", 10, 200, "m", True),
        ("b", 8, 0, "m", True),
        ("b", 8, 0, "r", False),
        ("b", 8, 0, "rm", False),
        ("c", 1, 1, "r", False),  # /dev/mem
        ("c", 10, 229, "rw", False),  # fuse
    ],
)
def test_the_default_is_docker_s(kind, major, minor, access, allowed):
    assert run(program(DEFAULT_POLICY), kind, major, minor, access) == allowed


def test_what_a_user_allows_comes_on_top_of_the_default():
    policy = device_policy((DeviceRule("c", 10, 229, "rw"),))
    assert run(program(policy), "c", 10, 229, "rw")
    assert run(program(policy), "c", 1, 3, "rw")
    assert not run(program(policy), "b", 8, 0, "r")


def test_a_rule_for_everything_allows_everything():
    policy = device_policy((DeviceRule("a", None, None, "rwm"),))
    assert run(program(policy), "b", 259, 7, "rwm")


def test_nobody_who_asked_for_nothing_gets_a_policy_of_his_own():
    assert device_policy() is DEFAULT_POLICY
    assert device_policy(privileged=True) is UNRESTRICTED


def test_the_same_policy_has_the_same_fingerprint_and_another_has_not():
    copy = DevicePolicy(tuple(DEFAULT_POLICY.rules))
    assert copy.fingerprint == DEFAULT_POLICY.fingerprint
    assert copy.is_default
    assert device_policy((DeviceRule("c", 1, 1, "r"),)).fingerprint != copy.fingerprint


def test_a_host_s_device_is_found_by_its_number(tmp_path):
    assert device_rule("/dev/null", "r") == DeviceRule("c", 1, 3, "r")
    with pytest.raises(InvalidRequest, match="not a device"):
        device_rule(str(tmp_path))
    with pytest.raises(InvalidRequest, match="No such file"):
        device_rule(str(tmp_path / "missing"))


def test_version_1_is_closed_before_it_is_opened():
    lines = v1_lines(DEFAULT_POLICY)
    assert lines[0] == ("devices.deny", b"a")
    assert ("devices.allow", b"c 136:* rwm") in lines
    assert ("devices.allow", b"b *:* m") in lines


def test_version_1_takes_no_rule_for_all_kinds_with_numbers():
    lines = v1_lines(DevicePolicy(((DeviceRule("a", 8, None, "r"), True),)))
    assert lines[1:] == (("devices.allow", b"b 8:* r"), ("devices.allow", b"c 8:* r"))


def test_more_rules_than_a_jump_can_cross_are_refused():
    rule = DeviceRule("c", 1, 1, "r")
    with pytest.raises(InvalidRequest, match="1000"):
        program(device_policy((rule,) * 1001))
