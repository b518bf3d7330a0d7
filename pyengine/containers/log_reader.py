"""What a log says, read back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import islice

from attrs import frozen

from pyengine.containers.log_pieces import Piece, Pieces, PlainPiece, close, is_same
from pyengine.errors import InvalidRequest
from pyengine.linux.native_log import Entries, Row, decode
from pyengine.model.log import STREAMS, LogLine, LogWindow
from pyengine.model.moments import parse_time

BLOCK = 256 * 1024
LARGEST = 1 << 20
"""Bytes of a line in the file, beyond which it is none of ours and skipped."""

_NONE: Mapping[str, str] = {}


@frozen
class Block:
    """Some lines of a log's file, and what they say; *start* is where they begin in it."""

    start: int
    text: bytes
    entries: Entries

    def lines(self, window: LogWindow) -> Iterator[LogLine]:
        """Those that *window* wants, the tail aside."""
        for _, line in self.rows(window):
            yield line if isinstance(line, LogLine) else self._line(line)

    def output(self, window: LogWindow) -> bytes:
        """What the lines that *window* wants say, all in one."""
        if window.has_all_but_tail and all(row[7] for row in self.entries.rows):
            return self.entries.data
        return b"".join([line.data for line in self.lines(window)])

    def rows(self, window: LogWindow) -> Iterator[tuple[int, Row | LogLine]]:
        """The place of each line that *window* wants, and how it was found."""
        wants = window.wants
        for row in self.entries.rows:
            time_ns, at, size, *_, stream = row
            if stream:
                if wants(stream, time_ns):
                    yield at, row
            elif (line := _read_foreign(self.text[at : at + size])) is not None and wants(
                STREAMS.index(line.stream), line.time_ns
            ):
                yield at, line

    def _line(self, row: Row) -> LogLine:
        time_ns, _, _, first, length, attributes, attributes_size, stream = row
        data = self.entries.data[first : first + length]
        if not attributes_size:
            return LogLine(STREAMS[stream], data, time_ns)
        carried = self.text[attributes : attributes + attributes_size]
        return LogLine(STREAMS[stream], data, time_ns, _read_attributes(carried))


@lru_cache(maxsize=16)
def _read_attributes(text: bytes) -> Mapping[str, str]:
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError):
        return _NONE
    return {name: value for name, value in plain.items() if isinstance(value, str)}


def _read_foreign(line: bytes) -> LogLine | None:
    """A line that is not laid out as ours; ``None`` if it is damaged."""
    try:
        plain = json.loads(line.decode(errors="surrogateescape"))
        text, attributes = plain.get("log", ""), plain.get("attrs", {})
        time_ns = parse_time(plain["time"])
        if plain["stream"] not in STREAMS[1:] or not isinstance(attributes, dict):
            return None
        data = _to_bytes(text)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError, InvalidRequest):
        return None
    kept = {name: value for name, value in attributes.items() if isinstance(value, str)}
    return LogLine(plain["stream"], data, time_ns, kept)


def _to_bytes(text: str) -> bytes:
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:  # halves of pairs, which are no bytes of anything
        return text.encode(errors="replace")


class PieceReader:
    """Reads one file of a log, as far as it has been written, or to *end*."""

    def __init__(self, piece: Piece, end: int | None = None) -> None:
        self.piece = piece
        self._end = end
        self._start = piece.offset
        self._rest = b""
        self._is_more = False  # whether there may be whole lines in the rest
        self._is_skipping = False  # the rest of a line that is too long

    def __iter__(self) -> Iterator[Block]:
        while (block := self.more()) is not None:
            yield block

    def more(self) -> Block | None:
        """The next lines; ``None`` if there is none for now."""
        while True:
            if not self._is_more and not self._read():
                return None
            entries = decode(self._rest)
            block = Block(self._start, self._rest, entries)
            self._start += entries.used
            self._rest = self._rest[entries.used :]
            self._is_more = entries.used > 0 and b"\n" in self._rest
            if entries.rows:
                return block
            if len(self._rest) > LARGEST:
                self._start += len(self._rest)
                self._rest, self._is_skipping = b"", True

    def _read(self) -> bool:
        size = BLOCK if self._end is None else min(BLOCK, self._end - self._start - len(self._rest))
        data = self.piece.read(size) if size > 0 else b""
        if not data:
            return False
        if self._is_skipping:
            skipped = data.find(b"\n") + 1 or len(data)
            self._is_skipping = data[skipped - 1 : skipped] != b"\n"
            self._start += skipped
            data = data[skipped:]
        self._rest += data
        return True


def read_blocks(path: str, window: LogWindow) -> Iterator[Block]:
    """All lines of the log at *path* up to now, from where those of *window* begin.

    Files that are rotated meanwhile are followed; what is written meanwhile is left out.
    """
    pieces = Pieces(path)
    if (last := pieces.newest()) is None:
        return
    piece = last
    try:
        piece = find_start(pieces, window, last)
        while not is_same(piece, last):
            yield from PieceReader(piece)
            following = pieces.after(piece)
            close_others(piece, last)
            piece = last
            if following is not None and not pieces.is_before(last, following):
                piece = following
            else:
                close(following)
        yield from PieceReader(last, last.size if isinstance(last, PlainPiece) else None)
    finally:
        close_others(piece, last)
        close(last)


def find_start(pieces: Pieces, window: LogWindow, last: Piece) -> Piece:
    """The file with the first line of *window*, at it; the lines end with *last*.

    It is the caller's to close, unless it is *last*. However long the log, only as much as the
    tail is read, backwards.
    """
    if window.tail is None:
        return pieces.oldest() or last
    piece, missing = last, window.tail
    try:
        while True:
            found, start = _find_tail(piece, window, missing)
            piece.seek(start)
            missing -= found
            older = pieces.before(piece) if missing else None
            if older is None:
                return piece
            close_others(piece, last)
            piece = older
    except BaseException:
        close_others(piece, last)
        raise


def close_others(piece: Piece, kept: Piece) -> None:
    """Close *piece* if it is not *kept*."""
    if piece is not kept:
        close(piece)


def _find_tail(piece: Piece, window: LogWindow, missing: int) -> tuple[int, int]:
    """How many of the last *missing* lines are in *piece*, and where the first of them begins."""
    if isinstance(piece, PlainPiece):
        return _find_tail_backwards(piece, window, missing)
    count = sum(1 for _ in _offsets(PieceReader(piece), window))
    if count <= missing:
        return count, 0
    piece.seek(0)
    return missing, next(islice(_offsets(PieceReader(piece), window), count - missing, None))


def _find_tail_backwards(piece: PlainPiece, window: LogWindow, missing: int) -> tuple[int, int]:
    found, end, tail = 0, piece.size, b""
    while found < missing and end > 0:
        start = max(end - BLOCK, 0)
        text = os.pread(piece.fd, end - start, start) + tail
        first = text.find(b"\n") + 1 if start else 0  # before it is the end of an earlier line
        end = start
        if start and (first == 0 or first == len(text)):
            tail = text if len(text) <= LARGEST else b""
            continue
        offsets = list(_offsets(_blocks(start + first, text[first:]), window))
        if len(offsets) >= missing - found:
            return missing, offsets[found - missing]
        found += len(offsets)
        tail = text[:first]
    return found, 0 if found < missing else piece.size


def _blocks(start: int, text: bytes) -> Iterator[Block]:
    while (entries := decode(text)).rows:
        yield Block(start, text, entries)
        start, text = start + entries.used, text[entries.used :]


def _offsets(blocks: Iterable[Block], window: LogWindow) -> Iterator[int]:
    for block in blocks:
        for at, _ in block.rows(window):
            yield block.start + at
