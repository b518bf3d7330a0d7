import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.errors import InvalidRequest
from pyengine.model.tmpfs_options import complete_tmpfs_options, parse_tmpfs_options

WORDS = ["noexec", "exec", "nosuid", "suid", "nodev", "dev", "noatime", "strictatime", "relatime"]
VALUES = ["size=64m", "size=50%", "mode=1777", "uid=1000", "gid=5", "nr_inodes=1k", "mpol=local"]
words = st.lists(st.sampled_from(WORDS + VALUES + ["ro", "rw", "rslave"]), max_size=8)


@settings(max_examples=80, deadline=None)
@given(words)
def test_what_was_read_reads_the_same_again(given_words):
    once = parse_tmpfs_options(given_words)
    assert parse_tmpfs_options(once.words).words == once.words


@settings(max_examples=80, deadline=None)
@given(words)
def test_nothing_is_lifted_that_was_not_asked_for(given_words):
    complete = complete_tmpfs_options(parse_tmpfs_options(given_words).words)
    for word, opposite in (("noexec", "exec"), ("nosuid", "suid"), ("nodev", "dev")):
        last = next((one for one in reversed(given_words) if one in (word, opposite)), word)
        assert (word in complete) == (last == word)
        assert opposite not in complete
    assert len(set(complete)) == len(complete)


def test_the_last_of_contrary_words_counts():
    parsed = parse_tmpfs_options(["ro", "size=1m", "rw", "size=2m", "", "rshared"])
    assert parsed.words == ("size=2m",)
    assert not parsed.read_only
    assert parsed.propagation == "rshared"


def test_a_size_the_kernel_cannot_read_becomes_bytes():
    assert parse_tmpfs_options(["size=1.5g"]).words == (f"size={3 << 29}",)
    assert parse_tmpfs_options(["size=64mb"]).words == (f"size={64 << 20}",)


@pytest.mark.parametrize(
    "bad",
    [
        "size",
        "size=",
        "size=x",
        "mode=8",
        "mode=rwx",
        "uid=root",
        "uid=-1",
        "upperdir=/x",
        "bind",
        "nr_inodes=1.5k",
        "mpol=mine",
        "remount",
    ],
)
def test_a_word_that_tmpfs_does_not_have_is_refused(bad):
    with pytest.raises(InvalidRequest):
        parse_tmpfs_options([bad])
