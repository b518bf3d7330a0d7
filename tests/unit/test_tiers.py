"""What tests.tiers calls "cannot": what was announced, for that cause, and no more."""

from __future__ import annotations

import pytest
from support.refusals import raise_refusal
from tiers import plugin

from pyengine import Capabilities, Feature, Unsupported

FOUND = Capabilities(
    "single",
    (
        Feature("memory", "a limit", False, "none is delegated", "", options=("memory",)),
        Feature("pids", "a limit", True, options=("pids",)),
        Feature("subids", "others", False, "there are no ids", "", options=("user",)),
    ),
)


@pytest.mark.parametrize(
    ("wish", "cause", "name"),
    [
        ("memory", "none is delegated", "memory"),
        ("user 'app'", "there is nobody else: there are no ids", "subids"),
        ("memory", "it is not built yet", None),  # another cause than was announced
        ("stats", "none is delegated", None),  # another option than was announced
        ("userns='host'", "there are no ids", None),
        ("pids", "none is delegated", None),  # it was said to work
    ],
)
def test_a_refusal_counts_only_as_it_was_announced(wish, cause, name):
    feature = plugin.explanation(FOUND, Unsupported(wish, cause, "do something else"))
    assert (feature.name if feature is not None else None) == name


def report(outcome: str) -> pytest.TestReport:
    return pytest.TestReport("a::b", ("a", 1, "b"), {}, outcome, None, "call")  # type: ignore[arg-type]


def test_what_is_said_to_be_root_s_alone_has_to_fail_for_others():
    mark = pytest.mark.root_only("only root mounts").mark
    assert plugin.of_root_only(report("passed"), mark).outcome == "failed"
    told = plugin.of_root_only(report("failed"), mark)
    assert plugin.pytest_report_teststatus(told) == ("root's", "r", "ROOT'S")
    assert plugin.pytest_report_teststatus(report("passed")) is None


def test_words_of_another_program_are_the_refusal_that_they_tell():
    for before in ("pyengine: ", "pyengine.errors.Unsupported: ", "Traceback\npyengine: "):
        with pytest.raises(Unsupported) as caught:
            raise_refusal(f"{before}user 'a: b' is not supported: no ids: none; get some; or not\n")
        assert caught.value.missing == "no ids: none"
        assert caught.value.remedy == "get some; or not"
    raise_refusal("pyengine: No such container: x")
