"""Output of a container on its way to the disk."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from functools import partial

from pyengine.containers.log_file import LogFile
from pyengine.containers.log_queue import LogQueue
from pyengine.linux.native_log import LONGEST, ROOM, Rest, decode, encode
from pyengine.model.log_options import LogSettings
from pyengine.model.moments import rfc3339
from pyengine.model.spec import LogConfig

_BUFFER = 256 * 1024  # stays in the second-level cache
_spare: list[bytearray] = []  # buffers nobody uses: containers are many, writers are few


class LogWriter:
    """Output of one container on its way to the disk, as *config* asks for it.

    Nothing is opened before the first write, and whatever the disk does, none of it raises:
    what could not be written is counted in *lost*, and an entry on stderr tells it where it
    happened. *attributes* go into each entry.

    Any thread may call it. A container that starts again needs a new writer, or the same one.
    """

    def __init__(
        self, path: str, config: LogConfig, attributes: Mapping[str, str] | None = None
    ) -> None:
        settings = LogSettings.of(config)
        self._file = LogFile(path, settings) if settings.is_kept else None
        self._attributes = ""
        if attributes:
            encoded = json.dumps(dict(attributes), separators=(",", ":"), sort_keys=True)
            self._attributes = f'"attrs":{encoded},'
        self._pending: dict[str, bytearray] = {}  # of each stream, the line that has not ended
        self._now = 0
        self._lock = threading.Lock()
        self._queue: LogQueue | None = None
        if settings.is_kept and settings.buffer_size is not None:
            self._queue = LogQueue(settings.buffer_size, self._lose_unqueued)
        self._untold = 0
        self._why = ""
        self.lost = 0
        """How many bytes of output are not in the log."""

    def write(self, stream: str, data: bytes | memoryview, time_ns: int) -> None:
        """Log *data*, which came from *stream* at *time_ns* nanoseconds since 1970.

        What ends with a newline is in the file when this returns (unless the mode is
        ``non-blocking``); the rest waits for its end, or for 16 KiB. Times never go back: an
        earlier one than before counts as the same.
        """
        if self._queue is not None:
            self._queue.put(partial(self._write, stream, bytes(data), time_ns), len(data))
        elif self._file is not None:
            self._write(stream, data, time_ns)

    def flush(self) -> None:
        """Log the lines that have not ended, such as a prompt, as far as they are there."""
        if self._queue is not None:
            self._queue.put(partial(self._flush, Rest.FLUSH), 0)
        else:
            self._flush(Rest.FLUSH)

    def close(self) -> None:
        """Log all there is, and let go of file and thread; a later write takes them again."""
        if self._queue is not None:
            self._queue.close()
        self._flush(Rest.END)
        with self._lock:
            if self._untold:
                self._tell_loss()
            if self._file is not None:
                self._file.close()

    def settle(self) -> None:
        """Wait until rotated files are compressed; nobody has to."""
        if self._file is not None:
            self._file.settle()

    def _write(self, stream: str, data: bytes | memoryview, time_ns: int) -> None:
        with self._lock:
            self._now = max(self._now, time_ns)
            pending = self._pending.pop(stream, None) or bytearray()
            if len(pending) + len(data) < LONGEST and b"\n" not in bytes(data):
                pending += data
            else:
                whole = b"".join((pending, data)) if pending else data
                used = self._encode(stream, whole, Rest.KEEP)
                pending = bytearray(whole[used:])
            if pending:
                self._pending[stream] = pending

    def _flush(self, rest: Rest) -> None:
        with self._lock:
            self._end_lines(rest)

    def _end_lines(self, rest: Rest) -> None:
        for stream, pending in list(self._pending.items()):
            used = self._encode(stream, bytes(pending), rest)
            if used == len(pending):
                del self._pending[stream]
            else:
                del pending[:used]

    def _encode(self, stream: str, data: bytes | memoryview, rest: Rest) -> int:
        """Log the entries that *data* holds; how much of it that was."""
        text = f'","stream":"{stream}",{self._attributes}"time":"{rfc3339(self._now)}"}}\n'
        tail = text.encode()
        need = ROOM + len(tail)
        buffer = _take_buffer(need)
        taken = 0
        with memoryview(data) as view:
            while taken < len(data):
                used, size = encode(view[taken:], rest, tail, buffer)
                taken += used
                if size:
                    self._append(buffer, size)
                if len(buffer) - size >= need:  # it stopped for want of data, not of room
                    break
        _give_buffer(buffer)
        return taken

    def _append(self, entries: bytearray, size: int) -> None:
        assert self._file is not None
        is_told = not self._untold or self._tell_loss()
        done = self._file.append(entries, size) if is_told else 0
        if done < size:
            lost = len(decode(bytes(entries[done:size])).data)
            self._lose(lost, (self._file.error and self._file.error.strerror) or "")

    def _lose(self, size: int, why: str) -> None:
        self.lost += size
        self._untold += size
        self._why = why

    def _lose_unqueued(self, size: int) -> None:
        with self._lock:
            self._end_lines(Rest.END)  # the halves of two lines must not become one
            self._lose(size, "it came faster than it could be written")

    def _tell_loss(self) -> bool:
        """Whether it could be told."""
        assert self._file is not None
        told, self._untold = self._untold, 0
        words = f"pyengine: {told} bytes of output are missing here: {self._why}\n".encode()
        text = f'","stream":"stderr",{self._attributes}"time":"{rfc3339(self._now)}"}}\n'
        buffer = bytearray(ROOM + len(text))
        _, size = encode(words, Rest.END, text.encode(), buffer)
        if self._file.append(buffer, size) == size:
            return True
        self._untold = told
        return False


def _take_buffer(need: int) -> bytearray:
    try:
        buffer = _spare.pop()
    except IndexError:
        buffer = bytearray(_BUFFER)
    return buffer if len(buffer) >= need else bytearray(need * 2)


def _give_buffer(buffer: bytearray) -> None:
    if len(buffer) == _BUFFER and not _spare:
        _spare.append(buffer)
