"""Whatever can be called says what it is for."""

from __future__ import annotations

import ast

import pytest
from source_tree import module_files, parsed, public_definitions, shown

MODULES = [pytest.param(path, id=shown(path)) for path in module_files() if path.read_text()]
ENDS = (".", "!", "?", "…", ":")


def opening(node) -> str:
    """The first paragraph of a docstring."""
    return (ast.get_docstring(node) or "").partition("\n\n")[0]


@pytest.mark.parametrize("path", MODULES)
def test_a_module_says_in_one_sentence_what_it_is(path):
    assert opening(parsed(path)).endswith(ENDS)


@pytest.mark.parametrize("path", MODULES)
def test_everything_public_has_a_docstring(path):
    silent = [name for name, node in public_definitions(path) if not ast.get_docstring(node)]
    assert silent == []


@pytest.mark.parametrize("path", MODULES)
def test_a_docstring_begins_with_a_sentence(path):
    beginnings = {name: opening(node) for name, node in public_definitions(path)}
    assert [name for name, text in beginnings.items() if text and not text.endswith(ENDS)] == []
