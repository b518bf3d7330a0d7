"""Whose ids are whose in a user namespace of somebody who is not root."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyengine.errors import InvalidRequest
from pyengine.model.id_layouts import (
    keep_id,
    keep_own,
    lay_out,
    root_is_me,
    spare_spans,
)

own = st.integers(0, 2**20)
spans = st.lists(st.tuples(st.integers(0, 2**21), st.integers(1, 2**18)), max_size=6)


def outside_of(ranges, number):
    found = [each.outside_of(number) for each in ranges]
    return next((one for one in found if one is not None), None)


@given(spans, own)
def test_no_id_is_there_twice_and_ones_own_is_kept_apart(given_spans, own):
    spare = spare_spans(given_spans, own)
    edges = {at for start, size in given_spans for at in (start, start + size - 1, start + size)}
    for number in {*edges, own, own + 1}:
        times = sum(start <= number < start + size for start, size in spare)
        wanted = any(start <= number < start + size for start, size in given_spans)
        assert times == (wanted and number != own)


@given(spans, own)
def test_root_is_me_and_the_others_follow_without_a_gap(given_spans, own):
    spare = spare_spans(given_spans, own)
    maps = lay_out(root_is_me(own, spare), root_is_me(own, spare))
    assert outside_of(maps.users, 0) == own
    assert maps.first_groups() == (0, sum(size for _, size in spare))


@given(spans, own, st.none() | own)
def test_who_keeps_their_id_has_it_inside_and_nobody_is_lost(given_spans, own, at):
    spare = spare_spans(given_spans, own)
    maps = lay_out(keep_own(own, spare, at), keep_own(own, spare, at))  # no overlap, or it raises
    assert outside_of(maps.users, own if at is None else at) == own
    assert sum(each.size for each in maps.users) == 1 + sum(size for _, size in spare)
    if spare and (own if at is None else at) != 0:
        assert outside_of(maps.users, 0) == spare[0][0]


def test_one_id_that_is_kept_is_the_only_one():
    maps = lay_out(keep_own(1000, ()), keep_own(1001, ()))
    assert maps.is_single
    assert not maps.has_user(0)
    assert maps.first_groups() == (1001, 1001)


def test_who_one_shall_be_can_be_said():
    assert keep_id("keep-id") == (None, None)
    assert keep_id("keep-id:uid=5,gid=6") == (5, 6)
    for wrong in (
        "keep-id:",
        "keep-id:uid",
        "keep-id:uid=-1",
        "keep-id:uid=1,uid=2",
        "keep-id:a=1",
    ):
        with pytest.raises(InvalidRequest):
            keep_id(wrong)


def test_what_is_kept_at_a_number_beyond_all_others_is_there():
    maps = lay_out(keep_own(7, ((100, 10),), 4294967294), keep_own(7, ((100, 10),), 0))
    assert outside_of(maps.users, 4294967294) == 7
    assert outside_of(maps.groups, 1) == 100
