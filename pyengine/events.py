"""What happens in the engines of one root, written down for whoever listens, in any process."""

from __future__ import annotations

import os
import select
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING

from attrs import evolve

from pyengine.errors import EngineError, ForeignProcess, InvalidRequest, StoreError, TimedOut
from pyengine.model.event import Event, EventFilter, FilterTexts
from pyengine.store import records
from pyengine.store.journal import NAME, Journal, JournalReader

if TYPE_CHECKING:
    from pyengine.linux.watch import Watch

__all__ = ["Event", "EventFilter", "EventLog", "EventStream"]

LONGEST = 64 << 10
"""Bytes of an event with all its attributes; of a longer one only some are kept."""

MOST_WAITING = 4096
"""So many wait for whoever writes them later; one more is written by who tells it."""

_KEPT = ("image", "name")
_Attributes = Mapping[str, str] | Callable[[], Mapping[str, str]]
_Raw = tuple[str, str, str, _Attributes, int]

_NONE: Mapping[str, str] = {}


class EventLog:
    """The events of one engine; safe to use from every thread.

    They are written to the journal in *directory*: at once where somebody in this process
    listens, else by whoever *later* gives the work to, or at `close`.

    >>> import tempfile
    >>> directory = tempfile.TemporaryDirectory()
    >>> log = EventLog(directory.name)
    >>> log.emit("container", "start", "4f2a", {"name": "web"})
    >>> [event.action for event in log.stream(since=0, until=time.time())]
    ['start']
    >>> directory.cleanup()
    """

    def __init__(
        self, directory: str, later: Callable[[Callable[[], None]], None] = lambda work: None
    ) -> None:
        self._journal = Journal(directory)
        self._later = later
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: list[_Raw] = []
        self._listeners: weakref.WeakSet[EventStream] = weakref.WeakSet()
        self._heard = False  # whether anybody has listened yet: spares a look at the set
        self._closed = False
        self.trouble = ""
        """Why the last events could not be written; empty where they could."""

    def emit(self, type: str, action: str, actor_id: str, attributes: _Attributes = _NONE) -> None:
        """Tell that *action* has happened to the *type* called *actor_id*.

        *attributes* may be a function without arguments that makes them: it is called when the
        event is written, so it must answer from values that do not change.
        """
        with self._lock:  # time is taken inside: the order of the log is that of its times
            is_first = not self._waiting
            self._waiting.append((type, action, actor_id, attributes, time.time_ns()))
            is_urgent = len(self._waiting) >= MOST_WAITING or (
                self._heard and any(not one._ended for one in self._listeners)
            )
        if is_urgent:
            self.write()
        elif is_first:
            self._later(self.write)

    def write(self) -> None:
        """Write down what has happened until now. What cannot be, is told to who listens here."""
        with self._writing:
            with self._lock:
                waiting, self._waiting = self._waiting, []
                listeners = tuple(self._listeners) if self._heard else ()
            if not waiting:
                return
            try:
                self._journal.append(_line(raw) for raw in waiting)
                self.trouble = ""
            except StoreError as error:
                self.trouble = str(error)
                for listener in listeners:
                    listener._tell([_event(raw) for raw in waiting])

    def stream(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        filters: FilterTexts | EventFilter | None = None,
        timeout: float | None = None,
    ) -> EventStream:
        """Events from now on, or from *since*, as they happen, up to *until*.

        Times are seconds since 1970. With *since* or *until* what is remembered is replayed
        first; an *until* that has passed ends the stream after that. Without *until* it ends
        when the log is closed. Listening starts with this call. Raises `InvalidRequest` for
        unknown filters, `StoreError` and `KernelError` at once; while iterating `StoreError`,
        and `TimedOut`, *timeout* seconds from now.
        """
        if not isinstance(filters, EventFilter):
            filters = EventFilter.parse(filters)
        last = None if until is None else round(until * 1e9)
        first = None if since is None else round(since * 1e9)
        is_past = since is not None or until is not None
        if not is_past:  # what others have noted, and not yet written, is of the past too
            first = time.time_ns()
        directory = self._journal.directory
        stream = EventStream(directory, filters, first, last, timeout, from_now=not is_past)
        with self._lock:
            if self._closed or (last is not None and last <= time.time_ns()):
                stream._finish()
            self._listeners.add(stream)
            self._heard = True
        self.write()
        return stream

    def close(self) -> None:
        """End every stream, once it has given what it was told."""
        self.write()
        with self._lock:
            self._closed = True
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener._finish()


class EventStream:
    """An iterator over events; `close` it, or let it go, to stop listening."""

    def __init__(
        self,
        directory: str,
        wanted: EventFilter,
        since: int | None,
        until: int | None,
        timeout: float | None,
        *,
        from_now: bool = False,
    ) -> None:
        self._directory = directory
        self._wanted = wanted
        self._since = since
        self._until = until
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._pid = os.getpid()
        self._ready: deque[Event] = deque()  # read, and not yet given
        self._told: deque[Event] = deque()  # what could not be written
        self._turn = threading.Lock()  # who reads
        self._gate = threading.Lock()  # who lets go of what is read
        self._is_read = False
        self._is_last = False  # whether nothing comes after what is written now
        self._ended = False
        self._watch = _watch(directory)
        try:
            self._reader = JournalReader(directory, from_now=from_now)
        except BaseException:
            self._watch.close()
            raise

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        if os.getpid() != self._pid:  # a fork would take away what its parent waits for
            raise ForeignProcess(self._pid)
        with self._turn:
            with self._gate:
                if self._ended:
                    raise StopIteration
                self._is_read = True
            try:
                event = self._next()
            except EngineError:
                self._ended = True
                raise
            finally:
                with self._gate:
                    self._is_read = False
                    if self._ended:
                        self._let_go()
            if event is None:
                raise StopIteration
            return event

    def close(self) -> None:
        """Stop listening; a thread that waits for the next event gets none."""
        with self._gate:
            self._ended = True
            if self._is_read:
                self._watch.wake()
            else:
                self._let_go()

    def __enter__(self) -> EventStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if reader := getattr(self, "_reader", None):
            reader.close()

    def _let_go(self) -> None:
        if os.getpid() == self._pid:
            self._watch.close()
            self._reader.close()

    # --- told by the log, on any thread ---

    def _tell(self, events: list[Event]) -> None:
        self._told.extend(events)
        self._wake()

    def _finish(self) -> None:
        self._is_last = True
        self._wake()

    def _wake(self) -> None:
        with self._gate:
            if not self._ended:
                self._watch.wake()

    # --- reading, by one thread at a time ---

    def _next(self) -> Event | None:
        """The next wanted event; None, and the stream has ended, where none will come."""
        while not self._ended:
            if self._ready:
                return self._ready.popleft()
            is_last = self._is_last or self._is_over()  # before reading: nothing shall slip through
            self._read()
            if is_last and not self._ready:
                break
            if not (self._ready or self._is_last or self._ended):  # reading has taken their call
                self._wait()
        self._ended = True
        return None

    def _read(self) -> None:
        from pyengine.linux.watch import Seen

        if Seen.GONE in self._watch.take():  # somebody has removed the directory
            with self._gate:
                self._watch.close()
                self._watch = _watch(self._directory)
        events = [event for line in self._reader.read() if (event := _parse(line)) is not None]
        while self._told:
            events.append(self._told.popleft())
        chosen = [event for event in events if self._is_wanted(event)]
        self._ready.extend(sorted(chosen, key=_moment))

    def _is_wanted(self, event: Event) -> bool:
        return (
            (self._since is None or event.time_ns >= self._since)
            and (self._until is None or event.time_ns <= self._until)
            and self._wanted.matches(event)
        )

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._watch.fileno(), select.POLLIN)
        patience = self._patience()
        if poll.poll(None if patience is None else patience * 1000 + 1):
            return
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise TimedOut("waiting for events", self._timeout or 0.0)

    def _patience(self) -> float | None:
        """How long to wait; None: for ever."""
        limits = []
        if self._until is not None:
            # not longer than a minute: the clock may be set while we sleep
            limits.append(min((self._until - time.time_ns()) / 1e9, 60.0))
        if self._deadline is not None:
            limits.append(self._deadline - time.monotonic())
        return max(min(limits), 0.0) if limits else None

    def _is_over(self) -> bool:
        return self._until is not None and time.time_ns() >= self._until


def _watch(directory: str) -> Watch:
    from pyengine.linux.watch import Watch

    try:
        os.makedirs(directory, 0o700, exist_ok=True)
    except OSError as error:
        records.refuse(directory, error)
    return Watch(directory, NAME)


def _moment(event: Event) -> int:
    return event.time_ns


def _event(raw: _Raw) -> Event:
    kind, action, actor_id, attributes, time_ns = raw
    made = attributes() if callable(attributes) else attributes
    return Event(kind, action, actor_id, made, time_ns)


def _line(raw: _Raw) -> bytes:
    event = _event(raw)
    line = event.to_json().encode()
    if len(line) >= LONGEST:
        few = {name: event.attributes[name] for name in _KEPT if name in event.attributes}
        line = evolve(event, attributes=few).to_json().encode()
    return line + b"\n"


def _parse(line: bytes) -> Event | None:
    """What a line tells; nothing where it is not whole, or not ours."""
    try:
        return Event.from_json(line)
    except InvalidRequest:
        return None
