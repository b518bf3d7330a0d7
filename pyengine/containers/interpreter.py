"""How to run one of our modules as a program of its own, with the Python that runs us."""

from __future__ import annotations

import os
import sys
import sysconfig

from pyengine.errors import Unsupported

_BOOT = "import sys; sys.path[:0] = sys.argv[1].split(':'); del sys.argv[1]; "


def command(module: str, *words: str) -> tuple[str, ...]:
    """The argv that runs *module* with *words*, whatever the environment and directory are.

    An isolated Python finds what is installed; a checkout it has to be shown. Raises
    `Unsupported` in a program that has Python built in.
    """
    if not sys.executable:
        missing = "this program is no Python interpreter"
        raise Unsupported("a process of its own", missing, "run it from Python")
    if _is_installed():
        return (sys.executable, "-I", "-m", module, *words)
    homes = dict.fromkeys(map(_home_of, ("pyengine", "attr", "_cffi_backend")))
    boot = f"{_BOOT}from {module} import main; sys.exit(main())"
    return (sys.executable, "-I", "-c", boot, ":".join(homes), *words)


def environment() -> tuple[str, ...]:
    """What such a program needs to know of ours, and no more."""
    wanted = ("PATH", "HOME", "LANG", "LC_ALL", "PYTHONDONTWRITEBYTECODE")
    kept = [name for name in os.environ if name in wanted or name.startswith("XDG_")]
    return (*(f"{name}={os.environ[name]}" for name in kept), "MALLOC_ARENA_MAX=1")


def _is_installed() -> bool:
    return _home_of("pyengine") in {sysconfig.get_path(name) for name in ("purelib", "platlib")}


def _home_of(module: str) -> str:
    """The directory that *module*, which is imported, was found in."""
    path = os.path.abspath(str(sys.modules[module].__file__))
    directory = os.path.dirname(path)
    is_package = os.path.basename(path).startswith("__init__.")
    return os.path.dirname(directory) if is_package else directory
