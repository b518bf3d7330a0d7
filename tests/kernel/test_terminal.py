"""Programs with a terminal: of their own, and of those that are put into them."""

from __future__ import annotations

import re

import pytest

from pyengine import InvalidRequest, TimedOut, WrongState

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]


def until(process, wanted):
    """What the terminal shows until *wanted* has come."""
    shown = b""
    while wanted not in shown:
        piece = process.stdout.read1(4096)
        assert piece, shown
        shown += piece
    return shown


@pytest.fixture
def shell(engine, image):
    """A container whose program is a shell in a terminal, and the way to speak to it."""
    container = engine.create(image, "sh", tty=True, stdin_open=True, env={"PS1": "> "})
    process = container.attach(stdin=True)
    container.start()
    until(process, b"> ")
    yield container, process
    process.close()


def test_both_streams_are_one_and_lines_end_as_a_terminal_ends_them(engine, image):
    # C09
    told = engine.run(image, ["sh", "-c", "echo out; echo err >&2; tty"], tty=True)
    assert (told.stdout, told.stderr) == ("out\r\nerr\r\n/dev/pts/0\r\n", "")
    assert engine.run(image, ["sh", "-c", "tty; test -t 0"]).exit_code == 1


def test_the_terminal_is_the_container_s_own(engine, image):
    # C09, C72, security.md 10
    script = "echo /dev/pts/*; stat -c %F /dev/console; stat -c %u:%g:%a /dev/pts/0"
    shown = engine.run(image, ["sh", "-c", script], tty=True, user="app").stdout.split("\r\n")
    assert shown[:3] == ["/dev/pts/0 /dev/pts/ptmx", "character special file", "1000:5:620"]
    shown = engine.run(image, ["ls", "-l", "/proc/self/fd"], tty=True).stdout
    assert re.findall(r"-> (/\S+)", shown)[:3] == ["/dev/pts/0"] * 3


def test_a_shell_in_a_terminal_talks(shell):
    # C09, C10
    container, process = shell
    process.stdin.write(b"echo $((6*7))\n")
    assert b"42\r\n" in until(process, b"42\r\n")
    process.stdin.write(b"exit 9\n")
    assert process.wait(timeout=10).exit_code == 9
    assert container.wait().exit_code == 9
    assert "42" in container.logs()


@pytest.mark.parametrize(("key", "ended"), [(b"\x03", (130, 2)), (b"\x04", (0, None))])
def test_keys_are_signals_and_the_end_of_input(engine, image, key, ended):
    # C09: ctrl-C, ctrl-D
    with engine.start(image, "sleep 99").popen("cat", tty=True, stdin=True) as process:
        process.stdin.write(b"line\n")
        until(process, b"line\r\nline\r\n")
        process.stdin.write(key)
        status = process.wait(timeout=10)
    assert (status.exit_code, status.signal) == ended


def test_a_terminal_has_the_size_it_was_given_and_is_told_of_others(engine, image):
    # C13, O16
    script = "trap 'stty size' WINCH; stty size; echo up; while :; do sleep 99 & wait $!; done"
    container = engine.start(image, ["sh", "-c", script], tty=True, console_size=(30, 100))
    process = container.attach(logs=True)
    assert b"30 100\r\n" in until(process, b"up\r\n")
    container.resize(40, 120)
    assert b"40 120\r\n" in until(process, b"40 120\r\n")
    process.resize(50, 130)
    until(process, b"50 130\r\n")
    for bad in ((-1, 10), (10, 1 << 16), ("x", 1)):
        with pytest.raises(InvalidRequest):
            container.resize(*bad)


def test_only_a_terminal_that_is_there_has_a_size(engine, image):
    # O16
    container = engine.create(image, "sleep 99", tty=True)
    with pytest.raises(WrongState, match="is not running"):
        container.resize(1, 2)
    plain = engine.start(image, "sleep 99")
    for resize in (plain.resize, plain.attach().resize, plain.popen("sleep 98").resize):
        with pytest.raises(WrongState, match="without a terminal"):
            resize(1, 2)


def test_a_program_that_is_put_inside_may_have_a_terminal_of_its_own(engine, image):
    # O12, O15
    container = engine.start(image, "sleep 99", env={"PS1": "> "})
    process = container.popen("sh", tty=True, stdin=True, console_size=(33, 77))
    until(process, b"> ")
    process.stdin.write(b"stty size; tty; echo $TERM\n")
    shown = until(process, b"xterm\r\n")
    assert b"33 77\r\n/dev/pts/0\r\nxterm\r\n" in shown
    process.resize(22, 66)
    process.stdin.write(b"stty size\n")
    until(process, b"22 66\r\n")
    process.stdin.write(b"exit 4\n")
    assert process.wait(timeout=10).exit_code == 4
    process.close()
    told = container.exec(["sh", "-c", "tty; echo err >&2"], tty=True)
    assert (told.stdout, told.stderr) == ("/dev/pts/0\r\nerr\r\n", "")


def test_letting_go_of_a_terminal_ends_nothing(shell):
    # letting go of the handle is no hang-up: somebody may attach again
    container, process = shell
    process.close()
    assert container.status == "running"
    with container.attach(stdin=True) as again:
        again.stdin.write(b"echo still here\n")
        until(again, b"still here\r\n")
    with pytest.raises(TimedOut):
        container.wait(timeout=0.05)


def test_input_given_beforehand_reaches_a_terminal(engine, image):
    told = engine.run(image, ["sh", "-c", "read word; echo got $word"], tty=True, stdin="word\n")
    assert told.stdout.endswith("got word\r\n")


def test_a_flood_on_a_terminal_is_neither_lost_nor_endless(engine, image):
    told = engine.run(image, ["sh", "-c", "stty -opost; seq 1 20000"], tty=True)
    assert told.stdout == "".join(f"{number}\n" for number in range(1, 20001))
