"""/etc/subuid and /etc/subgid: read as newuidmap reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyengine.linux.subids import parse_subids
from pyengine.model.options_program import LARGEST_ID

OWNERS = ("ann", "1000")
spans = st.tuples(st.integers(0, 2**31), st.integers(1, 2**30))
others = st.text(st.characters(blacklist_characters=":\n"), max_size=8).filter(
    lambda name: name not in OWNERS
)


@given(st.lists(st.tuples(st.sampled_from(OWNERS), spans)), st.lists(st.tuples(others, spans)))
def test_the_lines_of_an_owner_are_found_by_name_and_by_id_in_their_order(mine, theirs):
    lines = [f"{owner}:{first}:{count}" for owner, (first, count) in (*theirs, *mine)]
    assert list(parse_subids("\n".join(lines), OWNERS)) == [span for _, span in mine]


@given(st.text())
def test_whatever_is_in_the_file_ranges_are_ids_that_exist(text):
    for first, count in parse_subids(text + "\nann:" + text, OWNERS):
        assert count > 0
        assert 0 <= first <= first + count - 1 <= LARGEST_ID


@pytest.mark.parametrize(
    "line",
    [
        *("", "ann", "ann:", "ann:1", "ann:1:", "ann::1", ":1:1", "# ann:1:1", " ann:1:1"),
        *("ann:-1:5", "ann:+1:5", "ann: 1:5", "ann:1_0:5", "ann:x:5", "ann:1:x", "ann:08:1"),
        *("ann:0:0", "ann:4294967295:1", "ann:4294967290:6", "ann:1:99999999999999999999"),
        *("ann:١:5", "bob:1:1", "10000:1:1", "ann:1:1 ", "ann:1:1" + "\x00" * 1100),
    ],
)
def test_a_line_that_is_not_well_formed_does_not_exist(line):
    assert list(parse_subids(f"{line}\nann:7:7", OWNERS)) == [(7, 7)]


def test_numbers_are_read_as_c_reads_them_and_more_fields_are_not_read():
    text = "ann:0x186a0:0x10\nann:010:1\n1000:300000:10:more"
    assert list(parse_subids(text, OWNERS)) == [(100000, 16), (8, 1), (300000, 10)]
