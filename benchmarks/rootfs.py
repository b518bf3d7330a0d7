"""A root file system of one static program, for containers that do as little as can be."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

APPLETS = ("cat", "dd", "echo", "env", "id", "ls", "mkdir", "rm", "sh", "sleep", "touch", "true")
LINE = b"x" * 99 + b"\n"
LINES = 167_772  # of LINE: 16 MiB, nearly
LINES_FILE = "lines"


class Missing(Exception):
    """Something that is measured with is not installed; *remedy* installs it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what} is needed, and not here: {self.remedy}"


def find_busybox() -> str:
    """The path of a statically linked busybox; `Missing` if there is none."""
    remedy = "apt-get install -y busybox-static"
    path = shutil.which("busybox")
    if path is None:
        raise Missing("busybox", remedy)
    listing = subprocess.run([path, "--list"], capture_output=True, text=True, check=False)
    applets = listing.stdout.split()
    if b"/ld-" in Path(path).read_bytes()[:4096] or not set(APPLETS).issubset(applets):
        raise Missing(f"a static busybox with {', '.join(APPLETS)}", remedy)
    return path


def make_rootfs(directory: Path) -> Path:
    """Fill *directory* with busybox and what little a system needs."""
    for name in ("bin", "etc", "root", "tmp", "usr/bin"):
        (directory / name).mkdir(parents=True)
    (directory / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (directory / "etc/group").write_text("root:x:0:\n")
    busybox = directory / "bin/busybox"
    shutil.copy(find_busybox(), busybox)
    busybox.chmod(0o755)
    for applet in APPLETS:
        (directory / "bin" / applet).symlink_to("busybox")
    return directory


def add_lines(rootfs: Path) -> None:
    """Add ``/lines``: 16 MiB of lines of 100 bytes; cat(1) is faster than yes(1)."""
    (rootfs / LINES_FILE).write_bytes(LINE * LINES)
