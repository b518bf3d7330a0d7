"""``python -m tests.vm``: the tests of version 2 cgroups, on a kernel that has nothing else.

Boots Debian's cloud kernel in qemu and runs pytest inside, as root and as a user to whom a
cgroup is delegated. Exits with 0 if both pass. Needs, from Debian: qemu-system-x86,
busybox-static, e2fsprogs; as root.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
import time
from pathlib import Path

from tests.vm import disk, initramfs, kernel, machine

CHECKOUT = Path(__file__).resolve().parents[2]
BUILT = CHECKOUT / "tests/.build/vm-machine"

_INIT = """\
#!/bin/sh
export PATH=/usr/bin:/usr/sbin:/bin:/sbin LANG=C.UTF-8 HOME=/root
export PYTHONPATH={checkout} PYTHONDONTWRITEBYTECODE=1 HYPOTHESIS_STORAGE_DIRECTORY=/tmp/hypothesis
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 run /run
mount -t ext4 /dev/vdb /tmp && chmod 1777 /tmp
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o gid=5,mode=620,ptmxmode=666 pts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t mqueue mqueue /dev/mqueue
for fd in 0:stdin 1:stdout 2:stderr; do ln -sf /proc/self/fd/${{fd%:*}} /dev/${{fd#*:}}; done
ln -sf /proc/self/fd /dev/fd
hostname vm; ip link set lo up
mkdir -p /home/tester && chown 1000:1000 /home/tester
mkswap /dev/vdd >/dev/null && swapon /dev/vdd
cd {checkout} && {command}
sync; poweroff -f
"""


def main() -> int:
    """Build the machine, boot it, and say in the last line how it went."""
    parser = argparse.ArgumentParser(prog="python -m tests.vm", description=__doc__)
    parser.add_argument("--limit", type=float, default=1500, help="seconds until it is ended")
    parser.add_argument("who", nargs="?", choices=("root", "user"), help="only as this one")
    parser.add_argument("pytest", nargs="*", help="pytest's arguments, instead of our choice")
    given = parser.parse_args()
    started = time.monotonic()
    found = kernel.fetch(BUILT)
    _build(found, [*([given.who] if given.who else []), *given.pytest])
    built = time.monotonic()
    disks = [(BUILT / name, name == "root.ext4") for name in DISKS]
    results = BUILT / "results"
    trouble = machine.boot(found.image, BUILT / "initramfs", disks, results, given.limit)
    told = results.read_text().split() if results.exists() else []
    codes = dict(zip(told[::2], told[1::2], strict=False))
    wanted = [given.who] if given.who else ["root", "user"]
    good = not trouble and all(codes.get(who) == "0" for who in wanted)
    if trouble:
        print(f"\n{trouble}", file=sys.stderr)
    said = ", ".join(f"{who}: {codes.get(who, 'no')} is pytest's exit code" for who in wanted)
    print(
        f"\ntests.vm: {'all of it holds' if good else 'FAILED'} on Linux {found.version}; {said}; "
        f"{built - started:.0f} s to build, {time.monotonic() - built:.0f} s to run"
    )
    return 0 if good else 1


DISKS = ("root.ext4", "tmp.ext4", "blank", "swap")
"""vda to vdd: the system, room for files, one to be limited, one to swap to."""


def _build(found: kernel.Kernel, command: list[str]) -> None:
    busybox = Path("/usr/bin/busybox")
    (BUILT / "initramfs").write_bytes(initramfs.archive(busybox, found.modules))
    staged = BUILT / "root"
    shutil.rmtree(staged, ignore_errors=True)
    disk.stage(staged, CHECKOUT, busybox)
    init = staged / "sbin/init"
    init.unlink(missing_ok=True)
    inside = shlex.join([sys.executable, "-m", "tests.vm.guest", *command])
    init.write_text(_INIT.format(checkout=CHECKOUT, command=inside))
    init.chmod(0o755)
    disk.write(staged, BUILT / "root.ext4")
    shutil.rmtree(staged)
    disk.make(BUILT / "tmp.ext4", 2 << 20)
    for name, size in (("blank", 64 << 20), ("swap", 256 << 20)):
        with open(BUILT / name, "wb") as file:
            file.truncate(size)


if __name__ == "__main__":
    sys.exit(main())
