"""A user without any right, as whom contestants take part: one id, and a Python of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib import util
from pathlib import Path

from attrs import frozen

from benchmarks.rootfs import Missing

USER = 47120
"""In no file of a host that has not been set up for it."""

_NEEDED = ("attr", "attrs", "cffi", "pycparser", "_cffi_backend", "pyengine")
_ELSEWHERE = "/usr/local/bin:/usr/bin:/bin"


@frozen
class Nobody:
    """*user*, whose things are in *directory*; *library* is what their *python* needs to know."""

    user: int
    directory: Path
    library: Path
    python: str

    def command(self, argv: Sequence[str]) -> list[str]:
        """The command that runs *argv* as them."""
        who = (f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups")
        env = ("env", f"PYTHONPATH={self.library}", f"HOME={self.directory}")
        return ["setpriv", *who, *env, *argv]

    def give(self, path: Path) -> None:
        """Let *path* be theirs, with all below it."""
        for above, names, files in os.walk(path):
            for name in (*names, *files):
                os.lchown(os.path.join(above, name), self.user, self.user)
        os.lchown(path, self.user, self.user)


def nobody(directory: Path) -> Nobody:
    """Them, in a new *directory*. `Missing` if there is no Python, or no setpriv, for them."""
    if shutil.which("setpriv") is None:
        raise Missing("setpriv", "apt-get install -y util-linux")
    for above in (directory.parent, *directory.parent.parents):
        if not above.stat().st_mode & 0o001:
            above.chmod(above.stat().st_mode | 0o011)  # the bench's own is closed to others
    library = directory / "library"
    library.mkdir(parents=True)
    for name in _NEEDED:
        _copy(name, library)
    made = Nobody(USER, directory, library, "")
    made.give(directory)
    return Nobody(USER, directory, library, _python_for(made))


def _copy(name: str, to: Path) -> None:
    found = util.find_spec(name)
    if found is None or found.origin is None:
        raise Missing(name, "pip install -e .")
    origin = Path(found.origin)
    if origin.name == "__init__.py":
        shutil.copytree(origin.parent, to / name)
    else:
        shutil.copy(origin, to)


def _python_for(who: Nobody) -> str:
    """A Python that they may run, and that is like ours."""
    wanted = f"{sys.version_info.major}.{sys.version_info.minor}"
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    for path in (sys.executable, shutil.which("python3", path=_ELSEWHERE)):
        if path is None:
            continue
        told = subprocess.run(
            who.command([path, "-c", code]), capture_output=True, text=True, check=False, cwd="/"
        )
        if told.stdout.strip() == wanted:
            return path
    raise Missing(f"a Python {wanted} that everybody may run", f"apt-get install -y python{wanted}")
