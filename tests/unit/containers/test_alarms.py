"""What is to be done later is done in its time, in order, and not once it is cancelled."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pyengine.containers.alarms import Alarms


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.alarms = Alarms(lambda: self.time)

    def move(self, seconds: float) -> None:
        self.time += seconds
        self.alarms.look()


@pytest.fixture
def clock():
    made = Clock()
    yield made
    made.alarms.close()


def test_what_is_due_is_called_and_what_is_not_waits(clock):
    heard = SimpleQueue()
    clock.alarms.after(10, lambda: heard.put("ten"))
    clock.alarms.after(5, lambda: heard.put("five"))
    clock.move(5)
    assert heard.get(timeout=5) == "five"
    with pytest.raises(Empty):
        heard.get_nowait()
    clock.move(5)
    assert heard.get(timeout=5) == "ten"


def test_what_is_cancelled_is_not_called(clock):
    heard = SimpleQueue()
    cancelled = clock.alarms.after(1, lambda: heard.put("cancelled"))
    clock.alarms.after(2, lambda: heard.put("called"))
    clock.alarms.cancel(cancelled)
    clock.alarms.cancel(cancelled)
    clock.move(3)
    assert heard.get(timeout=5) == "called"


def test_who_is_called_may_set_the_next_alarm(clock):
    heard = SimpleQueue()

    def again() -> None:
        heard.put(clock.time)
        clock.alarms.after(1, again)

    clock.alarms.after(1, again)
    for _ in range(3):
        clock.move(1)
        assert heard.get(timeout=5) == clock.time


def test_there_is_no_thread_where_nothing_is_due(clock):
    assert not _threads()
    done = threading.Event()
    clock.alarms.after(1, done.set)
    (thread,) = _threads()
    clock.move(1)
    assert done.wait(5)
    thread.join(5)
    assert not _threads()


def test_what_raises_is_told_and_the_next_is_called(clock, monkeypatch):
    told, heard = SimpleQueue(), SimpleQueue()
    monkeypatch.setattr(threading, "excepthook", lambda given: told.put(given.exc_value))
    clock.alarms.after(1, lambda: {}["missing"])
    clock.alarms.after(2, lambda: heard.put("called"))
    clock.move(2)
    assert isinstance(told.get(timeout=5), KeyError)
    assert heard.get(timeout=5) == "called"


def test_once_closed_nothing_is_called_any_more(clock):
    heard = SimpleQueue()
    clock.alarms.after(1, lambda: heard.put("before"))
    clock.alarms.close()
    clock.alarms.after(1, lambda: heard.put("after"))
    clock.move(5)
    assert heard.empty()
    assert not _threads()


def test_close_waits_for_what_is_being_called(clock):
    begun, goes_on, ended = threading.Event(), threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        goes_on.wait(5)
        ended.set()

    clock.alarms.after(0, slow)
    assert begun.wait(5)
    closing = threading.Thread(target=clock.alarms.close)
    closing.start()
    assert not ended.is_set()
    goes_on.set()
    closing.join(5)
    assert ended.is_set()


@given(some.lists(some.tuples(some.integers(0, 20), some.booleans()), max_size=20))
def test_alarms_are_called_in_order_of_their_time(wishes):
    clock = Clock()
    called, all_set, done = [], threading.Event(), threading.Event()
    clock.alarms.after(0, lambda: all_set.wait(5))
    numbers = [
        clock.alarms.after(due, lambda n=n: called.append(n)) for n, (due, _) in enumerate(wishes)
    ]
    for number, (_, is_wanted) in zip(numbers, wishes, strict=True):
        if not is_wanted:
            clock.alarms.cancel(number)
    clock.alarms.after(30, done.set)
    all_set.set()
    clock.move(30)
    assert done.wait(5)
    clock.alarms.close()
    wanted = [n for n, (_, is_wanted) in enumerate(wishes) if is_wanted]
    assert called == sorted(wanted, key=lambda n: wishes[n][0])


def _threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "pyengine-alarms"]
