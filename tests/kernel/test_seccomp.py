"""The kernel takes our filters, and refuses with them what a container must not do."""

from __future__ import annotations

import errno
import json
import os
import struct
import subprocess
import sys
import textwrap
from functools import cache

import pytest

from pyengine.linux.capabilities import DEFAULT
from pyengine.linux.seccomp import Filter, compile_profile, filter_for
from pyengine.linux.seccomp_tables import architectures, numbers

pytestmark = pytest.mark.kernel

MACHINE = os.uname().machine
NATIVE, COMPANION = architectures(MACHINE)
CALL = numbers(NATIVE)
ALLOWED = 4000  # what the kernel answers instead of doing what is allowed
NEEDED = (  # what a Python needs to tell about it
    *("write", "exit_group", "mmap", "munmap", "brk", "futex", "mprotect", "madvise"),
    *("rt_sigaction", "mremap"),
)
UNFILTERED = ("uretprobe", "uprobe")  # the kernel asks no filter about its own (Linux 6.14)

PROBE = """
    import ctypes, json, mmap, sys

    order = json.load(sys.stdin)
    system = ctypes.CDLL(None, use_errno=True)
    system.syscall.restype = ctypes.c_long
    # push rbx; eax = first argument; rbx, rcx, rdx = the others; int 0x80; pop rbx; ret
    code = bytes.fromhex("53 89f8 4889f3 4989d1 4889ca 4c89c9 cd80 5b c3")
    page = mmap.mmap(-1, 4096, prot=7)
    page.write(code)
    place = ctypes.addressof(ctypes.c_char.from_buffer(page))
    old_way = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, *[ctypes.c_uint64] * 3)(place)

    def call(way, number, *arguments):
        words = [ctypes.c_uint64(one) for one in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
        if way == "i386":
            answer = old_way(number, *words[:3])
            return -answer if -4096 < answer < 0 else 0
        ctypes.set_errno(0)
        answer = system.syscall(ctypes.c_long(number), *words)
        return ctypes.get_errno() if answer == -1 else 0

    answers = [0] * len(order["calls"])
    program = bytes.fromhex(order["program"])
    held = ctypes.create_string_buffer(program, len(program))
    head = ctypes.create_string_buffer(16)
    ctypes.c_uint16.from_buffer(head).value = len(program) // 8
    ctypes.c_uint64.from_buffer(head, 8).value = ctypes.addressof(held)
    assert system.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    number, flags = ctypes.c_long(order["seccomp"]), ctypes.c_ulong(order["flags"])
    if program:
        installed = system.syscall(number, ctypes.c_long(1), flags, head)
        assert installed == 0, ctypes.get_errno()
    for at, (way, *words) in enumerate(order["calls"]):
        answers[at] = call(way, *words)
    print(json.dumps(answers), flush=True)
"""


def answers(chosen: Filter | None, calls) -> list[int]:
    """The errno, or 0, of each ``(way, number, *arguments)`` made by a process under *chosen*."""
    order = {
        "program": chosen.program.hex() if chosen else "",
        "flags": chosen.flags if chosen else 0,
        "seccomp": CALL["seccomp"],
        "calls": calls,
    }
    command = [sys.executable, "-c", textwrap.dedent(PROBE)]
    run = subprocess.run(
        command, input=json.dumps(order), capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    found: list[int] = json.loads(run.stdout)
    return found


def answer(name: str, *arguments: int, capabilities=DEFAULT) -> int:
    """What the machine's own call gives under the default filter."""
    chosen = filter_for("default", capabilities)
    return answers(chosen, [("own", CALL[name], *arguments)])[0]


@cache
def has_i386() -> bool:
    """Whether this kernel runs 32-bit programs: without a filter, its getpid says so."""
    if MACHINE != "x86_64":
        return False
    try:
        return answers(None, [("i386", 20)]) == [0]
    except AssertionError:  # SIGSEGV: there is no such interrupt
        return False


def test_ordinary_programs_run_under_the_default_filter():
    calls = ["getpid", "getuid", "sched_yield", "umask"]
    chosen = filter_for("default", DEFAULT)
    assert answers(chosen, [("own", CALL[name]) for name in calls]) == [0] * len(calls)


def test_what_endangers_the_host_is_refused():
    refused = {
        "mount": (0, 0, 0, 0, 0),
        "unshare": (0x10000000,),
        "setns": (0, 0),
        "bpf": (0, 0, 0),
        "keyctl": (0, 0),
        "add_key": (0, 0),
        "io_uring_setup": (1, 0),
        "io_uring_enter": (0, 0),
        "userfaultfd": (0,),
        "perf_event_open": (0, 0),
        "kexec_load": (0, 0),
        "init_module": (0, 0),
        "open_by_handle_at": (0, 0),
        "pivot_root": (0, 0),
        "swapon": (0, 0),
        "personality": (1,),
        "clone": (0x10000000,),
    }
    calls = [("own", CALL[name], *arguments) for name, arguments in refused.items()]
    given = answers(filter_for("default", DEFAULT), calls)
    assert dict(zip(refused, given, strict=True)) == dict.fromkeys(refused, errno.EPERM)


def test_libraries_are_told_to_take_the_older_clone():
    assert answer("clone3", 0, 0) == errno.ENOSYS
    assert answer("clone3", 0, 0, capabilities=("CAP_SYS_ADMIN",)) != errno.ENOSYS


def test_calls_newer_than_the_profile_do_not_exist():
    chosen = filter_for("default", DEFAULT)
    calls = [("own", 467), ("own", 600), ("own", 2**31 - 1)]
    assert answers(chosen, calls) == [errno.ENOSYS] * 3


def test_a_socket_s_family_is_seen_as_the_kernel_sees_it():
    datagram = 2
    assert answer("socket", 2, datagram) == 0
    assert answer("socket", 38, 5) == errno.EPERM
    assert answer("socket", 40, 1) == errno.EPERM
    above = 1 << 32  # the kernel itself takes no notice of it
    assert answers(None, [("own", CALL["socket"], 2 | above, datagram)]) == [0]
    assert answer("socket", 2 | above, datagram) == errno.EAFNOSUPPORT
    assert answer("socket", 38 | above, 5) == errno.EAFNOSUPPORT


@pytest.mark.skipif(MACHINE != "x86_64", reason="x32 is a variant of x86-64")
def test_x32_does_not_exist_even_where_everything_is_allowed():
    everything = compile_profile({"defaultAction": "SCMP_ACT_ALLOW"}, (), MACHINE, (6, 1))
    for chosen in (everything, filter_for("default", DEFAULT)):
        assert answers(chosen, [("own", 1 << 30 | 39)]) == [errno.ENOSYS]


def test_a_program_of_32_bits_does_not_slip_past():
    if not has_i386():
        pytest.skip("this kernel runs no i386 programs")
    chosen = filter_for("default", DEFAULT)
    call = numbers(COMPANION)
    above = 1 << 32
    wanted = {
        ("getpid",): 0,
        ("bpf",): errno.EPERM,
        ("io_uring_setup",): errno.EPERM,
        ("unshare", 0x10000000): errno.EPERM,
        ("clone", 0x10000000): errno.EPERM,
        ("clone", 0x10000000 | above): errno.EPERM,
        ("clone3",): errno.ENOSYS,
        ("socket", 2, 2): 0,
        ("socket", 38, 5): errno.EPERM,
        ("socket", 38 | above, 5): errno.EPERM,
        ("socket", 40, 1): errno.EPERM,
        ("socketcall", 1): errno.EPERM,
        ("socketcall", 1 | above): errno.EPERM,
    }
    calls = [("i386", call[name], *arguments) for name, *arguments in wanted]
    given = answers(chosen, calls)
    assert dict(zip(wanted, given, strict=True)) == wanted


def test_a_program_of_an_architecture_that_is_not_named_is_ended():
    if not has_i386():
        pytest.skip("this kernel runs no i386 programs")
    only = compile_profile({"defaultAction": "SCMP_ACT_ALLOW"}, (), MACHINE, (6, 1))
    with pytest.raises(AssertionError):
        answers(only, [("i386", 20)])
    assert answers(only, [("own", CALL["getpid"])]) == [0]


def shown(chosen: Filter) -> Filter:
    """*chosen*, with an errno for what it allows, but for what is `NEEDED`."""
    load, equal, answer, jump = 0x20, 0x15, 0x06, 0x05
    lines = [
        (load, 0, 0, 4),
        (equal, 0, len(NEEDED) + 2, NATIVE.audit),
        (load, 0, 0, 0),
        *((equal, len(NEEDED) - at, 0, CALL[name]) for at, name in enumerate(NEEDED)),
        (jump, 0, 0, 1),
        (answer, 0, 0, 0x7FFF0000),
    ]
    prefix = b"".join(struct.pack("=HBBI", *line) for line in lines)
    instead = struct.pack("=HBBI", answer, 0, 0, 0x50000 | ALLOWED)
    body = b"".join(
        instead if line == struct.pack("=HBBI", answer, 0, 0, 0x7FFF0000) else line
        for line in (chosen.program[at : at + 8] for at in range(0, len(chosen.program), 8))
    )
    return Filter(prefix + body, chosen.flags)


@pytest.mark.parametrize("capabilities", [DEFAULT, ("CAP_SYS_ADMIN",)], ids=len)
def test_the_kernel_gives_the_profile_s_verdict_on_every_call(capabilities):
    chosen = filter_for("default", capabilities)
    profile = json.loads(_text())
    plain = {name for rule in profile["syscalls"] for name in rule["names"] if _counts(rule)}
    privileged = {
        name
        for rule in profile["syscalls"]
        if rule.get("includes") == {"caps": ["CAP_SYS_ADMIN"]}
        for name in rule["names"]
    }
    allowed = plain | (privileged if "CAP_SYS_ADMIN" in capabilities else {"chroot"})
    watched = {"socket", "clone", "personality", "clone3"}
    names = sorted(set(CALL) - {*NEEDED, *watched, *UNFILTERED})
    given = answers(shown(chosen), [("own", CALL[name]) for name in names])
    wrong = {
        name: got
        for name, got in zip(names, given, strict=True)
        if got != (ALLOWED if name in allowed else errno.EPERM if CALL[name] <= 466 else 38)
    }
    assert wrong == {}


def _text() -> str:
    from pyengine.linux.seccomp_tables import DATA

    with open(os.path.join(DATA, "seccomp.json"), encoding="ascii") as file:
        return file.read()


def _counts(rule) -> bool:
    """Whether a rule has no conditions but those that are met here."""
    includes = rule.get("includes") or {}
    word = "amd64" if MACHINE == "x86_64" else "arm64"
    met = word in includes.get("arches", [word]) and "caps" not in includes
    return met and not rule.get("args") and not rule.get("excludes")
