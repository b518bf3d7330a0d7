"""What the kernel writes about cgroups is read as it is meant."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.errors import InvalidRequest
from pyengine.linux.cgroup_files import flat_keyed, number
from pyengine.linux.cgroup_names import branch, check_name, check_parent, is_branch
from pyengine.linux.cgroup_sample import BlockTraffic, parse_v1_traffic, parse_v2_traffic
from pyengine.linux.device_filter import DEFAULT_POLICY, UNRESTRICTED
from pyengine.linux.hierarchy import Hierarchy, parse_mounts

HYBRID = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:4 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/my\\040memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
"""


def test_every_controller_is_found_where_it_is_mounted():
    assert parse_mounts(HYBRID) == (
        "/sys/fs/cgroup/unified",
        {
            "cpu": "/sys/fs/cgroup/cpu,cpuacct",
            "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
            "memory": "/sys/fs/cgroup/my memory",
        },
    )


@settings(max_examples=50)
@given(st.text(max_size=200))
def test_strange_mounts_are_passed_over(text):
    parse_mounts(text)


@pytest.mark.parametrize(
    ("hierarchy", "version", "driver"),
    [
        (Hierarchy(None, {}), "", "none"),
        (Hierarchy("/c", {}, frozenset(("memory", "pids"))), "2", "cgroupfs"),
        (Hierarchy("/c", {"memory": "/m"}), "1", "cgroupfs"),
    ],
)
def test_a_host_is_described_in_docker_s_words(hierarchy, version, driver):
    described = hierarchy.describe()
    assert (described.version, described.driver) == (version, driver)
    assert described.can_freeze == (hierarchy.v2 is not None)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,20}", fullmatch=True), st.integers(0, 1 << 64)))
def test_keyed_numbers_read_back(table):
    text = "".join(f"{key} {value}\n" for key, value in table.items())
    assert flat_keyed(text.encode()) == table


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"max\n", None),
        (b"12\n", 12),
        (None, None),
        (b"", None),
        (b"9223372036854771712\n", None),  # what v1 shows for "no limit"
    ],
)
def test_unlimited_is_no_number(content, value):
    assert number(content) == value


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "a\n", "-x", "a b", "x" * 200])
def test_a_name_never_leaves_its_directory(name):
    with pytest.raises(InvalidRequest, match="cgroup name"):
        check_name(name)


@pytest.mark.parametrize("parent", ["..", "/a/../b", "a/.", "/a\n"])
def test_a_parent_never_leaves_its_tree(parent):
    with pytest.raises(InvalidRequest, match="cgroup_parent"):
        check_parent(parent)


@given(st.lists(st.from_regex(r"[A-Za-z0-9_][\w.:@-]{0,8}", fullmatch=True).filter(str.isascii)))
def test_a_parent_is_the_same_however_its_slashes_are_written(parts):
    plain = "".join(f"/{part}" for part in parts)
    assert check_parent("//".join(parts) + "/") == plain == check_parent(plain)


def test_branches_are_told_from_containers():
    assert is_branch(branch(DEFAULT_POLICY).rpartition("/")[2])
    assert is_branch(branch(UNRESTRICTED).rpartition("/")[2])
    assert branch(DEFAULT_POLICY) != branch(UNRESTRICTED)
    assert not is_branch("0a" * 32)


def test_block_traffic_is_read_from_either_version():
    expected = (BlockTraffic(8, 0, 4096, 512), BlockTraffic(254, 16, 0, 7))
    v1 = b"8:0 Read 4096\n8:0 Write 512\n8:0 Sync 1\n8:0 Total 4608\n254:16 Write 7\nTotal 4615\n"
    v2 = b"8:0 rbytes=4096 wbytes=512 rios=1 wios=1 dbytes=0 dios=0\n254:16 rbytes=0 wbytes=7\n"
    assert parse_v1_traffic(v1) == expected
    assert parse_v2_traffic(v2) == expected


@settings(max_examples=50)
@given(st.binary(max_size=100))
def test_strange_traffic_is_passed_over(content):
    parse_v1_traffic(content)
    parse_v2_traffic(content)
