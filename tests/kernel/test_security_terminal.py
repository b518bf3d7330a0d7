"""Line 10: a terminal is the container's own, and what a container calls itself is only bytes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import closing

import pytest
from support.refusals import raise_refusal

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]

RED = "\x1b[31mred\x1b[0m"
CLEAR = "\x1b]0;title\x07\x1b[2J\x9b31m"


def started(engine, image, script, **options):
    """A container whose shell has said "ready"."""
    container = engine.start(image, ["sh", "-c", script], **options)
    with closing(container.follow_logs(timeout=30)) as lines:
        assert "ready" in str(next(lines))
    return container


def is_plain(text: str) -> bool:
    """Whether a terminal would do nothing with it but show it."""
    return all(char.isprintable() or char in "\n\t" for char in text)


# --- the terminal itself ---


def test_the_master_is_never_inside(engine, image):
    # step_tty: it goes to the engine and is closed in the child by O_CLOEXEC
    look = "busybox readlink /proc/[0-9]*/fd/*"
    container = started(engine, image, f"echo ready; {look}; exec sleep 1000", tty=True)
    told = container.exec(["sh", "-c", look], tty=False)
    assert "ptmx" not in told.stdout
    process = container.popen(["sh", "-c", look], tty=True)
    assert b"ptmx" not in process.stdout.read()
    process.wait(timeout=30)
    process.close()
    container.kill()
    container.wait(timeout=30)
    assert "ptmx" not in container.logs()


def test_terminals_of_the_host_and_of_others_are_not_there(engine, image):
    ours, theirs = os.openpty()
    try:
        first = started(engine, image, "echo ready; exec sleep 1000", tty=True)
        told = engine.run(image, ["sh", "-c", "ls /dev/pts; cat /dev/pts/1"], tty=True)
        assert told.stdout.split()[:2] == ["0", "ptmx"]
        assert "No such file" in told.stdout
        # one that was opened there is in that container's devpts alone
        assert first.exec(["ls", "/dev/pts"]).stdout.split() == ["0", "ptmx"]
        assert os.fstat(theirs).st_rdev  # the host's own is as it was
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_terminal_cannot_be_typed_on_from_another_session(engine, image):
    # TIOCSTI of old; the engine's master and the host's terminal are not the container's
    script = "echo ready; exec sleep 1000"
    container = started(engine, image, script, tty=True)
    for name in ("/dev/console", "/dev/pts/0"):
        told = container.exec(["sh", "-c", f"echo said > {name}"])
        assert told.exit_code == 0  # its own terminal it may write to
    assert "said" in container.logs()
    assert engine.run(image, ["sh", "-c", "(echo x > /dev/tty) 2>&1"]).stdout.count("x") <= 2


def test_a_flooded_terminal_that_nobody_reads_is_closed(engine, image):
    container = started(engine, image, "echo ready; exec sleep 1000")
    process = container.popen(["busybox", "yes"], tty=True)
    assert process.stdout.read(2) == b"y\r"
    process.close()
    assert container.exec(["echo", "fine"]).stdout == "fine\n"


# --- what it is called ---


def test_output_is_passed_on_byte_for_byte(engine, image):
    text = f"{RED}{CLEAR}\x00\xff".encode("latin-1")
    told = engine.run(image, ["cat"], stdin=text)
    assert told.stdout_bytes == text
    container = engine.start(image, ["cat"], stdin=text)
    container.wait(timeout=30)
    with closing(container.follow_logs(timeout=30)) as lines:
        assert b"".join(line.data for line in lines) == text


@pytest.mark.parametrize("name", [RED, CLEAR, "a\nb", "a\rb", "a\tb\x7f", "\u202egnirts"])
def test_escapes_in_the_names_of_processes_are_replaced(engine, image, name):
    # processes.py's cleaning of comm and cmdline
    script = 'echo ready; printf "%s" "$1" > /proc/self/comm; sleep 1000; : "$1"'
    container = engine.start(image, ["sh", "-c", script, name, name])
    with closing(container.follow_logs(timeout=30)) as lines:
        next(lines)
    for process in container.top():
        assert is_plain(process.name), process
        assert is_plain(process.command), process
    table = container.top_table("-o pid,comm,args")
    assert len(table.processes) == 2
    assert all(is_plain(cell) for row in table.processes for cell in row)


def command_line(*words: str, root: str) -> str:
    """What the command line prints."""
    whole = [sys.executable, "-m", "pyengine", *words]
    env = {**os.environ, "PYENGINE_ROOT": root, "PYTHONIOENCODING": "utf-8"}
    told = subprocess.run(whole, capture_output=True, env=env, timeout=60)
    raise_refusal(told.stderr.decode(errors="replace"))
    told.check_returncode()
    return told.stdout.decode("utf-8", "surrogateescape")


def test_tables_of_the_command_line_show_no_escapes(engine, image):
    script = 'echo ready; printf "%s" "$1" > /proc/self/comm; sleep 1000; : "$1"'
    command = ["sh", "-c", script, RED, CLEAR]
    container = engine.start(image, command, owner="process", labels={"a": RED})
    with closing(container.follow_logs(timeout=30)) as lines:
        next(lines)
    for words in (
        ("top", container.id),
        ("ps", "--no-trunc"),
        ("ps", "-a", "--format", "table {{.ID}}\t{{.Command}}\t{{.Names}}"),
        ("stats", "--no-stream", container.id),
    ):
        text = command_line(*words, root=engine.root)
        assert container.short_id in text or words[0] == "top", words
        assert is_plain(text), (words, text)


def test_json_of_the_command_line_escapes_what_is_no_text(engine, image):
    container = engine.create(image, ["true", RED], labels={"a": CLEAR})
    text = command_line("inspect", container.id, root=engine.root)
    assert "\x1b" not in text
    assert io.StringIO(text).readline() == "[\n"


def test_errors_quote_what_they_were_given(engine, image):
    for name in (RED, CLEAR, "a\nb"):
        for call in (
            lambda name=name: engine.create(image, "true", name=name),
            lambda name=name: engine.create(image, "true", hostname=name),
            lambda name=name: engine.run(image, [name]),
            lambda name=name: engine.run(f"rootfs:/{name}", ["true"]),
            lambda name=name: engine.containers.get(name),
        ):
            with pytest.raises((ValueError, LookupError)) as caught:
                call()
            assert is_plain(str(caught.value)), repr(str(caught.value))
