"""Running the library as somebody else: a made user, who may read no more than others may."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path

import pyengine

USER = 47110
"""Nobody has this id, in no file either."""

_NEEDED = ("attr", "attrs", "cffi", "pycparser", "_cffi_backend", "urllib3")


class Stranger:
    """A user of their own with a home in *directory*, who has Python and the library.

    With *subids*, the lines of /etc/subuid and /etc/subgid, they have a name, ``stranger``, and
    see these files; nobody else does.
    """

    def __init__(self, directory: Path, user: int = USER, subids: str | None = None) -> None:
        self.user = user
        self._accounts = {} if subids is None else _write_accounts(directory, user, subids)
        self.disks: dict[str, tuple[str, int]] = {}  # what else they see: a file system, flags
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
            _see_instead(self._accounts, self.disks, self.user)
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


@contextmanager
def somebody(subids: str | None = None) -> Iterator[Stranger]:
    """A stranger with a place of their own: pytest closes its directories to others as it starts,
    while another may be at work.
    """
    with tempfile.TemporaryDirectory(prefix="pyengine-stranger-", dir="/tmp") as place:
        os.chmod(place, 0o755)
        made = Stranger(Path(place), subids=subids)
        os.chown(place, made.user, made.user)
        try:
            yield made
        finally:
            shutil.rmtree(f"/tmp/pyengine-{made.user}", ignore_errors=True)


def _write_accounts(directory: Path, user: int, subids: str) -> dict[str, str]:
    """Files of the host, and what to see in their places."""
    place = directory / "accounts"
    place.mkdir(0o755)
    lines = f"stranger:x:{user}:{user}::/:/bin/sh\n", f"stranger:x:{user}:\n"
    texts = {
        name: Path("/etc", name).read_text() + line
        for name, line in zip(("passwd", "group"), lines, strict=True)
    }
    texts |= {"subuid": subids, "subgid": subids}
    for name, text in texts.items():
        Path("/etc", name).touch()
        (place / name).write_text(text)
        (place / name).chmod(0o644)
    return {f"/etc/{name}": str(place / name) for name in texts}


def _see_instead(files: dict[str, str], disks: dict[str, tuple[str, int]], user: int) -> None:
    """In a mount namespace of this process's own."""
    if not files and not disks:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    recursive_private, bind, new_mounts = 0x4000 | 0x40000, 0x1000, 0x20000
    failed = libc.unshare(new_mounts) or libc.mount(b"none", b"/", None, recursive_private, None)
    for path, seen in files.items():
        failed = failed or libc.mount(os.fsencode(seen), os.fsencode(path), None, bind, None)
    for path, (kind, flags) in disks.items():
        failed = failed or libc.mount(b"disk", os.fsencode(path), kind.encode(), flags, None)
        os.chown(path, user, user)
    if failed:
        raise OSError(ctypes.get_errno(), "see other accounts and disks")


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
