import os
import subprocess

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.memory import family, own_processes, own_pss, parse_parent, parse_pss

pids = st.integers(1, 60)


@given(st.text(max_size=15), pids)
def test_a_parent_is_found_whatever_its_child_is_called(name, parent):
    assert parse_parent(f"12 ({name}) S {parent} 12 12 0 -1") == parent


@given(st.integers(0, 10**9))
def test_the_proportional_size_is_read_among_its_namesakes(size):
    text = f"00-ff ---p 00 00:00 0 [rollup]\nRss: 9 kB\nPss: {size} kB\nPss_Dirty: 7 kB\n"
    assert parse_pss(text) == size


def test_a_process_that_is_gone_has_no_size():
    assert parse_pss("") == 0


@given(st.dictionaries(pids, pids), pids)
def test_a_family_holds_its_members_children_and_nobody_else_s(parents, top):
    found = family(parents, top)
    assert top in found
    for pid, parent in parents.items():
        if parent in found:
            assert pid in found
    for pid in found - {top}:
        assert parents[pid] in found


def test_what_we_have_started_is_ours_and_weighs_something():
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    try:
        assert {os.getpid(), child.pid} <= set(own_processes())
        assert own_pss() > 100
    finally:
        child.communicate()
    assert child.pid not in own_processes()
