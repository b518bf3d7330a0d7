"""Leases tell by their names whose they are, and for which run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyengine.store import leases
from pyengine.store.layout import Home

RUN = leases.Run(4951, 123, 2)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(str(tmp_path))
    leases.begin(made, leases.Terms())
    return made


def everybody(owner):
    return True


def nobody(owner):
    return False


def test_a_lease_is_its_owners_as_long_as_he_lives(home):
    leases.add(home, "1-ab")
    leases.add(home, "1-ab")
    leases.add(home, "2-cd", RUN)
    assert leases.holders(home, everybody) == ["1-ab", "2-cd"]
    assert leases.holders(home, lambda owner: owner == "2-cd") == ["2-cd"]


def test_a_run_is_awaited_until_all_have_come(home):
    assert leases.awaited(home, everybody) == set()
    first = leases.add(home, "1-ab", RUN)
    leases.add(home, "1-ab", RUN)  # he again
    leases.drop(home, first)
    assert leases.awaited(home, everybody) == {RUN}
    leases.add(home, "2-cd", RUN)
    assert leases.awaited(home, everybody) == set()


def test_a_run_is_awaited_that_has_lost_a_holder(home):
    one, other = leases.add(home, "1-ab", RUN), leases.add(home, "2-cd", RUN)
    assert leases.awaited(home, nobody) == {RUN}
    leases.drop(home, one)
    assert leases.awaited(home, nobody) == {RUN}
    leases.drop(home, other)
    assert leases.awaited(home, nobody) == set()


def test_a_holder_without_a_run_is_nobodys_loss(home):
    leases.add(home, "1-ab")
    assert leases.awaited(home, nobody) == set()


@pytest.mark.parametrize("name", ["x.y.z", "1-ab.0f.a.b.c", ".came-", "1-ab.0f.1.2.99999999999"])
def test_a_file_that_is_no_lease_breaks_nothing(home, name):
    Path(home.leases, name).touch()
    assert leases.awaited(home, nobody) == set()
    assert set(leases.holders(home, everybody)) <= {name.partition(".")[0]}
    assert os.path.exists(f"{home.leases}/{name}")
