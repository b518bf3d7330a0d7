"""Ranges of ids: no two holders have the same, and who is gone has none."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyengine.errors import StoreError, Unsupported
from pyengine.store import id_ranges
from pyengine.store.id_ranges import FIRST, LAST, SIZE


@pytest.fixture
def registry(tmp_path: Path) -> str:
    return str(tmp_path / "ids")


def place(tmp_path: Path, owner: str, container_id: str = "") -> str:
    """A directory as an owner, or a container of its, has it."""
    path = tmp_path / "root/owners" / owner / container_id
    path.mkdir(parents=True, exist_ok=True)
    return str(path)


@pytest.fixture(autouse=True)
def nobody_has_subordinate_ids(monkeypatch):
    monkeypatch.setattr(id_ranges, "_SUBORDINATE", ())


def test_each_claim_is_of_ids_that_nobody_else_has(tmp_path, registry):
    holders = [place(tmp_path, f"{number}-a") for number in range(5)]
    found = [id_ranges.claim(holder, registry) for holder in holders]
    assert len(set(found)) == 5
    assert all((first - FIRST) % SIZE == 0 and FIRST <= first <= LAST for first in found)
    assert all(map(id_ranges.is_held, found, holders, [registry] * 5))


def test_who_claims_at_once_gets_another_each(tmp_path, registry):
    holders = [place(tmp_path, f"{number}-a") for number in range(64)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda holder: id_ranges.claim(holder, registry), holders))
    assert len(set(found)) == 64


def test_what_is_given_back_is_the_next_one_s(tmp_path, registry):
    one, other = place(tmp_path, "1-a"), place(tmp_path, "2-b")
    first = id_ranges.claim(one, registry)
    id_ranges.release(first, other, registry)  # it is not theirs to give
    assert id_ranges.is_held(first, one, registry)
    id_ranges.release(first, one, registry)
    assert id_ranges.claim(other, registry) == first


def test_a_range_in_subuid_is_left_alone(tmp_path, registry, monkeypatch):
    subuid = tmp_path / "subuid"
    subuid.write_text(f"somebody:{FIRST + SIZE - 1}:2\n")
    monkeypatch.setattr(id_ranges, "_SUBORDINATE", (str(subuid), "/no/such/file"))
    assert id_ranges.claim(place(tmp_path, "1-a"), registry) == FIRST + 2 * SIZE


@given(st.integers(0, 2**32), st.integers(0, 2**31))
def test_a_line_reserves_exactly_the_ranges_it_shares_an_id_with(start, count):
    found = id_ranges.overlapping(f"name:{start}:{count}")
    for first in {FIRST, LAST + 1 - SIZE, *found, start // SIZE * SIZE}:
        if FIRST <= first <= LAST:
            shares = start < first + SIZE and first < start + count
            assert (first in found) == shares


@given(st.text())
def test_nothing_in_such_a_file_is_more_than_ignored(text):
    assert all(FIRST <= first <= LAST for first in id_ranges.overlapping(text))


def test_where_none_is_left_that_is_said_and_the_dead_make_room(tmp_path, registry, monkeypatch):
    monkeypatch.setattr(id_ranges, "LAST", FIRST + 2 * SIZE - 1)
    holders = [place(tmp_path, f"{number}-a") for number in range(3)]
    for holder in holders[:2]:
        id_ranges.claim(holder, registry)
    with pytest.raises(Unsupported, match="all ranges of ids"):
        id_ranges.claim(holders[2], registry)
    os.rmdir(holders[0])
    assert id_ranges.claim(holders[2], registry) == FIRST


def test_who_is_being_buried_has_its_range_still(tmp_path, registry):
    holder = place(tmp_path, "1-a")
    first = id_ranges.claim(holder, registry)
    dead = holder.replace("1-a", ".dead-1-a")
    os.rename(holder, dead)
    id_ranges.sweep(registry)
    assert id_ranges.is_held(first, holder, registry)
    os.rmdir(dead)
    id_ranges.sweep(registry)
    assert not id_ranges.is_held(first, holder, registry)


def test_a_container_that_is_being_made_has_its_range_already(tmp_path, registry):
    container_id = "a" * 64
    draft = place(tmp_path, "1-a", container_id)
    holder = draft.replace("1-a", "none")
    first = id_ranges.claim(holder, registry)
    id_ranges.sweep(registry)
    assert id_ranges.is_held(first, holder, registry)
    os.makedirs(os.path.dirname(holder))
    os.rename(draft, holder)
    id_ranges.sweep(registry)
    assert id_ranges.is_held(first, holder, registry)
    os.rmdir(holder)
    id_ranges.sweep(registry)
    assert not id_ranges.is_held(first, holder, registry)


def test_a_lost_range_is_taken_back_unless_another_has_it(tmp_path, registry):
    one, other = place(tmp_path, "1-a"), place(tmp_path, "2-b")
    first = id_ranges.claim(one, registry)
    os.unlink(f"{registry}/{first}")
    assert id_ranges.reclaim(first, one, registry)
    assert not id_ranges.reclaim(first, other, registry)
    os.rmdir(one)
    assert id_ranges.reclaim(first, other, registry)


def test_a_registry_that_others_may_write_to_is_not_trusted(tmp_path, registry):
    os.mkdir(registry)
    os.chmod(registry, 0o777)
    with pytest.raises(StoreError, match="others may write"):
        id_ranges.claim(place(tmp_path, "1-a"), registry)


def test_what_is_no_range_in_the_registry_is_left_alone(tmp_path, registry):
    id_ranges.claim(place(tmp_path, "1-a"), registry)
    (Path(registry) / "readme").write_text("x")
    (Path(registry) / "12").write_text("x")
    id_ranges.sweep(registry)
    assert sorted(os.listdir(registry)) == ["12", str(FIRST), "readme"]
