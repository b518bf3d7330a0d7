"""What an update makes of a container's limits (row O32); the kernel's side is linux/limits.py."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve, fields

from pyengine.errors import InvalidRequest
from pyengine.model.spec import Resources

SMALLEST_MEMORY = 6 << 20
"""Docker's smallest memory limit, in bytes (row C30)."""

_NAMES = frozenset(attribute.name for attribute in fields(Resources))


def merged(current: Resources, changes: Mapping[str, object]) -> Resources:
    """*current* with *changes* (fields of `Resources`, already parsed) put in.

    Nothing, zero or empty leaves a limit as it is, as Docker's API has it; but zero, a negative
    number or None for *pids* takes that limit away. Raises `InvalidRequest` where the result
    contradicts itself.

    >>> merged(Resources(memory=64 << 20, pids=10), {"memory": 0, "pids": 0}).pids is None
    True
    """
    wanted: dict[str, object] = {}
    for name, value in changes.items():
        if name not in _NAMES:
            raise InvalidRequest("resource", name, expected=f"one of {', '.join(sorted(_NAMES))}")
        if name == "pids":
            wanted[name] = value if isinstance(value, int) and value > 0 else None
        elif value:
            wanted[name] = value
    _refuse_two_quotas(current, wanted)
    _follow_swap(current, wanted)
    # the names were compared with the fields; their types are the caller's, who parsed them
    result = evolve(current, **wanted)  # type: ignore[arg-type]
    _check_memory(result)
    return result


def _refuse_two_quotas(current: Resources, wanted: Mapping[str, object]) -> None:
    fine = wanted.get("cpu_period") or wanted.get("cpu_quota")
    if wanted.get("nano_cpus") and (fine or current.cpu_period or current.cpu_quota):
        why = "a processor period or quota is set: cpus cannot be set as well"
        raise InvalidRequest("cpus", wanted["nano_cpus"], why=why)
    if fine and current.nano_cpus:
        why = "cpus is set: a period or quota cannot be set as well"
        raise InvalidRequest("cpu_period or cpu_quota", fine, why=why)


def _follow_swap(current: Resources, wanted: dict[str, object]) -> None:
    """Refuse a memory limit above what memory and swap may be together, as Docker does."""
    memory = wanted.get("memory")
    swap = current.memory_swap
    if not isinstance(memory, int) or "memory_swap" in wanted or swap is None or swap <= 0:
        return
    if memory > swap:
        why = "it is above the limit of memory and swap together: update memory_swap as well"
        raise InvalidRequest("memory", memory, why=why)


def _check_memory(result: Resources) -> None:
    memory, swap, reserved = result.memory, result.memory_swap, result.memory_reservation
    if memory and memory < SMALLEST_MEMORY:
        raise InvalidRequest(
            "memory", memory, expected="6m or more", why="Minimum memory limit allowed is 6MB"
        )
    if swap and not memory:
        raise InvalidRequest("memory_swap", swap, why="it needs a limit on memory as well")
    if memory and swap and 0 < swap < memory:
        why = "it is less than memory; it counts both together"
        raise InvalidRequest("memory_swap", swap, why=why)
    if memory and reserved and reserved > memory:
        raise InvalidRequest("memory_reservation", reserved, why="it is more than memory")
