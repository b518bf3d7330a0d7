"""Debian's cloud kernel, fetched as a package, unpacked and never installed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

METAPACKAGE = "linux-image-cloud-amd64"

MODULES = ("virtio_pci", "virtio_blk", "overlay", "bfq", "fuse")
"""What tests need that is not built in; what these need in turn is found in them."""

_DEPENDS = re.compile(rb"\0depends=([^\0]*)\0")


class Kernel:
    """An unpacked kernel: *image* is what boots, *modules* are in the order to load them in."""

    def __init__(self, directory: Path) -> None:
        (self.image,) = directory.glob("boot/vmlinuz-*")
        self.version = self.image.name.removeprefix("vmlinuz-")
        self._files = {
            path.stem.replace("-", "_"): path
            for path in (directory / "lib/modules" / self.version).rglob("*.ko")
        }
        self.modules: list[Path] = []
        for name in MODULES:
            self._need(name)

    def _need(self, name: str) -> None:
        path = self._files[name.replace("-", "_")]
        if path in self.modules:
            return
        found = _DEPENDS.search(path.read_bytes())
        for other in found[1].decode().split(",") if found else ():
            if other:
                self._need(other)
        self.modules.append(path)


def fetch(directory: Path) -> Kernel:
    """The kernel in *directory*; what apt knows as the newest is put there if it is not."""
    package = _newest()
    unpacked = directory / package
    if not unpacked.exists():
        staged = directory / f"{package}.part"
        staged.mkdir(parents=True, exist_ok=True)
        _call("apt-get", "-q", "download", package, cwd=staged)
        (archive,) = staged.glob("*.deb")
        _call("dpkg-deb", "-x", str(archive), str(staged))
        archive.unlink()
        staged.rename(unpacked)
    return Kernel(unpacked)


def _newest() -> str:
    told = _call("apt-cache", "depends", "--important", METAPACKAGE)
    found = re.search(r"Depends: (linux-image-\S+)", told)
    if found is None:
        raise SystemExit(f"apt knows no {METAPACKAGE}: apt-get update")
    return found[1]


def _call(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, stdout=subprocess.PIPE, text=True, check=True, stdin=subprocess.DEVNULL
    )
    return done.stdout
