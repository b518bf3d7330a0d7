"""What a running container uses, counted at one moment (row O19)."""

from __future__ import annotations

import time
from collections.abc import Mapping

from attrs import asdict, field, frozen

_NOTHING: Mapping[str, int] = {}


@frozen
class CpuStats:
    """Processor time in nanoseconds since the container started.

    *host* is what all processors of the host have spent, idle or not, since it was booted.
    The *throttled* ones say how often, and how long, a limit has held the container back.
    """

    total: int = 0
    user: int = 0
    system: int = 0
    host: int = 0
    online: int = 0
    periods: int = 0
    throttled_periods: int = 0
    throttled_time: int = 0

    def to_docker(self) -> dict[str, object]:
        """The object that Docker calls ``cpu_stats``."""
        return {
            "cpu_usage": {
                "total_usage": self.total,
                "usage_in_kernelmode": self.system,
                "usage_in_usermode": self.user,
            },
            "system_cpu_usage": self.host,
            "online_cpus": self.online,
            "throttling_data": {
                "periods": self.periods,
                "throttled_periods": self.throttled_periods,
                "throttled_time": self.throttled_time,
            },
        }


@frozen
class MemoryStats:
    """Bytes. *used* includes files the kernel keeps in memory for the container.

    *limit* is that of the container, or all memory of the host. *detail* are the kernel's own
    numbers (``memory.stat``). *peak* and *failures* (how often the limit was hit) are None
    where nothing counts them. *is_estimate*: no memory controller counts this container, and
    *used* was added up from its processes.
    """

    used: int = 0
    limit: int = 0
    peak: int | None = None
    failures: int | None = None
    detail: Mapping[str, int] = _NOTHING
    is_estimate: bool = False

    @property
    def usage(self) -> int:
        """Bytes that the container could not do without: *used* less what can be dropped."""
        # the first is the name in version 1, where "inactive_file" leaves out descendants
        for key in ("total_inactive_file", "inactive_file"):
            idle = self.detail.get(key)
            if idle is not None and idle < self.used:
                return self.used - idle
        return self.used

    def to_docker(self) -> dict[str, object]:
        """The object that Docker calls ``memory_stats``."""
        found: dict[str, object] = {"usage": self.used, "stats": dict(self.detail)}
        if self.peak is not None:
            found["max_usage"] = self.peak
        if self.failures is not None:
            found["failcnt"] = self.failures
        found["limit"] = self.limit
        return found


@frozen
class PidsStats:
    """How many processes and threads there are, and may be (None: any number)."""

    current: int = 0
    limit: int | None = None


@frozen
class BlockStats:
    """Bytes moved to and from one block device of the host."""

    major: int
    minor: int
    read: int = 0
    written: int = 0


@frozen
class NetworkStats:
    """What went through one interface, seen from inside the container."""

    rx_bytes: int = 0
    rx_packets: int = 0
    rx_errors: int = 0
    rx_dropped: int = 0
    tx_bytes: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    tx_dropped: int = 0

    def to_docker(self) -> dict[str, int]:
        """The object that Docker has for each interface."""
        return asdict(self)


@frozen
class Stats:
    """One sample of a container; *precpu* is the processor's share of the sample before.

    *read_ns* and *preread_ns* are nanoseconds since 1970 (0: there was none before).
    """

    cpu: CpuStats = CpuStats()
    precpu: CpuStats = CpuStats()
    memory: MemoryStats = MemoryStats()
    pids: PidsStats = PidsStats()
    block: tuple[BlockStats, ...] = ()
    networks: Mapping[str, NetworkStats] = field(factory=dict)
    read_ns: int = 0
    preread_ns: int = 0

    @property
    def cpu_percent(self) -> float:
        """Processor use since the sample before; 100 is one processor kept busy.

        0.0 in a first sample, which has nothing to compare with.
        """
        used = self.cpu.total - self.precpu.total
        passed = self.cpu.host - self.precpu.host
        if not self.preread_ns or used <= 0 or passed <= 0:
            return 0.0
        return used / passed * self.cpu.online * 100.0

    @property
    def memory_usage(self) -> int:
        """Bytes in use, without files that the kernel could drop, as ``docker stats`` shows it."""
        return self.memory.usage

    @property
    def memory_percent(self) -> float:
        """`memory_usage` in hundredths of the limit."""
        return self.memory.usage / self.memory.limit * 100.0 if self.memory.limit else 0.0

    def to_docker(self, container_id: str, name: str) -> dict[str, object]:
        """The message of Docker's ``/containers/{id}/stats``."""
        return {
            "id": container_id,
            "name": f"/{name.removeprefix('/')}",
            "os_type": "linux",
            "read": _rfc3339(self.read_ns),
            "preread": _rfc3339(self.preread_ns),
            "num_procs": 0,
            "storage_stats": {},
            "cpu_stats": self.cpu.to_docker(),
            "precpu_stats": self.precpu.to_docker(),
            "memory_stats": self.memory.to_docker(),
            "pids_stats": _pids(self.pids),
            "blkio_stats": {
                "io_service_bytes_recursive": _block(self.block),
                **dict.fromkeys(_NULL_BLOCK),
            },
            "networks": {key: found.to_docker() for key, found in self.networks.items()},
        }


_NULL_BLOCK = (
    "io_serviced_recursive",
    "io_queue_recursive",
    "io_service_time_recursive",
    "io_wait_time_recursive",
    "io_merged_recursive",
    "io_time_recursive",
    "sectors_recursive",
)


def _pids(pids: PidsStats) -> dict[str, int]:
    # Docker says "no limit" with the largest number there is
    limit = (1 << 64) - 1 if pids.limit is None else pids.limit
    return {"current": pids.current, "limit": limit}


def _block(block: tuple[BlockStats, ...]) -> list[dict[str, object]] | None:
    found: list[dict[str, object]] = []
    for one in block:
        place = {"major": one.major, "minor": one.minor}
        found.append({**place, "op": "read", "value": one.read})
        found.append({**place, "op": "write", "value": one.written})
    return found or None


def _rfc3339(nanoseconds: int) -> str:
    if not nanoseconds:
        return "0001-01-01T00:00:00Z"  # Go's "never"
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"
