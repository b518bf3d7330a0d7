"""The calls into C for logs: entries, and what happens in a directory.

It stands beside `native`, the only other module that imports `_native`, because whoever keeps or
reads a log has nothing to do with births and mounts, and should not have to load them.
"""

from __future__ import annotations

import errno
import os
import struct
from enum import IntEnum

from attrs import frozen

from pyengine._native import ffi, lib
from pyengine.errors import KernelError

LONGEST = 16 * 1024
"""Bytes of output in one entry, at most; a longer line becomes several, as docker does it."""

ROOM = 98320
"""Bytes of one entry, its tail aside, at most."""

_ENTRY = struct.Struct("=qIIIIIIi4x")  # struct pe_log_entry
_MOST = 4096  # entries to decode in one call
_EVENT = struct.Struct("=iIII")  # struct inotify_event; the name comes after it


class Rest(IntEnum):
    """What becomes of a line that has not ended."""

    KEEP = 0  # it waits for more
    FLUSH = 1  # it becomes an entry, but for a character that is not complete
    END = 2  # nothing will follow: all of it becomes an entry


def encode(data: bytes | memoryview, rest: Rest, tail: bytes, out: bytearray) -> tuple[int, int]:
    """Write entries for *data* into *out*, each ended by *tail*.

    How many bytes of *data* that took, and how many *out* got. *out* must have room for
    `ROOM` and *tail*; call again while less than that was left of it.
    """
    used = ffi.new("size_t *")
    target = ffi.from_buffer("char[]", out)
    source = ffi.from_buffer("char[]", data)
    written = lib.pe_log_encode(source, len(data), rest, tail, len(tail), target, len(out), used)
    if written < 0:
        raise KernelError(-written, "encode output for its log")
    return used[0], written


Row = tuple[int, int, int, int, int, int, int, int]


@frozen
class Entries:
    """What some lines of a log say.

    *data* are the bytes of all entries, *used* how much of the text was whole lines. A row is
    time, offset and size of the line, offset and length in *data*, offset and size of the
    attributes in the line's text, and the stream: 1, 2, or 0 for a line that is not like ours.
    """

    data: bytes
    used: int
    rows: list[Row]


def decode(text: bytes) -> Entries:
    """The first entries of *text*, a few thousand at most."""
    used = ffi.new("size_t *")
    out = ffi.new("char[]", len(text))
    table = ffi.new("struct pe_log_entry[]", _MOST)
    source = ffi.from_buffer("char[]", text)
    found = lib.pe_log_decode(source, len(text), out, table, _MOST, used)
    if found < 0:
        raise KernelError(-found, "decode a log")
    rows = list(_ENTRY.iter_unpack(ffi.buffer(table, found * _ENTRY.size)))
    length = sum(rows[-1][3:5]) if rows else 0
    return Entries(ffi.buffer(out, length)[:], used[0], rows)


IN_MODIFY, IN_MOVED_TO, IN_CREATE, IN_DELETE = 0x02, 0x80, 0x100, 0x200
IN_DELETE_SELF, IN_MOVE_SELF, IN_IGNORED, IN_ONLYDIR = 0x400, 0x800, 0x8000, 0x01000000


def new_watcher() -> int:
    """An inotify(7) instance, non-blocking."""
    watcher = lib.pe_watcher()
    if watcher == -errno.EMFILE:
        hint = "raise fs.inotify.max_user_instances, or the limit of open files"
        raise KernelError(errno.EMFILE, "make an inotify instance", hint)
    if watcher < 0:
        raise KernelError(-watcher, "make an inotify instance")
    return int(watcher)


def add_watch(watcher: int, directory: str, events: int) -> int:
    """Watch *directory*; the number that its events carry, the same for each who asks."""
    watch = lib.pe_watch(watcher, os.fsencode(directory), events | IN_ONLYDIR)
    if watch == -errno.ENOSPC:
        hint = "raise fs.inotify.max_user_watches"
        raise KernelError(errno.ENOSPC, f"watch {directory}", hint)
    if watch < 0:
        raise KernelError(-watch, f"watch {directory}")
    return int(watch)


def remove_watch(watcher: int, watch: int) -> None:
    """Watch it no more; it may be gone already, with its directory."""
    lib.pe_unwatch(watcher, watch)


def read_events(watcher: int) -> list[tuple[int, int, str]]:
    """What has happened: number of the watch (-1: events were lost), what, name of the file."""
    try:
        data = os.read(watcher, 64 * 1024)
    except BlockingIOError:
        return []
    events = []
    at = 0
    while at < len(data):
        watch, what, _, size = _EVENT.unpack_from(data, at)
        at += _EVENT.size + size
        name = data[at - size : at].rstrip(b"\0")
        events.append((watch, what, os.fsdecode(name)))
    return events
