"""One-shot containers: made, run to their end by the thread that asked, and removed."""

from __future__ import annotations

import time

from pyengine.containers import ending
from pyengine.containers.collecting import Collector
from pyengine.containers.house import House
from pyengine.containers.running import Running
from pyengine.containers.starting import Wishes, begin_new
from pyengine.containers.supervisor import drive
from pyengine.errors import InvalidRequest, TimedOut
from pyengine.model.options import ContainerOptions
from pyengine.model.result import Result


def run(
    house: House, options: ContainerOptions, *, timeout: float | None = None, keep: bool = False
) -> Result:
    """Run a container to its end; without *keep* nothing of it is left.

    One that is kept and has a restart policy may start again after that end. Raises
    `InvalidRequest` for such a policy without *keep*, and `TimedOut` with what it has said when
    *timeout* seconds were not enough; the container has been killed then. Whatever is raised, it
    is removed.
    """
    if options.restart[0] != "no" and not keep:
        why = "what is removed at its end cannot start again"
        raise InvalidRequest("restart", options.restart[0], expected="keep=True with it", why=why)
    if options.owner != "process":
        from pyengine.containers.running_kept import run_kept

        return run_kept(house, options, timeout=timeout, keep=keep)
    deadline = None if timeout is None else time.monotonic() + timeout
    source = options.stdin
    given = source if isinstance(source, bytes) else b""
    collector = Collector()
    keep_stdin = source is not None and not isinstance(source, bytes)
    wishes = Wishes(given=given, keep_stdin=keep_stdin, listener=collector, keep=keep)
    running = begin_new(house, options, wishes)
    try:
        in_time = _follow(running, deadline)
    except BaseException:
        ending.abandon(house, running.spec.id)
        raise
    stdout, stderr = collector.both()
    if not in_time:
        if keep:
            ending.abandon(house, running.spec.id)
        raise TimedOut(
            f"running {options.image} {' '.join(running.spec.argv)}"[:200],
            timeout or 0.0,
            stdout.decode(errors="replace"),
            stderr.decode(errors="replace"),
        )
    ended = running.exit
    return Result(
        ended.exit_code,
        stdout,
        stderr,
        running.duration,
        running.usage,
        ended.signal,
        ended.oom_killed,
    )


def _follow(running: Running, deadline: float | None) -> bool:
    """Drive it to its end; whether it came by itself before *deadline*."""
    in_time = False
    try:
        in_time = drive(running, deadline)
    finally:
        if not running.done.is_set():
            running.kill()
            drive(running, None)
    return in_time
