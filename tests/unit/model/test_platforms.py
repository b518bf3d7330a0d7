"""Platforms: what people write, and what runs where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyengine.errors import InvalidRequest
from pyengine.model.platform import Platform, normal, rank

ARCHITECTURES = ("amd64", "arm64", "arm", "386", "riscv64", "s390x", "aarch64", "x86_64", "armhf")
platforms = st.builds(
    normal,
    st.sampled_from(["linux", "windows", "macos"]),
    st.sampled_from(ARCHITECTURES),
    st.sampled_from(["", "v5", "v6", "v7", "v8", "8", "v8.2", "v9", "v3", "odd"]),
)


@given(platforms)
def test_a_platform_reads_back_what_it_wrote(platform):
    assert Platform.parse(str(platform)) == platform


@given(platforms, platforms)
def test_nothing_runs_better_than_what_was_made_for_it(wanted, offered):
    assert rank(wanted, wanted) == 0
    found = rank(wanted, offered)
    assert (found == 0) == (wanted == offered)


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("Linux/X86_64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm64/v8.0", "linux/arm64"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/armel", "linux/arm/v6"),
        ("macos/arm64", "darwin/arm64"),
        ("linux", "linux/riscv64"),
        ("arm64", "plan9/arm64"),
    ],
)
def test_a_platform_has_one_spelling(text, means):
    assert str(Platform.parse(text, Platform("plan9", "riscv64"))) == means


def test_half_a_platform_is_completed_by_the_machine():
    assert Platform.parse("linux").architecture
    assert Platform.parse("s390x") == Platform("linux", "s390x")
    assert Platform.of_machine("armv7l") == Platform("linux", "arm", "v7")


@pytest.mark.parametrize("bad", ["", "/", "linux/", "a/b/c/d", "linux/a b", "linux/\0", None, 5])
def test_what_is_no_platform_is_refused(bad):
    with pytest.raises(InvalidRequest, match="platform"):
        Platform.parse(bad)


@pytest.mark.parametrize(
    ("wanted", "best_first", "never"),
    [
        ("linux/amd64", ["linux/amd64", "linux/386"], ["linux/amd64/v2", "windows/amd64"]),
        ("linux/amd64/v3", ["linux/amd64/v3", "linux/amd64/v2", "linux/amd64"], ["linux/arm"]),
        ("linux/arm/v7", ["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"], ["linux/arm/v8"]),
        ("linux/arm/v6", ["linux/arm/v6", "linux/arm/v5"], ["linux/arm/v4", "linux/arm/v7"]),
        (
            "linux/arm64",
            ["linux/arm64", "linux/arm/v8", "linux/arm/v7", "linux/arm/v5"],
            ["linux/arm64/v8.1", "linux/arm64/v9", "linux/amd64"],
        ),
        ("linux/arm64/v9", ["linux/arm64/v9", "linux/arm64/v8.2", "linux/arm64"], []),
        ("linux/riscv64", ["linux/riscv64"], ["linux/riscv64/odd", "linux/arm64"]),
    ],
)
def test_a_processor_runs_the_older_variants_of_its_family(wanted, best_first, never):
    machine = Platform.parse(wanted)
    ranks = [rank(machine, Platform.parse(text)) for text in best_first]
    assert None not in ranks
    assert ranks == sorted(set(ranks))
    assert [text for text in never if rank(machine, Platform.parse(text)) is not None] == []


def test_what_needs_a_feature_of_its_system_runs_only_there():
    plain, special = Platform("linux", "amd64"), Platform("linux", "amd64", "", "", ("x",))
    assert rank(plain, special) is None
    assert rank(special, plain) == 0
