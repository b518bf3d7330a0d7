"""The numbers of system calls are the kernel's.

Compares with the headers of the machine the test runs on (Debian: linux-libc-dev).
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from seccomp_machine import DATA, table

from pyengine.errors import Unsupported
from pyengine.linux.seccomp_tables import MULTIPLEXED, architectures, numbers

MACHINE = os.uname().machine
HEADERS = Path(f"/usr/include/{MACHINE}-linux-gnu/asm")
DEFINITION = re.compile(r"^#define __NR_(\w+) (\d+)$", re.MULTILINE)
NEWEST = 470  # listns, Linux 6.19
COMMON = 424  # from here on a call has one number on all architectures


@pytest.mark.skipif(MACHINE != "x86_64", reason="other headers are not lists of numbers")
@pytest.mark.parametrize(("header", "name"), [("unistd_64.h", "x86_64"), ("unistd_32.h", "i386")])
def test_every_number_is_that_of_the_kernel_s_headers(header, name):
    found = DEFINITION.findall((HEADERS / header).read_text())
    theirs = {call: int(number) for call, number in found if int(number) <= NEWEST}
    assert len(theirs) > 300
    assert {call: number for call, number in table(name).items() if call in theirs} == theirs


@pytest.mark.parametrize("name", ["x86_64", "i386", "aarch64", "arm"])
def test_newer_calls_have_one_number_everywhere(name):
    newer = {call: n for call, n in table("x86_64").items() if n >= COMMON}
    mine = {call: n for call, n in table(name).items() if COMMON <= n < 0xF0000}
    assert len(set(newer.values())) == len(newer) == NEWEST - COMMON + 1
    assert mine.items() <= newer.items()
    assert newer.keys() - mine.keys() <= {"memfd_secret"}  # not on 32-bit ARM


@pytest.mark.parametrize("name", ["x86_64", "i386", "aarch64", "arm"])
def test_the_tables_are_lists_in_order(name):
    text = (DATA / f"syscalls-{name}.json").read_text()
    pairs = json.loads(text, object_pairs_hook=list)
    assert len(dict(pairs)) == len(pairs)
    assert [number for _, number in pairs] == sorted(number for _, number in pairs)


def test_a_machine_runs_its_own_programs_and_its_companion_s():
    names = {
        machine: [one.name for one in architectures(machine)] for machine in ("x86_64", "aarch64")
    }
    assert names == {"x86_64": ["x86_64", "i386"], "aarch64": ["aarch64", "arm"]}
    for machine in names:
        for one in architectures(machine):
            assert numbers(one) == table(one.name)
    with pytest.raises(Unsupported, match="s390x"):
        architectures("s390x")


def test_what_i386_does_through_one_call_is_numbered_as_in_the_headers():
    assert [MULTIPLEXED[name] for name in ("socket", "accept", "recvmsg", "sendmmsg")] == [
        *(("socketcall", 1), ("socketcall", 5), ("socketcall", 17), ("socketcall", 20)),
    ]
    assert [MULTIPLEXED[name][1] for name in ("semop", "msgctl", "shmat", "shmctl")] == [
        *(1, 14, 21, 24),
    ]
