"""Root file systems for tests: one static busybox, and the links that make a system of it."""

from __future__ import annotations

import os
import shutil
import subprocess

_BUSYBOX = ("/bin/busybox", "/usr/bin/busybox")
_DIRECTORIES = (
    *("bin", "dev", "etc", "home", "proc", "root", "sys", "usr/bin", "usr/sbin", "sbin"),
    *("var/log", "var/spool/mail"),
)
_PASSWD = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
mail:x:8:8:mail:/var/spool/mail:/bin/false
app:x:1000:1000:an application:/home/app:/bin/sh
nobody:x:65534:65534:nobody:/home:/bin/false
"""
_GROUP = """\
root:x:0:
daemon:x:1:
tty:x:5:
mail:x:8:
video:x:44:app
app:x:1000:
nogroup:x:65534:
"""


def busybox() -> str:
    """The host's static busybox (Debian's package is busybox-static)."""
    for path in _BUSYBOX:
        if os.path.exists(path) and _is_static(path):
            return path
    raise FileNotFoundError("tests need a static busybox: apt-get install busybox-static")


def _is_static(path: str) -> bool:
    with open(path, "rb") as file:
        return b"/ld-linux" not in file.read(4096)


def busybox_rootfs(path: str | os.PathLike[str]) -> str:
    """Make a root file system at *path*, a directory that need not exist; its path comes back.

    Every applet is a link in ``/bin``; the users are root, daemon, mail, app (1000, a member of
    video) and nobody. ``/tmp`` belongs to all.
    """
    root = os.fspath(path)
    for directory in _DIRECTORIES:
        os.makedirs(f"{root}/{directory}", exist_ok=True)
    for directory in ("tmp", "var/tmp"):
        os.makedirs(f"{root}/{directory}", exist_ok=True)
        os.chmod(f"{root}/{directory}", 0o1777)
    os.makedirs(f"{root}/home/app", exist_ok=True)
    if os.geteuid() == 0:
        os.chown(f"{root}/home/app", 1000, 1000)
    shutil.copy(busybox(), f"{root}/bin/busybox")
    applets = subprocess.run(
        [f"{root}/bin/busybox", "--list"], capture_output=True, text=True, check=True
    )
    for applet in applets.stdout.split():
        if applet != "busybox":
            os.symlink("busybox", f"{root}/bin/{applet}")
    for name, content in (("passwd", _PASSWD), ("group", _GROUP), ("hostname", "rootfs\n")):
        with open(f"{root}/etc/{name}", "w", encoding="utf-8") as file:
            file.write(content)
    return root
