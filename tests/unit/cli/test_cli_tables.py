from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.cli.table import columns, ellipsis, plain

modest = settings(max_examples=150, deadline=None)

cells = st.text(max_size=15)
tables = st.integers(1, 4).flatmap(
    lambda count: st.lists(st.lists(cells, min_size=count, max_size=count), min_size=1, max_size=5)
)


@modest
@given(tables)
def test_nothing_in_a_table_moves_the_cursor(rows):
    text = columns(rows)
    assert text.count("\n") == len(rows)
    assert text.replace("\n", "").isprintable()


@modest
@given(tables)
def test_the_cells_of_a_column_begin_at_one_place(rows):
    widths = [max(10, *(len(row[at]) + 3 for row in rows)) for at in range(len(rows[0]))]
    starts = [sum(widths[:at]) for at in range(len(widths))]
    for row, line in zip(rows, columns(rows).split("\n"), strict=False):
        for at, cell in enumerate(row):
            assert line[starts[at] : starts[at] + len(cell)] == plain(cell)


@modest
@given(cells, st.integers(0, 20))
def test_a_shortened_text_is_no_longer_than_asked_and_says_so(text, width):
    short = ellipsis(text, width)
    assert len(short) <= width or short == text
    assert short == text or (short == "" if width == 0 else short.endswith("…"))


def test_a_text_that_prints_stays_as_it_is():
    assert plain("héllo wörld ✓") == "héllo wörld ✓"


def test_escapes_bells_and_turned_text_do_not_reach_the_terminal():
    assert plain("\x1b[2J\x07\x9b\u202eevil\udcff\r\n\t") == "?[2J???evil????"


def test_a_table_without_rows_is_empty():
    assert columns([]) == ""
