"""What a module offers is listed, in order, and there."""

from __future__ import annotations

import ast
import importlib

import pytest
from source_tree import PACKAGE, module_files, module_name, parsed, public_definitions, shown

import pyengine
from pyengine import errors

MODULES = [pytest.param(path, id=shown(path)) for path in module_files()]
VERBS = {"run", "start", "create", "pull", "build"}
HANDLES = ("engine.py", "container.py", "process.py")


@pytest.mark.parametrize("path", MODULES)
def test_a_list_of_public_names_is_sorted_and_true(path):
    module = importlib.import_module(module_name(path))
    listed = list(getattr(module, "__all__", ()))
    assert listed == sorted(set(listed))
    assert [name for name in listed if not hasattr(module, name)] == []


def test_every_error_can_be_caught_by_its_public_name():
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.EngineError)
    }
    assert set(errors.__all__) == defined
    assert defined <= set(pyengine.__all__)


def test_the_verbs_stand_at_the_front():
    assert set(pyengine.__all__) >= VERBS | {"Engine", "Container", "Process", "Result"}


def test_the_front_shows_its_names_before_they_are_used():
    assert set(dir(pyengine)) >= set(pyengine.__all__)


def test_an_unknown_name_is_refused_as_in_any_module():
    with pytest.raises(AttributeError, match="module 'pyengine' has no attribute 'no_such_name'"):
        _ = pyengine.no_such_name  # type: ignore[attr-defined]


def _named_types(node: ast.AST) -> set[str]:
    functions = [part for part in ast.walk(node) if isinstance(part, ast.FunctionDef)]
    annotations = [
        annotation
        for function in functions
        if not function.name.startswith("_")
        for annotation in (
            function.returns,
            *(argument.annotation for argument in _arguments(function)),
        )
        if annotation is not None
    ]
    return {name.id for top in annotations for name in ast.walk(top) if isinstance(name, ast.Name)}


def _arguments(function: ast.FunctionDef) -> list[ast.arg]:
    given = function.args
    return [*given.posonlyargs, *given.args, *given.kwonlyargs]


def _from_the_package(tree: ast.Module) -> set[str]:
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pyengine")
        for alias in node.names
    }


@pytest.mark.parametrize("file", HANDLES)
def test_every_type_in_a_public_signature_can_be_imported(file):
    path = PACKAGE / file
    named = set().union(*(_named_types(node) for _, node in public_definitions(path)))
    hidden = (named & _from_the_package(parsed(path))) - set(pyengine.__all__)
    assert {name for name in hidden if not name.startswith("_")} == set()
