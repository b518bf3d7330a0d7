"""Limits as the kernel's controllers want them written; nothing here touches the kernel.

Sources: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/*.rst of the kernel; the formulas
from Docker's v1 numbers to v2 are those of runc (rows C30 to C42).
"""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from pyengine.errors import InvalidRequest
from pyengine.model.spec import DEFAULT_PIDS_LIMIT, Resources, Throttle

CPU_PERIOD = 100_000
"""The period of the processor quota, in microseconds, where none is asked for."""

SMALLEST_QUOTA = 1_000
"""The kernel refuses less than a millisecond per period."""


class Write(NamedTuple):
    """One limit: *content* goes to the first of *choices* that the kernel has.

    *option* is the user's word for it. Without *required* the kernel may lack the file:
    the limit is one we added, not one that was asked for.
    """

    controller: str
    choices: tuple[tuple[str, bytes], ...]
    option: str
    required: bool = True


def cpu_weight(shares: int) -> int:
    """The ``cpu.weight`` (1 to 10000) that matches v1 *shares* (2 to 262144).

    >>> cpu_weight(2), cpu_weight(1024), cpu_weight(262144)
    (1, 100, 10000)
    """
    if shares <= 2:
        return 1
    if shares >= 262_144:
        return 10_000
    # runc: a curve through (2, 1), (1024, 100) and (262144, 10000), smooth in between
    power = math.log2(shares)
    return math.ceil(10 ** ((power * power + 125 * power) / 612 - 7 / 34))


def io_weight(blkio_weight: int) -> int:
    """The ``io.weight`` (1 to 10000) that matches a v1 *blkio_weight* (10 to 1000).

    >>> io_weight(10), io_weight(1000)
    (1, 10000)
    """
    return 1 + (blkio_weight - 10) * 9999 // 990


def swap_limit(memory: int, memory_swap: int | None) -> int | None:
    """How many bytes of swap *memory_swap* (memory and swap together) leaves; None: no limit.

    >>> swap_limit(100, None), swap_limit(100, 100), swap_limit(100, -1)
    (100, 0, None)
    """
    if memory_swap == -1:
        return None
    return max((memory_swap or 2 * memory) - memory, 0)


def quota(resources: Resources) -> tuple[int | None, int] | None:
    """Microseconds of processor time per period, and the period; None: nothing was asked.

    >>> quota(Resources(nano_cpus=1_500_000_000))
    (150000, 100000)
    """
    if resources.nano_cpus:
        amount = resources.nano_cpus * CPU_PERIOD // 1_000_000_000
        if amount < SMALLEST_QUOTA:
            raise InvalidRequest("cpus", resources.nano_cpus / 1e9, expected="at least 0.01")
        return amount, CPU_PERIOD
    if not resources.cpu_quota and not resources.cpu_period:
        return None
    amount = resources.cpu_quota or -1
    return (amount if amount > 0 else None), resources.cpu_period or CPU_PERIOD


def device_number(path: str) -> str:
    """``MAJOR:MINOR`` of the block device at *path* of the host.

    Raises `InvalidRequest` where there is none.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        raise InvalidRequest("block device", path, why=error.strerror or "") from error
    if not stat.S_ISBLK(found.st_mode):
        raise InvalidRequest("block device", path, why="it is not a block device")
    return f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"


class Refusal(NamedTuple):
    """A limit that cannot be had on this host: *missing* says why.

    *controller* is what would be needed, where a controller is; without *required* the limit is
    one we added.
    """

    option: str
    missing: str
    remedy: str = "leave it out"
    controller: str = ""
    required: bool = True


class Limits(NamedTuple):
    """What to write for some resources, and what of them the host cannot do."""

    v1: tuple[Write, ...]
    v2: tuple[Write, ...]
    refused: tuple[Refusal, ...] = ()


def limits(
    resources: Resources, v1_controllers: frozenset[str], v2_controllers: frozenset[str]
) -> Limits:
    """What *resources* means on a host with these controllers, in order."""
    devices = (
        resources.blkio_weight_device
        or resources.device_read_bps
        or resources.device_write_bps
        or resources.device_read_iops
        or resources.device_write_iops
    )
    # device nodes of the host are looked up each time; without them the answer never changes
    compute = _limits.__wrapped__ if devices else _limits
    return compute(resources, v1_controllers, v2_controllers)


@lru_cache(maxsize=64)
def _limits(
    resources: Resources, v1_controllers: frozenset[str], v2_controllers: frozenset[str]
) -> Limits:
    v1: list[Write] = []
    v2: list[Write] = []
    refused: list[Refusal] = []
    for name, v1_topic, v2_topic in _TOPICS:
        if name in v1_controllers:
            v1.extend(v1_topic(resources))
            continue
        for asked in v2_topic(resources):
            if isinstance(asked, Refusal):
                refused.append(asked)
            elif asked.controller in v2_controllers:
                v2.append(asked)
            elif asked.required or asked.choices[0][1] != b"max":
                missing = f"this host gives us no {asked.controller} controller"
                remedy = "let systemd delegate it (Delegate=yes), run as root, or leave it out"
                found = Refusal(asked.option, missing, remedy, asked.controller, asked.required)
                refused.append(found)
    return Limits(tuple(v1), tuple(v2), tuple(refused))


def _one(
    controller: str, file: str, content: object, option: str, *, required: bool = True
) -> Write:
    return Write(controller, ((file, str(content).encode()),), option, required)


def _pids(resources: Resources) -> Iterator[Write]:
    if resources.pids is not None:
        limit = resources.pids if resources.pids > 0 else "max"
        # the default is ours: a host that cannot count processes still runs containers
        required = resources.pids > 0 and resources.pids != DEFAULT_PIDS_LIMIT
        yield _one("pids", "pids.max", limit, "pids", required=required)


def _cpuset(resources: Resources) -> Iterator[Write]:
    if resources.cpuset_cpus:
        yield _one("cpuset", "cpuset.cpus", resources.cpuset_cpus, "cpuset")
    if resources.cpuset_mems:
        yield _one("cpuset", "cpuset.mems", resources.cpuset_mems, "cpuset_mems")


def _has_swappiness(resources: Resources) -> bool:
    return resources.memory_swappiness is not None and resources.memory_swappiness >= 0


_ONLY_V1 = "version 2 of cgroups, which this host has, does not know it"


def _v2_memory(resources: Resources) -> Iterator[Write | Refusal]:
    if _has_swappiness(resources):
        yield Refusal("memory_swappiness", _ONLY_V1)
    if resources.oom_kill_disable:
        yield Refusal("oom_kill_disable", _ONLY_V1)
    if resources.memory:
        swap = swap_limit(resources.memory, resources.memory_swap)
        yield _one("memory", "memory.max", resources.memory, "memory")
        yield _one(
            "memory",
            "memory.swap.max",
            "max" if swap is None else swap,
            "memory_swap",
            required=bool(resources.memory_swap) and resources.memory_swap != -1,
        )
    if resources.memory_reservation:
        yield _one("memory", "memory.low", resources.memory_reservation, "memory_reservation")


def _v1_memory(resources: Resources) -> Iterator[Write]:
    if resources.memory:
        total = resources.memory_swap or 2 * resources.memory
        asked = bool(resources.memory_swap) and total != -1
        # in this order: the kernel refuses a memory limit above that of memory and swap
        yield _one("memory", "memory.limit_in_bytes", resources.memory, "memory")
        yield _one("memory", "memory.memsw.limit_in_bytes", total, "memory_swap", required=asked)
    if resources.memory_reservation:
        content = resources.memory_reservation
        yield _one("memory", "memory.soft_limit_in_bytes", content, "memory_reservation")
    if _has_swappiness(resources):
        content = resources.memory_swappiness or 0
        yield _one("memory", "memory.swappiness", content, "memory_swappiness")
    if resources.oom_kill_disable:
        yield _one("memory", "memory.oom_control", 1, "oom_kill_disable")


def _v2_cpu(resources: Resources) -> Iterator[Write | Refusal]:
    if resources.cpu_rt_period or resources.cpu_rt_runtime:
        yield Refusal("cpu_rt_runtime", _ONLY_V1)
    if resources.cpu_shares:
        yield _one("cpu", "cpu.weight", cpu_weight(resources.cpu_shares), "cpu_shares")
    if (limit := quota(resources)) is not None:
        amount, period = limit
        yield _one("cpu", "cpu.max", f"{amount or 'max'} {period}", "cpus")


def _v1_cpu(resources: Resources) -> Iterator[Write]:
    if resources.cpu_shares:
        yield _one("cpu", "cpu.shares", resources.cpu_shares, "cpu_shares")
    if (limit := quota(resources)) is not None:
        amount, period = limit
        yield _one("cpu", "cpu.cfs_period_us", period, "cpu_period")
        yield _one("cpu", "cpu.cfs_quota_us", amount or -1, "cpus")
    if resources.cpu_rt_period:
        yield _one("cpu", "cpu.rt_period_us", resources.cpu_rt_period, "cpu_rt_period")
    if resources.cpu_rt_runtime:
        yield _one("cpu", "cpu.rt_runtime_us", resources.cpu_rt_runtime, "cpu_rt_runtime")


def _v2_io(resources: Resources) -> Iterator[Write]:
    # BFQ, where it is the scheduler, reads its own file and takes Docker's numbers as they are
    if weight := resources.blkio_weight:
        choices = (
            ("io.bfq.weight", str(weight).encode()),
            ("io.weight", b"%d" % io_weight(weight)),
        )
        yield Write("io", choices, "blkio_weight")
    for one in resources.blkio_weight_device:
        number = device_number(one.device)
        choices = (
            ("io.bfq.weight", f"{number} {one.rate}".encode()),
            ("io.weight", f"{number} {io_weight(one.rate)}".encode()),
        )
        yield Write("io", choices, "blkio_weight_device")
    for option, key, _, throttles in _throttles(resources):
        for one in throttles:
            yield _one("io", "io.max", f"{device_number(one.device)} {key}={one.rate}", option)


def _v1_io(resources: Resources) -> Iterator[Write]:
    if weight := str(resources.blkio_weight or "").encode():
        choices = (("blkio.bfq.weight", weight), ("blkio.weight", weight))
        yield Write("blkio", choices, "blkio_weight")
    for one in resources.blkio_weight_device:
        content = f"{device_number(one.device)} {one.rate}".encode()
        both = (("blkio.bfq.weight_device", content), ("blkio.weight_device", content))
        yield Write("blkio", both, "blkio_weight_device")
    for option, _, file, throttles in _throttles(resources):
        for one in throttles:
            yield _one("blkio", file, f"{device_number(one.device)} {one.rate}", option)


def _throttles(resources: Resources) -> Iterator[tuple[str, str, str, tuple[Throttle, ...]]]:
    """Option, its key in ``io.max``, its file of v1, and what was asked."""
    yield "device_read_bps", "rbps", "blkio.throttle.read_bps_device", resources.device_read_bps
    yield "device_write_bps", "wbps", "blkio.throttle.write_bps_device", resources.device_write_bps
    yield "device_read_iops", "riops", "blkio.throttle.read_iops_device", resources.device_read_iops
    write_iops = resources.device_write_iops
    yield "device_write_iops", "wiops", "blkio.throttle.write_iops_device", write_iops


_V1Topic = Callable[[Resources], Iterator[Write]]
_V2Topic = Callable[[Resources], Iterator[Write | Refusal]]
_TOPICS: tuple[tuple[str, _V1Topic, _V2Topic], ...] = (
    ("cpuset", _cpuset, _cpuset),  # first: it decides where the memory of the rest comes from
    ("memory", _v1_memory, _v2_memory),
    ("cpu", _v1_cpu, _v2_cpu),
    ("blkio", _v1_io, _v2_io),
    ("pids", _pids, _pids),
)
