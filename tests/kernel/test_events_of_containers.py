"""What happens to containers is told, in order, as Docker tells it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import pytest
from shells import ready
from strangers import Stranger

import pyengine
from pyengine import ExecutableNotFound, InvalidRequest, StoreError, TimedOut
from pyengine.store.journal import Journal

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]


def actions(engine, **options):
    """All that has happened until now."""
    return [event.action for event in engine.events(until=time.time(), **options)]


def test_a_run_is_told_from_its_making_to_its_removal(engine, image):
    # O36, O38
    engine.run(image, "true", name="short", labels={"tier": "db"})
    told = list(engine.events(until=time.time()))
    assert [event.action for event in told] == ["create", "start", "die", "destroy"]
    for event in told:
        assert (event.type, event.scope, len(event.actor_id)) == ("container", "local", 64)
        assert {"name": "short", "image": image, "tier": "db"}.items() <= event.attributes.items()
    died = told[2].attributes
    assert (died["exitCode"], died["execDuration"]) == ("0", "0")
    times = [event.time_ns for event in told]
    assert times == sorted(times)


def test_a_stop_tells_its_signals(engine, image):
    # O36, O38, O03
    container = ready(engine, image, "trap '' TERM; echo ready; while :; do sleep 9; done")
    container.stop(timeout=0.1)
    told = list(engine.events(until=time.time(), filters={"container": container.id}))
    assert [event.action for event in told[2:]] == ["kill", "kill", "die", "stop"]
    assert [event.attributes["signal"] for event in told if event.action == "kill"] == ["15", "9"]
    assert told[4].attributes["exitCode"] == "137"


def test_everything_that_is_done_to_a_container_is_told(engine, image):
    # O36
    container = engine.create(image, "sleep 99", name="busy", tty=True)
    attached = container.attach()
    container.start()
    container.pause()
    container.unpause()
    container.update(pids=99)
    container.rename("renamed")
    container.resize(10, 20)
    container.exec(["sh", "-c", "exit 3"])
    container.top()
    container.kill("SIGCONT")
    container.restart(timeout=0)
    container.remove(force=True)
    told = actions(engine)
    wanted = [
        *("create", "attach", "start", "pause", "unpause", "update", "rename", "resize"),
        *("exec_create: sh -c 'exit 3'", "exec_start: sh -c 'exit 3'", "exec_die"),
        *("kill", "die", "stop", "start", "restart", "die", "destroy"),
    ]
    position = -1
    for action in wanted:
        assert action in told[position + 1 :], (action, told)
        position = told.index(action, position + 1)
    attached.close()


def test_particulars_are_told_with_what_happened(engine, image):
    # O36
    container = engine.start(image, "sleep 99", name="before", tty=True)
    container.rename("after")
    container.resize(10, 20)
    container.exec("false")
    found = {event.action: event.attributes for event in engine.events(until=time.time())}
    assert (found["rename"]["oldName"], found["rename"]["name"]) == ("/before", "after")
    assert (found["resize"]["height"], found["resize"]["width"]) == ("10", "20")
    assert found["exec_die"]["exitCode"] == "1"
    assert found["exec_create: false"]["name"] == "after"


def test_memory_that_ran_out_is_told_before_the_death(engine, image):
    # O36
    engine.run(image, "tail /dev/zero", memory="16m")
    assert actions(engine) == ["create", "start", "oom", "die", "destroy"]


def test_what_never_ran_never_started(engine, image):
    with pytest.raises(ExecutableNotFound):
        engine.run(image, "nonesuch")
    assert "start" not in actions(engine)


def test_a_listener_hears_of_things_as_they_happen(engine, image):
    # O35
    with engine.events(timeout=10) as events:
        container = engine.start(image, "cat", stdin_open=True, name="live")
        assert [next(events).action for _ in range(2)] == ["create", "start"]
        with container.attach(stdin=True):
            assert next(events).action == "attach"
        assert next(events).action == "die"


def test_filters_choose_what_is_heard(engine, image):
    # O35, O39
    engine.run(image, "true", name="one", labels={"a": "1"})
    engine.run(image, "true", name="two", labels={"a": "2"})
    assert actions(engine, filters={"label": "a=1"}) == ["create", "start", "die", "destroy"]
    assert actions(engine, filters={"container": "two", "event": ["start", "die"]}) == [
        *("start", "die")
    ]
    assert actions(engine, filters={"event": "die"}) == ["die", "die"]
    assert actions(engine, filters={"type": "image"}) == []
    assert actions(engine, filters={"image": image, "event": "start"}) == ["start"] * 2
    with pytest.raises(InvalidRequest):
        engine.events(filters={"colour": "red"})


def test_an_event_is_one_line_of_json(engine, image):
    # O35
    engine.run(image, "true", name="short")
    event = next(iter(engine.events(since=0, until=time.time())))
    told = json.loads(event.to_json())
    assert "\n" not in event.to_json()
    assert (told["Type"], told["Action"], told["scope"]) == ("container", "create", "local")
    assert told["Actor"]["Attributes"]["name"] == "short"
    assert told["timeNano"] // 10**9 == told["time"]
    assert told["Actor"]["ID"] == event.actor_id


def test_events_have_an_end(engine):
    # O35: a moment, a time to wait, the engine's own end
    assert list(engine.events(until=time.time())) == []
    assert list(engine.events(until=time.time() + 0.05)) == []
    with pytest.raises(TimedOut):
        next(engine.events(timeout=0.05))
    events = engine.events()
    heard = []
    listening = threading.Thread(target=lambda: heard.append(list(events)))
    listening.start()
    engine.close()
    listening.join(10)
    assert heard == [[]]


def test_every_process_hears_what_happens_in_the_others(engine, image):
    with engine.events(timeout=20) as events, Stranger(engine.root, image) as stranger:
        stranger.tell("engine.run(image, 'true', name='abroad').exit_code")
        heard = [next(events) for _ in range(4)]
        assert stranger.hear() == "0"
        assert [event.action for event in heard] == ["create", "start", "die", "destroy"]
        assert {event.attributes["name"] for event in heard} == {"abroad"}
        engine.start(image, "sleep 99", name="at-home")
        asked = "[one.action for one in engine.events(until=time.time())]"
        assert stranger.ask(asked) == [*("create", "start", "die", "destroy"), "create", "start"]


def test_what_a_process_did_is_known_when_it_has_ended(engine, image):
    with Stranger(engine.root, image) as stranger:
        stranger.ask("engine.start(image, 'sleep 99', name='past').exec('true').exit_code")
        assert stranger.leave() == 0
    told = actions(engine, filters={"container": "past"})
    assert told[:2] == ["create", "start"]
    assert told[-2:] == ["die", "destroy"]


def test_the_command_line_tells_what_other_processes_do(engine, image):
    asked = [sys.executable, "-m", "pyengine", "--root", engine.root, "events", "--since", "0"]
    home = os.path.dirname(os.path.dirname(os.path.abspath(pyengine.__file__)))
    told = subprocess.Popen(
        [*asked, "--format", "{{.Action}} {{.Actor.Attributes.name}}"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": home},
    )
    engine.run(image, "true", name="watched")
    lines = [told.stdout.readline() for _ in range(4)]
    told.kill()
    told.wait()
    told.stdout.close()
    assert lines == [f"{action} watched\n" for action in ("create", "start", "die", "destroy")]


def test_a_run_that_nobody_listens_to_writes_nothing_in_its_own_thread(engine, image, monkeypatch):
    engine.run(image, "true")
    writers = []
    real = Journal.append

    def append(journal, lines):
        writers.append(threading.current_thread().name)
        real(journal, lines)

    monkeypatch.setattr(Journal, "append", append)
    for _ in range(3):
        engine.run(image, "true")
    engine.close()
    assert set(writers) <= {"pyengine-sweeper", threading.main_thread().name}
    assert writers.count(threading.main_thread().name) <= 1  # its end


def test_a_disk_that_takes_no_events_stops_no_container(engine, image):
    os.makedirs(f"{engine.root}/events/log", 0o700)
    os.chmod(engine.root, 0o700)
    assert engine.run(image, ["echo", "hi"]).stdout == "hi\n"
    with pytest.raises(StoreError, match="events/log"):
        engine.events()
    engine._house.events.write()  # as the sweeper does, some time
    assert engine.info().warnings[-1].startswith("WARNING: Events were lost for others: ")
