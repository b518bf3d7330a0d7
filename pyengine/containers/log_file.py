"""The file a log is written to: made when there is something to write, rotated when it is full."""

from __future__ import annotations

import errno
import os
import stat

from pyengine.containers.log_rotation import mover_of
from pyengine.model.log_options import LogSettings

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LogFile:
    """Where whole entries are appended; *error* is why the last of them could not be.

    No file grows beyond the size it may have, unless by a single entry that is larger.
    """

    def __init__(self, path: str, settings: LogSettings) -> None:
        self._path = path
        self._settings = settings
        self._fd = -1
        self._size = 0
        self.error: OSError | None = None

    def append(self, entries: bytearray, size: int) -> int:
        """Write the first *size* bytes, whole entries; how many of them are in the file now.

        A full or broken disk is no reason to raise: the container goes on without its log. An
        entry that did not fit is taken back, so the file always ends with a whole one.
        """
        done = 0
        try:
            while done < size:
                self._open()
                end = self._fitting(entries, done, size)
                if end == done:
                    self._rotate()
                else:
                    done = self._write(entries, done, end)
                    if done < end:
                        break
        except OSError as error:
            self.error = error
            self.close()  # opening it again finds out what became of it
        return done

    def settle(self) -> None:
        """Wait until what was rotated is compressed."""
        mover_of(self._path).settle()

    def close(self) -> None:
        """Let go of the file; the next entry opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        if self._fd >= 0:
            return
        self._fd = os.open(self._path, _FLAGS, 0o640)
        found = os.fstat(self._fd)
        if not stat.S_ISREG(found.st_mode):
            self.close()
            raise OSError(errno.EINVAL, "not a regular file", self._path)
        self._size = found.st_size
        if self._size and os.pread(self._fd, 1, self._size - 1) != b"\n":
            # whoever wrote here was killed in the middle of an entry: that one is lost, not ours
            self._size += os.write(self._fd, b"\n")

    def _fitting(self, entries: bytearray, start: int, size: int) -> int:
        """Up to where *entries* fit into this file."""
        most = self._settings.max_size
        if most is None or self._size + size - start <= most:
            return size
        room = max(most - self._size, 0)
        if end := entries.rfind(b"\n", start, start + room) + 1:
            return end
        return start if self._size else entries.index(b"\n", start) + 1

    def _rotate(self) -> None:
        self.close()
        most = self._settings.max_file
        mover_of(self._path).rotate(most, compress=self._settings.compress and most > 1)

    def _write(self, entries: bytearray, start: int, end: int) -> int:
        at = start
        try:
            with memoryview(entries) as view:
                while at < end:
                    at += os.write(self._fd, view[at:end])
        except OSError as error:
            self.error = error
            torn = at - (entries.rfind(b"\n", start, at) + 1 or start)
            if torn:
                os.ftruncate(self._fd, self._size + at - start - torn)
                at -= torn
        self._size += at - start
        return at
