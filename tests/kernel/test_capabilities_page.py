"""What the documentation says of each tier is what is said to each."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel


@pytest.fixture
def page(monkeypatch):
    """The module that writes it, which lies outside of where these tests look."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2]))
    monkeypatch.delitem(sys.modules, "tests", raising=False)
    from tests.tiers import page

    return page


def test_the_page_of_what_each_tier_cannot_do_is_not_stale(page):
    written = page.page(page.measure())
    assert page.PLACE.read_text() == written, "write it anew: python -m tests.tiers page"
