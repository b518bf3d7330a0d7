"""Lines of many writers arrive whole, once, at every reader, also when files are moved aside."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyengine
from pyengine.errors import StoreError
from pyengine.store import journal
from pyengine.store.journal import NAME, Journal, JournalReader


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(journal, "FULL", 2000)


def test_a_reader_gets_what_was_and_what_comes_once(tmp_path):
    writer = Journal(str(tmp_path))
    writer.append([b"one\n", b"two\n"])
    reader, late = JournalReader(str(tmp_path)), JournalReader(str(tmp_path), from_now=True)
    assert (reader.read(), late.read()) == ([b"one", b"two"], [])
    writer.append([b"three\n"])
    assert reader.read() == late.read() == [b"three"]
    assert reader.read() == []
    reader.close()
    late.close()


def test_a_reader_may_come_before_the_first_writer(tmp_path):
    reader = JournalReader(str(tmp_path), from_now=True)
    Journal(str(tmp_path)).append([b"one\n"])
    assert reader.read() == [b"one"]
    reader.close()


def test_a_line_that_is_not_whole_is_waited_for(tmp_path):
    reader = JournalReader(str(tmp_path))
    with open(tmp_path / NAME, "wb", buffering=0) as file:
        file.write(b"on")
        assert reader.read() == []
        file.write(b"e\ntw")
        assert reader.read() == [b"one"]
    reader.close()


def test_readers_miss_nothing_when_files_are_moved_aside(tmp_path, small):
    writer, reader = Journal(str(tmp_path)), JournalReader(str(tmp_path))
    got = []
    for number in range(1000):
        writer.append([b"%d\n" % number])
        if number % 300 == 0:  # less than both files hold
            got += reader.read()
    got += reader.read()
    reader.close()
    assert got == [b"%d" % number for number in range(1000)]
    assert sorted(os.listdir(tmp_path)) == [NAME, f"{NAME}.1"]
    assert all(os.stat(tmp_path / name).st_size < 3000 for name in os.listdir(tmp_path))


def test_who_is_late_with_a_line_is_heard_all_the_same(tmp_path):
    Journal(str(tmp_path)).append([b"one\n"])
    reader = JournalReader(str(tmp_path))
    with open(tmp_path / NAME, "ab", buffering=0) as late:
        os.rename(tmp_path / NAME, tmp_path / f"{NAME}.1")
        Journal(str(tmp_path)).append([b"two\n"])
        assert reader.read() == [b"one", b"two"]
        late.write(b"three\n")
        assert reader.read() == [b"three"]
        os.rename(tmp_path / NAME, tmp_path / f"{NAME}.1")  # the late one's has no name now
        late.write(b"four\n")
        assert reader.read() == [b"four"]
    reader.close()


def test_a_reader_holds_no_more_files_than_there_are(tmp_path, small):
    before = len(os.listdir("/proc/self/fd"))
    writer, reader = Journal(str(tmp_path)), JournalReader(str(tmp_path))
    for _ in range(1000):
        writer.append([b"x" * 50 + b"\n"])
        reader.read()
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    reader.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_line_that_the_full_disk_cut_spoils_no_other(tmp_path, monkeypatch):
    writer = Journal(str(tmp_path))
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:3]))
    with pytest.raises(StoreError, match="no space left"):
        writer.append([b"cut off\n", b"not tried\n"])
    monkeypatch.undo()
    writer.append([b"whole\n"])
    reader = JournalReader(str(tmp_path))
    assert reader.read() == [b"cut", b"whole"]
    reader.close()


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("/etc/hosts", path)])
def test_what_is_no_file_is_named_and_neither_written_nor_waited_for(tmp_path, make):
    make(tmp_path / NAME)
    before = len(os.listdir("/proc/self/fd"))
    for use in (
        lambda: Journal(str(tmp_path)).append([b"x\n"]),
        lambda: JournalReader(str(tmp_path)),
    ):
        with pytest.raises(StoreError, match=NAME):
            use()
    assert len(os.listdir("/proc/self/fd")) == before


def test_only_its_user_may_read_it(tmp_path):
    before = os.umask(0)
    try:
        Journal(f"{tmp_path}/deep/place").append([b"x\n"])
    finally:
        os.umask(before)
    assert os.stat(tmp_path / "deep/place").st_mode & 0o777 == 0o700
    assert os.stat(tmp_path / "deep/place" / NAME).st_mode & 0o777 == 0o600


_WRITER = """
import sys
from pyengine.store import journal
journal.FULL = 20000
writer = journal.Journal(sys.argv[1])
for number in range(300):
    writer.append([b"%s %d %s\\n" % (sys.argv[2].encode(), number, b"x" * (number % 90))])
"""


def test_processes_that_write_and_move_aside_at_once_lose_nothing(tmp_path, monkeypatch):
    home = os.path.dirname(os.path.dirname(os.path.abspath(pyengine.__file__)))
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path), name],
            env={**os.environ, "PYTHONPATH": home},
        )
        for name in ("a", "b", "c", "d")
    ]
    reader, got = JournalReader(str(tmp_path)), []
    done = threading.Event()

    def read():
        while not done.is_set():
            got.extend(reader.read())

    reading = threading.Thread(target=read)
    reading.start()
    assert [writer.wait(60) for writer in writers] == [0] * 4
    done.set()
    reading.join()
    got.extend(reader.read())
    reader.close()
    words = [line.split(b" ") for line in got]
    assert len(got) == 4 * 300
    for name in (b"a", b"b", b"c", b"d"):
        assert [int(word[1]) for word in words if word[0] == name] == list(range(300))


@given(
    st.lists(st.binary(max_size=50).filter(lambda line: b"\n" not in line and b"\r" not in line))
)
def test_every_line_reads_back_as_it_was_written(tmp_path_factory, lines):
    directory = str(tmp_path_factory.mktemp("journal"))
    Journal(directory).append(line + b"\n" for line in lines)
    reader = JournalReader(directory)
    assert reader.read() == lines
    reader.close()
