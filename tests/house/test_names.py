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


def _annotations(function: ast.FunctionDef) -> list[ast.expr]:
    given = function.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    found = [function.returns, *(argument.annotation for argument in arguments)]
    return [annotation for annotation in found if annotation is not None]


def _package_classes(tree: ast.Module) -> set[str]:
    """The classes of the package that a module imports, for the type checker alone too."""
    return {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pyengine.")
        for alias in node.names
        if isinstance(getattr(importlib.import_module(node.module), alias.name, None), type)
    }


@pytest.mark.parametrize("file", HANDLES)
def test_every_class_in_a_public_signature_can_be_imported(file):
    path = PACKAGE / file
    functions = [node for _, node in public_definitions(path) if isinstance(node, ast.FunctionDef)]
    named = {
        name.id
        for function in functions
        for annotation in _annotations(function)
        for name in ast.walk(annotation)
        if isinstance(name, ast.Name)
    }
    assert (named & _package_classes(parsed(path))) - set(pyengine.__all__) == set()


def test_a_type_checker_sees_what_a_program_gets():
    seen = {
        alias.asname or alias.name
        for node in parsed(PACKAGE / "__init__.py").body
        if isinstance(node, ast.If)  # TYPE_CHECKING
        for imported in ast.walk(node)
        if isinstance(imported, ast.ImportFrom) and imported.module.startswith("pyengine.")
        for alias in imported.names
    }
    assert seen == set(pyengine.__all__)
