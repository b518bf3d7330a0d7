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
import tempfile
import time
from pathlib import Path

from tests.support import programs
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
chmod 1777 /tmp /var/tmp
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o gid=5,mode=620,ptmxmode=666 pts /dev/pts
mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t mqueue mqueue /dev/mqueue
for fd in 0:stdin 1:stdout 2:stderr; do ln -sf /proc/self/fd/${{fd%:*}} /dev/${{fd#*:}}; done
ln -sf /proc/self/fd /dev/fd
hostname vm; ip link set lo up
mkdir -p /home/tester && chown 1000:1000 /home/tester
mkswap /dev/vdc >/dev/null && swapon /dev/vdc
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
    wanted = [given.who] if given.who else ["root", "user"]
    with tempfile.TemporaryDirectory(prefix="run-", dir=BUILT) as made:
        place = Path(made)
        _build(place, found, [*([given.who] if given.who else []), *given.pytest])
        built = time.monotonic()
        trouble, codes = _run(place, found, given.limit)
    good = not trouble and all(codes.get(who) == "0" for who in wanted)
    if trouble:
        print(f"\n{trouble}", file=sys.stderr)
    said = ", ".join(f"pytest as {who}: exit code {codes.get(who, 'unknown')}" for who in wanted)
    print(
        f"\ntests.vm: {'all of it holds' if good else 'FAILED'} on Linux {found.version}; {said}; "
        f"{built - started:.0f} s to build, {time.monotonic() - built:.0f} s to run"
    )
    return 0 if good else 1


def _run(place: Path, found: kernel.Kernel, limit: float) -> tuple[str, dict[str, str]]:
    """What went wrong with the machine, and the exit codes that it told."""
    disks = [place / name for name in DISKS]
    results = place / "results"
    trouble = machine.boot(found.image, place / "initramfs", disks, results, limit)
    told = results.read_text().split() if results.exists() else []
    return trouble, dict(zip(told[::2], told[1::2], strict=False))


DISKS = ("root", "blank", "swap")
"""vda to vdc: the system, a disk that nobody uses, one to swap to."""


def _build(place: Path, found: kernel.Kernel, command: list[str]) -> None:
    busybox = Path("/usr/bin/busybox")
    (place / "initramfs").write_bytes(initramfs.archive(busybox, found.modules))
    staged = place / "staged"
    for source in (CHECKOUT / "tests/support").glob("*.c"):
        programs.build(source.stem)  # there is no compiler inside
    disk.stage(staged, CHECKOUT, busybox)
    init = staged / "sbin/init"
    init.unlink(missing_ok=True)  # busybox's
    inside = shlex.join([sys.executable, "-m", "tests.vm.guest", *command])
    init.write_text(_INIT.format(checkout=CHECKOUT, command=inside))
    init.chmod(0o755)
    disk.write(staged, place / "root")
    shutil.rmtree(staged)
    for name, size in (("blank", 64 << 20), ("swap", 256 << 20)):
        with open(place / name, "wb") as file:
            file.truncate(size)


if __name__ == "__main__":
    sys.exit(main())
