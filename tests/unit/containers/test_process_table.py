"""A list of processes looks as ps would print it."""

from __future__ import annotations

import time

import pytest
from attrs import evolve

from pyengine.containers.process_table import process_table
from pyengine.errors import InvalidRequest, Unsupported
from pyengine.model.process_info import ProcessInfo

NOON = time.mktime((2026, 3, 5, 12, 0, 0, 0, 0, -1))
PROCESS = ProcessInfo(
    pid=42, ppid=1, uid=0, gid=0, user="root", name="sh", command="sh -c true", state="S",
    flags="s+", terminal="pts/0", started=NOON - 3600, elapsed=3600.0, cpu_seconds=90.0,
    resident=8 << 20, virtual=16 << 20, memory_percent=1.25, nice=0, threads=2,
    process_group=42, session=42,
)  # fmt: skip


def row(arguments, process=PROCESS):
    return process_table([process], arguments, now=NOON).processes[0]


@pytest.mark.parametrize("arguments", ["-ef", "-e -f", "-fe", "-Af", "-ef -ww"])
def test_the_full_list_is_ps_s(arguments):
    table = process_table([PROCESS], arguments, now=NOON)
    assert table.titles == ("UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD")
    expected = ("root", "42", "1", "2", "11:00", "pts/0", "00:01:30", "sh -c true")
    assert table.processes == (expected,)


@pytest.mark.parametrize("arguments", ["aux", "axu", "-aux", "auxww"])
def test_the_list_with_memory_is_ps_s(arguments):
    table = process_table([PROCESS], arguments, now=NOON)
    titles = "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"
    assert table.titles == tuple(titles.split())
    cells = "root 42 2.5 1.2 16384 8192 pts/0 Ss+ 11:00 1:30"
    assert table.processes == ((*cells.split(), "sh -c true"),)


@pytest.mark.parametrize(
    "arguments", ["-o pid,comm", "-opid,comm", "-eo pid -o comm", "axo pid,comm"]
)
def test_columns_can_be_chosen(arguments):
    table = process_table([PROCESS], arguments, now=NOON)
    assert (table.titles, table.processes) == (("PID", "COMMAND"), (("42", "sh"),))


def test_a_column_can_be_renamed_to_the_end_of_the_text():
    assert process_table([], "-o pid,args=WHAT,EVER").titles == ("PID", "WHAT,EVER")


@pytest.mark.parametrize("arguments", ["-H", "--forest", "f", "-o pid,nonsense", "-C sh"])
def test_what_is_not_known_is_refused_and_never_guessed(arguments):
    with pytest.raises(Unsupported):
        process_table([PROCESS], arguments)


def test_columns_that_are_not_named_are_missed():
    with pytest.raises(InvalidRequest, match="needs columns"):
        process_table([PROCESS], "-e -o")


@pytest.mark.parametrize(
    ("seconds", "shown"), [(5, "00:05"), (3_600, "01:00:00"), (90_061, "1-01:01:01")]
)
def test_time_passed_is_as_long_as_it_needs_to_be(seconds, shown):
    assert row("-o etime", evolve(PROCESS, elapsed=float(seconds))) == (shown,)


@pytest.mark.parametrize(
    ("ago", "shown"), [(3600, "11:00"), (86_400 * 2, "Mar03"), (86_400 * 400, "2025")]
)
def test_a_start_long_ago_is_a_day_or_a_year(ago, shown):
    assert row("-o stime", evolve(PROCESS, started=NOON - ago)) == (shown,)


def test_the_table_is_docker_s_message():
    assert process_table([PROCESS], "-o pid").to_docker() == {
        "Titles": ["PID"],
        "Processes": [["42"]],
    }
