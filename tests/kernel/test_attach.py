"""Being there while a container's own program speaks, and speaking to it."""

from __future__ import annotations

import threading

import pytest
from shells import first_words

import pyengine
from pyengine import ContainerNotFound, TimedOut, WrongState

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]

TALK = "echo up; while read word; do echo out $word; echo err $word >&2; done; echo down; exit 3"


def talking(engine, image, **options):
    return engine.start(image, ["sh", "-c", TALK], stdin_open=True, **options)


def test_who_attaches_before_the_start_misses_nothing(engine, image):
    # O10: as `docker run` does
    container = engine.create(image, ["sh", "-c", "echo first; echo second >&2; exit 5"])
    process = container.attach()
    assert (process.pid, process.stdin, process.poll()) == (0, None, None)
    container.start()
    assert sorted((chunk.stream, chunk.data) for chunk in process) == [
        ("stderr", b"second\n"),
        ("stdout", b"first\n"),
    ]
    assert process.wait(timeout=10).exit_code == 5
    assert process.poll() == 5


def test_what_is_written_is_read_and_answered(engine, image):
    # O10, C10
    container = engine.create(image, ["sh", "-c", TALK], stdin_open=True)
    process = container.attach(stdin=True)
    container.start()
    assert process.pid == container.inspect().pid
    assert process.stdout.readline() == b"up\n"
    assert process.stdin.write(b"1\n2\n") == 4
    assert process.stderr.readline() == b"err 1\n"
    process.stdin.close()
    assert process.stdout.read().endswith(b"out 2\ndown\n")
    assert process.wait(timeout=10).exit_code == 3


def test_only_the_streams_that_were_asked_for_are_heard(engine, image):
    # C12, O10
    container = engine.create(image, ["sh", "-c", "echo out; echo err >&2"])
    heard = {
        (out, err): container.attach(stdout=out, stderr=err)
        for out, err in ((True, True), (True, False), (False, True), (False, False))
    }
    container.start()
    streams = {asked: {chunk.stream for chunk in process} for asked, process in heard.items()}
    assert streams == {
        (True, True): {"stdout", "stderr"},
        (True, False): {"stdout"},
        (False, True): {"stderr"},
        (False, False): set(),
    }


def test_what_was_said_before_can_come_first(engine, image):
    # O10
    container = talking(engine, image)
    assert first_words(container) == b"up\n"
    process, late = container.attach(stdin=True, logs=True), container.attach()
    process.stdin.write(b"x\n")
    process.stdin.close()
    assert process.stdout.read() == b"up\nout x\ndown\n"
    assert late.stdout.read() == b"out x\ndown\n"


def test_several_hear_the_same_and_whoever_leaves_disturbs_nobody(engine, image):
    container = talking(engine, image)
    first, second, third = (container.attach(stdin=one == 0) for one in range(3))
    first.stdin.write(b"1\n")
    assert third.stderr.readline() == b"err 1\n"
    third.close()
    first.stdin.write(b"2\n")
    first.stdin.close()
    assert first.stderr.read() == second.stderr.read() == b"err 1\nerr 2\n"
    assert third.stderr.read() == b""


def test_a_container_goes_on_when_its_listener_leaves(engine, image):
    # O10: the opposite of a program that was put into it
    container = engine.start(image, "sleep 99")
    with container.attach() as process:
        assert process.poll() is None
    assert container.status == "running"
    with container.popen("sleep 98") as inside:
        pass
    assert inside.wait(timeout=10).signal == 9


def test_input_ends_when_its_first_user_lets_go(engine, image):
    # C11
    container = engine.start(image, ["sh", "-c", "cat; echo over"], stdin_open=True)
    with container.attach(stdin=True) as process:
        process.stdin.write(b"half a line")
    assert container.wait(timeout=10).exit_code == 0
    assert container.logs() == "half a lineover\n"
    with pytest.raises(BrokenPipeError):
        process.stdin.write(b"more")


def test_without_input_the_program_reads_an_end(engine, image):
    # C10
    container = engine.start(image, ["sh", "-c", "cat; readlink /proc/self/fd/0"])
    assert container.attach(stdin=True).stdin is None
    assert container.wait(timeout=10).exit_code == 0
    assert container.logs() == "/dev/null\n"


def test_writing_to_who_reads_no_more_is_a_broken_pipe(engine, image):
    script = "exec <&-; echo closed; sleep 99"
    container = engine.start(image, ["sh", "-c", script], stdin_open=True)
    process = container.attach(stdin=True, logs=True)
    assert process.stdout.readline() == b"closed\n"
    with pytest.raises(BrokenPipeError):
        process.stdin.write(b"x" * (1 << 20))


def test_an_attached_program_is_signalled_and_waited_for(engine, image):
    container = engine.start(image, ["sh", "-c", "trap 'exit 6' USR1; echo up; sleep 99 & wait"])
    process = container.attach(logs=True)
    assert process.stdout.readline() == b"up\n"
    with pytest.raises(TimedOut):
        process.wait(timeout=0.05)
    process.kill("USR1")
    assert process.wait(timeout=10).exit_code == 6


def test_what_has_ended_is_heard_no_more_but_its_logs_are(engine, image):
    container = engine.create(image, ["sh", "-c", "echo said"])
    container.start()
    container.wait(timeout=10)
    process = container.attach(logs=True)
    container.start()
    assert process.stdout.read() == b"said\nsaid\n"


def test_who_waits_for_a_start_that_never_comes_is_told_of_the_removal(engine, image):
    container = engine.create(image, "true")
    process = container.attach()
    heard = []
    reading = threading.Thread(target=lambda: heard.append(process.stdout.read()))
    reading.start()
    container.remove()
    reading.join(10)
    assert heard == [b""]
    with pytest.raises(ContainerNotFound):
        process.wait(timeout=10)


def test_nobody_attaches_to_what_stands_still(engine, image):
    # O10
    container = engine.start(image, "sleep 99")
    container.pause()
    with pytest.raises(WrongState, match="paused"):
        container.attach()


def test_another_engine_of_the_same_root_asks_the_one_that_listens(engine, image):
    container = engine.start(image, ["sh", "-c", "echo hi; read x; echo $x"], stdin_open=True)
    with pyengine.Engine(root=engine.root) as other:
        there = other.containers.get(container.id)
        assert first_words(there) == b"hi\n"
        process = there.attach(stdin=True, logs=True)
        process.stdin.write(b"ho\n")
        assert process.stdout.read() == b"hi\nho\n"
        assert process.wait().exit_code == 0


def test_a_listener_that_reads_nothing_delays_the_program_and_loses_nothing(engine, image):
    size = 24 << 20
    container = engine.create(image, ["sh", "-c", f"head -c {size} /dev/zero; echo end >&2"])
    process = container.attach()
    container.start()
    assert process.stdout.read(1) == b"\0"
    with pytest.raises(TimedOut):
        container.wait(timeout=0.3)  # it waits for us: what may wait has an end
    assert len(process.stdout.read()) == size - 1
    assert process.stderr.read() == b"end\n"
    assert container.wait(timeout=10).exit_code == 0


def test_a_listener_that_leaves_lets_the_program_go_on(engine, image):
    container = engine.create(image, ["sh", "-c", "head -c 24000000 /dev/zero"], log="none")
    process = container.attach()
    container.start()
    with pytest.raises(TimedOut):
        container.wait(timeout=0.3)
    process.close()
    assert container.wait(timeout=20).exit_code == 0
