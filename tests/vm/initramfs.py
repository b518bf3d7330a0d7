"""The first file system of the machine: it loads modules, mounts the disk and goes on there."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path

_INIT = """\
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t devtmpfs dev /dev
for module in {modules}; do $b insmod /modules/$module; done
$b mkdir /new
$b mount -t ext4 /dev/vda /new
$b umount /proc
$b mount -o move /dev /new/dev
exec $b switch_root /new /sbin/init
"""


def archive(busybox: Path, modules: Iterable[Path]) -> bytes:
    """A cpio archive (newc, initramfs-format of the kernel's documentation)."""
    found = list(modules)
    init = _INIT.format(modules=" ".join(path.name for path in found))
    pieces = [_entry(name, stat.S_IFDIR | 0o755) for name in ("bin", "dev", "modules", "proc")]
    pieces.append(_entry("init", stat.S_IFREG | 0o755, init.encode()))
    pieces.append(_entry("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes()))
    pieces += (
        _entry(f"modules/{path.name}", stat.S_IFREG | 0o644, path.read_bytes()) for path in found
    )
    pieces.append(_entry("TRAILER!!!", 0))
    return b"".join(pieces)


_inode = iter(range(1, 1 << 16))


def _entry(name: str, mode: int, content: bytes = b"") -> bytes:
    written = name.encode() + b"\0"
    numbers = (next(_inode), mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(written), 0)
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + written
    return _padded(head) + _padded(content)


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 4)
