"""What /proc says about a container's processes is read without trusting it."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.linux.counters import (
    InterfaceCounters,
    host_cpu,
    interfaces,
    memory_of,
    memory_total,
    parse_host_cpu,
    parse_interfaces,
)
from pyengine.linux.processes import list_processes, parse_process, printable, terminal

TICKS = os.sysconf("SC_CLK_TCK")


def stat_line(name: bytes, pid: int = 42) -> bytes:
    fields = [
        *(b"S 1 42 42 34816 42 4194560 100 200 0 0 50 25 0 0 20 5 3 0".split()),
        b"%d" % (10 * TICKS), b"8192000", b"250", *([b"0"] * 28),
    ]  # fmt: skip
    return b"%d (%b) " % (pid, name) + b" ".join(fields) + b"\n"


STATUS = b"Name:\tx\nUid:\t0\t12345678\t0\t0\nGid:\t7\t8\t9\t10\nVmLck:\t 4 kB\n"


def parsed(name=b"sh", command=b"sh\0-c\0sleep 1\0", status=STATUS):
    return parse_process(
        stat_line(name), status, command, booted=1000, uptime=20.0, memory=250 * 4096 * 4
    )


def test_a_process_is_what_the_kernel_says():
    process = parsed()
    assert (process.pid, process.ppid, process.uid, process.gid) == (42, 1, 12345678, 8)
    assert (process.state, process.flags) == ("S", "NLsl+")
    assert (process.name, process.command) == ("sh", "sh -c sleep 1")
    assert process.terminal == "pts/0"
    assert (process.started, process.elapsed) == (1010.0, 10.0)
    assert process.cpu_seconds == 75 / TICKS
    assert process.cpu_percent == pytest.approx(75 / TICKS * 10)
    assert (process.virtual, process.resident) == (8_192_000, 250 * os.sysconf("SC_PAGE_SIZE"))
    assert process.user == "12345678"
    assert (process.nice, process.threads) == (5, 3)


@settings(max_examples=200)
@given(st.binary(max_size=15).filter(lambda name: b"\0" not in name))
def test_a_process_cannot_lie_about_itself_with_its_name(name):
    process = parsed(name=name)
    assert (process.pid, process.ppid, process.threads) == (42, 1, 3)
    assert process.name == printable(name)


@pytest.mark.parametrize("name", [b") R 1 1", b"a\nUid: 0", b"((((", b"))))", b"42 (x) S 9"])
def test_parentheses_and_newlines_in_a_name_change_nothing(name):
    assert parsed(name=name).ppid == 1


@given(st.binary(max_size=60))
def test_a_command_is_one_line_that_commands_no_terminal(command):
    shown = parsed(command=command).command
    assert shown.isprintable()
    assert shown


def test_without_arguments_the_name_stands_in_brackets():
    assert parsed(command=b"").command == "[sh]"
    assert parsed(command=b"\0\0").command == "[sh]"


@given(st.binary(max_size=80))
def test_half_a_process_is_none(stat):
    assert parse_process(stat, b"", b"", booted=0, uptime=0.0, memory=0) is None or b")" in stat


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0, "?"),
        (os.makedev(136, 5), "pts/5"),
        (os.makedev(137, 1), "pts/257"),
        (os.makedev(4, 64), "ttyS0"),
        (os.makedev(5, 1), "console"),
        (os.makedev(204, 64), "204:64"),
    ],
)
def test_terminals_have_ps_s_names(number, name):
    assert terminal(number) == name


def test_this_very_process_is_listed_and_one_that_is_gone_is_not():
    gone = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(gone, 0)
    found = list_processes([os.getpid(), gone])
    assert [process.pid for process in found] == [os.getpid()]
    assert found[0].ppid == os.getppid()
    assert found[0].uid == os.geteuid()
    assert found[0].threads >= 1


def test_the_host_s_counters_add_up():
    text = b"cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2\ncpu1 3 4\nintr 9 9\nbtime 1700000000\n"
    found = parse_host_cpu(text)
    assert found.spent == 28 * 1_000_000_000 // TICKS
    assert (found.online, found.booted) == (2, 1_700_000_000)
    assert host_cpu().online == os.sysconf("SC_NPROCESSORS_ONLN")


def test_memory_of_this_process_is_more_than_nothing_and_less_than_all():
    anonymous, shared = memory_of([os.getpid(), 1 << 30])
    assert 0 < anonymous + shared < memory_total()


NET_DEV = b"""Inter-|   Receive                            |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop
    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0
  eth0: 10 11 12 13 0 0 0 0 20 21 22 23 0 0 0 0
e\xff:x: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0
broken: 1 2 three
"""


def test_interfaces_are_counted_but_for_lo():
    assert parse_interfaces(NET_DEV) == (
        InterfaceCounters("eth0", 10, 11, 12, 13, 20, 21, 22, 23),
        InterfaceCounters("e\\xff:x", 1, 2, 3, 4, 5, 6, 7, 8),
    )
    assert interfaces(1 << 30) == ()


@given(st.binary(max_size=200))
def test_strange_interfaces_are_passed_over(content):
    parse_interfaces(content)
