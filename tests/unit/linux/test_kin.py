"""Who bears no mark of their own is nobody's to end."""

from __future__ import annotations

import os
import subprocess

from pyengine.linux.kin import end_kin, mark_of


def test_who_bears_our_own_mark_is_left_alone():
    program = subprocess.Popen(["sleep", "100"])
    try:
        assert mark_of(program.pid) == mark_of(os.getpid())
        assert not end_kin(program.pid)
        assert program.poll() is None
    finally:
        program.kill()
        program.wait()


def test_who_has_ended_bears_none():
    program = subprocess.Popen(["true"])
    program.wait()
    assert mark_of(program.pid) is None
    assert not end_kin(program.pid)
