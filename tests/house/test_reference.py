"""What is offered is described."""

from __future__ import annotations

import re

import pytest
from source_tree import HOME

import pyengine
from pyengine.model.options import KEYWORDS

REFERENCE = HOME / "docs" / "reference"


def test_every_public_name_is_in_the_reference():
    pages = "\n".join(path.read_text() for path in REFERENCE.glob("*.rst"))
    described = set(re.findall(r":: pyengine\.(\w+)", pages))
    if ".. automodule:: pyengine.errors" in pages:
        described |= set(pyengine.errors.__all__)
    assert set(pyengine.__all__) - described == set()


def test_every_option_is_in_the_reference():
    page = (REFERENCE / "options.rst").read_text()
    described = set(re.findall(r"``(\w+)(?:=.*?)?``", page))
    assert set(KEYWORDS) - described == set()


@pytest.mark.parametrize("page", ["security.rst", "contributing.rst", "recovery.rst"])
def test_a_page_names_only_tests_that_are_there(page):
    named = re.findall(r"``(tests/[\w/]+\.py)``", (HOME / "docs" / page).read_text())
    assert [path for path in named if not (HOME / path).is_file()] == []
