"""A sample's numbers mean what docker stats shows."""

from __future__ import annotations

import json

import pytest
from attrs import evolve

from pyengine.model.stats import (
    BlockStats,
    CpuStats,
    MemoryStats,
    NetworkStats,
    PidsStats,
    Stats,
)

SECOND = 1_000_000_000
FIRST = Stats(cpu=CpuStats(total=SECOND, host=10 * SECOND, online=2), read_ns=5 * SECOND + 7)
SECOND_SAMPLE = Stats(
    cpu=CpuStats(total=2 * SECOND, host=12 * SECOND, online=2),
    precpu=FIRST.cpu,
    preread_ns=FIRST.read_ns,
    read_ns=6 * SECOND,
)


def test_one_processor_kept_busy_is_a_hundred_percent():
    assert SECOND_SAMPLE.cpu_percent == pytest.approx(100.0)


def test_a_first_sample_and_a_clock_that_stands_show_no_use():
    assert FIRST.cpu_percent == 0.0
    assert evolve(SECOND_SAMPLE, cpu=FIRST.cpu).cpu_percent == 0.0


@pytest.mark.parametrize(
    ("detail", "usage"),
    [
        ({"inactive_file": 30}, 70),
        ({"total_inactive_file": 40, "inactive_file": 30}, 60),
        ({"inactive_file": 130}, 100),
        ({}, 100),
    ],
)
def test_memory_that_can_be_dropped_is_not_used(detail, usage):
    stats = Stats(memory=MemoryStats(100, 400, detail=detail))
    assert stats.memory_usage == usage
    assert stats.memory_percent == pytest.approx(usage / 4)


def test_no_limit_is_no_division_by_zero():
    assert Stats().memory_percent == 0.0


def test_the_message_is_docker_s():
    stats = evolve(
        FIRST,
        pids=PidsStats(3, None),
        block=(BlockStats(8, 0, 1, 2),),
        networks={"eth0": NetworkStats(rx_bytes=9)},
    )
    message = json.loads(json.dumps(stats.to_docker("4f2a", "web")))
    assert message["name"] == "/web"
    assert message["read"] == "1970-01-01T00:00:05.000000007Z"
    assert message["preread"] == "0001-01-01T00:00:00Z"
    assert message["pids_stats"] == {"current": 3, "limit": (1 << 64) - 1}
    assert message["cpu_stats"]["cpu_usage"]["total_usage"] == SECOND
    assert message["blkio_stats"]["io_service_bytes_recursive"] == [
        {"major": 8, "minor": 0, "op": "read", "value": 1},
        {"major": 8, "minor": 0, "op": "write", "value": 2},
    ]
    assert message["blkio_stats"]["sectors_recursive"] is None
    assert message["networks"]["eth0"]["rx_bytes"] == 9
    assert len(message["networks"]["eth0"]) == 8
