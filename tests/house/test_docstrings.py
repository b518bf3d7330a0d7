"""Whatever can be called says what it is for."""

from __future__ import annotations

import ast

import pytest
from source_tree import module_files, parsed, public_definitions, shown

MODULES = [pytest.param(path, id=shown(path)) for path in module_files() if path.read_text()]


@pytest.mark.parametrize("path", MODULES)
def test_a_module_says_in_one_sentence_what_it_is(path):
    first = (ast.get_docstring(parsed(path)) or "").partition("\n\n")[0]
    assert first.rstrip(":").endswith((".", "!", "?")) or first.endswith("::")


@pytest.mark.parametrize("path", MODULES)
def test_everything_public_has_a_docstring(path):
    silent = [name for name, node in public_definitions(path) if not ast.get_docstring(node)]
    assert silent == []


@pytest.mark.parametrize("path", MODULES)
def test_a_docstring_begins_with_a_sentence_on_its_first_line(path):
    wrong = [
        name
        for name, node in public_definitions(path)
        if not (ast.get_docstring(node) or ".")
        .partition("\n\n")[0]
        .rstrip()
        .endswith((".", ":", "?"))
    ]
    assert wrong == []
