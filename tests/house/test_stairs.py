"""Imports go down the stairs only."""

from __future__ import annotations

import pytest
from source_tree import PACKAGE, imports, module_files, module_name, shown

import pyengine

# From the ground floor up.  A room may use the rooms below it; rooms on one step do not
# know each other.
STAIRS = [
    {"errors", "version"},
    {"model"},
    {"linux", "store"},
    {"events", "progress"},
    {"images", "networks", "volumes"},
    {"containers"},
    {"build"},
    {"collection", "container", "lease", "process", "image", "network", "volume", "ready"},
    {"engine"},
    {"default"},
    {"front"},
    {"aio", "cli", "rest", "pytest_plugin", "notebook"},
]
FRONT = "front"  # pyengine/__init__.py: the names that users import
HANDLES = STAIRS[7]  # each is a file, not a room: what a user holds gives out what a user holds
DOORS = STAIRS[-1]

# Those that may call C; everybody else asks them.
SPEAKERS = {
    f"pyengine.linux.native{what}"
    for what in ("", "_guard", "_joiner", "_layers", "_log", "_mounts")
}

MODULES = [pytest.param(path, id=shown(path)) for path in module_files()]

DOOR_MODULES = [
    pytest.param(path, id=shown(path))
    for path in module_files()
    if path.relative_to(PACKAGE).parts[0].removesuffix(".py") in DOORS
]


def room(module: str) -> str:
    """``pyengine.linux.plan`` is in ``linux``; the package itself is the front."""
    name = module.split(".")[1] if "." in module else FRONT
    return "cli" if name == "__main__" else name


def height(name: str) -> int:
    """How far up the stairs a room is."""
    return next(step for step, rooms in enumerate(STAIRS) if name in rooms)


def own_imports(path):
    """What *path* takes from the package: ``(room, module, name, line)``."""
    for module, name, line in imports(path):
        if module.split(".")[0] != "pyengine":
            continue
        inside = module == "pyengine" and (
            (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()
        )
        full = f"pyengine.{name}" if name and inside else module
        yield room(full), full, name, line


def may_know(here: str, there: str) -> bool:
    """Whether a line in *here* may import from *there*."""
    if here == there or {here, there} <= HANDLES:
        return True
    if here in DOORS:
        return there in (FRONT, "errors")  # whose names are all at the front as well
    return height(there) < height(here)


def test_every_room_has_its_place_on_the_stairs():
    rooms = {room(module_name(path)) for path in module_files()}
    assert rooms <= set().union(*STAIRS)


@pytest.mark.parametrize("path", MODULES)
def test_a_module_imports_down_the_stairs_only(path):
    here = room(module_name(path))
    wrong = [
        f"line {line}: {here} may not import {full}"
        for there, full, _, line in own_imports(path)
        if there != "_native" and not may_know(here, there)
    ]
    assert wrong == []


@pytest.mark.parametrize("path", MODULES)
def test_only_three_modules_speak_to_c(path):
    spoken = [line for there, _, _, line in own_imports(path) if there == "_native"]
    assert not spoken or module_name(path) in SPEAKERS


@pytest.mark.parametrize("path", DOOR_MODULES)
def test_a_door_takes_only_what_everybody_may_have(path):
    taken = {name for _, full, name, _ in own_imports(path) if full == "pyengine" and name}
    assert taken <= set(pyengine.__all__)


def test_the_stairs_would_catch_an_import_upwards():
    assert may_know("containers", "linux")
    assert may_know("engine", "containers")
    assert may_know("cli", "front")
    assert not may_know("linux", "containers")
    assert not may_know("store", "linux")
    assert not may_know("model", "linux")
    assert not may_know("cli", "model")
    assert not may_know("rest", "cli")
