"""How well a container is: what its health checks have said, one after the other."""

from __future__ import annotations

from enum import StrEnum

from attrs import evolve, frozen

from pyengine.model.spec import HealthCheck

REMEMBERED = 5
"""How many probes are told of (row C83)."""

MOST_OUTPUT = 4096
"""Bytes of a probe's output that are kept (row C83)."""

TIMED_OUT = -1
"""The exit code of a probe that took too long, or could not be made."""


class HealthStatus(StrEnum):
    """Docker's words for it; ``none`` where nobody checks."""

    NONE = "none"
    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


@frozen
class Probe:
    """One check that was made; times are seconds since 1970, *exit_code* 0 means well."""

    start: float
    end: float
    exit_code: int
    output: str = ""


@frozen
class Health:
    """What the checks of one run have said; *log* is the last five, the latest at its end.

    *run* tells which run it was: when it started, in seconds since 1970.
    """

    status: HealthStatus = HealthStatus.STARTING
    failing_streak: int = 0
    log: tuple[Probe, ...] = ()
    run: float = 0.0

    def after(self, probe: Probe, check: HealthCheck) -> Health:
        """What is to be thought of the container after one more *probe* (row C84).

        While it starts, failures within the start period are told, but do not count.

        >>> from pyengine.model.health import Health, HealthCheck, Probe, settled
        >>> check = settled(HealthCheck(("CMD", "true"), retries=1))
        >>> str(Health().after(Probe(1.0, 2.0, 1), check).status)
        'unhealthy'
        """
        log = (*self.log, probe)[-REMEMBERED:]
        if probe.exit_code == 0:
            return evolve(self, status=HealthStatus.HEALTHY, failing_streak=0, log=log)
        if self.may_still_start(probe.start, check):
            return evolve(self, log=log)
        streak = self.failing_streak + 1
        status = HealthStatus.UNHEALTHY if streak >= check.retries else self.status
        return evolve(self, status=status, failing_streak=streak, log=log)

    def may_still_start(self, now: float, check: HealthCheck) -> bool:
        """Whether *now*, in seconds since 1970, a failure would only mean that it starts."""
        return self.status is HealthStatus.STARTING and now - self.run < check.start_period

    def pause_before_next(self, now: float, check: HealthCheck) -> float:
        """Seconds until the next probe, counted from *now*, the end of the last (row C83)."""
        return check.start_interval if self.may_still_start(now, check) else check.interval


def is_checked(check: HealthCheck | None) -> bool:
    """Whether *check* says something to run.

    >>> is_checked(HealthCheck(("NONE",))), is_checked(HealthCheck(("CMD", "true")))
    (False, True)
    """
    return check is not None and len(check.test) > 1


_DEFAULT = HealthCheck()


def settled(check: HealthCheck) -> HealthCheck:
    """*check* with Docker's defaults where it has a 0 (row C83)."""
    return evolve(
        check,
        interval=check.interval or _DEFAULT.interval,
        timeout=check.timeout or _DEFAULT.timeout,
        start_interval=check.start_interval or _DEFAULT.start_interval,
        retries=check.retries or _DEFAULT.retries,
    )


def argv_of(check: HealthCheck) -> tuple[str, ...]:
    """The program that *check* runs inside (row C82).

    >>> argv_of(HealthCheck(("CMD-SHELL", "exit 1")))
    ('/bin/sh', '-c', 'exit 1')
    """
    kind, *words = check.test
    return ("/bin/sh", "-c", *words) if kind == "CMD-SHELL" else tuple(words)


def shown_output(data: bytes) -> str:
    """What a probe said, as far as it is kept."""
    text = data[:MOST_OUTPUT].decode(errors="replace")
    return f"{text}..." if len(data) > MOST_OUTPUT else text
