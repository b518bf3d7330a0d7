import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.containers.identity import LARGEST_CACHED, MOST_GROUPS, Identity, resolve_identity
from pyengine.errors import InvalidRequest

PASSWD = b"""\
root:x:0:0:root:/root:/bin/sh
toor:x:0:5::/toor:/bin/sh
app:x:1000:50:An App:/srv/app:/bin/sh
999:x:7:7::/nine:/bin/sh
homeless:x:8:8:::
"""
GROUP = b"""\
root:x:0:root
adm:x:4:app,root
video:x:44:other,app
staff:x:50:
1234:x:9:app
twice:x:44:app
"""


@pytest.mark.parametrize(
    ("user", "identity"),
    [
        ("", Identity(0, 0, (0, 4), "/root")),
        ("root", Identity(0, 0, (0, 4), "/root")),
        ("app", Identity(1000, 50, (50, 4, 44, 9), "/srv/app")),
        ("1000", Identity(1000, 50, (50, 4, 44, 9), "/srv/app")),
        ("01000", Identity(1000, 50, (50, 4, 44, 9), "/srv/app")),
        ("app:video", Identity(1000, 44, (44,), "/srv/app")),
        ("app:77", Identity(1000, 77, (77,), "/srv/app")),
        ("app:", Identity(1000, 50, (50, 4, 44, 9), "/srv/app")),
        (":video", Identity(0, 44, (44,), "/root")),
        ("4711", Identity(4711, 0, (0,), "/")),
        ("4294967294", Identity(4294967294, 0, (0,), "/")),
        ("homeless", Identity(8, 8, (8,), "/")),
        ("app:1234", Identity(1000, 1234, (1234,), "/srv/app")),
        ("999", Identity(999, 0, (0,), "/")),
    ],
)
def test_a_user_is_who_the_container_s_files_say(user, identity):
    assert resolve_identity(user, (), PASSWD, GROUP) == identity


def test_without_files_root_and_numbers_are_still_somebody():
    assert resolve_identity("") == Identity(0, 0, (0,), "/")
    assert resolve_identity("5:6", ("7",)) == Identity(5, 6, (6, 7), "/")


def test_added_groups_come_with_both_kinds_of_group():
    assert resolve_identity("app", ("video", "88"), PASSWD, GROUP).groups == (50, 4, 44, 9, 88)
    assert resolve_identity("app:staff", ("video",), PASSWD, GROUP).groups == (50, 44)


@pytest.mark.parametrize(
    ("user", "groups", "reason"),
    [
        ("nobody", (), "unable to find user nobody: no matching entries in passwd file"),
        ("app:nobody", (), "unable to find group nobody: no matching entries in group file"),
        ("app", ("nobody",), "unable to find group nobody: no matching entries in group file"),
        ("-1", (), "unable to find user -1"),
        ("4294967295", (), "4294967294"),
        ("18446744073709551616", (), "4294967294"),
        ("9" * 100, (), "4294967294"),
        ("0:4294967296", (), "4294967294"),
        ("0", ("4294967295",), "4294967294"),
        ("\u0661", (), "unable to find user"),
    ],
)
def test_who_cannot_be_is_refused_and_never_becomes_root(user, groups, reason):
    with pytest.raises(InvalidRequest) as caught:
        resolve_identity(user, groups, PASSWD, GROUP)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        b"app:x:4294967296:0::/:",
        b"app:x:-1:0::/:",
        b"app:x: 1:0::/:",
        b"app:x:1_0:0::/:",
        b"app:x:1:x::/:",
        b"app:x::0::/:",
        b"app:x:1",
        b"app",
        b":x:1:1::/:",
        b"xapp:x:1:1::/:",
    ],
)
def test_a_malformed_line_does_not_exist(line):
    with pytest.raises(InvalidRequest):
        resolve_identity("app", (), line + b"\n", b"")
    good = b"app:x:1000:50::/srv/app:/bin/sh"
    assert resolve_identity("app", (), line + b"\n" + good, b"").uid == 1000


@pytest.mark.parametrize(
    "line",
    [b"g:x:x:app", b"g:x:-5:app", b"g:x:4294967295:app", b"g:x:5", b":x:5:app", b"g:x:5:app2,xapp"],
)
def test_a_malformed_or_foreign_group_gives_nothing(line):
    assert resolve_identity("app", (), PASSWD, line + b"\n").groups == (50,)


def test_line_ends_of_other_systems_and_missing_ones_do_no_harm():
    assert resolve_identity("app", (), PASSWD.replace(b"\n", b"\r\n"), b"g:x:5:a,app\r\n").gid == 50
    assert resolve_identity("app", (), PASSWD, b"g:x:5:a,app\r\n").groups == (50, 5)
    assert resolve_identity("app", (), b"app:x:5:6::/h", b"g:x:7:app").groups == (6, 7)


def test_a_home_that_the_kernel_could_not_take_is_the_root():
    assert resolve_identity("a", (), b"a:x:1:1::/x\0y:\n", b"").home == "/"
    assert resolve_identity("a", (), b"a:x:1:1::/\xff:\n", b"").home == "/\udcff"


names = st.sampled_from(["a", "ab", "app", "b", "x"])
ids = st.sampled_from(["0", "5", "50", "1000", "x", "", "4294967295"])
groups = st.lists(st.tuples(names, ids, st.lists(names, max_size=4)), max_size=8)


@settings(max_examples=150, deadline=None)
@given(groups)
def test_memberships_are_those_of_a_plain_reading_line_by_line(entries):
    content = "\n".join(f"{name}:x:{gid}:{','.join(members)}" for name, gid, members in entries)
    expected = [50]
    for _, gid, members in entries:
        good = gid.isdigit() and int(gid) < 2**32 - 1
        if good and "app" in members and int(gid) not in expected:
            expected.append(int(gid))
    assert resolve_identity("app", (), PASSWD, content.encode()).groups == tuple(expected)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=80), st.binary(max_size=80), st.sampled_from(["", "a", "0", "a:b", "5"]))
def test_any_files_give_an_identity_within_bounds_or_a_reason(passwd, group, user):
    try:
        identity = resolve_identity(user, (), passwd, group)
    except InvalidRequest:
        return
    assert all(0 <= number < 2**32 - 1 for number in (identity.uid, *identity.groups))
    assert identity.groups[0] == identity.gid
    assert len(set(identity.groups)) == len(identity.groups)


def test_a_million_lines_cost_no_more_than_searching_them():
    group = b"".join(b"g%d:x:%d:somebody\n" % (n, n) for n in range(1_000_000)) + b"g:x:5:app\n"
    began = time.process_time()
    assert resolve_identity("app", (), PASSWD, group).groups == (50, 5)
    assert time.process_time() - began < 0.5


def test_one_line_with_millions_of_colons_takes_no_quadratic_time():
    passwd = b":0:" * 1_000_000 + b"\n" + PASSWD
    began = time.process_time()
    assert resolve_identity("", (), passwd, b"x:" * 1_000_000).home == "/root"
    assert time.process_time() - began < 0.5


def test_more_groups_than_the_kernel_takes_are_refused():
    group = b"".join(b"g%d:x:%d:app\n" % (n, n + 100) for n in range(MOST_GROUPS + 10))
    with pytest.raises(InvalidRequest) as caught:
        resolve_identity("app", (), PASSWD, group)
    assert "more than" in str(caught.value)


def test_large_files_are_not_kept_in_memory():
    from pyengine.containers.identity import _resolve

    before = _resolve.cache_info().currsize
    resolve_identity("app", (), PASSWD, b"#" * (LARGEST_CACHED + 1))
    assert _resolve.cache_info().currsize == before
