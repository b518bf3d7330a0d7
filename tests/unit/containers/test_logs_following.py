"""Who follows a log hears every line once, as it is written, and knows when it is over."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from pyengine.containers.log_writer import LogWriter
from pyengine.containers.logs import follow_logs
from pyengine.errors import InvalidRequest, KernelError, TimedOut
from pyengine.model.spec import LogConfig


def writer_of(path, **options):
    given_options = {name.replace("_", "-"): str(value) for name, value in options.items()}
    return LogWriter(str(path), LogConfig("json-file", tuple(given_options.items())))


def count(writer, numbers):
    for number in numbers:
        writer.write("stdout", b"%08d\n" % number, time.time_ns())


class Container:
    """Its directory, and whether it has ended, as its supervisor writes it down."""

    def __init__(self, directory):
        self.log = str(directory / "output-json.log")
        self.state = directory / "state.json"

    def end(self):
        staged = self.state.with_suffix(".new")
        staged.write_text("exited")
        staged.rename(self.state)

    def follow(self, **asked):
        asked.setdefault("timeout", 30)
        return follow_logs(self.log, is_finished=self.state.exists, **asked)


@pytest.fixture(autouse=True)
def _nothing_is_left():
    gc.collect()
    fds, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    yield
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == fds
    assert threading.active_count() == threads


@pytest.fixture
def container(tmp_path):
    return Container(tmp_path)


def numbers_of(follower):
    return [int(line.data) for line in follower]


def test_following_what_has_ended_ends_at_once(container):
    writer = writer_of(container.log)
    count(writer, range(3))
    writer.close()
    container.end()
    assert numbers_of(container.follow()) == [0, 1, 2]
    assert numbers_of(container.follow(tail=1)) == [2]
    assert numbers_of(container.follow(tail=0)) == []


def test_following_what_never_said_anything_ends_with_it(container):
    container.end()
    assert numbers_of(container.follow()) == []


def test_lines_are_heard_as_they_are_written(container):
    writer = writer_of(container.log)
    with container.follow() as follower:
        for number in range(3):
            count(writer, [number])
            assert int(next(follower).data) == number
    writer.close()


def test_who_waits_is_woken_by_a_line_and_by_the_end(container):
    heard = []
    follower = container.follow()
    thread = threading.Thread(target=lambda: heard.extend(numbers_of(follower)))
    thread.start()
    writer = writer_of(container.log)
    count(writer, range(100))
    writer.close()
    container.end()
    thread.join(30)
    assert heard == list(range(100))


def test_the_last_words_are_heard_though_they_come_with_the_end(container):
    writer = writer_of(container.log)
    for number in range(30):
        follower = container.follow(tail=0)
        thread = threading.Thread(
            target=lambda number=number: (count(writer, [number]), container.end())
        )
        thread.start()
        assert numbers_of(follower) == [number]
        thread.join()
        container.state.unlink()
    writer.close()


@pytest.mark.parametrize("compress", ["false", "true"])
def test_no_line_is_lost_or_doubled_while_files_are_rotated(container, compress):
    def write():
        writer = writer_of(container.log, max_size=1500, max_file=1000, compress=compress)
        count(writer, range(1500))
        writer.close()
        writer.settle()
        container.end()

    thread = threading.Thread(target=write)
    followers = [container.follow() for _ in range(2)]
    thread.start()
    try:
        for follower in followers:
            assert numbers_of(follower) == list(range(1500))
    finally:
        thread.join()


def test_a_follower_that_is_too_slow_goes_on_with_what_is_left(container):
    writer = writer_of(container.log, max_size=1000, max_file=2)
    count(writer, [0])
    follower = container.follow()
    assert int(next(follower).data) == 0
    count(writer, range(1, 500))
    writer.close()
    container.end()
    heard = numbers_of(follower)
    assert heard == sorted(set(heard))
    assert heard[-1] == 499


def test_a_window_is_kept_while_following(container):
    writer = writer_of(container.log)
    writer.write("stdout", b"early\n", 10**9)
    follower = container.follow(stdout=False, since=2, until=5)
    for second, stream in ((3, "stderr"), (3, "stdout"), (4, "stderr"), (6, "stderr")):
        writer.write(stream, b"%d\n" % second, second * 10**9)
    assert [line.data for line in follower] == [b"3\n", b"4\n"]  # it ends without the container
    writer.close()


def test_an_until_that_passes_ends_it(container):
    before = time.monotonic()
    assert numbers_of(container.follow(until=time.time() + 0.05)) == []
    assert time.monotonic() - before < 10


def test_a_tail_is_followed_by_what_comes(container):
    writer = writer_of(container.log, max_size=1000, max_file=100)
    count(writer, range(50))
    with container.follow(tail=20) as follower:
        count(writer, range(50, 60))
        assert [int(next(follower).data) for _ in range(30)] == list(range(30, 60))
    writer.close()


def test_time_runs_out(container):
    writer = writer_of(container.log)
    count(writer, [0])
    follower = container.follow(timeout=0.05)
    assert int(next(follower).data) == 0
    with pytest.raises(TimedOut, match="following logs"):
        next(follower)
    assert list(follower) == []
    writer.close()


def test_closing_wakes_who_waits(container):
    follower = container.follow(timeout=None)
    heard = []
    thread = threading.Thread(target=lambda: heard.extend(follower))
    thread.start()
    follower.close()
    thread.join(30)
    assert not thread.is_alive()
    assert heard == []
    follower.close()


def test_a_follower_that_nobody_holds_lets_go_of_everything(container):
    writer = writer_of(container.log)
    count(writer, [0])
    read_end, write_end = os.pipe()
    follower = container.follow(ended=read_end)
    next(follower)
    watching = follower._watch._hub._thread
    del follower
    watching.join(30)
    assert not watching.is_alive()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(read_end)
    os.close(write_end)
    writer.close()


def test_the_end_of_the_program_is_a_reason_to_look(container):
    program = subprocess.Popen(["sleep", "60"])
    gone = []
    follower = follow_logs(
        container.log,
        is_finished=lambda: bool(gone),
        ended=os.pidfd_open(program.pid),
        timeout=30,
    )
    gone.append(True)
    program.kill()
    assert list(follower) == []
    program.wait()


def test_the_end_of_the_program_is_not_yet_the_end_of_its_output(container):
    read_end, write_end = os.pipe()
    os.close(write_end)  # readable from now on, as the pidfd of a process that is gone
    writer = writer_of(container.log)
    follower = container.follow(ended=read_end)
    thread = threading.Thread(
        target=lambda: (count(writer, range(5)), writer.close(), container.end())
    )
    thread.start()
    assert numbers_of(follower) == list(range(5))
    thread.join()


def test_it_ends_with_its_directory(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    follower = follow_logs(str(home / "log"), is_finished=lambda: False, timeout=30)
    thread = threading.Thread(target=shutil.rmtree, args=(home,))
    thread.start()
    assert list(follower) == []
    thread.join()


def test_what_cannot_be_watched_is_told_at_once(tmp_path):
    read_end, write_end = os.pipe()
    with pytest.raises(KernelError, match="watch"):
        follow_logs(str(tmp_path / "absent" / "log"), is_finished=lambda: True, ended=read_end)
    os.close(write_end)


def test_what_makes_no_sense_is_refused_at_once(container):
    with pytest.raises(InvalidRequest):
        container.follow(tail="some")


def test_a_predicate_that_fails_leaves_nothing_open(container):
    def fail():
        raise ValueError("no state")

    writer = writer_of(container.log)
    count(writer, [0])
    writer.close()
    with pytest.raises(ValueError, match="no state"):
        follow_logs(container.log, is_finished=fail)


WRITER = """
import sys, time
from pyengine.containers.log_writer import LogWriter
from pyengine.model.spec import LogConfig
writer = LogWriter(sys.argv[1], LogConfig("json-file", (("max-size", "4k"), ("max-file", "900"))))
for number in range(5000):
    writer.write("stdout", b"%08d\\n" % number, time.time_ns())
print("written", flush=True)
sys.stdin.read()
"""


def test_a_log_that_another_process_writes_is_followed_until_that_is_killed(container):
    program = subprocess.Popen(
        [sys.executable, "-c", WRITER, container.log],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    ended = os.pidfd_open(program.pid)
    follower = follow_logs(
        container.log,
        is_finished=lambda: program.poll() is not None,
        ended=ended,
        timeout=60,
    )
    heard = [int(next(follower).data) for _ in range(5000)]
    assert program.stdout.readline() == b"written\n"
    program.send_signal(signal.SIGKILL)
    heard += numbers_of(follower)
    assert heard == list(range(5000))
    program.wait()
    program.stdin.close()
    program.stdout.close()


def test_many_followers_share_one_inotify_instance(container):
    followers = [container.follow() for _ in range(200)]  # a user may have 128 instances
    writer = writer_of(container.log)
    count(writer, range(5))
    writer.close()
    container.end()
    assert all(numbers_of(follower) == list(range(5)) for follower in followers)
