"""Running the library as somebody else: a made user, who may read no more than others may."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib import util
from pathlib import Path

import pyengine

USER = 47110
"""Nobody has this id, in no file either."""

_NEEDED = ("attr", "attrs", "cffi", "pycparser", "_cffi_backend")


class Stranger:
    """A user of their own with a home in *directory*, who has Python and the library."""

    def __init__(self, directory: Path, user: int = USER) -> None:
        self.user = user
        self.home = directory / "home"
        self.library = directory / "library"
        for above in (directory, *directory.parents):
            if above.stat().st_mode & 0o001 == 0:
                above.chmod(above.stat().st_mode | 0o011)  # pytest's are closed to others
        self.home.mkdir()
        self.library.mkdir(0o755)
        for name in _NEEDED:
            _copy(name, self.library)
        shutil.copytree(Path(pyengine.__file__).parent, self.library / "pyengine")
        os.chown(self.home, user, user)

    def give(self, path: Path) -> None:
        """Let *path*, and all below it, be theirs."""
        for directory, names, files in os.walk(path):
            for name in (*names, *files):
                os.lchown(os.path.join(directory, name), self.user, self.user)
        os.lchown(path, self.user, self.user)

    def python(self, code: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Have them run *code*, in an environment that says no more than *env*."""

        def become() -> None:
            os.setgroups([])
            os.setresgid(self.user, self.user, self.user)
            os.setresuid(self.user, self.user, self.user)

        return subprocess.run(
            ["/usr/bin/env", "python3", "-c", code],
            env={
                "PATH": _path(),
                "HOME": str(self.home),
                "PYTHONPATH": str(self.library),
                "PYTHONDONTWRITEBYTECODE": "1",
                **env,
            },
            cwd="/",
            preexec_fn=become,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


def _path() -> str:
    return "/usr/local/bin:/usr/bin:/bin"


def _copy(name: str, to: Path) -> None:
    found = util.find_spec(name)
    assert found is not None
    assert found.origin is not None
    origin = Path(found.origin)
    if origin.name == "__init__.py":
        shutil.copytree(origin.parent, to / name)
    else:
        shutil.copy(origin, to)
