"""The streams of a program that outlives who watches it."""

from __future__ import annotations

import os
import select

import pytest

from pyengine.containers import streams
from pyengine.store.layout import Layout

ONE = "a" * 64


@pytest.fixture
def layout(tmp_path):
    return Layout(str(tmp_path), str(tmp_path))


def _close(*ends):
    for fd in {fd for each in ends for fd in each} - {-1}:
        os.close(fd)


def test_what_is_said_while_nobody_listens_is_there_for_the_next(layout):
    theirs, ours = streams.open_kept(layout, ONE, reads=False)
    os.write(theirs[1], b"before ")
    assert os.read(ours[1], 100) == b"before "
    _close(ours)
    os.write(theirs[1], b"after")  # no SIGPIPE, no EPIPE
    os.write(theirs[2], b"wrong")
    again = streams.reopen(layout, ONE)
    assert (os.read(again[1], 100), os.read(again[2], 100)) == (b"after", b"wrong")
    _close(theirs)
    assert os.read(again[1], 100) == b""  # all of it has closed them
    _close(again)


def test_its_input_ends_when_who_writes_it_closes_it(layout):
    theirs, ours = streams.open_kept(layout, ONE, reads=True)
    os.write(ours[0], b"typed")
    assert os.read(theirs[0], 100) == b"typed"
    os.close(ours[0])
    assert select.select([theirs[0]], [], [], 5)[0]
    assert os.read(theirs[0], 100) == b""
    _close(theirs, (ours[1], ours[2]))


def test_who_reads_nothing_is_at_the_end_at_once(layout):
    theirs, ours = streams.open_kept(layout, ONE, reads=False)
    assert os.read(theirs[0], 1) == b""
    assert ours[0] == -1
    _close(theirs, ours)


def test_what_is_gone_is_not_reopened(layout):
    theirs, ours = streams.open_kept(layout, ONE, reads=True)
    _close(theirs, ours)
    found = streams.reopen(layout, ONE)
    assert found[0] == -1  # nobody reads it any more
    _close(found)
    streams.remove(layout, ONE)
    assert streams.reopen(layout, ONE) == (-1, -1, -1)
    assert os.listdir(layout.run + "/streams") == []
    streams.remove(layout, ONE)


def test_a_run_has_streams_of_its_own(layout):
    theirs, ours = streams.open_kept(layout, ONE, reads=False)
    os.write(theirs[1], b"old")
    theirs2, ours2 = streams.open_kept(layout, ONE, reads=False)
    os.write(theirs2[1], b"new")
    assert os.read(ours2[1], 100) == b"new"
    _close(theirs, ours, theirs2, ours2)
