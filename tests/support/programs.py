"""Small programs in C that tests run inside containers: built static, once for each source."""

from __future__ import annotations

import hashlib
import os
import subprocess

_HERE = os.path.dirname(__file__)
_BUILT = os.path.join(os.path.dirname(_HERE), ".build")
_COMMAND = ("cc", "-std=gnu11", "-O1", "-static", "-Wall", "-Wextra", "-Werror")


def build(name: str) -> str:
    """The program of ``tests/support/NAME.c``, whose path comes back."""
    source = os.path.join(_HERE, f"{name}.c")
    with open(source, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()[:16]
    program = os.path.join(_BUILT, f"{name}-{digest}")
    if not os.path.exists(program):
        os.makedirs(_BUILT, exist_ok=True)
        staged = f"{program}.{os.getpid()}"  # others may be building it too
        subprocess.run([*_COMMAND, "-o", staged, source], check=True)
        os.rename(staged, program)
    return program
