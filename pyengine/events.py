"""What happened in this engine, remembered for a while, and told to whoever listens."""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from queue import Empty, SimpleQueue
from types import TracebackType

from pyengine.errors import TimedOut
from pyengine.model.event import Event, EventFilter, FilterTexts

__all__ = ["Event", "EventFilter", "EventLog", "EventStream"]

REMEMBERED = 256
"""How many events are replayed to who asks for the past (row O35)."""

LISTENER_LIMIT = 65_536
"""A listener that has fallen this far behind misses what follows, until it catches up."""

_Attributes = Mapping[str, str] | Callable[[], Mapping[str, str]]
_Raw = tuple[str, str, str, _Attributes, int]

_NONE: Mapping[str, str] = {}


class EventLog:
    """The events of one engine; safe to use from every thread.

    >>> log = EventLog()
    >>> log.emit("container", "start", "4f2a", {"name": "web"})
    >>> [event.action for event in log.stream(since=0, until=time.time())]
    ['start']
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._past: deque[_Raw] = deque(maxlen=REMEMBERED)
        self._listeners: weakref.WeakSet[EventStream] = weakref.WeakSet()
        self._heard = False  # whether anybody has listened yet: spares a look at the set
        self._closed = False

    def emit(self, type: str, action: str, actor_id: str, attributes: _Attributes = _NONE) -> None:
        """Tell that *action* has happened to the *type* called *actor_id*.

        *attributes* may be a function without arguments that makes them: it is called when
        somebody looks at the event, if ever, so it must answer from values that do not change.
        """
        with self._lock:  # time is taken inside: the order of the log is that of its times
            raw = (type, action, actor_id, attributes, time.time_ns())
            self._past.append(raw)
            listeners = tuple(self._listeners) if self._heard else ()
        for listener in listeners:
            listener._tell(raw)

    def stream(
        self,
        *,
        since: float | None = None,
        until: float | None = None,
        filters: FilterTexts | EventFilter | None = None,
        timeout: float | None = None,
    ) -> EventStream:
        """Events from now on, or from *since*, as they happen, up to *until*.

        Times are seconds since 1970. With *since* or *until* the last `REMEMBERED` events are
        replayed first; an *until* that has passed ends the stream after them. Without *until*
        it ends when the log is closed. Raises `InvalidRequest` for unknown filters at once, and
        while iterating `TimedOut`, *timeout* seconds from now. Listening starts with this call.
        """
        if not isinstance(filters, EventFilter):
            filters = EventFilter.parse(filters)
        first = None if since is None else round(since * 1e9)
        last = None if until is None else round(until * 1e9)
        stream = EventStream(filters, first, last, timeout)
        with self._lock:
            if since is not None or until is not None:
                for raw in self._past:
                    stream._tell(raw)
            if self._closed or (last is not None and last <= time.time_ns()):
                stream._tell(None)
            else:
                self._listeners.add(stream)
                self._heard = True
        return stream

    def close(self) -> None:
        """End every stream, once it has given what it was told."""
        with self._lock:
            self._closed = True
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener._tell(None)


class EventStream:
    """An iterator over events; `close` it, or let it go, to stop listening."""

    def __init__(
        self, wanted: EventFilter, since: int | None, until: int | None, timeout: float | None
    ) -> None:
        self._wanted = wanted
        self._since = since
        self._until = until
        self._timeout = timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._told: SimpleQueue[_Raw | None] = SimpleQueue()
        self._ended = False

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        while not self._ended:
            try:
                raw = self._told.get(timeout=self._patience())
            except Empty:
                self._check_timeout()
                continue
            if raw is None or (self._until is not None and raw[4] > self._until):
                break
            if self._since is not None and raw[4] < self._since:
                continue
            event = _event(raw)
            if self._wanted.matches(event):
                return event
        self._ended = True
        raise StopIteration

    def close(self) -> None:
        """Stop listening; a thread that waits for the next event gets none."""
        self._ended = True
        self._told.put(None)

    def __enter__(self) -> EventStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _tell(self, raw: _Raw | None) -> None:
        if raw is None or (not self._ended and self._told.qsize() < LISTENER_LIMIT):
            self._told.put(raw)

    def _patience(self) -> float | None:
        """How long to wait; None: for ever."""
        limits = []
        if self._until is not None:
            # not longer than a minute: the clock may be set while we sleep
            limits.append(min((self._until - time.time_ns()) / 1e9, 60.0))
        if self._deadline is not None:
            limits.append(self._deadline - time.monotonic())
        return max(min(limits), 0.0) if limits else None

    def _check_timeout(self) -> None:
        if self._until is not None and time.time_ns() >= self._until:
            self._ended = True
        elif self._deadline is not None and time.monotonic() >= self._deadline:
            self.close()
            raise TimedOut("waiting for events", self._timeout or 0.0)


def _event(raw: _Raw) -> Event:
    kind, action, actor_id, attributes, time_ns = raw
    made = attributes() if callable(attributes) else attributes
    return Event(kind, action, actor_id, made, time_ns)
