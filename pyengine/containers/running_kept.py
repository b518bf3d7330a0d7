"""One-shot containers that belong to nobody: the keeper runs them, and who asked hears them."""

from __future__ import annotations

import time

from attrs import evolve

from pyengine.containers import ending, keeper
from pyengine.containers.asking import KEEPER
from pyengine.containers.attaching import Attachment, attach
from pyengine.containers.collecting import Collector
from pyengine.containers.house import House
from pyengine.containers.making import create
from pyengine.errors import StoreError, TimedOut
from pyengine.model.options import ContainerOptions
from pyengine.model.record import ContainerRecord
from pyengine.model.result import Result
from pyengine.model.state import ExitStatus


def run_kept(
    house: House, options: ContainerOptions, *, timeout: float | None = None, keep: bool = False
) -> Result:
    """Run it to its end; should this process die before, it goes on, and without *keep* still
    goes at its end.

    Raises as `running_once.run`, and `StoreError` where the keeper was killed meanwhile: then
    the container goes on as well.
    """
    began = time.monotonic()
    reads = options.stdin_open or options.stdin is not None
    asked = evolve(options, stdin=None, stdin_open=reads, auto_remove=not keep)
    record = create(house, asked)
    collector = Collector()
    try:
        attachment = attach(house, record.spec.id)
        try:
            keeper.start(house, record.spec.id, stdin=options.stdin)
            in_time = _collect(attachment, collector, None if timeout is None else began + timeout)
        finally:
            attachment.detach()
    except BaseException:
        ending.abandon(house, record.spec.id)
        raise
    stdout, stderr = collector.both()
    if not in_time:
        ending.abandon(house, record.spec.id)
        raise TimedOut(
            f"running {options.image} {' '.join(record.spec.argv)}"[:200],
            timeout or 0.0,
            stdout.decode(errors="replace"),
            stderr.decode(errors="replace"),
        )
    return _result(house, record, attachment, (stdout, stderr), time.monotonic() - began)


def _collect(attachment: Attachment, collector: Collector, deadline: float | None) -> bool:
    """Hear it to its end; whether that came before *deadline*."""
    try:
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            chunk = attachment.next(timeout=left)
            if chunk is None:
                return True
            collector.hear(chunk.stream, chunk.data, 0)
    except TimedOut:
        return False


def _result(
    house: House,
    record: ContainerRecord,
    attachment: Attachment,
    said: tuple[bytes, bytes],
    seconds: float,
) -> Result:
    remote = attachment.remote
    told: ExitStatus | None = None if remote is None else remote.exit
    if remote is None or told is None:
        path = f"{house.layout.desks}/{KEEPER}"
        remedy = f"wait() for container {record.spec.id[:12]}, and read its logs()"
        raise StoreError(path, "was killed while a container ran, which goes on", remedy)
    return Result(told.exit_code, *said, seconds, remote.usage, told.signal, told.oom_killed)
