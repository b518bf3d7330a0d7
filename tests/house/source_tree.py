"""The project's own source, parsed: what the house tests look at."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

HOME = Path(__file__).parents[2]
PACKAGE = HOME / "pyengine"

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def module_files() -> list[Path]:
    """Every Python file of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def test_files() -> list[Path]:
    """Every Python file that holds tests."""
    return sorted((HOME / "tests").rglob("test_*.py"))


test_files.__test__ = False  # it finds tests; it is none


def module_name(path: Path) -> str:
    """``pyengine/linux/plan.py`` is ``pyengine.linux.plan``."""
    parts = path.relative_to(HOME).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def shown(path: Path) -> str:
    """A path as a test's id."""
    return str(path.relative_to(HOME))


@cache
def parsed(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(path.read_text())


def imports(path: Path) -> Iterator[tuple[str, str, int]]:
    """Each ``(module, name, line)`` that *path* imports when it runs; *name* is "" for a module.

    What stands below ``if TYPE_CHECKING:`` is for the type checker alone, and left out.
    """
    for node in _running(parsed(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "", node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(path, node)
            yield from ((module, alias.name, node.lineno) for alias in node.names)


def _absolute(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = [*module_name(path).split("."), *([""] if path.stem == "__init__" else [])]
    above = package[: len(package) - node.level]
    return ".".join([*above, *([node.module] if node.module else [])])


def _running(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            continue
        yield child
        yield from _running(child)


def public_definitions(path: Path) -> Iterator[tuple[str, Definition]]:
    """Every class, function and method of *path* that a reader may call, with its full name.

    Where the module lists its public names, those; else all that do not begin with ``_``.
    """
    listed = _listed(parsed(path))
    for name, node in _public(parsed(path), ""):
        if listed is None or name.partition(".")[0] in listed:
            yield name, node


def _listed(tree: ast.Module) -> set[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return None


def _public(node: ast.Module | ast.ClassDef, above: str) -> Iterator[tuple[str, Definition]]:
    for child in node.body:
        if isinstance(child, Definition) and not child.name.startswith("_"):
            yield above + child.name, child
            if isinstance(child, ast.ClassDef):
                yield from _public(child, f"{above}{child.name}.")
