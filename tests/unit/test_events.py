"""What happens is told to who listens, once, in order, and without waiting for them."""

from __future__ import annotations

import gc
import json
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.errors import InvalidRequest, TimedOut
from pyengine.events import REMEMBERED, Event, EventFilter, EventLog


def make(action="start", type="container", actor="4f2abc", **attributes):
    return Event(type, action, actor, attributes, 1_700_000_000_123_456_789)


def matches(event, /, **filters):
    return EventFilter.parse(filters).matches(event)


def past(log, **options):
    return [event.action for event in log.stream(since=0, until=time.time(), **options)]


def test_the_last_256_are_replayed_in_order():
    log = EventLog()
    for number in range(REMEMBERED + 10):
        log.emit("container", str(number), "4f2a")
    assert past(log) == [str(number) for number in range(10, REMEMBERED + 10)]


def test_without_a_since_only_what_comes_is_told():
    log = EventLog()
    log.emit("container", "create", "4f2a")
    stream = log.stream()
    log.emit("container", "start", "4f2a", {"name": "web"})
    event = next(stream)
    assert (event.type, event.action, event.attributes) == ("container", "start", {"name": "web"})


def test_since_and_until_cut_the_past():
    log = EventLog()
    for number in range(5):
        log.emit("container", str(number), "4f2a")
    events = list(log.stream(since=0, until=time.time()))
    first, last = events[1].time_ns, events[3].time_ns
    assert sorted(event.time_ns for event in events) == [event.time_ns for event in events]
    stream = log.stream(since=first / 1e9, until=last / 1e9)
    # a float has 200 ns of room today
    assert {"2"} <= {event.action for event in stream} <= {"0", "1", "2", "3", "4"}


def test_an_until_to_come_is_waited_for_and_then_it_ends():
    log = EventLog()
    started = time.monotonic()
    assert list(log.stream(until=time.time() + 0.05)) == []
    assert 0.04 < time.monotonic() - started < 5


def test_a_timeout_is_an_error():
    with pytest.raises(TimedOut, match="events"):
        next(EventLog().stream(timeout=0.01))


def test_a_waiting_listener_is_woken_by_what_happens():
    log = EventLog()
    heard = []
    stream = log.stream(timeout=10)
    thread = threading.Thread(target=lambda: heard.append(next(stream).action))
    thread.start()
    log.emit("container", "die", "4f2a")
    thread.join(10)
    assert heard == ["die"]


def test_closing_the_log_ends_every_stream_after_what_it_was_told():
    log = EventLog()
    stream = log.stream()
    log.emit("container", "die", "4f2a")
    log.close()
    assert [event.action for event in stream] == ["die"]
    assert list(log.stream()) == []


def test_a_closed_stream_tells_nothing_more():
    log = EventLog()
    with log.stream() as stream:
        log.emit("container", "die", "4f2a")
    assert list(stream) == []


def test_a_listener_that_nobody_holds_is_forgotten():
    log = EventLog()
    log.stream()
    gc.collect()
    assert not log._listeners


def test_attributes_are_made_only_for_who_looks():
    log = EventLog()
    made = []

    def attributes():
        made.append(1)
        return {"name": "web"}

    log.emit("container", "start", "4f2a", attributes)
    assert not made
    events = log.stream(since=0, until=time.time())
    assert next(events).attributes == {"name": "web"}


def test_every_thread_s_events_arrive():
    log = EventLog()
    stream = log.stream()
    threads = [
        threading.Thread(target=lambda: [log.emit("container", "top", "a") for _ in range(200)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    times = [event.time_ns for event in stream]
    assert len(times) == 800


def test_filters_choose_from_the_past_too():
    log = EventLog()
    log.emit("container", "start", "4f2a")
    log.emit("image", "pull", "alpine")
    assert past(log, filters={"type": "image"}) == ["pull"]


def test_a_filter_that_events_do_not_have_is_refused_at_once():
    with pytest.raises(InvalidRequest, match="event filter"):
        EventLog().stream(filters={"color": "red"})
    with pytest.raises(InvalidRequest, match="event filter type"):
        EventFilter.parse({"type": [3]})


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, True),
        ({"event": "start"}, True),
        ({"event": "star"}, False),
        ({"event": ["die", "start"]}, True),
        ({"event": {"start": True}}, True),
        ({"container": "4f"}, True),
        ({"container": "we"}, True),
        ({"container": "eb"}, False),
        ({"container": ["x", "web"], "event": "die"}, False),
        ({"label": "tier"}, True),
        ({"label": "tier=front"}, True),
        ({"label": ["tier=front", "absent"]}, False),
        ({"image": "nginx:1"}, True),
        ({"image": "nginx"}, True),
        ({"image": "ngin"}, False),
        ({"scope": "local"}, True),
        ({"scope": "swarm"}, False),
        ({"type": "image"}, False),
        ({"type": ()}, True),
    ],
)
def test_filters_are_docker_s(filters, expected):
    event = make(name="web", image="nginx:1", tier="front")
    assert matches(event, **filters) is expected


@pytest.mark.parametrize(
    "action", ["exec_create: sh -c x", "exec_start: sh", "health_status: well"]
)
def test_actions_that_carry_words_are_found_by_their_beginning(action):
    assert matches(make(action), event=action.partition(":")[0])
    assert matches(make(action), event=action) is True


def test_the_port_of_a_registry_is_no_tag():
    event = make("pull", "image", "host:5000/app", name="host:5000/app:1")
    assert matches(event, image="host:5000/app")
    assert not matches(event, image="host")


def test_the_message_is_docker_s():
    assert json.loads(make(name="web", image="nginx").to_json(legacy=True)) == {
        "status": "start",
        "id": "4f2abc",
        "from": "nginx",
        "Type": "container",
        "Action": "start",
        "Actor": {"ID": "4f2abc", "Attributes": {"name": "web", "image": "nginx"}},
        "scope": "local",
        "time": 1_700_000_000,
        "timeNano": 1_700_000_000_123_456_789,
    }
    assert "status" not in make().to_docker()


keys = st.sampled_from(("event", "container", "label", "image", "scope", "type"))


@settings(max_examples=60)
@given(st.dictionaries(keys, st.lists(st.text(max_size=5), min_size=1, max_size=3)))
def test_one_more_key_never_lets_more_through(filters):
    event = make(name="web", image="nginx:1")
    for key in filters:
        fewer = {name: values for name, values in filters.items() if name != key}
        assert not matches(event, **filters) or matches(event, **fewer)
