"""What Docker gives a container that asked for nothing, as facts (moby's and runc's defaults)."""

from __future__ import annotations

from pyengine.linux.capabilities import NAMES

CAPABILITIES = (
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW"),
    *("CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE"),
    *("CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"),
)
MASKED = (
    *("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys"),
    *("/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list"),
    *("/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware"),
)
READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
DEVICE_NODES = {
    "null": "1:3",
    "zero": "1:5",
    "full": "1:7",
    "random": "1:8",
    "urandom": "1:9",
    "tty": "5:0",
    "pts/ptmx": "5:2",
}
DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
BOUND = {f"/dev/{name}" for name in DEVICE_NODES if "/" not in name}
"""What are the host's own devices, where the engine may make none."""

_QUIET = {"nosuid", "nodev", "noexec"}
# the file system, flags of the mount, and some of the file system's options
MOUNTS: dict[str, tuple[str, set[str], set[str]]] = {
    "/": ("overlay", {"rw"}, {"rw"}),
    "/proc": ("proc", {"rw", *_QUIET}, set()),
    "/dev": ("tmpfs", {"rw", "nosuid"}, {"size=65536k", "mode=755"}),
    "/dev/pts": (
        "devpts",
        {"rw", "nosuid", "noexec"},
        {"gid=5", "mode=620", "ptmxmode=666"},
    ),
    "/dev/mqueue": ("mqueue", {"rw", *_QUIET}, set()),
    "/dev/shm": ("tmpfs", {"rw", *_QUIET}, {"size=65536k"}),
    "/sys": ("sysfs", {"ro", *_QUIET}, set()),
    "/sys/fs/cgroup": ("cgroup2", {"ro", *_QUIET}, set()),
}


def mask_of(names: tuple[str, ...]) -> int:
    """The bit mask of these capabilities."""
    return sum(1 << NAMES.index(name) for name in names)


def mounts_of(lines: list[str]) -> dict[str, tuple[str, set[str], set[str]]]:
    """Lines of mountinfo(5) as `MOUNTS` has them: what lies on top at each place."""
    found = {}
    for line in lines:
        left, _, right = line.partition(" - ")
        words, (kind, _, options) = left.split(), right.split(" ", 2)
        found[words[4]] = (kind, set(words[5].split(",")), set(options.split(",")))
    return found
