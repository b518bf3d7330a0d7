"""Output and input moved without waiting; what waits for a reader waits in order."""

import os
import select
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.containers.inbox import Inbox
from pyengine.containers.pump import DROP, KEEP, PAUSE, Pump
from pyengine.containers.supervisor import Supervisor, drive
from pyengine.errors import TimedOut


class Program:
    """Two pipes and an end, as a program would have them."""

    def __init__(self, sink, given=b"", listens=False):
        self.out, self.err = os.pipe(), os.pipe()
        self.stdin = os.pipe() if listens else None
        self.end = os.eventfd(0)
        stdin = self.stdin[1] if self.stdin else -1
        self.pump = Pump({self.out[0]: "stdout", self.err[0]: "stderr"}, sink, stdin, given)
        self.is_over = False
        self.finished = threading.Event()

    def interests(self):
        yield self.end, select.POLLIN
        yield from self.pump.interests()

    def ready(self, fd):
        if fd == self.end:
            self.is_over = True
            return KEEP
        return self.pump.ready(fd)

    def is_paused(self, fd):
        return self.pump.is_paused(fd)

    def finish(self):
        self.pump.drain()
        self.finished.set()

    def stop(self):
        os.close(self.out[1])
        os.close(self.err[1])
        os.eventfd_write(self.end, 1)

    def close(self):
        os.close(self.end)
        if self.stdin:
            os.close(self.stdin[0])


pieces = st.lists(st.tuples(st.sampled_from((1, 2)), st.binary(min_size=1, max_size=9)), max_size=9)


@given(pieces)
@settings(deadline=None)
def test_everything_that_was_said_is_heard_in_its_order(said):
    heard = {"stdout": b"", "stderr": b""}

    def sink(stream, data, time_ns):
        heard[stream] += data
        return True

    program = Program(sink)
    for number, data in said:
        os.write((program.out if number == 1 else program.err)[1], data)
    program.stop()
    assert drive(program, None)
    program.close()
    assert heard["stdout"] == b"".join(data for number, data in said if number == 1)
    assert heard["stderr"] == b"".join(data for number, data in said if number == 2)


def test_who_waits_himself_gives_up_at_his_deadline():
    program = Program(lambda *said: True)
    assert not drive(program, 0.0)
    program.stop()
    assert drive(program, None)
    program.close()


def test_a_large_input_is_taken_as_the_program_takes_it():
    given = os.urandom(1 << 20)
    program = Program(lambda *said: True, given, listens=True)
    taken = []

    def take():
        while data := os.read(program.stdin[0], 1 << 16):
            taken.append(data)
        program.stop()

    reader = threading.Thread(target=take)
    reader.start()
    assert drive(program, None)
    reader.join()
    program.close()
    assert b"".join(taken) == given


def test_a_program_that_closes_its_input_is_fed_no_more():
    program = Program(lambda *said: True, b"x" * (1 << 20), listens=True)
    os.close(program.stdin[0])
    assert program.pump.ready(program.stdin[1]) == DROP
    os.close(program.stdin[1])
    program.stdin = None
    program.stop()
    assert drive(program, None)
    program.close()


def test_a_stream_without_room_is_listened_to_again_once_there_is():
    supervisor = Supervisor()
    inbox = Inbox()
    program = Program(inbox.hear)
    inbox.unpause = lambda: [supervisor.resume(fd) for fd in program.pump.unpause()]
    supervisor.watch(program)
    size = 12 << 20
    writer = threading.Thread(target=lambda: (_write(program.out[1], size), program.stop()))
    writer.start()
    total = 0
    while total < size:
        total += len(inbox.next("stdout", timeout=60).data)
    writer.join()
    assert program.finished.wait(60)
    supervisor.close()
    program.close()
    assert total == size


def _write(fd, size):
    piece = bytes(1 << 16)
    while size:
        size -= os.write(fd, piece[:size])


def test_trouble_with_one_program_is_not_that_of_the_others(monkeypatch):
    told = []
    monkeypatch.setattr(threading, "excepthook", told.append)

    def fail(*said):
        raise RuntimeError("no")

    supervisor = Supervisor()
    bad, good = Program(fail), Program(lambda *said: True)
    supervisor.watch(bad)
    supervisor.watch(good)
    os.write(bad.out[1], b"x")
    good.stop()
    assert good.finished.wait(60)
    bad.stop()
    assert bad.finished.wait(60)
    supervisor.close()
    for program in (bad, good):
        program.close()
    assert isinstance(told[0].exc_value, RuntimeError)


class Two:
    """Two descriptors, the first of which that has something ends it; *at_end* gets the other."""

    def __init__(self, fds, at_end):
        self.fds = fds
        self.at_end = at_end
        self.is_over = False

    def interests(self):
        return [(fd, select.POLLIN) for fd in self.fds]

    def ready(self, fd):
        self.is_over = True
        self.other = next((one for one in self.fds if one != fd), fd)
        return KEEP

    def is_paused(self, fd):
        return False

    def finish(self):
        self.at_end(self.other)


class One(Two):
    """It notes whether there was something to read when it was told so."""

    def __init__(self, fd, may_go_on=None):
        super().__init__([fd], lambda fd: None)
        self.may_go_on = may_go_on
        self.told = threading.Event()
        self.was_true = []

    def ready(self, fd):
        self.was_true.append(bool(select.select([fd], (), (), 0)[0]))
        if self.was_true[-1]:
            os.read(fd, 8)
        self.told.set()
        if self.may_go_on is not None:
            self.may_go_on.wait(60)
        return KEEP


def test_who_gets_the_number_of_a_descriptor_that_is_gone_is_not_told_what_was_said_of_that():
    supervisor = Supervisor()
    may_go_on = threading.Event()
    first = One(os.eventfd(1), may_go_on)
    supervisor.watch(first)
    assert first.told.wait(60)  # the thread is busy: the next two are told to it at once
    nothing = os.eventfd(0)
    later = One(nothing)

    def take_its_number(fd):
        later.fds = [os.dup2(nothing, fd)]
        supervisor.watch(later)
        # what is told in the next round only
        supervisor.watch(Two([os.eventfd(1)], lambda _: os.eventfd_write(nothing, 1)))

    supervisor.watch(Two([os.eventfd(1), os.eventfd(1)], take_its_number))
    may_go_on.set()
    assert later.told.wait(60)
    supervisor.close()
    assert later.was_true == [True]


# --- inboxes ---


def test_an_inbox_gives_by_stream_or_together_and_then_nothing():
    inbox = Inbox()
    inbox.hear("stdout", b"1", 1)
    inbox.hear("stderr", b"2", 2)
    inbox.hear("stdout", b"3", 3)
    assert inbox.next("stderr").data == b"2"
    assert inbox.next().data == b"1"
    inbox.end()
    assert inbox.next().data == b"3"
    assert inbox.next() is None


def test_waiting_for_output_ends_in_time():
    with pytest.raises(TimedOut):
        Inbox().next(timeout=0)


def test_an_inbox_is_full_stream_by_stream():
    inbox = Inbox()
    assert not inbox.hear("stdout", bytes(5 << 20), 1)
    assert inbox.hear("stderr", b"still", 2)
    unpaused = []
    inbox.unpause = lambda: unpaused.append(True)
    inbox.next("stdout")
    assert unpaused == [True]
    assert PAUSE != KEEP
