"""What the kernel has counted for one container, as raw numbers, whichever tree counts it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import frozen

from pyengine.linux import cgroup_files as files

if TYPE_CHECKING:
    from pyengine.linux.cgroup import Cgroup

_NOTHING: Mapping[str, int] = {}


@frozen
class BlockTraffic:
    """Bytes moved to and from one block device of the host."""

    major: int
    minor: int
    read: int
    written: int


@frozen
class CgroupSample:
    """Raw numbers; None where no controller counts them. Times are nanoseconds, sizes bytes.

    *memory_peak* is the most it ever was. *pids* counts threads as well.
    """

    cpu_total: int | None = None
    cpu_user: int | None = None
    cpu_system: int | None = None
    periods: int = 0
    throttled_periods: int = 0
    throttled_time: int = 0
    memory: int | None = None
    memory_limit: int | None = None
    memory_peak: int | None = None
    memory_failures: int | None = None
    memory_stat: Mapping[str, int] = _NOTHING
    pids: int | None = None
    pids_limit: int | None = None
    block: tuple[BlockTraffic, ...] = ()


def take_sample(cgroup: Cgroup) -> CgroupSample:
    """Read what there is; a cgroup that is gone gives an empty sample."""
    numbers: dict[str, object] = {}
    _cpu(cgroup, numbers)
    _memory(cgroup, numbers)
    if (path := cgroup.path_of("pids")) is not None:
        numbers["pids"] = files.number(files.read_or_none(path + "/pids.current"))
        numbers["pids_limit"] = files.number(files.read_or_none(path + "/pids.max"))
    elif cgroup.v2_path is not None:
        threads = (
            files.read_or_none(f"{path}/cgroup.threads") for path in files.tree(cgroup.v2_path)
        )
        numbers["pids"] = sum((found or b"").count(b"\n") for found in threads)
    numbers["block"] = _block(cgroup)
    return CgroupSample(**numbers)  # type: ignore[arg-type]


def _cpu(cgroup: Cgroup, numbers: dict[str, object]) -> None:
    if cgroup.v2_path is not None:
        # the times are there without the cpu controller too
        stat = files.flat_keyed(files.read_or_none(cgroup.v2_path + "/cpu.stat"))
        for name, key in _CPU_TIMES:
            if key in stat:
                numbers[name] = stat[key] * 1_000
        _throttling(numbers, stat, stat.get("throttled_usec", 0) * 1_000)
    elif (path := cgroup.path_of("cpuacct")) is not None:
        numbers["cpu_total"] = files.number(files.read_or_none(path + "/cpuacct.usage"))
        numbers["cpu_user"] = files.number(files.read_or_none(path + "/cpuacct.usage_user"))
        numbers["cpu_system"] = files.number(files.read_or_none(path + "/cpuacct.usage_sys"))
    if "cpu" in cgroup.hierarchy.v1 and (path := cgroup.path_of("cpu")) is not None:
        stat = files.flat_keyed(files.read_or_none(path + "/cpu.stat"))
        _throttling(numbers, stat, stat.get("throttled_time", 0))


_CPU_TIMES = (
    ("cpu_total", "usage_usec"),
    ("cpu_user", "user_usec"),
    ("cpu_system", "system_usec"),
)


def _throttling(numbers: dict[str, object], stat: Mapping[str, int], nanoseconds: int) -> None:
    numbers["periods"] = stat.get("nr_periods", 0)
    numbers["throttled_periods"] = stat.get("nr_throttled", 0)
    numbers["throttled_time"] = nanoseconds


def _memory(cgroup: Cgroup, numbers: dict[str, object]) -> None:
    path = cgroup.path_of("memory")
    if path is None:
        return
    is_v1 = "memory" in cgroup.hierarchy.v1
    names = _V1_MEMORY if is_v1 else _V2_MEMORY
    for name, file in names:
        numbers[name] = files.number(files.read_or_none(path + file))
    numbers["memory_stat"] = files.flat_keyed(files.read_or_none(path + "/memory.stat"))
    if not is_v1:
        events = files.flat_keyed(files.read_or_none(path + "/memory.events"))
        numbers["memory_failures"] = events.get("max")


_V1_MEMORY = (
    ("memory", "/memory.usage_in_bytes"),
    ("memory_limit", "/memory.limit_in_bytes"),
    ("memory_peak", "/memory.max_usage_in_bytes"),
    ("memory_failures", "/memory.failcnt"),
)
_V2_MEMORY = (
    ("memory", "/memory.current"),
    ("memory_limit", "/memory.max"),
    ("memory_peak", "/memory.peak"),
)


def _block(cgroup: Cgroup) -> tuple[BlockTraffic, ...]:
    if (path := cgroup.path_of("blkio")) is not None:
        content = files.read_or_none(path + "/blkio.throttle.io_service_bytes_recursive")
        return parse_v1_traffic(content or b"")
    if (path := cgroup.path_of("io")) is not None:
        return parse_v2_traffic(files.read_or_none(path + "/io.stat") or b"")
    return ()


def parse_v2_traffic(content: bytes) -> tuple[BlockTraffic, ...]:
    """Read ``io.stat``: ``8:0 rbytes=1 wbytes=2 …``."""
    found = []
    for line in content.splitlines():
        device, _, pairs = line.partition(b" ")
        counts = dict(pair.split(b"=", 1) for pair in pairs.split() if b"=" in pair)
        read, written = counts.get(b"rbytes", b"0"), counts.get(b"wbytes", b"0")
        found += _traffic(device, read, written)
    return tuple(found)


def parse_v1_traffic(content: bytes) -> tuple[BlockTraffic, ...]:
    """Read a v1 file of ``8:0 Read 1`` lines."""
    read: dict[bytes, bytes] = {}
    written: dict[bytes, bytes] = {}
    for line in content.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in (b"Read", b"Write"):
            (read if words[1] == b"Read" else written)[words[0]] = words[2]
    found = []
    for device in dict.fromkeys((*read, *written)):
        found += _traffic(device, read.get(device, b"0"), written.get(device, b"0"))
    return tuple(found)


def _traffic(device: bytes, read: bytes, written: bytes) -> list[BlockTraffic]:
    major, _, minor = device.partition(b":")
    if not all(text.isdigit() for text in (major, minor, read, written)):
        return []
    return [BlockTraffic(int(major), int(minor), int(read), int(written))]
