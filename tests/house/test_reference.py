"""What is offered is described."""

from __future__ import annotations

import ast
import re

from source_tree import HOME, parsed, test_files

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


def test_a_defence_names_only_tests_that_are_there():
    defined = {
        node.name
        for path in test_files()
        for node in parsed(path).body
        if isinstance(node, ast.FunctionDef)
    }
    named = re.findall(r"``(test_\w+)``", (HOME / "docs" / "security.rst").read_text())
    assert named
    assert set(named) - defined == set()
