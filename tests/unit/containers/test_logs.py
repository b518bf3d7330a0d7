"""A log gives back exactly what was said, whatever it was, and only what was asked for."""

from __future__ import annotations

import json
import os
import stat
import tempfile
import tracemalloc
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.containers.log_writer import LogWriter
from pyengine.containers.logs import (
    attributes_for,
    log_text,
    read_logs,
    require_readable,
    stamped,
)
from pyengine.errors import InvalidRequest, StoreError, Unsupported
from pyengine.model.log import LogLine
from pyengine.model.spec import ContainerSpec, LogConfig

SECOND = 10**9

modest = settings(max_examples=100, deadline=None)


def config(**options):
    given_options = {name.replace("_", "-"): str(value) for name, value in options.items()}
    return LogConfig("json-file", tuple(given_options.items()))


def say(path, *lines, attributes=None, **options):
    """Write *lines*, stdout's as bytes and stderr's as texts, one second apart."""
    writer = LogWriter(str(path), config(**options), attributes)
    for number, line in enumerate(lines):
        stream, data = ("stdout", line) if isinstance(line, bytes) else ("stderr", line.encode())
        writer.write(stream, data, number * SECOND)
    writer.close()
    writer.settle()
    return str(path)


def said(path, **asked):
    return [line.data for line in read_logs(str(path), **asked)]


@pytest.fixture
def log(tmp_path):
    return str(tmp_path / "output-json.log")


chunks = st.lists(
    st.tuples(
        st.sampled_from(["stdout", "stderr"]),
        st.one_of(
            st.binary(max_size=60),
            st.sampled_from([b"\n", b"line\n", "é€𝄞\n".encode(), b"\xe2\x82", b"x" * 9000]),
        ),
    ),
    max_size=30,
)
configs = st.one_of(
    st.just(LogConfig()),
    st.builds(
        lambda size, compress: config(max_size=size, max_file=1000, compress=compress),
        st.integers(150, 3000),
        st.booleans(),
    ),
    st.just(config(mode="non-blocking", max_buffer_size="1m")),
)


@modest
@given(chunks, configs, st.booleans())
def test_each_stream_comes_back_byte_for_byte_and_in_order(written, kept, flushes):
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/log"
        writer = LogWriter(path, kept)
        for moment, (stream, data) in enumerate(written):
            writer.write(stream, memoryview(data) if moment % 2 else data, moment)
            if flushes:
                writer.flush()
        writer.close()
        writer.settle()
        lines = list(read_logs(path))
        for stream in ("stdout", "stderr"):
            expected = b"".join(data for one, data in written if one == stream)
            assert b"".join(line.data for line in lines if line.stream == stream) == expected
        assert [line.time_ns for line in lines] == sorted(line.time_ns for line in lines)
        whole = b"".join(line.data for line in lines)
        assert log_text(path) == whole.decode(errors="replace")
        for name in os.listdir(directory):  # every line of every file is JSON to anybody
            if not name.endswith(".gz"):
                with open(f"{directory}/{name}", "rb") as file:
                    assert all(json.loads(line)["stream"] for line in file)


@modest
@given(chunks, configs, st.integers(0, 40), st.booleans(), st.booleans())
def test_a_tail_is_the_end_of_everything_that_is_wanted(written, kept, tail, stdout, edges):
    with tempfile.TemporaryDirectory() as directory:
        path = f"{directory}/log"
        writer = LogWriter(path, kept)
        for moment, (stream, data) in enumerate(written):
            writer.write(stream, data, moment * SECOND)
        writer.close()
        writer.settle()
        wanted = {"stdout": stdout, "stderr": True}
        if edges:
            wanted |= {"since": 3, "until": 20}
        everything = list(read_logs(path, **wanted))
        end = everything[max(len(everything) - tail, 0) :]
        assert list(read_logs(path, tail=tail, **wanted)) == end


def test_the_format_is_docker_s(log):
    say(log, b'out \x00\x1b"\\\n', "err", attributes={"b": "2", "a": "\udc80"})
    with open(log, "rb") as file:
        assert file.read() == (
            b'{"log":"out \\u0000\\u001b\\"\\\\\\n","stream":"stdout",'
            b'"attrs":{"a":"\\udc80","b":"2"},"time":"1970-01-01T00:00:00.000000000Z"}\n'
            b'{"log":"err","stream":"stderr",'
            b'"attrs":{"a":"\\udc80","b":"2"},"time":"1970-01-01T00:00:01.000000000Z"}\n'
        )


def test_a_container_that_says_nothing_has_no_log(log):
    writer = LogWriter(log, LogConfig())
    writer.write("stdout", b"", 0)
    writer.flush()
    writer.close()
    assert not os.path.exists(log)
    assert said(log) == []
    assert log_text(log, tail=3) == ""


def test_nobody_else_may_read_a_log(log):
    say(log, b"x\n")
    assert stat.S_IMODE(os.stat(log).st_mode) & 0o037 == 0


def test_lines_come_whole_though_they_were_written_in_pieces(log):
    writer = LogWriter(log, LogConfig())
    for byte in b"one line\n":
        assert not os.path.exists(log)
        writer.write("stdout", bytes([byte]), 5)
    assert said(log) == [b"one line\n"]
    writer.close()


def test_a_prompt_is_there_once_it_is_flushed(log):
    writer = LogWriter(log, LogConfig())
    writer.write("stdout", "name? é".encode()[:-1], 5)
    assert said(log) == []
    writer.flush()
    assert said(log) == [b"name? "]
    writer.write("stdout", "é\n".encode()[1:], 6)
    assert said(log) == [b"name? ", "é\n".encode()]
    writer.close()


def test_time_never_goes_back(log):
    writer = LogWriter(log, LogConfig())
    for moment in (5, 3, 7):
        writer.write("stdout", b"x\n", moment)
    writer.close()
    assert [line.time_ns for line in read_logs(log)] == [5, 5, 7]


def test_a_log_goes_on_after_a_restart(log):
    say(log, b"first")
    say(log, b"second\n")
    assert said(log) == [b"first", b"second\n"]


def test_an_entry_that_was_torn_by_a_crash_spoils_no_other(log):
    say(log, b"before\n")
    with open(log, "ab") as file:
        file.write(b'{"log":"torn')
    assert said(log) == [b"before\n"]
    assert said(log, tail=1) == [b"before\n"]
    say(log, b"after\n")
    assert said(log) == [b"before\n", b"after\n"]
    assert said(log, tail=1) == [b"after\n"]


@pytest.mark.parametrize("rubbish", [b"\0" * 5000, b"x" * 3_000_000, b"\n\n\n", b"{}\n[1]\n3\n"])
def test_damage_is_skipped_and_what_surrounds_it_is_read(log, rubbish):
    say(log, b"before\n")
    with open(log, "ab") as file:
        file.write(rubbish + b"\n")
    say(log, b"after\n")
    assert said(log) == [b"before\n", b"after\n"]
    assert said(log, tail=1) == [b"after\n"]
    assert said(log, tail=2) == [b"before\n", b"after\n"]
    assert log_text(log) == "before\nafter\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"log":"\\ud83d\\ude00","stream":"stdout","time":"2024-01-01T00:00:00Z"}', "😀".encode()),
        ('{"time":"2024-01-01T00:00:00+00:00","stream":"stdout","log":"x"}', b"x"),
        ('{"stream":"stderr","time":"2024-01-01T00:00:00Z"}', b""),
        ('{"log":"\\ud83d","stream":"stdout","time":"2024-01-01T00:00:00Z"}', b"?"),
        (
            '{"log":"x","stream":"stdout","attrs":{"n":1,"s":"t"},"time":"2024-01-01T00:00:00Z"}',
            b"x",
        ),
    ],
)
def test_what_other_programs_wrote_is_read_too(log, line, expected):
    with open(log, "w") as file:
        file.write(line + "\n")
    (read,) = read_logs(log, since="2024-01-01T00:00:00Z", until="2024-01-01T00:00:00Z")
    assert read.data == expected
    assert read.attributes == ({"s": "t"} if "attrs" in line else {})


@pytest.mark.parametrize(
    "line",
    [
        '{"log":"x","stream":"stdin","time":"2024-01-01T00:00:00Z"}',
        '{"log":"x","stream":"stdout","time":"soon"}',
        '{"log":"x","stream":"stdout"}',
        '{"log":3,"stream":"stdout","time":"2024-01-01T00:00:00Z"}',
        '{"log":"x","stream":"stdout","attrs":[],"time":"2024-01-01T00:00:00Z"}',
        '{"log":"x","stream":["stdout"],"time":"2024-01-01T00:00:00Z"}',
        "[" * 100_000,
        "9" * 100_000,
    ],
)
def test_what_is_no_entry_is_none(log, line):
    with open(log, "w") as file:
        file.write(line + "\n")
    assert said(log) == []


def test_streams_and_times_choose_entries(log):
    say(log, b"0\n", "1\n", b"2\n", "3\n", b"4\n")
    assert said(log, stderr=False) == [b"0\n", b"2\n", b"4\n"]
    assert said(log, stdout=False) == [b"1\n", b"3\n"]
    assert said(log, since=1, until=3) == [b"1\n", b"2\n", b"3\n"]
    assert said(log, since=1.5) == [b"2\n", b"3\n", b"4\n"]
    assert said(log, stdout=False, until="2") == [b"1\n"]
    assert said(log, stderr=False, tail=2) == [b"2\n", b"4\n"]
    assert said(log, until=2, tail="1") == [b"2\n"]
    assert said(log, tail="all") == said(log, tail=9) == said(log)
    assert log_text(log, stderr=False, tail=1) == "4\n"


@pytest.mark.parametrize(
    "wrong", [{"since": "soon"}, {"until": -1}, {"tail": -1}, {"stdout": False, "stderr": False}]
)
def test_what_makes_no_sense_is_refused_before_anything_is_read(log, wrong):
    with pytest.raises(InvalidRequest):
        read_logs(log, **wrong)
    with pytest.raises(InvalidRequest):
        log_text(log, **wrong)


def test_a_pipe_or_link_where_the_log_should_be_is_neither_read_nor_written(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "target").write_text("precious")
    (tmp_path / "link").symlink_to("target")
    for name in ("fifo", "link"):
        writer = LogWriter(str(tmp_path / name), LogConfig())
        writer.write("stdout", b"x\n", 0)
        writer.close()
        assert writer.lost == 2
    assert (tmp_path / "target").read_text() == "precious"
    assert said(tmp_path / "fifo") == []
    with pytest.raises(StoreError):
        said(tmp_path / "link")


def test_a_directory_that_is_gone_only_costs_the_log(tmp_path):
    writer = LogWriter(str(tmp_path / "gone" / "log"), LogConfig())
    writer.write("stdout", b"one\ntwo", 0)
    writer.close()
    assert writer.lost == 7


def test_the_driver_none_keeps_nothing_and_cannot_be_read(log):
    writer = LogWriter(log, LogConfig("none"))
    writer.write("stdout", b"x\n", 0)
    writer.flush()
    writer.close()
    writer.settle()
    assert os.listdir(os.path.dirname(log)) == []
    assert writer.lost == 0
    with pytest.raises(Unsupported, match="configured logging driver does not support reading"):
        require_readable(LogConfig("none"))
    require_readable(LogConfig())


def test_a_giant_log_is_read_in_little_memory(log):
    writer = LogWriter(log, LogConfig())
    for _ in range(64):
        writer.write("stdout", (b"x" * 99 + b"\n") * 5000, 0)
    writer.close()
    assert os.path.getsize(log) > 50 << 20
    tracemalloc.start()
    try:
        assert sum(len(line.data) for line in islice(read_logs(log), 50_000)) == 5_000_000
        assert len(said(log, tail=100)) == 100
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_text_has_the_time_before_each_line_and_not_within_one(log):
    writer = LogWriter(log, LogConfig(), {"tier": "a b", "x": "1"})
    writer.write("stdout", b"y" * 20_000 + b"\nshort\n", 1_234_567_891)
    writer.close()
    time = "1970-01-01T00:00:01.234567891Z "
    assert log_text(log, timestamps=True) == f"{time}{'y' * 20_000}\n{time}short\n"
    assert log_text(log, tail=1, details=True) == "tier=a+b,x=1 short\n"
    assert log_text(log, tail=1, timestamps=True, details=True) == f"{time}tier=a+b,x=1 short\n"


def test_each_stream_has_lines_of_its_own():
    lines = [LogLine("stdout", b"a", 0), LogLine("stderr", b"b\n", 0), LogLine("stdout", b"c\n", 0)]
    time = b"1970-01-01T00:00:00.000000000Z "
    assert list(stamped(lines, timestamps=True)) == [
        ("stdout", time + b"a"),
        ("stderr", time + b"b\n"),
        ("stdout", b"c\n"),
    ]
    assert [data for _, data in stamped(lines)] == [b"a", b"b\n", b"c\n"]


def test_a_container_s_entries_carry_what_its_options_name():
    spec = ContainerSpec(
        id="0123456789abcdef" * 4,
        name="web",
        image="busybox:1",
        argv=("sh", "-c", "x"),
        env=("A=1",),
        labels=(("tier", "front"),),
        log=config(labels="tier", env="A", tag="{{.Name}} {{.ID}} {{.ImageName}} {{.ImageID}}"),
    )
    assert attributes_for(spec, "sha256:" + "f" * 64) == {
        "tier": "front",
        "A": "1",
        "tag": "web 0123456789ab busybox:1 ffffffffffff",
    }
