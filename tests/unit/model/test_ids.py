"""Maps of ids: what is inside, what that is outside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyengine.errors import InvalidRequest
from pyengine.model.ids import IdMaps, IdRange, text_of

numbers = st.integers(0, 2**31)


@given(numbers, numbers, st.integers(1, 2**31 - 2), st.integers(-5, 2**31 + 5))
def test_an_id_inside_is_one_outside_or_none(inside, outside, size, number):
    found = IdRange(inside, outside, size).outside_of(number)
    if inside <= number < inside + size:
        assert found == outside + number - inside
    else:
        assert found is None


@given(numbers, numbers)
def test_who_has_one_id_is_root_inside_and_nobody_else(user, group):
    ids = IdMaps.single(user, group)
    assert ids.is_single
    assert ids.users[0].outside_of(0) == user
    assert ids.groups[0].outside_of(0) == group
    assert not ids.has_user(1)
    assert not ids.has_group(5)
    assert ids.first_groups() == (0, 0)


def test_a_map_reads_as_the_kernel_takes_it():
    assert text_of((IdRange(0, 1000), IdRange(1, 100000, 65536))) == "0 1000 1\n1 100000 65536\n"


@pytest.mark.parametrize("given_range", [(-1, 0, 1), (0, -1, 1), (0, 0, 0), (0, 2**32 - 1, 1)])
def test_what_no_id_can_be_is_refused(given_range):
    with pytest.raises(InvalidRequest):
        IdRange(*given_range)


@pytest.mark.parametrize(
    "ranges",
    [
        (),
        (IdRange(0, 5, 10), IdRange(9, 100)),
        (IdRange(0, 5, 10), IdRange(10, 14)),
        tuple(IdRange(number, number) for number in range(341)),
    ],
)
def test_what_the_kernel_would_refuse_is_refused_before(ranges):
    with pytest.raises(InvalidRequest):
        IdMaps(ranges, (IdRange(0, 0),))
