"""What happens is told to who listens, once, in order, and without waiting for them."""

from __future__ import annotations

import gc
import json
import os
import shutil
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.errors import ForeignProcess, InvalidRequest, StoreError, TimedOut
from pyengine.events import LONGEST, MOST_WAITING, Event, EventFilter, EventLog
from pyengine.store.journal import NAME


def make(action="start", type="container", actor="4f2abc", **attributes):
    return Event(type, action, actor, attributes, 1_700_000_000_123_456_789)


def matches(event, /, **filters):
    return EventFilter.parse(filters).matches(event)


@pytest.fixture
def log(tmp_path):
    made = EventLog(f"{tmp_path}/events")
    yield made
    made.close()


def past(log, **options):
    return [event.action for event in log.stream(since=0, until=time.time(), **options)]


def test_the_past_is_replayed_in_order(log):
    for number in range(1000):
        log.emit("container", str(number), "4f2a")
    assert past(log) == [str(number) for number in range(1000)]


def test_without_a_since_only_what_comes_is_told(log):
    log.emit("container", "create", "4f2a")
    stream = log.stream()
    log.emit("container", "start", "4f2a", {"name": "web"})
    event = next(stream)
    assert (event.type, event.action, event.attributes) == ("container", "start", {"name": "web"})


def test_since_and_until_cut_the_past(log):
    for number in range(5):
        log.emit("container", str(number), "4f2a")
    events = list(log.stream(since=0, until=time.time()))
    first, last = events[1].time_ns, events[3].time_ns
    assert sorted(event.time_ns for event in events) == [event.time_ns for event in events]
    stream = log.stream(since=first / 1e9, until=last / 1e9)
    # a float has 200 ns of room today
    assert {"2"} <= {event.action for event in stream} <= {"0", "1", "2", "3", "4"}


def test_an_until_to_come_is_waited_for_and_then_it_ends(log):
    started = time.monotonic()
    assert list(log.stream(until=time.time() + 0.05)) == []
    assert 0.04 < time.monotonic() - started < 5


def test_a_timeout_is_an_error_and_the_end(log):
    stream = log.stream(timeout=0.01)
    with pytest.raises(TimedOut, match="events"):
        next(stream)
    assert list(stream) == []


def test_a_waiting_listener_is_woken_by_what_happens(log):
    heard = []
    stream = log.stream(timeout=10)
    thread = threading.Thread(target=lambda: heard.append(next(stream).action))
    thread.start()
    log.emit("container", "die", "4f2a")
    thread.join(10)
    assert heard == ["die"]


def test_closing_the_log_ends_every_stream_after_what_it_was_told(log):
    stream = log.stream()
    log.emit("container", "die", "4f2a")
    log.close()
    assert [event.action for event in stream] == ["die"]
    assert list(log.stream()) == []


def test_closing_the_log_wakes_who_waits(log):
    heard = []
    stream = log.stream(timeout=10)
    thread = threading.Thread(target=lambda: heard.extend(stream))
    thread.start()
    log.close()
    thread.join(10)
    assert (heard, thread.is_alive()) == ([], False)


def test_a_closed_stream_tells_nothing_more(log):
    with log.stream() as stream:
        log.emit("container", "die", "4f2a")
    assert list(stream) == []


def test_closing_a_stream_wakes_who_waits_for_it(log):
    heard = []
    stream = log.stream(timeout=10)
    thread = threading.Thread(target=lambda: heard.extend(stream))
    thread.start()
    stream.close()
    thread.join(10)
    assert (heard, thread.is_alive()) == ([], False)


def test_a_listener_that_nobody_holds_is_forgotten(log):
    fds, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    log.stream()
    gc.collect()
    assert not log._listeners
    for thread in threading.enumerate():
        if thread.name == "pyengine-watch":
            thread.join(10)
    assert len(os.listdir("/proc/self/fd")) == fds
    assert threading.active_count() == threads


def test_where_nobody_listens_nothing_is_written_until_somebody_has_time(tmp_path):
    work = []
    log = EventLog(f"{tmp_path}/events", work.append)
    log.emit("container", "create", "4f2a")
    log.emit("container", "start", "4f2a")
    assert not (tmp_path / "events").exists()
    assert len(work) == 1  # asked for once
    work.pop()()
    assert (tmp_path / "events" / NAME).read_bytes().count(b"\n") == 2
    log.emit("container", "die", "4f2a")
    assert len(work) == 1
    log.close()
    assert (tmp_path / "events" / NAME).read_bytes().count(b"\n") == 3


def test_where_nobody_has_time_to_write_memory_does_not_fill_up(tmp_path):
    log = EventLog(f"{tmp_path}/events")
    for _ in range(MOST_WAITING + 10):
        log.emit("container", "top", "4f2a")
    assert len(log._waiting) < MOST_WAITING
    log.close()
    assert len(list(log.stream(since=0))) == MOST_WAITING + 10


def test_an_engine_in_which_nothing_happens_writes_nothing(tmp_path):
    EventLog(f"{tmp_path}/events").close()
    assert os.listdir(tmp_path) == []


def test_attributes_are_made_when_they_are_written(tmp_path):
    log = EventLog(f"{tmp_path}/events")
    made = []

    def attributes():
        made.append(1)
        return {"name": "web"}

    log.emit("container", "start", "4f2a", attributes)
    assert not made
    events = log.stream(since=0, until=time.time())
    assert next(events).attributes == {"name": "web"}


def test_every_thread_s_events_arrive(log):
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
    assert times == sorted(times)


def test_filters_choose_from_the_past_too(log):
    log.emit("container", "start", "4f2a")
    log.emit("image", "pull", "alpine")
    assert past(log, filters={"type": "image"}) == ["pull"]


def test_a_filter_that_events_do_not_have_is_refused_at_once(log):
    with pytest.raises(InvalidRequest, match="event filter"):
        log.stream(filters={"color": "red"})
    with pytest.raises(InvalidRequest, match="event filter type"):
        EventFilter.parse({"type": [3]})


def test_another_engine_s_events_are_heard_and_its_past_is_known(log, tmp_path):
    stream = log.stream(timeout=10)
    other = EventLog(f"{tmp_path}/events")
    other.emit("container", "start", "4f2a")
    other.write()
    assert next(stream).action == "start"
    assert past(log) == past(other) == ["start"]
    other.close()


def test_the_past_of_several_is_told_in_the_order_of_time(log, tmp_path):
    other = EventLog(f"{tmp_path}/events")
    for number in range(10):
        (log, other)[number % 2].emit("container", str(number), "4f2a")
    other.close()
    assert past(log) == [str(number) for number in range(10)]


def test_what_others_noted_before_and_write_now_is_no_news(log, tmp_path):
    other = EventLog(f"{tmp_path}/events")
    other.emit("container", "old", "4f2a")
    stream = log.stream(timeout=10)
    other.emit("container", "new", "4f2a")
    other.close()
    assert next(stream).action == "new"


def test_what_cannot_be_written_is_still_told_here(log, tmp_path):
    (tmp_path / "events" / NAME).mkdir(parents=True)
    with pytest.raises(StoreError, match="regular file"):
        log.stream()
    os.rmdir(tmp_path / "events" / NAME)
    stream = log.stream(timeout=10)
    (tmp_path / "events" / NAME).mkdir()
    log.emit("container", "die", "4f2a")
    assert "move it away" in log.trouble or "directory" in log.trouble
    os.rmdir(tmp_path / "events" / NAME)
    assert next(stream).action == "die"
    log.emit("container", "destroy", "4f2a")
    assert next(stream).action == "destroy"
    assert log.trouble == ""


def test_a_directory_that_is_removed_is_made_again(log, tmp_path):
    stream = log.stream(timeout=10)
    log.emit("container", "one", "4f2a")
    assert next(stream).action == "one"
    shutil.rmtree(tmp_path / "events")
    log.emit("container", "two", "4f2a")
    assert next(stream).action == "two"


def test_lines_that_are_no_events_are_passed_over(log, tmp_path):
    log.emit("container", "one", "4f2a")
    log.write()
    with open(tmp_path / "events" / NAME, "ab") as file:
        file.write(b'garbage\n\xff\n[1]\n{"Type":1}\n')
    log.emit("container", "two", "4f2a")
    assert past(log) == ["one", "two"]


def test_of_an_event_that_is_too_long_its_name_is_left(log):
    labels = {"big": "x" * LONGEST, "name": "web", "image": "busybox"}
    log.emit("container", "create", "4f2a", labels)
    (event,) = log.stream(since=0, until=time.time())
    assert event.attributes == {"name": "web", "image": "busybox"}


def test_a_fork_does_not_take_away_what_its_parent_waits_for(log):
    stream = log.stream(timeout=10)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            next(stream)
        except ForeignProcess:
            stream.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    log.emit("container", "die", "4f2a")
    assert next(stream).action == "die"


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


texts = st.text(max_size=20)


@given(texts, texts, texts, st.dictionaries(texts, texts, max_size=4), st.integers(0, 1 << 62))
def test_an_event_reads_back_what_it_wrote(type, action, actor, attributes, moment):
    event = Event(type, action, actor, attributes, moment)
    assert Event.from_json(event.to_json()) == event


@given(st.one_of(st.text(), st.binary(), st.from_regex(r'\{"Type":("a"|1),"Actor":.*\}')))
def test_what_is_no_event_is_refused(text):
    with pytest.raises(InvalidRequest, match="event"):
        Event.from_json(text)


keys = st.sampled_from(("event", "container", "label", "image", "scope", "type"))


@settings(max_examples=60)
@given(st.dictionaries(keys, st.lists(st.text(max_size=5), min_size=1, max_size=3)))
def test_one_more_key_never_lets_more_through(filters):
    event = make(name="web", image="nginx:1")
    for key in filters:
        fewer = {name: values for name, values in filters.items() if name != key}
        assert not matches(event, **filters) or matches(event, **fewer)
