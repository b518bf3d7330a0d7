"""What somebody alive needs is held; what somebody dead needed is not."""

from __future__ import annotations

import os
import threading

import pytest
from support.stores import layout_in, spawn

from pyengine.store import locks
from pyengine.store.pins import Pins

ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64


@pytest.fixture
def pins(tmp_path):
    return Pins(layout_in(tmp_path))


def test_what_is_needed_is_held_as_long_as_it_is(pins):
    with pins.hold() as first:
        first.add(ONE, TWO)
        with pins.hold() as second:
            second.add(ONE)
            assert pins.held() == {ONE, TWO}
        assert pins.held() == {ONE, TWO}
    assert pins.held() == set()
    assert os.listdir(pins.layout.pins) == []


HOLDER = """
import sys
from pyengine.store.layout import Layout
from pyengine.store.pins import Pins
with Pins(Layout(sys.argv[1], "")).hold() as hold:
    hold.add(sys.argv[2])
    print("held", flush=True)
    input()
"""


def test_what_a_killed_process_needed_is_not_held(pins):
    process = spawn(HOLDER, pins.layout.root, ONE)
    with process:
        assert process.stdout.readline() == "held\n"
        assert pins.held() == {ONE}
        process.kill()
    assert pins.held() == set()
    assert os.listdir(pins.layout.pins) == []


def test_nothing_is_pinned_while_somebody_removes(pins):
    pinned = threading.Event()

    def pin():
        with pins.hold() as hold:
            hold.add(ONE)
            pinned.set()

    thread = threading.Thread(target=pin)
    with locks.exclusive(pins.layout.engine_lock):
        thread.start()
        assert pins.held() == set()
        assert not pinned.wait(0.1)
    thread.join()
    assert pinned.is_set()


def test_several_may_pin_at_once(pins):
    with locks.shared(pins.layout.engine_lock), pins.hold() as hold:
        hold.add(ONE)
