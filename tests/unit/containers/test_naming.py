import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.containers.naming import (
    ADJECTIVES,
    SURNAMES,
    TRIES,
    check_name,
    generate_name,
    new_id,
)
from pyengine.errors import InvalidRequest


def test_there_are_enough_names_that_two_seldom_meet():
    assert len(set(ADJECTIVES)) == len(ADJECTIVES) >= 90
    assert len(set(SURNAMES)) == len(SURNAMES) >= 200
    assert all(re.fullmatch("[a-z]{2,12}", word) for word in ADJECTIVES + SURNAMES)


def test_a_made_up_name_is_one_a_container_may_have():
    for _ in range(50):
        name = generate_name(lambda _: False)
        assert re.fullmatch("[a-z]+_[a-z]+", name)
        assert check_name(name) == name


def test_a_taken_name_is_tried_again_with_a_digit_and_at_last_given_up():
    asked = []

    def taken(name):
        asked.append(name)
        return True

    assert re.fullmatch("[0-9a-f]{12}", generate_name(taken))
    assert len(asked) == TRIES
    assert not asked[0][-1].isdigit()
    assert all(name[-1].isdigit() for name in asked[1:])


def test_ids_are_64_hexadecimal_digits_and_never_the_same():
    ids = {new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch("[0-9a-f]{64}", one) for one in ids)


@settings(max_examples=60, deadline=None)
@given(st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,20}", fullmatch=True))
def test_a_good_name_stays_itself_with_and_without_its_slash(name):
    assert check_name(name) == check_name(f"/{name}") == name


@pytest.mark.parametrize(
    "bad",
    ["", "/", "a", "//ab", "-ab", ".ab", "..", "a/b", "a b", "ab\n", "ä" * 3, "x" * 256, None],
)
def test_a_name_that_docker_refuses_is_refused(bad):
    with pytest.raises(InvalidRequest):
        check_name(bad)
