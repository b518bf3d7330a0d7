"""How the house is written: short files, tests that promise, no waiting for a while."""

from __future__ import annotations

import ast
import re

import pytest
from source_tree import HOME, module_files, parsed, shown, test_files

LONGEST = 500  # a file that passes some 400 lines is probably two
LONGEST_OF_TESTS = 900  # a row of promises is read one by one
FEWEST_WORDS = 3  # "texts become values" is a sentence; "texts values" is not

WRITTEN = sorted(
    path
    for room in ("pyengine", "csrc", "tests", "benchmarks")
    for kind in ("*.py", "*.pyi", "*.c", "*.h")
    for path in (HOME / room).rglob(kind)
    if not any(part.startswith((".", "_build")) for part in path.relative_to(HOME).parts)
)
TESTS = [pytest.param(path, id=shown(path)) for path in test_files()]
PYTHON = [
    pytest.param(path, id=shown(path))
    for path in [*module_files(), *sorted((HOME / "tests").rglob("*.py"))]
]


def test_no_file_is_two_files():
    lengths = {shown(path): len(path.read_text().splitlines()) for path in WRITTEN}
    most = {name: LONGEST_OF_TESTS if name.startswith("tests/") else LONGEST for name in lengths}
    assert {name: lines for name, lines in lengths.items() if lines > most[name]} == {}


@pytest.mark.parametrize("path", PYTHON)
def test_nothing_sleeps_where_it_could_wait_for_an_event(path):
    sleeps = [
        node.lineno
        for node in ast.walk(parsed(path))
        if (isinstance(node, ast.Call) and ast.unparse(node.func) == "time.sleep")
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "time"
            and "sleep" in {alias.name for alias in node.names}
        )
    ]
    assert sleeps == []


def _tests(path):
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    return [
        node
        for node in ast.walk(parsed(path))
        if isinstance(node, functions) and node.name.startswith("test_")
    ]


@pytest.mark.parametrize("path", TESTS)
def test_a_test_is_named_as_the_sentence_that_broke(path):
    names = [node.name for node in _tests(path)]
    assert [name for name in names if len(name.split("_")) - 1 < FEWEST_WORDS] == []


@pytest.mark.parametrize("path", TESTS)
def test_no_test_replaces_another_of_its_name(path):
    names = [node.name for node in parsed(path).body if isinstance(node, ast.FunctionDef)]
    assert sorted(names) == sorted(set(names))


def test_no_two_files_of_tests_share_a_name():
    names = [path.name for path in test_files()]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("path", TESTS)
def test_what_needs_the_kernel_is_marked_so_and_nothing_else(path):
    room = path.relative_to(HOME / "tests").parts[0]
    marked = bool(re.search(r"pytest\.mark\.(kernel|soak)\b", path.read_text()))
    if room in ("kernel", "flows"):
        assert marked
    elif room == "unit":
        assert not marked
