"""A call that fails is no death: who makes it says so, and nothing is lost for ever.

The calls are those of `test_faults` and `test_faults_of_others`; each fails once, with an error
that such a call may well get.
"""

from __future__ import annotations

import errno
import platform

import pytest
from order import assert_order, cgroups
from support import faults
from test_faults import EPISODES, PROGRAM, SMALL, needs_of, without
from tries import HOW_MANY, each, in_root, is_guard, is_keeper
from undertakers import (
    ASKED,
    DIES,
    KEEPERS,
    asks,
    dead_root_with_one_kept,
    root_of_dead_keeper,
)

import pyengine

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the table of calls is x86-64's"),
    pytest.mark.usefixtures("victims_find_the_package"),
    pytest.mark.parametrize("how_many", HOW_MANY),
]

ENDURED = "running", "exited", "created", "restarting"

TELLS = PROGRAM.replace(
    "        exec(code)\n",
    "        try:\n            exec(code)\n        except pyengine.EngineError as error:\n"
    "            print(type(error).__name__, error)\n",
)
assert TELLS != PROGRAM


def error_of(call):
    """What such a call may well be refused with; nothing else is done to others' signals."""
    if call.number in (62, 424):  # kill, pidfd_send_signal
        return 0
    if call.number == 46:  # sendmsg
        return errno.ENOMEM
    if call.number in (2, 257):  # open, openat
        return errno.EMFILE
    return errno.EIO if call.number in (84, 87, 263) else errno.ENOSPC  # what takes away, what adds


def assert_told(outcome):
    """It went well, or ended with an error that is ours."""
    for line in outcome.said.splitlines():
        assert line.partition(" ")[0] in pyengine.errors.__all__, outcome.said
    assert outcome.exit_code == 0, outcome.said


@pytest.mark.parametrize("episode", without(*SMALL))
def test_a_call_that_fails_is_an_error_that_says_so_and_leaves_order(
    tmp_path, image, how_many, episode
):
    code = EPISODES[episode]

    def lived(root, fail_at=None):
        given = root, image, code, *needs_of(code)
        with faults.watched(
            TELLS, *given, kill_at=fail_at, fail=error_of, interesting=in_root(root)
        ) as outcome:
            return outcome

    def attempt(number):
        before = cgroups()
        assert_told(lived(f"{tmp_path}/at-{number}", number))
        assert_order(f"{tmp_path}/at-{number}", image, before)

    each(lived(f"{tmp_path}/whole").calls, how_many, attempt, f"owner's calls: {episode}", some=1)


def test_what_a_guard_cannot_do_is_left_to_the_next_opener(tmp_path, image, how_many):
    def guarded(root, fail_at=None):
        with faults.watched(
            DIES,
            root,
            image,
            kill_at=fail_at,
            fail=error_of,
            who=is_guard,
            interesting=in_root(root),
        ) as outcome:
            assert outcome.exit_code == 3, outcome.said
        return outcome

    def attempt(number):
        before = cgroups()
        guarded(f"{tmp_path}/at-{number}", number)
        assert_order(f"{tmp_path}/at-{number}", image, before)

    each(guarded(f"{tmp_path}/whole").calls, how_many, attempt, "guard's calls", some=4)


def test_what_a_recovery_cannot_do_is_left_to_the_next(tmp_path, image, how_many):
    def recovered(root, fail_at=None):
        before = cgroups()
        dead_root_with_one_kept(root, image)
        with asks(
            root, image, "engine.containers.list()", kill_at=fail_at, fail=error_of
        ) as outcome:
            assert_told(outcome)
            assert_order(root, image, before, ENDURED)
        return outcome

    def attempt(number):
        recovered(f"{tmp_path}/at-{number}", number)

    each(recovered(f"{tmp_path}/whole").calls, how_many, attempt, "recovery's calls", some=2)


@pytest.mark.parametrize("episode", KEEPERS)
def test_a_keeper_lives_on_where_a_call_fails(tmp_path, image, how_many, episode):
    def kept(root, fail_at=None):
        before = cgroups()
        if episode == "adopt":
            root_of_dead_keeper(root, image)
        code = KEEPERS[episode]
        with asks(
            root, image, code, program=ASKED, kill_at=fail_at, fail=error_of, who=is_keeper
        ) as outcome:
            assert_told(outcome)
            assert_order(root, image, before, ENDURED, may_die_last=fail_at is not None)
        return outcome

    def attempt(number):
        kept(f"{tmp_path}/at-{number}", number)

    each(kept(f"{tmp_path}/whole").calls, how_many, attempt, f"keeper's calls: {episode}", some=1)
