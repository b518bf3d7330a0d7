"""Asking the owner of a desk for what only the watcher of a container can do."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from pyengine.containers import desk_protocol as protocol
from pyengine.containers import packets
from pyengine.containers.desk_protocol import HELLO_TIME, REQUEST_TIME, Request
from pyengine.containers.house import House
from pyengine.containers.remote import RemoteProgram
from pyengine.errors import (
    EngineError,
    InvalidRequest,
    NotPermitted,
    StoreError,
    TimedOut,
    Unsupported,
)
from pyengine.store.layout import Layout

KEEPER = "keeper"
"""What the keeper's socket is called as well."""

_PATIENCE = 3 * REQUEST_TIME
_NOTHING: Mapping[str, object] = {}

_AGAIN = "try again: what still runs has another watcher soon"


class Line:
    """One connection to a desk. Close it, or use it in a ``with``."""

    def __init__(self, line: socket.socket, path: str, kind: str) -> None:
        self._line = line
        self._path = path
        self.kind = kind

    def ask(
        self,
        do: str,
        container_id: str = "",
        fields: Mapping[str, object] = _NOTHING,
        *,
        fds: tuple[int, ...] = (),
        wait: float | None = _PATIENCE,
    ) -> tuple[dict[str, Any], list[int]]:
        """What the owner answers, with descriptors that are the caller's to close.

        Raises what it raised, `TimedOut` after *wait* seconds, and `StoreError` where it hangs
        up.
        """
        try:
            self._line.settimeout(wait)
            packets.send(self._line, protocol.pack(Request(do, container_id, fields)), fds)
            data, came = packets.receive(self._line)
        except TimeoutError as error:
            raise TimedOut(f"asking the owner for {do}", wait or 0.0) from error
        except OSError as error:
            raise StoreError(self._path, f"its owner is gone: {error.strerror}", _AGAIN) from error
        if not data:
            raise StoreError(self._path, "its owner hung up", _AGAIN)
        try:
            return protocol.unpack_answer(data), came
        except BaseException:
            packets.close(came)
            raise

    def close(self) -> None:
        """Hang up."""
        self._line.close()

    def __enter__(self) -> Line:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def connect(layout: Layout, name: str) -> Line | None:
    """A connection to the desk called *name*; `None` where nobody sits at it.

    Raises `NotPermitted` where somebody else does, and `StoreError` where another version does, or
    where too many ask.
    """
    path = f"{layout.desks}/{name}"
    for _ in range(_ATTEMPTS):
        try:
            return _connect(layout, name, path)
        except _SentAwayError:  # he is leaving, then nobody sits there now; or there are too many
            continue
    raise StoreError(path, "its owner is busy: too many ask it", "try again")


_ATTEMPTS = 3


class _SentAwayError(Exception):
    """Who sits there has hung up without a word."""


def _connect(layout: Layout, name: str, path: str) -> Line | None:
    try:
        line, holder = packets.dial(layout.desks, name, HELLO_TIME)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        return None
    except OSError as error:
        raise _refusal(path, error) from error
    try:
        _check_peer(path, holder, packets.peer_uid(line))
        return Line(line, path, _greet(line, layout, path))
    except OSError as error:
        line.close()
        if isinstance(error, EngineError):
            raise
        raise _refusal(path, error) from error
    except BaseException:
        line.close()
        raise


def _refusal(path: str, error: OSError) -> StoreError:
    if isinstance(error, TimeoutError):
        return StoreError(path, "its owner does not answer", "see what it does")
    return StoreError(path, error.strerror or str(error), "see what is there")


def _check_peer(path: str, holder: int, peer: int) -> None:
    me = os.geteuid()
    if peer != holder or (me and peer != me):
        why = f"user {peer} sits there"
        raise NotPermitted(f"ask at {path}", why, "use a run_root= that is yours")


def _greet(line: socket.socket, layout: Layout, path: str) -> str:
    try:
        packets.send(line, protocol.pack_hello(root=identity_of(layout)))
        data, fds = packets.receive(line)
    except (BrokenPipeError, ConnectionResetError) as error:
        raise _SentAwayError from error
    packets.close(fds)
    if not data:
        raise _SentAwayError
    try:
        return protocol.unpack_hello(data).kind
    except InvalidRequest as error:
        remedy = "stop its containers, or use that version"
        raise StoreError(path, error.why or str(error), remedy) from error


def identity_of(layout: Layout) -> str:
    """What tells one root from another, whatever it is called."""
    found = os.stat(layout.root)
    return f"{found.st_dev}:{found.st_ino}"


def ask_watcher(
    house: House,
    container_id: str,
    do: str,
    fields: Mapping[str, object] = _NOTHING,
    *,
    wait: float | None = _PATIENCE,
) -> tuple[dict[str, Any], list[int]]:
    """Ask who watches a container. Raises what it raised, and as `line_to_watcher`."""
    with line_to_watcher(house, container_id, do) as line:
        return line.ask(do, container_id, fields, wait=wait)


def line_to_watcher(house: House, container_id: str, do: str) -> Line:
    """A connection to who watches a container, or to the next keeper if that was one and is gone.

    Raises `Unsupported` where it cannot be asked.
    """
    state = house.catalog.state(container_id)
    line = connect(house.layout, f"{state.watcher}.sock") if state.watcher else None
    if line is None and state.kept:
        from pyengine.containers import keeper

        line = keeper.ensure(house.layout)
    if line is None:
        missing = "the process that watches it takes no requests"
        raise Unsupported(f"asking for {do}", missing, f"{do} in that process")
    return line


def attach_watched(house: House, container_id: str, wishes: dict[str, bool]) -> RemoteProgram:
    """The same at the desk of who watches it."""
    with line_to_watcher(house, container_id, "attach") as line:
        return attach(line, container_id, wishes)


def attach(line: Line, container_id: str, wishes: dict[str, bool]) -> RemoteProgram:
    """Be where the program speaks, through *line*; *wishes* are those of `attaching.attach`."""
    told, fds = line.ask("attach", container_id, wishes)
    if len(fds) != 1:
        packets.close(fds)
        raise StoreError("attach", "its owner gave no streams")
    return RemoteProgram(socket.socket(fileno=fds[0]), int(told.get("pid", 0)))
