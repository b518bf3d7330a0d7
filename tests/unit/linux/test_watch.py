"""What happens in a directory is told to everybody who watches it, and to nobody else."""

from __future__ import annotations

import errno
import gc
import os
import select
import threading

import pytest

from pyengine.errors import KernelError
from pyengine.linux import native_log
from pyengine.linux.watch import Seen, Watch


@pytest.fixture(autouse=True)
def _nothing_is_left():
    gc.collect()
    fds, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    yield
    assert len(os.listdir("/proc/self/fd")) == fds
    assert threading.active_count() == threads


def wait(watch, until=Seen.MINE | Seen.OTHER | Seen.GONE):
    """What was seen, once one of *until* is among it."""
    seen = Seen.NOTHING
    while not seen & until:
        assert select.select([watch], [], [], 30)[0]
        seen |= watch.take()
    return seen


def test_mine_and_other_files_are_told_apart(tmp_path):
    with Watch(str(tmp_path), "log") as watch:
        assert watch.take() is Seen.NOTHING
        (tmp_path / "log.1").write_text("x")
        assert wait(watch) == Seen.MINE
        (tmp_path / "state").write_text("x")
        assert wait(watch, Seen.OTHER) & Seen.OTHER
        (tmp_path / "state").rename(tmp_path / "log")
        assert wait(watch, Seen.MINE) & Seen.MINE


def test_everybody_hears_of_his_own_directory_only(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with (
        Watch(str(tmp_path / "a"), "x") as one,
        Watch(str(tmp_path / "a"), "x") as two,
        Watch(str(tmp_path / "b"), "x") as other,
    ):
        (tmp_path / "a" / "x").touch()
        assert wait(one) == wait(two) == Seen.MINE
        assert other.take() is Seen.NOTHING
        one.close()
        (tmp_path / "a" / "x").unlink()
        assert wait(two) == Seen.MINE


def test_a_directory_that_goes_is_told(tmp_path):
    (tmp_path / "a").mkdir()
    with Watch(str(tmp_path / "a"), "x") as watch:
        (tmp_path / "a").rmdir()
        assert Seen.GONE in wait(watch, Seen.GONE)


def test_what_is_no_directory_cannot_be_watched(tmp_path):
    (tmp_path / "file").touch()
    for name in ("file", "absent"):
        with pytest.raises(KernelError, match=name):
            Watch(str(tmp_path / name), "x")


def test_a_watch_that_nobody_holds_ends(tmp_path):
    watch = Watch(str(tmp_path), "x")
    thread = watch._hub._thread
    del watch
    thread.join(30)
    assert not thread.is_alive()


def test_events_that_were_lost_are_something_that_happened(tmp_path):
    with Watch(str(tmp_path), "x") as watch:
        watch._hub._hand_out(-1, 0x4000, "")  # IN_Q_OVERFLOW
        assert wait(watch) == Seen.OTHER


def test_a_limit_of_the_host_is_told_with_its_remedy(tmp_path, monkeypatch):
    class Full:
        pe_watcher = staticmethod(lambda: -errno.EMFILE)

    monkeypatch.setattr(native_log, "lib", Full)
    with pytest.raises(KernelError, match="max_user_instances"):
        Watch(str(tmp_path), "x")
    Full.pe_watcher = staticmethod(lambda: -errno.ENOMEM)
    with pytest.raises(KernelError, match="ENOMEM"):
        Watch(str(tmp_path), "x")


def test_a_limit_of_watches_is_told_with_its_remedy(tmp_path, monkeypatch):
    lib = native_log.lib

    class Full:
        pe_watcher = lib.pe_watcher
        pe_watch = staticmethod(lambda *_: -errno.ENOSPC)

    monkeypatch.setattr(native_log, "lib", Full)
    with pytest.raises(KernelError, match="max_user_watches"):
        Watch(str(tmp_path), "x")


def test_without_a_thread_to_be_had_nothing_is_watched(tmp_path, monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(KernelError, match="EAGAIN"):
        Watch(str(tmp_path), "x")


def test_a_fork_watches_for_itself(tmp_path):
    with Watch(str(tmp_path), "x"):
        if (pid := os.fork()) == 0:
            try:
                with Watch(str(tmp_path), "x") as own:
                    (tmp_path / "x").touch()
                    os._exit(0 if wait(own) == Seen.MINE else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
