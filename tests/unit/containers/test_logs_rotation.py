"""A log is never larger than it may be, and loses nothing but its oldest files."""

from __future__ import annotations

import gzip
import json
import os
import resource
import threading
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.containers.log_pieces import Pieces, close
from pyengine.containers.log_queue import LogQueue
from pyengine.containers.log_rotation import mover_of
from pyengine.containers.log_writer import LogWriter
from pyengine.containers.logs import log_text, read_logs
from pyengine.model.spec import LogConfig

ENTRY = len('{"log":"00000000\\n","stream":"stdout","time":"1970-01-01T00:00:00.000000000Z"}\n')


def writer_of(path, **options):
    given_options = {name.replace("_", "-"): str(value) for name, value in options.items()}
    return LogWriter(str(path), LogConfig("json-file", tuple(given_options.items())))


def count(writer, numbers):
    for number in numbers:
        writer.write("stdout", b"%08d\n" % number, number)


def counted(path, **asked):
    return [int(line.data) for line in read_logs(str(path), **asked)]


def sizes(directory):
    return {name: os.path.getsize(directory / name) for name in sorted(os.listdir(directory))}


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


def test_by_default_nothing_is_rotated(log):
    writer = writer_of(log)
    count(writer, range(1000))
    writer.close()
    assert list(sizes(log.parent)) == ["log"]
    assert counted(log) == list(range(1000))


def test_files_hold_what_they_may_and_the_oldest_goes(log):
    writer = writer_of(log, max_size=10 * ENTRY, max_file=3)
    count(writer, range(75))
    writer.close()
    assert sizes(log.parent) == {"log": 5 * ENTRY, "log.1": 10 * ENTRY, "log.2": 10 * ENTRY}
    assert counted(log) == list(range(50, 75))
    assert counted(log, tail=20) == list(range(55, 75))


def test_one_file_begins_anew(log):
    writer = writer_of(log, max_size=10 * ENTRY)
    count(writer, range(25))
    writer.close()
    assert sizes(log.parent) == {"log": 5 * ENTRY}
    assert counted(log) == list(range(20, 25))


def test_a_file_is_divided_between_entries_only(log):
    writer = writer_of(log, max_size=10 * ENTRY + 7, max_file=100)
    writer.write("stdout", b"".join(b"%08d\n" % number for number in range(95)), 0)
    writer.close()
    assert sorted(sizes(log.parent).values()) == [5 * ENTRY] + [10 * ENTRY] * 9
    assert counted(log) == list(range(95))


def test_an_entry_larger_than_a_file_may_be_has_one_for_itself(log):
    writer = writer_of(log, max_size=1, max_file=3)
    count(writer, range(5))
    writer.close()
    assert sizes(log.parent) == {"log": ENTRY, "log.1": ENTRY, "log.2": ENTRY}
    assert counted(log) == [2, 3, 4]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 8 * ENTRY),
    st.integers(2, 5),
    st.booleans(),
    st.lists(st.integers(0, 12), max_size=8),
)
def test_what_is_left_is_the_end_and_it_is_bounded(tmp_path_factory, most, files, packed, bursts):
    log = tmp_path_factory.mktemp("logs") / "log"
    written = 0
    for burst in bursts:  # each by a new writer, as containers restart
        writer = writer_of(log, max_size=most, max_file=files, compress=packed)
        count(writer, range(written, written + burst))
        writer.close()
        written += burst
    mover_of(str(log)).settle()
    left = counted(log)
    assert left == list(range(written - len(left), written))
    assert len(left) >= min(written, (files - 1) * max(most // ENTRY, 1))
    assert len(os.listdir(log.parent)) <= files
    assert all(counted(log, tail=tail) == left[len(left) - tail :] for tail in range(1, len(left)))


def test_compressed_files_are_gzip_s_and_read_like_any_other(log):
    writer = writer_of(log, max_size=10 * ENTRY, max_file=4, compress="true")
    count(writer, range(45))
    writer.close()
    writer.settle()
    assert list(sizes(log.parent)) == ["log", "log.1.gz", "log.2.gz", "log.3.gz"]
    with gzip.open(f"{log}.3.gz") as file:
        assert [json.loads(line)["log"] for line in file] == [f"{n:08}\n" for n in range(10, 20)]
    assert counted(log) == list(range(10, 45))
    assert counted(log, tail=27) == list(range(18, 45))
    assert counted(log, tail=30, since="0.000000000", until=0.0) == []
    assert log_text(str(log)) == "".join(f"{n:08}\n" for n in range(10, 45))


def test_a_damaged_compressed_file_costs_only_itself(log):
    writer = writer_of(log, max_size=10 * ENTRY, max_file=4, compress="true")
    count(writer, range(45))
    writer.close()
    writer.settle()
    with open(f"{log}.2.gz", "r+b") as file:
        file.truncate(60)
    with open(f"{log}.1.gz", "wb") as file:
        file.write(b"this is no gzip")
    left = counted(log)
    assert left[:10] == list(range(10, 20))
    assert left[-5:] == list(range(40, 45))
    assert left == sorted(left)
    assert counted(log, tail=7)[-6:] == [*left[-6:]]


def test_what_a_crash_left_half_renamed_or_half_compressed_is_read_once(log):
    writer = writer_of(log, max_size=10 * ENTRY, max_file=9)
    count(writer, range(45))
    writer.close()
    os.rename(f"{log}.4", f"{log}.5")  # killed while the files moved up
    os.rename(f"{log}.3", f"{log}.4")
    with open(f"{log}.2", "rb") as plain, gzip.open(f"{log}.2.gz", "wb") as packed:
        packed.write(plain.read())  # killed before the plain one was removed
    (log.parent / "log.gz.new").write_bytes(b"half of it")
    assert counted(log) == list(range(45))
    assert counted(log, tail=41) == list(range(4, 45))
    writer = writer_of(log, max_size=10 * ENTRY, max_file=9, compress="true")
    count(writer, range(45, 60))
    writer.close()
    writer.settle()
    assert counted(log) == list(range(60))


def test_a_log_that_may_have_fewer_files_than_before_loses_the_oldest(log):
    writer = writer_of(log, max_size=10 * ENTRY, max_file=9)
    count(writer, range(85))
    writer.close()
    writer = writer_of(log, max_size=10 * ENTRY, max_file=3)
    count(writer, range(85, 95))
    writer.close()
    assert len(os.listdir(log.parent)) == 3
    assert counted(log) == list(range(70, 95))


def test_a_tail_is_whole_though_the_newest_file_is_a_compressed_one(log):
    writer = writer_of(log, max_size=10 * ENTRY, max_file=4, compress="true")
    count(writer, range(30))
    writer.close()
    mover_of(str(log)).rotate(4, compress=True)  # as it is until something is written again
    writer.settle()
    assert list(sizes(log.parent)) == ["log.1.gz", "log.2.gz", "log.3.gz"]
    for tail in (5, 15, 25, 35):
        assert counted(log, tail=tail) == list(range(max(30 - tail, 0), 30))


def test_readers_see_every_line_once_while_files_are_moved_and_compressed(log):
    """Whenever it is read, a log is a run of lines without a gap."""
    done = threading.Event()

    def write():
        writer = writer_of(log, max_size=20 * ENTRY, max_file=200, compress="true")
        try:
            count(writer, range(3000))
            writer.close()
            writer.settle()
        finally:
            done.set()

    thread = threading.Thread(target=write)
    thread.start()
    last = False
    while not last:
        last = done.is_set()
        numbers = counted(log)
        assert numbers == list(range(len(numbers)))
        tail = counted(log, tail=50)
        assert len(tail) >= min(50, len(numbers))
        assert [number - tail[0] for number in tail] == list(range(len(tail)))
    thread.join()
    assert counted(log) == list(range(3000))


def test_a_reader_that_is_overtaken_by_the_rotation_goes_on_with_what_is_left(log):
    writer = writer_of(log, max_size=10 * ENTRY, max_file=3)
    count(writer, range(25))
    reading = read_logs(str(log))
    assert int(next(reading).data) == 0
    count(writer, range(25, 100))
    writer.close()
    assert [int(line.data) for line in reading] == [*range(1, 10), *range(20, 25)]


def test_neighbours_are_found_after_everything_has_moved(log):
    writer = writer_of(log, max_size=10 * ENTRY, max_file=9, compress="true")
    count(writer, range(15))
    writer.settle()
    pieces = Pieces(str(log))
    newest = pieces.newest()
    count(writer, range(15, 45))
    writer.settle()
    older, newer = pieces.before(newest), pieces.after(newest)
    try:
        assert (older.number, newest.number, newer.number) == (4, 3, 2)
        assert os.path.exists(f"{log}.3.gz")
        assert not os.path.exists(f"{log}.3")
        assert newest.read(ENTRY).startswith(b'{"log":"00000010')
        assert newer.read(ENTRY).startswith(b'{"log":"00000020')
    finally:
        for piece in (older, newest, newer):
            close(piece)
        writer.close()


@contextmanager
def files_no_larger_than(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_output_that_cannot_be_written_is_counted_and_told_where_it_is_missing(log):
    writer = writer_of(log)
    with files_no_larger_than(10 * ENTRY + 7):  # it is as good as a full disk
        count(writer, range(30))
    assert writer.lost == 20 * 9
    assert counted(log) == list(range(10))  # and what was written in part has been taken back
    count(writer, range(30, 32))
    writer.close()
    lines = list(read_logs(str(log)))
    assert [line.stream for line in lines] == ["stdout"] * 10 + ["stderr"] + ["stdout"] * 2
    assert lines[10].text == "pyengine: 180 bytes of output are missing here: File too large\n"
    assert [line.text for line in lines[11:]] == ["00000030\n", "00000031\n"]


def test_a_large_write_that_fails_in_the_middle_keeps_what_it_could(log):
    writer = writer_of(log)
    with files_no_larger_than(100 * ENTRY + 3):
        writer.write("stdout", b"".join(b"%08d\n" % number for number in range(9000)), 0)
    writer.close()
    assert writer.lost == 8900 * 9
    *lines, notice = read_logs(str(log))
    assert [int(line.data) for line in lines] == list(range(100))
    assert "80100 bytes" in notice.text


def test_a_loss_that_cannot_be_told_either_is_told_later(log):
    writer = writer_of(log)
    with files_no_larger_than(ENTRY):
        count(writer, range(3))
        writer.close()
    writer.close()
    assert "18 bytes" in list(read_logs(str(log)))[-1].text


def test_non_blocking_never_waits_and_tells_what_it_dropped(log, monkeypatch):
    held, going = threading.Event(), threading.Event()
    writer = writer_of(log, mode="non-blocking", max_buffer_size=100)
    write = writer._write

    def hold(*given):
        held.set()
        going.wait(10)
        write(*given)

    monkeypatch.setattr(writer, "_write", hold)
    writer.write("stdout", b"first ", 0)
    assert held.wait(10)
    writer.write("stdout", b"y" * 94, 1)
    writer.write("stdout", b"dropped\n", 2)  # 100 bytes wait already
    writer.write("stdout", b"dropped\n", 3)
    assert not os.path.exists(log)
    going.set()
    writer.close()
    writer.write("stdout", b"last\n", 4)
    writer.close()
    assert writer.lost == 16
    assert [line.text for line in read_logs(str(log))] == [
        "first " + "y" * 94,
        "pyengine: 16 bytes of output are missing here: it came faster than it could be written\n",
        "last\n",
    ]


def test_non_blocking_leaves_no_thread(log):
    before = threading.active_count()
    writer = writer_of(log, mode="non-blocking")
    count(writer, range(1000))
    writer.close()
    assert threading.active_count() == before
    assert counted(log) == list(range(1000))


def test_without_a_thread_to_be_had_whoever_writes_waits(monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    done = []
    queue = LogQueue(10, done.append)
    queue.put(lambda: done.append("work"), 5)
    assert done == ["work"]
    queue.close()


def test_without_a_thread_to_be_had_files_stay_as_they_are(log, monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    writer = writer_of(log, max_size=10 * ENTRY, max_file=4, compress="true")
    count(writer, range(35))
    writer.close()
    assert list(sizes(log.parent)) == ["log", "log.1", "log.2", "log.3"]
    assert counted(log) == list(range(35))


def test_compressing_for_want_of_space_leaves_the_plain_file(log):
    writer = writer_of(log, max_size=200 * ENTRY, max_file=4, compress="true")
    count(writer, range(200))
    with files_no_larger_than(100):
        mover_of(str(log)).rotate(4, compress=True)
        mover_of(str(log)).settle()
    writer.close()
    writer.settle()
    assert list(sizes(log.parent)) == ["log.1"]
    assert counted(log) == list(range(200))
