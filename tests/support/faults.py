"""A program whose calls that change the world are counted; at one it is killed, or one fails."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from attrs import define, frozen

from support import programs

_RECEIVE, _SEND = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV and _SEND of linux/seccomp.h
_GO_ON = 1  # SECCOMP_USER_NOTIF_FLAG_CONTINUE
_ASKED, _ANSWER = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")
_PIDFD_GETFD = 438

BEGIN, END = "/faults-begin", "/faults-end"
"""Directories that a program makes to say which of its calls are of interest; nobody gets them."""


@frozen
class Call:
    """One system call that has not happened yet."""

    pid: int
    number: int
    arguments: tuple[int, ...]

    def paths(self) -> tuple[str, ...]:
        """What it names: paths, and the files behind its descriptors."""
        found = []
        for kind, value in zip(_SHAPES.get(self.number, ""), self.arguments, strict=False):
            if kind == "p":
                found.append(_text_at(self.pid, value))
            elif kind == "f" and value < 1 << 31:
                found.append(_file_of(self.pid, value))
        return tuple(path for path in found if path)

    def __str__(self) -> str:
        return f"{_NAMES.get(self.number, self.number)} {' '.join(self.paths())}"


# x86-64: where paths and descriptors stand among the arguments
_SHAPES = {
    83: "p", 84: "p", 82: "pp", 86: "pp", 87: "p", 88: "-p", 90: "p", 133: "p", 2: "p",
    257: "fp", 258: "fp", 264: "fpfp", 316: "fpfp", 265: "fpfp", 263: "fp", 266: "-fp",
    91: "f", 268: "fp", 260: "fp", 259: "fp", 77: "f", 76: "p", 1: "f", 18: "f", 20: "f",
}  # fmt: skip
_NAMES = {
    83: "mkdir", 84: "rmdir", 82: "rename", 86: "link", 87: "unlink", 88: "symlink", 90: "chmod",
    133: "mknod", 2: "open", 257: "openat", 258: "mkdirat", 264: "renameat", 316: "renameat2",
    265: "linkat", 263: "unlinkat", 266: "symlinkat", 91: "fchmod", 268: "fchmodat",
    260: "fchownat", 259: "mknodat", 77: "ftruncate", 76: "truncate", 1: "write", 18: "pwrite64",
    20: "writev", 46: "sendmsg", 62: "kill", 424: "pidfd_send_signal",
}  # fmt: skip
_ALWAYS = {46, 62, 424}  # what reaches other processes: no path says so


def _text_at(pid: int, address: int) -> str:
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            memory.seek(address)
            text = memory.read(4096 - address % 4096)
            if b"\0" not in text:  # it goes on in the next page, which need not be there
                text += memory.read(4096)
            return text.split(b"\0")[0].decode(errors="replace")
    except (OSError, ValueError):
        return ""


def _file_of(pid: int, fd: int) -> str:
    try:
        path = os.readlink(f"/proc/{pid}/fd/{fd}")
    except OSError:
        return ""
    return path if path.startswith("/") else ""


@define
class Outcome:
    """What a program did of interest, and how it ended."""

    calls: list[str]
    killed_at: str | None
    exit_code: int
    said: str


Errors = Callable[[Call], int]
"""The error that a call gets; 0: it goes on."""

At = int | Callable[[str], bool] | None
"""At which call: by its number, or by what it is."""

Who = Callable[[int], bool]
"""Whether a process, by its pid, is one whose calls count."""

Guards = Callable[[int], list[int]]
"""The pids of who guards a process."""


def run_until(
    code: str,
    *arguments: str,
    kill_at: At = None,
    interesting: Callable[[Call], bool],
    timeout: float = 60.0,
) -> Outcome:
    """Run Python *code*; SIGKILL it before its call number *kill_at* that is *interesting*.

    Only calls of the program itself count, between its `BEGIN` and its `END`; those of its
    children go on. Answers when nobody is left that was under the filter.
    """
    with watched(
        code, *arguments, kill_at=kill_at, interesting=interesting, timeout=timeout
    ) as outcome:
        return outcome


@contextmanager
def watched(
    code: str,
    *arguments: str,
    kill_at: At = None,
    fail: Errors | None = None,
    who: Who | None = None,
    guards: Guards | None = None,
    interesting: Callable[[Call], bool],
    timeout: float = 60.0,
) -> Iterator[Outcome]:
    """As `run_until`; inside the program has ended, but others who are under its filter may live
    until this is over.

    With *fail* the call is not the end of anybody: it gets that error. *who* tells whose calls
    count instead of the program's own. *guards* are killed with, and just before, who is.
    """
    ours, theirs = socket.socketpair()
    command = [programs.build("faults"), str(theirs.fileno()), sys.executable, "-c", code]
    victim = subprocess.Popen(
        [*command, *arguments],
        pass_fds=(theirs.fileno(),),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    theirs.close()
    listener = _take(victim.pid, struct.unpack("=i", ours.recv(4))[0])
    ours.send(b"go")
    ours.close()
    judge = _Judge(listener, victim, kill_at, interesting, fail, who, guards)
    listening = threading.Thread(target=judge.serve)
    listening.start()
    outcome = Outcome(judge.calls, None, -1, "")
    try:
        said, _ = victim.communicate(timeout=timeout)
        outcome = Outcome(judge.calls, judge.killed_at, victim.returncode, said)
        yield outcome
    finally:
        victim.kill()
        listening.join(timeout)
        outcome.killed_at = judge.killed_at
        has_ended = not listening.is_alive()
        if not has_ended:
            judge.end_all()
            listening.join(timeout)
        os.close(listener)
        assert has_ended, "somebody who was under the filter has not ended"


def _take(pid: int, number: int) -> int:
    """A copy of descriptor *number* of process *pid*."""
    pidfd = os.pidfd_open(pid)
    libc = ctypes.CDLL(None, use_errno=True)
    taken: int = libc.syscall(_PIDFD_GETFD, pidfd, number, 0)
    os.close(pidfd)
    if taken < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return taken


class _Judge:
    """Answers the questions of one filter until nobody is under it any more."""

    def __init__(
        self,
        listener: int,
        victim: subprocess.Popen[str],
        kill_at: At,
        interesting: Callable[[Call], bool],
        fail: Errors | None,
        who: Who | None,
        guards: Guards | None,
    ) -> None:
        self._fail = fail
        self._who = who
        self._guards = guards
        self.calls: list[str] = []
        self.killed_at: str | None = None
        self._listener = listener
        self._victim = victim
        self._kill_at = kill_at
        self._interesting = interesting
        self._counting = False
        self._seen: set[int] = set()

    def end_all(self) -> None:
        """Kill who has asked anything, and so ended not in time."""
        for pid in self._seen - {0}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def serve(self) -> None:
        """Until the last of those who are under it has ended."""
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        while True:
            for _, events in poll.poll():
                if not events & select.POLLIN:
                    return
            question = bytearray(_ASKED.size)
            try:
                fcntl.ioctl(self._listener, _RECEIVE, question, True)
                asked = _ASKED.unpack(question)
                self._seen.add(asked[1])
                error = self._judge(Call(asked[1], asked[3], asked[6:]))
                answer = _ANSWER.pack(asked[0], 0, -error, 0 if error else _GO_ON)
                fcntl.ioctl(self._listener, _SEND, bytearray(answer), True)
            except OSError as problem:
                if problem.errno not in (errno.ENOENT, errno.EINTR):  # who asked has died
                    raise

    def _judge(self, call: Call) -> int:
        """The error that it gets, or 0."""
        is_its_own = call.pid == self._victim.pid or _is_thread_of(call.pid, self._victim.pid)
        if not is_its_own and (self._who is None or not self._who(call.pid)):
            return 0
        paths = call.paths()
        if is_its_own and paths and paths[-1] in (BEGIN, END):
            self._counting = paths[-1] == BEGIN
            return errno.EEXIST
        if is_its_own is not (self._who is None):
            return 0
        if not self._counting or self.killed_at is not None:
            return 0
        if call.number in _ALWAYS or self._interesting(call):
            self.calls.append(str(call))
            if self._is_it(str(call)):
                self.killed_at = str(call)
                if self._fail is not None:
                    return self._fail(call)
                self._kill(call.pid)
        return 0

    def _is_it(self, call: str) -> bool:
        if callable(self._kill_at):
            return self._kill_at(call)
        return len(self.calls) - 1 == self._kill_at

    def _kill(self, pid: int) -> None:
        if self._guards is not None:
            os.kill(pid, signal.SIGSTOP)  # or it would make another
            for guard in self._guards(pid):
                os.kill(guard, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)


def _is_thread_of(tid: int, pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}/task/{tid}")
