"""Following a log: its lines as they are written, until nobody writes any more."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType

from attrs import evolve

from pyengine.containers.log_pieces import Piece, Pieces, close
from pyengine.containers.log_reader import Block, PieceReader, close_others, find_start
from pyengine.errors import TimedOut
from pyengine.linux.watch import Seen, Watch
from pyengine.model.log import LogLine, LogWindow

_LONGEST_WAIT = 60.0  # seconds: the clock may be set while we wait for a moment


class LogFollower:
    """An iterator over the lines of a log; `close` it when done, from any thread.

    It ends when *is_finished* says that nobody will write any more and everything has been
    given, when a line after the window's *until* comes or that moment has passed, and with the
    log's directory. *is_finished* is asked at the beginning, when a file beside the log changes,
    and once when the fd *ended* becomes readable, such as the container's pidfd; it is the
    follower's to close. Nothing is polled: what makes *is_finished* true must be a change beside
    the log, made after the writer was closed.

    A follower that is slower than the log rotates misses what has been removed.

    While iterating it raises `TimedOut`, *timeout* seconds from now; `KernelError` at once if
    the directory cannot be watched.
    """

    def __init__(
        self,
        path: str,
        window: LogWindow,
        *,
        is_finished: Callable[[], bool],
        ended: int | None = None,
        timeout: float | None = None,
    ) -> None:
        self._is_closed = True
        self._window = evolve(window, until=None, tail=None)
        self._until = window.until
        self._is_finished = is_finished
        self._ended = ended
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._busy = threading.Lock()
        self._pieces = Pieces(path)
        self._reader: PieceReader | None = None
        self._following: Piece | None = None
        self._lines: Iterator[LogLine] = iter(())
        directory, name = os.path.split(path)
        try:
            self._watch = Watch(directory or ".", name)
        except BaseException:
            self._close_files()
            raise
        try:
            self._begin(window)
            self._poll = select.poll()
            self._poll.register(self._watch, select.POLLIN)
            if ended is not None:
                self._poll.register(ended, select.POLLIN)
            self._is_last = is_finished()  # asked before reading: what was written by then is read
        except BaseException:
            self._let_go()
            raise
        self._is_closed = False

    def __iter__(self) -> Iterator[LogLine]:
        return self

    def __next__(self) -> LogLine:
        with self._busy:
            try:
                line = self._next()
                if self._until is None or line.time_ns <= self._until:
                    return line
                raise StopIteration
            except BaseException:
                self._is_closed = True
                self._let_go()
                raise

    def close(self) -> None:
        """Let go of everything; a thread that waits for the next line gets none."""
        if not self._is_closed:
            self._is_closed = True
            self._watch.wake()
            with self._busy:
                self._let_go()

    def __enter__(self) -> LogFollower:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not self._is_closed:
            self._close_files()  # the watch takes care of itself

    def _begin(self, window: LogWindow) -> None:
        if (last := self._pieces.newest()) is None:
            return
        piece: Piece = last
        try:
            piece = find_start(self._pieces, window, last)
        finally:
            close_others(last, piece)
        self._reader = PieceReader(piece)

    def _let_go(self) -> None:
        self._watch.close()
        self._close_files()

    def _close_files(self) -> None:
        close(self._reader.piece if self._reader else None)
        close(self._following)
        self._reader = self._following = None
        if self._ended is not None:
            os.close(self._ended)
            self._ended = None

    def _next(self) -> LogLine:
        while not self._is_closed:
            for line in self._lines:
                return line
            if not self._is_last:
                self._check_timeout()
            if (block := self._next_block()) is not None:
                self._lines = block.lines(self._window)
            elif self._is_last:
                break
            else:
                self._is_last = self._wait()
        raise StopIteration

    def _next_block(self) -> Block | None:
        """The next lines that are there, whatever file they are in."""
        if self._reader is None:
            if (first := self._pieces.oldest()) is None:
                return None
            self._reader = PieceReader(first)
        while (block := self._reader.more()) is None:
            if self._following is not None:
                close(self._reader.piece)
                self._reader, self._following = PieceReader(self._following), None
            else:  # if it was rotated, there may be more in it, written just before
                self._following = self._pieces.after(self._reader.piece)
                if self._following is None:
                    return None
        return block

    def _wait(self) -> bool:
        """Wait until something has happened; whether what is there then is the last of it."""
        ready = self._poll.poll(self._patience())
        if not ready:
            self._check_timeout()
            return self._until is not None and time.time_ns() > self._until
        is_other = False
        for fd, _ in ready:
            if fd == self._watch.fileno():
                seen = self._watch.take()
                if seen & Seen.GONE:
                    return True
                is_other |= bool(seen & Seen.OTHER)
            else:
                self._poll.unregister(fd)  # it would be readable for ever
                is_other = True
        return is_other and self._is_finished()

    def _patience(self) -> float | None:
        """How long to wait, in milliseconds; None: for ever."""
        limits = []
        if self._until is not None:
            limits.append(min((self._until - time.time_ns()) / 1e9 + 0.001, _LONGEST_WAIT))
        if self._deadline is not None:
            limits.append(self._deadline - time.monotonic())
        return max(min(limits), 0.0) * 1000 if limits else None

    def _check_timeout(self) -> None:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise TimedOut("following logs", self._timeout or 0.0)
