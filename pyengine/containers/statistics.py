"""One sample of what a container uses, put together from whatever counts it on this host."""

from __future__ import annotations

import time

from pyengine.linux import counters
from pyengine.linux.cgroup import Cgroup
from pyengine.linux.cgroup_sample import CgroupSample
from pyengine.linux.native import End
from pyengine.model.stats import (
    BlockStats,
    CpuStats,
    MemoryStats,
    NetworkStats,
    PidsStats,
    Stats,
)
from pyengine.model.usage import Usage


def sample(
    cgroup: Cgroup, *, network_pid: int | None = None, previous: Stats | None = None
) -> Stats:
    """What the container in *cgroup* uses now, compared with *previous*.

    *network_pid* is a process in the container's network namespace; None: no interfaces are
    listed (it uses the host's). Without a memory controller the memory of its processes is
    added up: anonymous memory of each, shared memory of the largest; pages that a fork still
    shares count twice. The limit is then all memory of the host.
    """
    raw = cgroup.sample()
    host = counters.host_cpu()
    before = previous or Stats()
    return Stats(
        cpu=_cpu(raw, host),
        precpu=before.cpu,
        memory=_memory(cgroup, raw),
        pids=PidsStats(raw.pids or 0, raw.pids_limit),
        block=tuple(BlockStats(one.major, one.minor, one.read, one.written) for one in raw.block),
        networks={} if network_pid is None else _networks(network_pid),
        read_ns=time.time_ns(),
        preread_ns=before.read_ns,
    )


def usage(raw: CgroupSample, end: End | None = None) -> Usage:
    """What the container used until it ended: *raw*, taken before its cgroup was removed, and
    what the kernel said of its first process for what no controller has counted.
    """
    end = end or End(None, None, 0.0, 0.0, 0)
    peak = end.peak_memory if raw.memory_peak is None else raw.memory_peak
    if raw.cpu_user is not None and raw.cpu_system is not None:
        return Usage(peak, raw.cpu_user / 1e9, raw.cpu_system / 1e9)
    return Usage(peak, end.user_seconds, end.system_seconds)


def _cpu(raw: CgroupSample, host: counters.HostCpu) -> CpuStats:
    return CpuStats(
        total=raw.cpu_total or 0,
        user=raw.cpu_user or 0,
        system=raw.cpu_system or 0,
        host=host.spent,
        online=host.online,
        periods=raw.periods,
        throttled_periods=raw.throttled_periods,
        throttled_time=raw.throttled_time,
    )


def _memory(cgroup: Cgroup, raw: CgroupSample) -> MemoryStats:
    total = counters.memory_total()
    if raw.memory is None:
        anonymous, shared = counters.memory_of(cgroup.processes())
        detail = {"anon": anonymous, "file": shared}
        return MemoryStats(anonymous + shared, total, detail=detail, is_estimate=True)
    limit = total if raw.memory_limit is None else min(raw.memory_limit, total)
    return MemoryStats(raw.memory, limit, raw.memory_peak, raw.memory_failures, raw.memory_stat)


def _networks(pid: int) -> dict[str, NetworkStats]:
    return {
        one.name: NetworkStats(
            one.rx_bytes,
            one.rx_packets,
            one.rx_errors,
            one.rx_dropped,
            one.tx_bytes,
            one.tx_packets,
            one.tx_errors,
            one.tx_dropped,
        )
        for one in counters.interfaces(pid)
    }
