import contextlib
import os
import pty
import signal
import subprocess
import sys
import termios
import threading

import pytest

from pyengine.cli import attached, say, session, signals, terminal
from pyengine.cli.attached import converse
from pyengine.cli.detach import KeyWatcher
from pyengine.cli.interrupts import Interrupted, listen
from pyengine.cli.usage import UsageError
from pyengine.errors import WrongState
from pyengine.process import OutputChunk

PATIENCE = 30.0


class Input:
    """What a program reads."""

    def __init__(self, breaks=False):
        self.taken = b""
        self.closed = threading.Event()
        self._breaks = breaks

    def write(self, data):
        if self._breaks:
            raise BrokenPipeError
        self.taken += data
        return len(data)

    def close(self):
        self.closed.set()


class Program:
    """Something that takes input until it is closed, and then says what it was told to."""

    def __init__(self, *chunks, waits=True, breaks=False):
        self.stdin = Input(breaks)
        self._chunks = chunks
        self._waits = waits

    def close(self):
        self.stdin.close()

    def __iter__(self):
        if self._waits:
            assert self.stdin.closed.wait(PATIENCE)
        for stream, data in self._chunks:
            yield OutputChunk(stream, data, 0.0)


@pytest.fixture
def typed(monkeypatch):
    """Two ends of what stands for standard input: what is read, and where it is typed."""
    reads, writes = os.pipe()
    monkeypatch.setattr(attached, "STDIN", reads)
    with open(reads, "rb", buffering=0), open(writes, "wb", buffering=0) as keyboard:
        yield reads, keyboard


def test_what_is_read_is_handed_on_to_its_end(typed, capfdbinary):
    _, keyboard = typed
    keyboard.write(b"a\0\xff")
    keyboard.close()
    program = Program(("stdout", b"\x00out"), ("stderr", b"err\xff"))
    converse(program, reads=True, watcher=None)
    assert program.stdin.taken == b"a\0\xff"
    assert capfdbinary.readouterr() == (b"\x00out", b"err\xff")


def test_what_is_typed_after_the_end_is_somebody_elses(typed):
    reads, keyboard = typed
    program = Program(waits=False)
    converse(program, reads=True, watcher=None)
    keyboard.write(b"next command")
    assert os.read(reads, 100) == b"next command"
    assert not program.stdin.closed.is_set()


def test_a_program_that_reads_no_more_is_left_alone(typed):
    _, keyboard = typed
    keyboard.write(b"x")
    program = Program(waits=False, breaks=True)
    converse(program, reads=True, watcher=None)
    assert program.stdin.taken == b""


def test_no_input_is_read_for_a_program_that_wants_none(typed):
    reads, keyboard = typed
    keyboard.write(b"mine")
    converse(Program(("stdout", b""), waits=False), reads=False, watcher=None)
    assert os.read(reads, 100) == b"mine"


def test_the_detach_keys_are_answered_and_not_handed_on(typed, capfd):
    _, keyboard = typed
    keyboard.write(b"a\x10\x11b\x10\x11c")
    keyboard.close()  # a terminal that is at its end has been hung up
    program = Program()
    with pytest.raises(Interrupted):
        converse(program, reads=True, watcher=KeyWatcher(b"\x10\x11"))
    assert program.stdin.taken == b"abc"
    assert capfd.readouterr().err.count("still attached") == 2


def test_an_input_that_cannot_be_read_is_at_its_end(monkeypatch, tmp_path):
    directory = os.open(tmp_path, os.O_RDONLY)
    monkeypatch.setattr(attached, "STDIN", directory)
    program = Program()
    converse(program, reads=True, watcher=None)
    assert program.stdin.taken == b""
    os.close(directory)


def test_an_input_that_does_not_wait_is_waited_for(typed):
    reads, keyboard = typed
    os.set_blocking(reads, False)
    keyboard.write(b"x")
    keyboard.close()
    program = Program()
    converse(program, reads=True, watcher=None)
    assert program.stdin.taken == b"x"


# --- writing ---


def test_a_descriptor_that_does_not_block_gets_everything_all_the_same():
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    data = os.urandom(1 << 20)
    got = []

    def read_all():
        with open(reads, "rb") as file:
            got.append(file.read())

    reader = threading.Thread(target=read_all)
    reader.start()
    say.write(data, writes)
    os.close(writes)
    reader.join(PATIENCE)
    assert got == [data]


def test_a_complaint_that_nobody_can_hear_is_no_error(monkeypatch):
    monkeypatch.setattr(say, "STDERR", -1)
    say.complain("x")


def test_a_text_becomes_the_bytes_that_it_was():
    assert say.encoded("é\udcff") == b"\xc3\xa9\xff"
    assert say.encoded("\ud800x") == b"?x"


# --- terminals ---


@pytest.fixture
def screen():
    """A terminal: the side of whoever types, and that of the program."""
    master, slave = pty.openpty()
    yield master, slave
    for one in (master, slave):
        with contextlib.suppress(OSError):
            os.close(one)


def test_a_raw_terminal_is_made_whole_whatever_happens(screen):
    _, slave = screen
    before = termios.tcgetattr(slave)
    raw = []

    def fail():
        with terminal.RawTerminal(slave):
            raw.extend(termios.tcgetattr(slave))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert termios.tcgetattr(slave) == before
    assert raw[3] & (termios.ICANON | termios.ECHO | termios.ISIG | termios.IEXTEN) == 0
    assert raw[1] & termios.OPOST == 0
    assert raw[0] & (termios.ICRNL | termios.IXON) == 0
    assert raw[6][termios.VMIN] in (1, b"\x01")


def test_what_is_no_terminal_is_left_alone(tmp_path):
    with open(tmp_path / "x", "w") as file, terminal.RawTerminal(file.fileno()):
        assert not terminal.is_terminal(file.fileno())
    assert not terminal.is_terminal(-1)


def test_a_terminal_that_has_gone_needs_no_mending(screen):
    master, slave = screen
    with terminal.RawTerminal(slave):
        os.close(master)


def test_the_size_is_that_of_where_output_goes(screen, monkeypatch):
    _, slave = screen
    termios.tcsetwinsize(slave, (33, 99))
    monkeypatch.setattr(terminal, "STDOUT", slave)
    assert terminal.size() == (33, 99)
    told = []
    session.tell_size(lambda *size: told.append(size))
    assert told == [(33, 99)]
    monkeypatch.setattr(terminal, "STDOUT", -1)
    assert terminal.size() is None


def test_a_terminal_is_needed_only_where_it_is_read(monkeypatch):
    monkeypatch.setattr(terminal, "STDIN", -1)
    session.require_terminal(tty=True, reads=False)
    session.require_terminal(tty=False, reads=True)
    with pytest.raises(UsageError, match="the input device is not a TTY"):
        session.require_terminal(tty=True, reads=True)


# --- signals ---


@pytest.fixture
def handlers():
    """Whatever a test does with signals is undone."""
    asking = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    before = {number: signal.getsignal(number) for number in asking}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_signal_becomes_a_call_in_another_thread():
    before = signal.getsignal(signal.SIGUSR1)
    heard, came = [], threading.Event()

    def handle(number):
        heard.append((number, threading.current_thread() is threading.main_thread()))
        came.set()

    with signals.Signals([signal.SIGUSR1], handle):
        os.kill(os.getpid(), signal.SIGUSR1)
        assert came.wait(PATIENCE)
    assert heard == [(signal.SIGUSR1, False)]
    assert signal.getsignal(signal.SIGUSR1) == before
    assert signal.set_wakeup_fd(-1) == -1


def test_everything_is_passed_on_but_what_is_ours():
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGWINCH, signal.SIGRTMAX} <= signals.FORWARDED
    ours = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGURG}
    assert not ours & signals.FORWARDED


def test_signals_reach_a_program_and_sizes_its_terminal(screen, monkeypatch):
    _, slave = screen
    termios.tcsetwinsize(slave, (20, 40))
    monkeypatch.setattr(terminal, "STDOUT", slave)
    told, came = [], threading.Semaphore(0)

    def forward(number):
        told.append(number)
        came.release()
        raise WrongState("web", "exited", "kill")  # it may have ended: that is no matter

    def resize(*size):
        told.append(size)
        came.release()

    with session.session(tty=True, reads=False, forward=forward, resize=resize):
        for number in (signal.SIGWINCH, signal.SIGUSR1):
            os.kill(os.getpid(), number)
            assert came.acquire(timeout=PATIENCE)
    assert told == [(20, 40), signal.SIGUSR1]


@pytest.mark.usefixtures("handlers")
def test_being_asked_to_end_is_an_exception_once():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    listen()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    with pytest.raises(Interrupted) as caught:
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.number == signal.SIGTERM
    signal.raise_signal(signal.SIGTERM)  # while things are put in order, it is not heard again


def test_the_third_time_a_command_is_asked_to_end_it_does():
    program = (
        "import signal; from pyengine.cli.interrupts import Interrupted, listen; listen()\n"
        "for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):\n"
        "    try: signal.raise_signal(number)\n"
        "    except Interrupted as error: print(error.number, flush=True)\n"
        "    else: print('on', flush=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert (done.returncode, done.stdout) == (-signal.SIGINT, b"2\non\n")


def test_who_may_leave_leaves_with_the_detach_keys(typed, capfd):
    _, keyboard = typed
    keyboard.write(b"a\x10\x11b")
    program = Program()
    watcher = KeyWatcher(b"\x10\x11")
    assert converse(program, reads=True, watcher=watcher, may_leave=True) is False
    assert program.stdin.taken == b"a"
    assert capfd.readouterr().err == ""
