"""A pytest plugin: what a tier cannot do is what ``capabilities()`` says of it, no more, no less.

A test that ends in `Unsupported` has the outcome "cannot" if a feature is announced as not
working, for the same cause, and the refused option is one that needs it. Any other refusal is a
failure. A test marked ``root_only`` is run as well, and fails if it holds.
"""

from __future__ import annotations

import collections
import os
import tempfile
from collections.abc import Iterator

import pytest

import pyengine
from pyengine import Capabilities, Feature, Unsupported

_WHOLE = "PYENGINE_TIER_WHOLE"
_FOUND = pytest.StashKey[Capabilities]()
_REFUSED = pytest.StashKey["collections.Counter[str]"]()
_PROBED = pytest.StashKey[set[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Ask once, before any test."""
    with (
        tempfile.TemporaryDirectory() as place,
        pyengine.Engine(root=f"{place}/engine") as engine,
    ):
        config.stash[_FOUND] = engine.capabilities()
    config.stash[_REFUSED] = collections.Counter()
    config.stash[_PROBED] = set()
    wanted = os.environ.get("PYENGINE_TIER")
    if wanted not in (None, config.stash[_FOUND].tier):
        raise pytest.UsageError(f"this is tier {config.stash[_FOUND].tier}, not {wanted}")


def explanation(found: Capabilities, error: Unsupported) -> Feature | None:
    """The announced feature whose lack is why *error* was raised; `None`: nobody announced it."""
    for feature in found.missing:
        if error.missing.endswith(feature.why) and feature.concerns(error.feature):
            return feature
    return None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[pytest.TestReport]:
    """Give a refusal that was announced an outcome of its own."""
    report: pytest.TestReport = yield
    if report.when == "teardown":
        return report
    mark = item.get_closest_marker("root_only")
    if mark is not None:
        return of_root_only(report, mark)
    error = None if call.excinfo is None else call.excinfo.value
    if isinstance(error, Unsupported):
        feature = explanation(item.config.stash[_FOUND], error)
        if feature is not None:
            item.config.stash[_REFUSED][feature.name] += 1
            _say(report, "cannot", str(error))
    if report.when == "call":
        met = (str(name) for key, name in item.user_properties if key == "refused")
        item.config.stash[_PROBED].update(met)
    return report


def of_root_only(report: pytest.TestReport, mark: pytest.Mark) -> pytest.TestReport:
    if report.failed:
        _say(report, "root's", str(mark.args[0]))
    elif report.when == "call":
        report.outcome = "failed"
        report.longrepr = f"it holds without root as well: take the mark {mark.args} away"
    return report


def _say(report: pytest.TestReport, outcome: str, why: str) -> None:
    report.outcome = "skipped"
    report.longrepr = (str(report.fspath), report.location[1] or 0, why)
    report.tier_outcome = outcome  # type: ignore[attr-defined]


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """These are neither passed nor failed, nor skipped."""
    outcome = getattr(report, "tier_outcome", None)
    return None if outcome is None else (outcome, outcome[0], outcome.upper())


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """What this tier cannot do: how many tests met each feature that is not there, and why."""
    found, refused = config.stash[_FOUND], config.stash[_REFUSED]
    terminalreporter.section(f"what tier {found.tier} cannot do")
    lacks = "NO EVIDENCE" if _WHOLE in os.environ else "not asked for"
    for feature in found.missing:
        number, name = refused[feature.name], feature.name
        how = "asked for" if name in config.stash[_PROBED] else "" if feature.options else "tried"
        met = f"{number} tests" if number else how or lacks
        terminalreporter.write_line(f"{name:<16}{met:>13}  {feature.why}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A whole run fails where something is announced that nobody was refused."""
    stash = session.config.stash
    claimed = {feature.name for feature in stash[_FOUND].missing if feature.options}
    met = stash[_PROBED] | stash[_REFUSED].keys()
    if _WHOLE in os.environ and claimed - met:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
