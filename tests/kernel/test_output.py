"""What goes into a program and what comes out of it is exact, to the last byte, by every way."""

from __future__ import annotations

import io
import json
import os
import re
import threading

import pytest

from pyengine import LogConfig, TimedOut, Unsupported, bind

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]

EVERY_BYTE = bytes(range(256)) * 8 + b"\n" + bytes(reversed(range(256))) + b"no end of line"
BOTH = 'i=0; while [ $i -lt 2000 ]; do echo "out $i"; echo "err $i" >&2; i=$((i+1)); done'
OUT = b"".join(b"out %d\n" % number for number in range(2000))
ERR = b"".join(b"err %d\n" % number for number in range(2000))
UNLIMITED = LogConfig("json-file")


@pytest.fixture(scope="session")
def large(tmp_path_factory):
    """A file of 64 MiB in which no two lines are the same, of one processor's time in making."""
    content = b"".join(b"%063d\n" % number for number in range(1 << 20))
    path = tmp_path_factory.mktemp("large") / "content"
    path.write_bytes(content)
    return path, content


def apart(chunks):
    """Both streams, each in the order in which it came."""
    found = {"stdout": [], "stderr": []}
    for chunk in chunks:
        found[chunk.stream].append(chunk.data)
    return b"".join(found["stdout"]), b"".join(found["stderr"])


# --- every way out ---


def test_both_streams_are_whole_by_every_way_out(engine, image):
    container = engine.create(image, ["sh", "-c", BOTH])
    process = container.attach()
    container.start()
    assert apart(process) == (OUT, ERR)
    container.wait(timeout=10)
    assert apart(container.read_logs()) == (OUT, ERR)
    assert apart(container.follow_logs(timeout=10)) == (OUT, ERR)
    assert container.logs(stderr=False).encode() == OUT
    assert container.logs(stdout=False).encode() == ERR
    told = engine.run(image, ["sh", "-c", BOTH])
    assert (told.stdout_bytes, told.stderr_bytes) == (OUT, ERR)


def test_both_streams_of_a_program_put_inside_are_whole(engine, image):
    container = engine.start(image, "sleep 99")
    told = container.exec(["sh", "-c", BOTH])
    assert (told.stdout_bytes, told.stderr_bytes) == (OUT, ERR)
    assert apart(container.popen(["sh", "-c", BOTH])) == (OUT, ERR)
    process = container.popen(["sh", "-c", BOTH])
    assert (process.stdout.read(), process.stderr.read()) == (OUT, ERR)
    assert container.logs() == ""  # they are not the container's own words


def test_lines_of_both_streams_are_logged_in_the_order_they_came(engine, image):
    script = "for i in 1 2 3 4 5; do echo out; usleep 3000; echo err >&2; usleep 3000; done"
    container = engine.start(image, ["sh", "-c", script])
    container.wait(timeout=10)
    assert [line.stream for line in container.read_logs()] == ["stdout", "stderr"] * 5
    times = [line.time_ns for line in container.read_logs()]
    assert times == sorted(times)


def test_every_byte_survives_every_way(engine, image):
    script = ["sh", "-c", "cat > /tmp/in; cat /tmp/in; cat /tmp/in >&2"]
    told = engine.run(image, script, stdin=EVERY_BYTE, name="kept", keep=True)
    assert (told.stdout_bytes, told.stderr_bytes) == (EVERY_BYTE, EVERY_BYTE)
    kept = engine.containers.get("kept")
    assert apart(kept.read_logs()) == (EVERY_BYTE, EVERY_BYTE)
    assert kept.logs(stderr=False) == EVERY_BYTE.decode(errors="replace")


@pytest.mark.parametrize("text", ["", "x", "a prompt> ", "\n", "a\nb", "x" * 16384, "x" * 40000])
def test_a_line_without_an_end_is_told_as_it_is(engine, image, text):
    told = engine.run(image, ["cat"], stdin=text, name="kept", keep=True)
    kept = engine.containers.get("kept")
    assert (told.stdout, kept.logs()) == (text, text)
    assert "".join(line.data.decode() for line in kept.follow_logs(timeout=10)) == text


def test_a_hundred_thousand_lines_arrive_in_order(engine, image):
    wanted = b"".join(b"%d\n" % number for number in range(1, 100_001))
    container = engine.create(image, "seq 1 100000", log=UNLIMITED)
    process = container.attach()
    container.start()
    assert process.stdout.read() == wanted
    assert container.logs().encode() == wanted
    assert [int(line.data) for line in container.read_logs(tail=3)] == [99_998, 99_999, 100_000]


def test_large_output_is_complete_by_every_way(engine, image, large):
    path, content = large
    mounts = [bind(path, "/large", read_only=True)]
    container = engine.create(image, "cat /large", mounts=mounts, log=UNLIMITED)
    process = container.attach()
    followed = []
    container.start()
    following = threading.Thread(
        target=lambda: followed.extend(line.data for line in container.follow_logs())
    )
    following.start()
    assert process.stdout.read() == content
    assert container.wait(timeout=60).exit_code == 0
    following.join(60)
    assert b"".join(followed) == content
    assert container.logs().encode() == content


def test_large_output_of_a_run_and_an_exec_is_complete(engine, image, large):
    path, content = large
    mounts = [bind(path, "/large", read_only=True)]
    assert engine.run(image, "cat /large", mounts=mounts, log="none").stdout_bytes == content
    container = engine.start(image, "sleep 99", mounts=mounts)
    assert container.exec("cat /large").stdout_bytes == content
    assert apart(container.popen(["sh", "-c", "cat /large >&2"])) == (b"", content)


def test_who_reads_slowly_gets_all_of_it(engine, image, large):
    path, content = large
    container = engine.start(image, "sleep 99", mounts=[bind(path, "/large")])
    process = container.popen("cat /large")
    pieces = [process.stdout.read(1 << 20)]
    with pytest.raises(TimedOut):
        process.wait(timeout=0.2)  # it waits for us
    pieces.append(process.stdout.read())
    assert b"".join(pieces) == content
    assert process.wait(timeout=10).exit_code == 0


# --- the log file (C85, C86, O09, pitfall 14) ---


def test_the_log_is_docker_s_to_any_reader_of_json(engine, image):
    # C85
    script = "echo plain; echo wrong >&2; printf '\"\\\\\\t<&>\\001\\342\\202\\254'; exit 0"
    container = engine.start(image, ["sh", "-c", script])
    container.wait(timeout=10)
    path = container.inspect().log_path
    assert os.path.basename(path).endswith("-json.log")
    with open(path, encoding="utf-8") as file:
        entries = [json.loads(line) for line in file]
    assert [(one["stream"], one["log"]) for one in sorted(entries, key=lambda one: one["log"])] == [
        ("stdout", '"\\\t<&>\x01€'),
        ("stdout", "plain\n"),
        ("stderr", "wrong\n"),
    ]
    assert all(sorted(one) == ["log", "stream", "time"] for one in entries)
    moment = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}Z")
    assert all(moment.fullmatch(one["time"]) for one in entries)
    assert container.inspect().to_docker()["HostConfig"]["LogConfig"]["Type"] == "json-file"


def test_a_long_line_is_logged_in_pieces_of_16_kib(engine, image):
    # C85
    container = engine.start(image, ["sh", "-c", "head -c 40000 /dev/zero | tr '\\0' x; echo"])
    container.wait(timeout=10)
    with open(container.inspect().log_path, encoding="utf-8") as file:
        lengths = [len(json.loads(line)["log"]) for line in file]
    assert lengths == [16384, 16384, 40000 - 2 * 16384 + 1]
    assert container.logs() == "x" * 40000 + "\n"


def test_times_stand_before_lines_with_nine_digits(engine, image):
    # O09, pitfall 14
    container = engine.start(image, "echo hi")
    container.wait(timeout=10)
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"
    assert re.fullmatch(f"{stamp} hi\n", container.logs(timestamps=True))


def test_a_part_of_a_log_is_cut_exactly(engine, image):
    # O09
    script = "for i in 1 2 3 4 5; do echo $i; usleep 2000; done"
    container = engine.start(image, ["sh", "-c", script])
    container.wait(timeout=10)
    times = [f"{line.time_ns // 10**9}.{line.time_ns % 10**9:09}" for line in container.read_logs()]
    assert container.logs(since=times[2]) == "3\n4\n5\n"
    assert container.logs(until=times[2]) == "1\n2\n3\n"
    assert container.logs(since=times[1], until=times[3]) == "2\n3\n4\n"
    assert container.logs(since=times[1], until=times[3], tail=1) == "4\n"
    assert container.logs(tail=2) == "4\n5\n"
    assert (container.logs(tail=0), container.logs(tail="all")) == ("", "1\n2\n3\n4\n5\n")
    assert container.logs(since="1h") == container.logs()
    assert container.logs(until="1h") == ""


def test_a_follower_hears_what_is_said_until_the_end(engine, image):
    # O09, pitfall 14
    container = engine.start(image, ["sh", "-c", "echo up; cat"], stdin_open=True)
    lines = container.follow_logs(timeout=10)
    assert next(lines).data == b"up\n"
    with container.attach(stdin=True) as process:
        process.stdin.write(b"one\n")
        assert next(lines).data == b"one\n"
        process.stdin.write(b"two\nhalf")
        assert next(lines).data == b"two\n"
    assert [line.data for line in lines] == [b"half"]
    assert [line.data for line in container.follow_logs(tail=1)] == [b"half"]
    silent = engine.start(image, "sleep 99")
    with pytest.raises(TimedOut):
        next(silent.follow_logs(timeout=0.05))


def test_a_log_is_a_ring_of_files_and_readers_see_them_as_one(engine, image):
    # C86
    options = (("max-size", "20k"), ("max-file", "3"))
    container = engine.start(image, "seq 1 3000", log=LogConfig("json-file", options))
    container.wait(timeout=10)
    path = container.inspect().log_path
    files = [name for name in (path, f"{path}.1", f"{path}.2", f"{path}.3") if os.path.exists(name)]
    assert files == [path, f"{path}.1", f"{path}.2"]
    assert max(os.path.getsize(name) for name in files) <= 20480
    kept = [int(word) for word in container.logs().split()]
    assert kept == list(range(kept[0], 3001))
    assert 200 < len(kept) < 1000


def test_labels_and_variables_come_into_the_log_where_asked_for(engine, image):
    # C86
    options = (("labels", "tier"), ("env", "ROLE"), ("tag", "{{.Name}}"))
    container = engine.start(
        image,
        "echo hi",
        name="web",
        labels={"tier": "db", "other": "x"},
        env={"ROLE": "main"},
        log=LogConfig("json-file", options),
    )
    container.wait(timeout=10)
    (line,) = container.read_logs()
    assert line.attributes == {"tier": "db", "ROLE": "main", "tag": "web"}


def test_a_container_without_a_log_says_so(engine, image):
    # C86, O09
    container = engine.start(image, "echo hi", log="none")
    assert container.wait(timeout=10).exit_code == 0
    with pytest.raises(Unsupported, match="does not support reading"):
        container.logs()
    assert container.inspect().log_path == ""


# --- every way in ---


def pipe_with(data):
    read, write = os.pipe()
    writing = threading.Thread(target=lambda: (os.write(write, data), os.close(write)))
    writing.start()
    return read, writing


class Spring:
    """Not a file: something that can be read from, a word at a time."""

    def __init__(self, *words):
        self.words = list(words)

    def read(self, _=-1):
        return self.words.pop(0) if self.words else b""


@pytest.mark.parametrize("way", ["run", "exec"])
def test_input_is_taken_in_every_form(engine, image, tmp_path, way):
    def echoed(stdin):
        if way == "run":
            return engine.run(image, "cat", stdin=stdin).stdout_bytes
        return container.exec("cat", stdin=stdin).stdout_bytes

    container = engine.start(image, "sleep 99")
    (tmp_path / "file").write_bytes(EVERY_BYTE)
    assert echoed(EVERY_BYTE) == EVERY_BYTE
    assert echoed(bytearray(b"x")) == b"x"
    assert echoed("text ü \udcff") == "text ü \udcff".encode(errors="surrogateescape")
    assert echoed(None) == echoed(b"") == echoed("") == b""
    with open(tmp_path / "file", "rb") as file:
        assert echoed(file) == EVERY_BYTE
    with open(tmp_path / "file", "rb") as file:
        assert echoed(file.fileno()) == EVERY_BYTE
    assert echoed(io.BytesIO(EVERY_BYTE)) == EVERY_BYTE
    assert echoed(io.StringIO("text")) == b"text"
    assert echoed(Spring(b"one ", "two ", b"three")) == b"one two three"
    read, writing = pipe_with(EVERY_BYTE)
    assert echoed(read) == EVERY_BYTE
    os.close(read)
    writing.join()


def test_input_that_is_still_to_come_does_not_hold_up_the_end(engine, image):
    read, write = os.pipe()
    assert engine.run(image, ["sh", "-c", "exit 3"], stdin=read).exit_code == 3
    assert engine.start(image, "sleep 99").exec("true", stdin=read).exit_code == 0
    with pytest.raises(TimedOut):
        engine.run(image, "cat", stdin=read, timeout=0.1)
    os.close(read)
    os.close(write)


def test_input_that_nobody_reads_is_no_error(engine, image):
    assert engine.run(image, "true", stdin=b"x" * (4 << 20)).exit_code == 0
    assert engine.start(image, "sleep 99").exec("true", stdin=b"x" * (4 << 20)).exit_code == 0


def test_large_input_is_echoed_without_a_deadlock(engine, image, large):
    path, content = large
    assert engine.run(image, "cat", stdin=content, log="none").stdout_bytes == content
    container = engine.start(image, "sleep 99")
    assert container.exec("cat", stdin=content).stdout_bytes == content
    with open(path, "rb") as file:
        assert container.exec("cat", stdin=file).stdout_bytes == content


def test_a_started_container_is_fed_too(engine, image):
    container = engine.start(image, "cat", stdin=b"given\n")
    assert (container.wait(timeout=10).exit_code, container.logs()) == (0, "given\n")
    container = engine.start(image, "cat", stdin=io.BytesIO(b"from a file\n"))
    assert (container.wait(timeout=10).exit_code, container.logs()) == (0, "from a file\n")
