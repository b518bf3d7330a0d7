"""A machine in qemu, without help from the hardware: boots, is listened to, ends in time."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

QEMU = "qemu-system-x86_64"
_KEPT = 40  # lines of the console to show of a machine that hangs


def boot(kernel: Path, initramfs: Path, disks: Sequence[Path], results: Path, limit: float) -> str:
    """Boot and print the console until the machine turns itself off: why it did not, or ``""``.

    *disks* are raw images; *results* is what the guest writes to
    its second serial line. After *limit* seconds the machine is ended.
    """
    results.unlink(missing_ok=True)
    command = [
        *(
            "nice",
            "-n",
            "10",
            QEMU,
            "-accel",
            "tcg,thread=multi",
            "-smp",
            "2",
            "-m",
            "3G",
            "-cpu",
            "max",
        ),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-serial", "stdio", "-serial", f"file:{results}"),
        *("-kernel", str(kernel), "-initrd", str(initramfs)),
        *("-append", "console=ttyS0 panic=-1 loglevel=1 random.trust_cpu=on"),
    ]
    for image in disks:
        command += ["-drive", f"file={image},format=raw,if=virtio,cache=unsafe"]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    try:
        lines = _listen(process.stdout.fileno(), time.monotonic() + limit)
        if lines is None:
            code = process.wait(10)
            return "" if code == 0 else f"{QEMU} ended with {code}"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    return f"it did not end within {limit:.0f} s; the last it said:\n" + "\n".join(lines)


def _listen(console: int, deadline: float) -> list[str] | None:
    """Print what *console* says; the last lines if it has not ended by *deadline*."""
    kept: deque[str] = deque([""], maxlen=_KEPT)
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([console], (), (), left)[0]:
            break
        read = os.read(console, 65_536)
        if not read:
            return None
        said = read.decode(errors="replace").replace("\r", "")
        sys.stdout.write(said)
        sys.stdout.flush()
        first, *rest = said.split("\n")
        kept[-1] += first
        kept.extend(rest)
    return list(kept)
