"""As `test_faults` for who puts things right: the guard, the keeper, an opener of the root.

By default a few calls of each episode are tried, others each time; ``-m soak`` tries all.
"""

from __future__ import annotations

import os
import platform

import pytest
from order import assert_order, cgroups
from support import faults
from support.keepers import end_keeper
from test_faults import EPISODES, PROGRAM, SMALL, needs_of, without
from tries import HOW_MANY, each, guards_of, in_root, is_guard, is_keeper
from undertakers import (
    ASKED,
    DIES,
    KEEPERS,
    asks,
    dead_root_with_one_kept,
    root_of_dead_keeper,
)

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the table of calls is x86-64's"),
    pytest.mark.usefixtures("victims_find_the_package"),
    pytest.mark.parametrize("how_many", HOW_MANY),
]

ENDURED = "running", "exited", "created", "restarting"
"""What a container may be whose keeper was killed at some call."""


@pytest.mark.parametrize("episode", without(*SMALL))
def test_an_owner_killed_with_its_guard_leaves_all_to_the_next_opener(
    tmp_path, image, how_many, episode
):
    code = EPISODES[episode]

    def lived(root, kill_at=None):
        given = root, image, code, *needs_of(code)
        with faults.watched(
            PROGRAM, *given, kill_at=kill_at, guards=guards_of, interesting=in_root(root)
        ) as outcome:
            assert kill_at is None or outcome.killed_at is None or outcome.exit_code == -9
        return outcome

    def attempt(number):
        before = cgroups()
        lived(f"{tmp_path}/at-{number}", number)
        assert_order(f"{tmp_path}/at-{number}", image, before)

    calls = lived(f"{tmp_path}/whole").calls
    each(calls, how_many, attempt, f"owner and guard killed: {episode}", some=1)


def test_a_guard_killed_at_any_call_leaves_the_rest_to_the_next_opener(tmp_path, image, how_many):
    def guarded(root, kill_at=None):
        with faults.watched(
            DIES, root, image, kill_at=kill_at, who=is_guard, interesting=in_root(root)
        ) as outcome:
            assert outcome.exit_code == 3, outcome.said
        return outcome

    def attempt(number):
        before = cgroups()
        guarded(f"{tmp_path}/at-{number}", number)
        assert_order(f"{tmp_path}/at-{number}", image, before)

    calls = guarded(f"{tmp_path}/whole").calls
    assert os.listdir(f"{tmp_path}/whole/owners") == []
    each(calls, how_many, attempt, "guard killed", some=4)


def test_a_recovery_killed_at_any_call_is_done_by_the_next(tmp_path, image, how_many):
    def recovered(root, kill_at=None):
        before = cgroups()
        dead_root_with_one_kept(root, image)
        with asks(root, image, "engine.containers.list()", kill_at=kill_at) as outcome:
            assert_order(root, image, before, ENDURED)
        return outcome

    calls = recovered(f"{tmp_path}/whole").calls
    each(
        calls,
        how_many,
        lambda number: recovered(f"{tmp_path}/at-{number}", number),
        "recovery killed",
        some=2,
    )


@pytest.mark.parametrize("guards", [None, guards_of], ids=["alone", "with its guard"])
@pytest.mark.parametrize("episode", KEEPERS)
def test_a_keeper_killed_at_any_call_leaves_its_containers_to_the_next(
    tmp_path, image, how_many, episode, guards
):
    def kept(root, kill_at=None):
        before = cgroups()
        if episode == "adopt":
            root_of_dead_keeper(root, image)
        with asks(
            root,
            image,
            KEEPERS[episode],
            program=ASKED,
            kill_at=kill_at,
            who=is_keeper,
            guards=guards,
        ) as outcome:
            assert outcome.exit_code == 0, outcome.said
            assert_order(root, image, before, ENDURED, may_die_last=kill_at is not None)
            end_keeper(root)
        return outcome

    calls = kept(f"{tmp_path}/whole").calls
    title = f"keeper {'and guard ' if guards else ''}killed: {episode}"
    each(
        calls,
        how_many,
        lambda number: kept(f"{tmp_path}/at-{number}", number),
        title,
        some=1,
    )
