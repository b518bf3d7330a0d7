"""What nobody should wait for is done by a thread, and all of it before the end."""

from __future__ import annotations

import os
import threading

import pytest

from pyengine.containers.sweeper import Sweeper
from pyengine.errors import StoreError


@pytest.fixture
def trash(tmp_path):
    place = tmp_path / "trash"
    place.mkdir()
    return place


@pytest.fixture
def sweeper(trash):
    made = Sweeper(lambda: str(trash))
    yield made
    made.close()


def full(path):
    (path / "deep/deeper").mkdir(parents=True)
    (path / "deep/file").write_text("x")
    return str(path)


def left_in(trash):
    """What was not removed; a place for what comes next may be there already."""
    return [name for batch in os.listdir(trash) for name in os.listdir(trash / batch)]


def test_what_is_thrown_away_is_gone_at_once_and_removed_by_the_end(sweeper, trash, tmp_path):
    told = threading.Event()
    path = full(tmp_path / "one")
    assert sweeper.throw_away(path, told.set)
    assert not os.path.exists(path)
    assert not sweeper.throw_away(path, told.set)
    assert told.wait(10)
    sweeper.close()
    assert left_in(trash) == []


def test_work_is_done_later_by_the_thread(sweeper):
    did = threading.Event()
    by = []

    def work():
        by.append(threading.current_thread().name)
        did.set()

    sweeper.later(work)
    assert did.wait(10)
    assert by == ["pyengine-sweeper"]


def test_all_that_waits_is_done_before_the_end(sweeper, trash, tmp_path):
    done = []
    for number in range(100):
        path = full(tmp_path / str(number))
        sweeper.throw_away(path, lambda number=number: done.append(number))
    sweeper.close()
    assert sorted(done) == list(range(100))
    assert left_in(trash) == []


def test_without_a_thread_he_who_throws_away_removes_himself(sweeper, trash, tmp_path, monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    done = []
    sweeper.later(lambda: done.append("later"))  # no harm
    assert sweeper.throw_away(full(tmp_path / "one"), lambda: done.append("swept"))
    assert done == ["later", "swept"]
    monkeypatch.undo()
    sweeper.throw_away(full(tmp_path / "two"), lambda: done.append("again"))
    sweeper.close()
    assert done == ["later", "swept", "again"]
    assert left_in(trash) == []


def test_what_fails_is_done_again_and_stops_nobody(sweeper, trash, tmp_path):
    answers = iter([StoreError("/names", "Too many open files"), OSError(24, "EMFILE"), None])
    failed, done = threading.Event(), threading.Event()

    def fail_at_first():
        failed.set()
        if (error := next(answers)) is not None:
            raise error
        done.set()

    assert sweeper.throw_away(full(tmp_path / "one"), fail_at_first)
    for number in range(2):
        assert failed.wait(10)
        failed.clear()
        again = threading.Event()
        assert sweeper.throw_away(full(tmp_path / f"again{number}"), again.set)
        assert again.wait(10)
    assert done.wait(10)
    sweeper.close()
    assert left_in(trash) == []
