"""A store on a directory of the test's, with a kernel that the test can ask what it did."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from attrs import define, field

from pyengine.store.disk import Kernel
from pyengine.store.layout import Layout


@define
class Machine:
    """A machine that can be booted anew."""

    boot: str = "first boot"
    synced: int = 0
    removed: list[str] = field(factory=list)

    def kernel(self) -> Kernel:
        return Kernel(self._remove, self._sync, lambda: self.boot)

    def _remove(self, directory: int, name: str) -> None:
        self.removed.append(name)
        path = f"/proc/self/fd/{directory}/{name}"
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)

    def _sync(self, fd: int) -> None:
        self.synced += 1


def layout_in(directory: object) -> Layout:
    return Layout(f"{directory}/root", f"{directory}/run")


def spawn(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Python *code* in a process of its own, with the package; it says what it wants by print."""
    home = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": f"{home}:{home}/tests"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
