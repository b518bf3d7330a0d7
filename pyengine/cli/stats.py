"""``stats``: what containers use, once or again and again."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from attrs import evolve

from pyengine.cli.flags import Flag
from pyengine.cli.formats import Format, Layout
from pyengine.cli.say import STDOUT, complain, say
from pyengine.cli.template_values import Record
from pyengine.cli.terminal import is_terminal
from pyengine.cli.verb import Call, Verb
from pyengine.errors import ContainerNotFound, EngineError

if TYPE_CHECKING:
    from pyengine import Container, Engine, Stats

INTERVAL = 1.0
"""Seconds between two samples, as docker has it."""

_HEADERS = {
    "Container": "CONTAINER",
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}
_SHOWN = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")
_LAYOUT = Layout(_HEADERS, _SHOWN)

_HOME_AND_CLEAR = "\x1b[H\x1b[J"


def run(call: Call) -> int:
    """Print a row for each container, once or until nobody wants to see more."""
    given = call.given
    form = Format.parse(given.text("format"), _LAYOUT)
    truncates = not given.is_set("no-trunc")
    live = not given.is_set("no-stream")
    clears = live and form.as_table and is_terminal(STDOUT)
    with call.engine() as engine:
        watched = _Watched(engine, call.arguments, every=given.is_set("all"))
        for rows in watched.samples(truncates=truncates):
            if clears:
                say(_HOME_AND_CLEAR, end="")
            form.print(rows)
            if not live or (watched.is_over and call.arguments):
                break
    return int(watched.has_missed)


class _Watched:
    """The containers that are looked at: those that are named, or all that run."""

    def __init__(self, engine: Engine, names: Sequence[str], *, every: bool) -> None:
        self._engine = engine
        self._names = names
        self._every = every
        self._before: Mapping[str, Stats] = {}
        self.has_missed = False
        self.is_over = False
        self._named = [found for name in names if (found := self._find(name)) is not None]

    def samples(self, *, truncates: bool) -> Iterator[list[Record]]:
        """Rows, each compared with the sample a moment before; for ever."""
        pause = threading.Event()
        self._look()
        while True:
            pause.wait(INTERVAL)
            yield [row(*one, truncates=truncates) for one in self._look()]

    def _look(self) -> list[tuple[str, str, Stats]]:
        found, now = [], {}
        self.is_over = True
        for container in self._containers():
            try:
                name, sample = container.name, container.stats()
            except ContainerNotFound:
                continue
            before = self._before.get(container.id)
            if sample.read_ns and before is not None and before.read_ns:
                sample = evolve(sample, precpu=before.cpu, preread_ns=before.read_ns)
            self.is_over = self.is_over and not sample.read_ns
            now[container.id] = sample
            found.append((container.id, name, sample))
        self._before = now
        return found

    def _containers(self) -> list[Container]:
        return self._named if self._names else self._engine.containers.list(self._every)

    def _find(self, name: str) -> Container | None:
        try:
            return self._engine.containers.get(name)
        except EngineError as error:
            complain(str(error))
            self.has_missed = True
            return None


def row(container_id: str, name: str, sample: Stats, *, truncates: bool) -> Record:
    """What one sample shows; a container that does not run uses nothing."""
    from pyengine import format_size

    def disk(size: int) -> str:
        return format_size(size, precision=3)

    used = format_size(sample.memory_usage, binary=True)
    limit = format_size(sample.memory.limit, binary=True)
    networks, block = sample.networks.values(), sample.block
    received = sum(one.rx_bytes for one in networks)
    sent = sum(one.tx_bytes for one in networks)
    read, written = sum(one.read for one in block), sum(one.written for one in block)
    shown = container_id[:12] if truncates else container_id
    return Record(
        {
            "Container": shown,
            "ID": shown,
            "Name": name,
            "CPUPerc": f"{sample.cpu_percent:.2f}%",
            "MemUsage": f"{used} / {limit}",
            "MemPerc": f"{sample.memory_percent:.2f}%",
            "NetIO": f"{disk(received)} / {disk(sent)}",
            "BlockIO": f"{disk(read)} / {disk(written)}",
            "PIDs": str(sample.pids.current),
        }
    )


VERBS = {
    "stats": Verb(
        "[OPTIONS] [CONTAINER...]",
        "Show what containers use",
        run,
        (
            Flag("all", "bool", "Show those that do not run, too", "a"),
            Flag("format", "string", "table, json, or a template such as '{{.Name}} {{.CPUPerc}}'"),
            Flag("no-stream", "bool", "Show it once"),
            Flag("no-trunc", "bool", "Do not shorten ids"),
        ),
        most=None,
    ),
}
