"""A lock is one's alone, of the file that has the name now, and ends with who holds it."""

from __future__ import annotations

import os
import threading

import pytest

from pyengine.store import locks


@pytest.fixture
def path(tmp_path):
    return f"{tmp_path}/locks/lock"


def test_who_waits_gets_the_lock_of_the_file_that_has_the_name_then(path):
    first, waits, got = locks.acquire(path), threading.Event(), []
    thread = threading.Thread(target=lambda: got.append(locks.acquire(path, waits.set)))
    thread.start()
    assert waits.wait(60)
    os.unlink(path)  # as `passing` does, when it is done
    locks.release(first)
    thread.join()
    assert os.path.samestat(os.fstat(got[0]), os.stat(path))
    assert locks.try_acquire(path) is None
    locks.release(got[0])


def test_a_lock_whose_file_goes_with_it_is_one_at_a_time(path):
    inside, most = [], []

    def want():
        for _ in range(50):
            with locks.passing(path):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) == 200
    assert os.listdir(os.path.dirname(path)) == []


def test_a_shared_lock_is_shared_and_keeps_out_who_wants_it_alone(path):
    class Enough(Exception):
        pass

    def stop():
        raise Enough

    with locks.shared(path), locks.shared(path):
        assert locks.try_acquire(path) is None
        with pytest.raises(Enough), locks.exclusive(path, stop):
            pass
    with locks.exclusive(path), pytest.raises(Enough), locks.shared(path, stop):
        pass


def test_a_lock_that_was_given_back_is_free_though_a_fork_has_its_descriptor(path):
    fd = locks.acquire(path)
    inherited = os.dup(fd)
    locks.release(fd)
    again = locks.try_acquire(path)
    assert again is not None
    locks.release(again)
    os.close(inherited)


def test_a_lock_that_is_not_there_is_nobodys_and_is_not_made(path):
    assert locks.try_acquire(path) is None
    assert not os.path.exists(path)
    fd = locks.try_acquire_new(path)
    assert fd is not None
    assert locks.try_acquire_new(path) is None
    locks.release(fd)


def test_a_lock_is_not_that_of_what_a_link_points_to(path, tmp_path):
    os.makedirs(os.path.dirname(path))
    os.symlink(tmp_path / "elsewhere", path)
    with pytest.raises(Exception, match="symbolic links"):
        locks.acquire(path)
    assert not (tmp_path / "elsewhere").exists()
