"""What ``/proc`` counts for the host, for some processes, and for a network namespace.

Names and contents come from containers: reads are bounded, and nothing in them is trusted.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache

from attrs import frozen

from pyengine.linux import cgroup_files as files

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@frozen
class HostCpu:
    """What all processors have spent, in nanoseconds, and how many there are.

    *booted* is when the host was, in seconds since 1970.
    """

    spent: int
    online: int
    booted: int


@frozen
class InterfaceCounters:
    """One line of ``/proc/net/dev``."""

    name: str
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


def host_cpu() -> HostCpu:
    """The host's processors, from proc_stat(5)."""
    return parse_host_cpu(files.read("/proc/stat", 1 << 20))


def parse_host_cpu(content: bytes) -> HostCpu:
    """Read the text of ``/proc/stat``."""
    spent = online = booted = 0
    for line in content.split(b"\n"):
        if line.startswith(b"cpu "):
            # the seven that Docker adds up: user nice system idle iowait irq softirq
            spent = sum(int(word) for word in line.split()[1:8]) * _TICK_NS
        elif line.startswith(b"cpu"):
            online += 1
        elif line.startswith(b"btime "):
            booted = int(line[6:])
    return HostCpu(spent, online, booted)


@lru_cache(maxsize=1)
def memory_total() -> int:
    """Bytes of memory the host has; looked up once."""
    for line in files.read("/proc/meminfo", 65_536).split(b"\n"):
        if line.startswith(b"MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def memory_of(pids: Iterable[int]) -> tuple[int, int]:
    """Bytes of anonymous and of shared memory that the processes *pids* have resident.

    Anonymous memory is added up; of shared memory the largest process counts, because most of
    it (libraries) is the same in all. Processes that are gone count nothing.
    """
    anonymous = shared = 0
    for pid in pids:
        try:
            words = files.read(f"/proc/{pid}/statm", 256).split()
        except OSError:
            continue
        if len(words) >= 3:
            resident, common = int(words[1]), int(words[2])
            anonymous += max(resident - common, 0)
            shared = max(shared, common)
    return anonymous * _PAGE, shared * _PAGE


def interfaces(pid: int) -> tuple[InterfaceCounters, ...]:
    """The interfaces that process *pid* sees, without ``lo``; none where it is gone."""
    try:
        content = files.read(f"/proc/{pid}/net/dev", 1 << 18)
    except OSError:
        return ()
    return parse_interfaces(content)


def parse_interfaces(content: bytes) -> tuple[InterfaceCounters, ...]:
    """Read the text of ``/proc/net/dev``; lines that are none are left out."""
    found = []
    for line in content.split(b"\n"):
        # from the right: the container named it, and only digits and spaces follow the name
        name, colon, rest = line.rpartition(b":")
        words = rest.split()
        if not colon or len(words) < 16 or not all(word.isdigit() for word in words):
            continue
        shown = name.strip().decode("utf-8", "backslashreplace")
        if shown == "lo":
            continue
        counts = [int(word) for word in words]
        found.append(InterfaceCounters(shown, *counts[:4], *counts[8:12]))
    return tuple(found)
