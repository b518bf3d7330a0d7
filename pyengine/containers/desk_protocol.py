"""What is said at a desk: requests, answers and errors as packets, streams as frames.

::

    who asks                                  the owner of the desk
    {"pyengine":1,"version":V,"root":R}   ->
                                          <-  {"pyengine":1,"version":V,"kind":K}
    {"do":VERB,"id":ID,"fields":{…}} + fd ->
                                          <-  {"ok":{…}} + fd  or  {"error":NAME,"fields":{…}}

One packet is one JSON object. The descriptor that `attach` answers with carries frames.
Pure: any bytes are a value here, or `InvalidRequest`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from struct import Struct
from typing import Any

from attrs import field, frozen
from attrs import fields as fields_of

from pyengine import errors
from pyengine.errors import EngineError, InvalidRequest
from pyengine.model.codec import to_plain
from pyengine.version import __version__

PROTOCOL = 1
MESSAGE = 65_536
"""Bytes of the longest packet."""

HELLO_TIME, REQUEST_TIME = 2.0, 10.0
"""Seconds in which a greeting, and a request, have to come."""

IN, OUT, ERR, RESIZE, END, LEAVE = range(6)
"""What a frame holds: input (none: its end), output, a size, how it ended, a farewell."""

STREAMS = {OUT: "stdout", ERR: "stderr"}
PIECE = 65_536
"""Bytes of the longest frame."""

_HEADER = Struct("=B3xIQ")
_SIZE = Struct("=HH")
_NEVER_CROSS = ("ProgramFailed", "OomKilled", "BuildFailed")  # they hold results


@frozen
class Hello:
    """Who is there: the version of the program, and *root*, or *kind* of owner."""

    version: str
    root: str = ""
    kind: str = ""


@frozen
class Request:
    """What is asked of the owner of a desk, for container *id*."""

    do: str
    id: str = ""
    fields: Mapping[str, Any] = field(factory=dict)


def pack_hello(root: str = "", kind: str = "") -> bytes:
    """A greeting."""
    return _pack({"pyengine": PROTOCOL, "version": __version__, "root": root, "kind": kind})


def unpack_hello(data: bytes) -> Hello:
    """Read a greeting. Raises `InvalidRequest`, also for another protocol."""
    plain = _object(data)
    spoken = plain.get("pyengine")
    if spoken != PROTOCOL or isinstance(spoken, bool):
        why = f"it speaks version {spoken!r} of the protocol, this is version {PROTOCOL}"
        raise InvalidRequest("greeting", _shown(data), why=why)
    return Hello(*(_text(plain, name) for name in ("version", "root", "kind")))


def pack(request: Request) -> bytes:
    """A request; `InvalidRequest` where it is too long."""
    return _pack({"do": request.do, "id": request.id, "fields": to_plain(dict(request.fields))})


def unpack(data: bytes) -> Request:
    """Read a request. Raises `InvalidRequest`."""
    plain = _object(data)
    if set(plain) - {"do", "id", "fields"}:
        raise InvalidRequest("request", _shown(data), why="it says more than do, id and fields")
    container_id = _text(plain, "id")
    if container_id and not (
        len(container_id) == 64 and set(container_id) <= set("0123456789abcdef")
    ):
        raise InvalidRequest("container id", container_id, expected="64 digits")
    told = plain.get("fields", {})
    if not isinstance(told, dict):
        raise InvalidRequest("request", _shown(data), why="its fields are no object")
    return Request(_text(plain, "do"), container_id, told)


def pack_answer(told: Mapping[str, object]) -> bytes:
    """What a request that succeeded is answered with."""
    return _pack({"ok": to_plain(dict(told))})


def pack_error(error: EngineError) -> bytes:
    """An error on its way to who asked, who raises it."""
    kind: Any = type(error)
    name = kind.__name__
    if name not in errors.__all__ or name in _NEVER_CROSS or name == "EngineError":
        return _pack({"error": "KernelError", "fields": {"errno": 0, "doing": str(error)[:4096]}})
    plain = {each.name: _fact(getattr(error, each.name)) for each in fields_of(kind)}
    return _pack({"error": name, "fields": plain})


def unpack_answer(data: bytes) -> dict[str, Any]:
    """What was answered; or raises the error that was, and `InvalidRequest` for neither."""
    plain = _object(data)
    if "error" not in plain:
        told = plain.get("ok")
        if not isinstance(told, dict):
            raise InvalidRequest("answer", _shown(data), why="it says neither ok nor error")
        return told
    raise _error(data, plain)


def _error(data: bytes, plain: dict[str, Any]) -> EngineError:
    name, told = plain["error"], plain.get("fields")
    if name not in errors.__all__ or name in _NEVER_CROSS or name == "EngineError":
        return InvalidRequest("answer", _shown(data), why="no error is called so")
    kind = getattr(errors, name)
    known = {each.name: each for each in fields_of(kind)}
    if not isinstance(told, dict) or set(told) - set(known):
        return InvalidRequest("answer", _shown(data), why=f"no {name} has such fields")
    facts = {key: tuple(item) if isinstance(item, list) else item for key, item in told.items()}
    try:
        made: EngineError = kind(**facts)
        str(made)  # whoever shows it shall not be surprised by what its fields are
    except (TypeError, ValueError, AttributeError, OverflowError):
        return InvalidRequest("answer", _shown(data), why=f"its fields are none of a {name}")
    return made


def _fact(value: object) -> object:
    if isinstance(value, tuple | list):
        return [str(each)[:256] for each in value[:16]]
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)[:4096]


def _pack(plain: dict[str, Any]) -> bytes:
    data = json.dumps(plain, separators=(",", ":")).encode()
    if len(data) > MESSAGE:
        raise InvalidRequest("request", f"{len(data)} bytes", expected=f"at most {MESSAGE}")
    return data


def _object(data: bytes) -> dict[str, Any]:
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("packet", _shown(data), why="it is no JSON") from error
    if not isinstance(plain, dict):
        raise InvalidRequest("packet", _shown(data), why="it is no object")
    return plain


def _text(plain: dict[str, Any], name: str) -> str:
    value = plain.get(name, "")
    if not isinstance(value, str):
        raise InvalidRequest(name, value, expected="a text")
    return value


def _shown(data: bytes) -> str:
    return data[:80].decode(errors="replace")


# --- frames ---


def frame(kind: int, data: bytes = b"", time_ns: int = 0) -> bytes:
    """One frame; *data* is at most `PIECE` bytes."""
    return _HEADER.pack(kind, len(data), time_ns) + data


def frames(buffer: bytearray) -> Iterator[tuple[int, bytes, int]]:
    """The frames that *buffer* begins with: kind, data, time; they are taken out of it.

    Raises `InvalidRequest` for one that is too long.

    >>> said = bytearray(frame(OUT, b"hi", 7) + b"?")
    >>> list(frames(said)), bytes(said)
    ([(1, b'hi', 7)], b'?')
    """
    while len(buffer) >= _HEADER.size:
        kind, size, time_ns = _HEADER.unpack_from(buffer)
        if size > PIECE:
            raise InvalidRequest("frame", f"{size} bytes", expected=f"at most {PIECE}")
        end = _HEADER.size + size
        if len(buffer) < end:
            return
        data = bytes(buffer[_HEADER.size : end])
        del buffer[:end]
        yield kind, data, time_ns


def size_frame(rows: int, columns: int) -> bytes:
    """Tell how large the terminal is."""
    return frame(RESIZE, _SIZE.pack(rows, columns))


def read_size(data: bytes) -> tuple[int, int]:
    """The rows and columns that `size_frame` was given. Raises `InvalidRequest`."""
    if len(data) != _SIZE.size:
        raise InvalidRequest("size", data.hex(), expected="rows and columns")
    rows, columns = _SIZE.unpack(data)
    return rows, columns
