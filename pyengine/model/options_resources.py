"""Options about how much: memory, processors, processes, disk bandwidth (rows C30 to C45)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from pyengine.errors import InvalidRequest
from pyengine.model.options_words import absolute_path, integer, several, text
from pyengine.model.spec import Resources, Throttle, Ulimit
from pyengine.model.units import parse_size

SMALLEST_MEMORY = 6 << 20
"""Docker's: below it a container would not get as far as its program."""

LARGEST_CPU = 8191
"""The kernel can be built for 8192 processors at most (CONFIG_NR_CPUS)."""

_LARGEST_INT = (1 << 63) - 1
_CPU_LIST = re.compile(r"\d{1,5}(?:-\d{1,5})?(?:,\d{1,5}(?:-\d{1,5})?)*", re.ASCII)
_ULIMITS = frozenset(
    (
        *("core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile"),
        *("nproc", "rss", "rtprio", "rttime", "sigpending", "stack"),
    )
)


def memory(given: object, what: str = "memory") -> int | None:
    """Bytes, at least 6 MiB; 0 is no limit."""
    size = parse_size(given, what)
    if 0 < size < SMALLEST_MEMORY:
        raise InvalidRequest(what, given, why="Minimum memory limit allowed is 6MB")
    return size or None


def memory_reservation(given: object) -> int | None:
    """As `memory`."""
    return memory(given, "memory_reservation")


def memory_swap(given: object) -> int | None:
    """Bytes of memory and swap together; -1: as much swap as there is; 0: not asked."""
    if given in (-1, "-1"):
        return -1
    return parse_size(given, "memory_swap") or None


def memory_swappiness(given: object) -> int | None:
    """0 to 100; docker's command line says -1 for "not asked"."""
    number = integer(given, "memory_swappiness", -1, 100)
    return None if number == -1 else number


def cpus(given: object) -> int | None:
    """Processors, as billionths of one; 0 is no limit."""
    try:
        amount = math.nan if isinstance(given, bool) else float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        amount = math.nan
    # less than a hundredth is below the millisecond per period that the kernel wants
    if amount != 0 and not 0.01 <= amount <= LARGEST_CPU + 1:  # NaN compares false
        raise InvalidRequest("cpus", given, expected="a number of processors, at least 0.01")
    return round(amount * 1_000_000_000) or None


def cpu_period(given: object) -> int | None:
    """Microseconds; 0: not asked."""
    return _unless_zero(given, "cpu_period", 1_000, 1_000_000)


def cpu_quota(given: object) -> int | None:
    """Microseconds per period; -1: unlimited; 0: not asked."""
    if given in (-1, "-1"):
        return -1
    return _unless_zero(given, "cpu_quota", 1_000, _LARGEST_INT)


def pids(given: object) -> int | None:
    """How many processes and threads; 0 and below: as many as the host has."""
    number = integer(given, "pids", -1, 1 << 22)  # PID_MAX_LIMIT
    return number if number > 0 else None


def whole(what: str, smallest: int, largest: int = _LARGEST_INT) -> Callable[[object], int | None]:
    """A reader of a number where 0 stands for "not asked"."""
    return lambda given: _unless_zero(given, what, smallest, largest)


def _unless_zero(given: object, what: str, smallest: int, largest: int) -> int | None:
    if given in (0, "0") and given is not False:
        return None
    return integer(given, what, smallest, largest)


def cpu_list(what: str) -> Callable[[object], str]:
    """A reader of processors or memory nodes: ``"0-3,8"``, or a list of numbers."""

    def read(given: object) -> str:
        if isinstance(given, int):
            given = (given,)
        if not isinstance(given, str):
            items = several(given, what, "'0-3,8', or a list of numbers")
            given = ",".join(str(integer(one, what, 0, LARGEST_CPU)) for one in items)
        parse_cpu_list(given, what)
        return given

    return read


def parse_cpu_list(given: str, what: str = "cpuset") -> frozenset[int]:
    """The numbers in a list such as the kernel writes (cpuset(7)).

    >>> sorted(parse_cpu_list("0-2,8"))
    [0, 1, 2, 8]
    """
    found: set[int] = set()
    if not given:
        return frozenset()
    if _CPU_LIST.fullmatch(given) is None:
        raise InvalidRequest(what, given, expected="numbers and ranges, such as '0-3,8'")
    for part in given.split(","):
        first, _, last = part.partition("-")
        low, high = int(first), int(last or first)
        if not low <= high <= LARGEST_CPU:
            why = f"{part} is no range below {LARGEST_CPU + 1}"
            raise InvalidRequest(what, given, why=why)
        found.update(range(low, high + 1))
    return frozenset(found)


def throttles(what: str, *, unit: str) -> Callable[[object], tuple[Throttle, ...]]:
    """A reader of limits for block devices: ``{"/dev/sda": "1mb"}`` or ``["/dev/sda:1mb"]``.

    *unit* is ``bytes``, ``operations`` or ``weight``.
    """
    rate: Callable[[object], int]
    if unit == "bytes":
        rate = lambda given: parse_size(given, what)  # noqa: E731
    elif unit == "weight":
        rate = lambda given: integer(given, what, 10, 1000)  # noqa: E731
    else:
        rate = lambda given: integer(given, what, 0, _LARGEST_INT)  # noqa: E731

    def read(given: object) -> tuple[Throttle, ...]:
        found = []
        for device, amount in _device_pairs(given, what):
            path = absolute_path(device, what)
            if not path.startswith("/dev/"):
                raise InvalidRequest(what, device, expected="a block device below /dev")
            found.append(Throttle(path, rate(amount)))
        # a rate of 0 takes a limit away, and here there is none yet
        return tuple(one for one in found if one.rate)

    return read


def _device_pairs(given: object, what: str) -> list[tuple[object, object]]:
    if isinstance(given, Mapping):
        return list(given.items())
    found: list[tuple[object, object]] = []
    for one in several(given, what, "a mapping of devices, or a list of 'DEVICE:RATE' texts"):
        if isinstance(one, Throttle):
            found.append((one.device, one.rate))
            continue
        device, colon, amount = text(one, what).rpartition(":")
        if not colon:
            raise InvalidRequest(what, one, expected="'DEVICE:RATE'")
        found.append((device, amount))
    return found


def ulimits(given: object) -> tuple[Ulimit, ...]:
    """``{"nofile": 1024, "core": (0, -1)}``, or a list of ``"nofile=1024:2048"``.

    -1 and ``unlimited`` lift a limit; of several for one name the last counts.
    """
    found: dict[str, Ulimit] = {}
    if isinstance(given, Mapping):
        items: list[tuple[object, object]] = list(given.items())
    else:
        items = []
        for one in several(given, "ulimits", "a mapping, or a list of 'name=soft[:hard]'"):
            if isinstance(one, Ulimit):
                items.append((one.name, (one.soft, one.hard)))
                continue
            name, equals, values = text(one, "ulimits").partition("=")
            if not equals:
                raise InvalidRequest("ulimits", one, expected="'name=soft[:hard]'")
            items.append((name, values.split(":")))
    for key, value in items:
        limit = _ulimit(text(key, "ulimits"), value)
        found[limit.name] = limit
    return tuple(found.values())


def _ulimit(name: str, value: object) -> Ulimit:
    if name not in _ULIMITS:
        raise InvalidRequest("ulimits", name, expected=f"one of {', '.join(sorted(_ULIMITS))}")
    what = f"ulimit {name}"
    both = (value,) if isinstance(value, int | str) else several(value, what, "(soft, hard)")
    if not 1 <= len(both) <= 2:
        raise InvalidRequest(what, value, expected="soft, or (soft, hard)")
    soft = _limit(both[0], what)
    hard = _limit(both[-1], what)
    if hard != -1 and (soft == -1 or soft > hard):
        raise InvalidRequest(what, value, why="its soft limit is above its hard one")
    return Ulimit(name, soft, hard)


def _limit(given: object, what: str) -> int:
    return -1 if given in ("unlimited", "infinity") else integer(given, what, -1, _LARGEST_INT)


def cgroup_parent(given: object) -> str:
    """A path below each hierarchy's root, without ``..``."""
    path = text(given, "cgroup_parent")
    parts = path.strip("/").split("/") if path else []
    if any(part in ("", ".", "..") or len(part) > 255 or "\n" in part for part in parts):
        raise InvalidRequest("cgroup_parent", given, expected="a path such as 'builds/today'")
    return path


def check_resources(resources: Resources) -> None:
    """`InvalidRequest` for limits that contradict each other."""
    limit, total = resources.memory, resources.memory_swap
    if total is not None and total > 0:
        if limit is None:
            why = "You should always set the Memory limit when using Memoryswap limit"
            raise InvalidRequest("memory_swap", total, why=why)
        if total < limit:
            why = "Minimum memoryswap limit should be larger than memory limit"
            raise InvalidRequest("memory_swap", total, why=why)
    reserved = resources.memory_reservation
    if limit is not None and reserved is not None and reserved > limit:
        why = "Minimum memory limit can not be less than memory reservation limit"
        raise InvalidRequest("memory_reservation", reserved, why=why)
    for what in ("cpu_period", "cpu_quota"):
        if resources.nano_cpus is not None and getattr(resources, what) is not None:
            why = f"Conflicting options: cpus and {what} cannot both be set"
            raise InvalidRequest(what, getattr(resources, what), why=why)
    period, runtime = resources.cpu_rt_period, resources.cpu_rt_runtime
    if period is not None and runtime is not None and runtime > period:
        raise InvalidRequest("cpu_rt_runtime", runtime, why="longer than cpu_rt_period")


def shm_size(given: object) -> int:
    """Bytes of /dev/shm; 0 asks for the default."""
    return parse_size(given, "shm_size")
