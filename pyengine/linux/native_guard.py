"""The guard, a program that outlives its owner for as long as it takes: see csrc/guard.c.

It stands beside `native`, whose births it uses.
"""

from __future__ import annotations

import array
import errno
import os
import select
import signal
import socket
from collections.abc import Sequence

from pyengine._native import ffi, lib
from pyengine.errors import KernelError
from pyengine.linux import passing
from pyengine.linux.native import check, program, wait
from pyengine.linux.plan import Plan, encode
from pyengine.linux.process import send_signal

OWNER, TREE, EACH = lib.PE_GUARD_OWNER, lib.PE_GUARD_TREE, lib.PE_GUARD_EACH
LINKS, FILE = lib.PE_GUARD_LINKS, lib.PE_GUARD_FILE
HOLD, DROP, _BYE = lib.PE_GUARD_HOLD, lib.PE_GUARD_DROP, lib.PE_GUARD_BYE
USERS = lib.PE_GUARD_USERS
DOOR, KEEP, UNKEEP = lib.PE_GUARD_DOOR, lib.PE_GUARD_KEEP, lib.PE_GUARD_UNKEEP
_TAKE = lib.PE_GUARD_TAKE

_BORN = lib.PE_BORN
_LONGEST = 495  # PE_GUARD_TEXT, less the zero at its end
_PATIENCE = 1000  # milliseconds in which a guard that was told goodbye is gone


class GuardProcess:
    """One such process, nobody's child; *pidfd* becomes readable when it has ended.

    Raises `KernelError` if there can be none.
    """

    def __init__(self) -> None:
        self._line = _start()
        said = ffi.new("struct pe_said *")
        try:
            check(lib.pe_hear(self._line.fileno(), said), "hear from the guard")
            if said.word != _BORN:
                raise KernelError(said.error or 32, "start the guard")
        except BaseException:
            self._line.close()
            raise
        self.pid: int = said.pid
        self.pidfd: int = said.fd

    def tell(self, op: int, text: str = "", fds: Sequence[int] = (), key: int = 0) -> bool:
        """Tell it one word; False where it does not listen, or the word is too long."""
        if (word := _word(op, text, key)) is None:
            return False
        with_it = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            flags = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL
            self._line.sendmsg([word], with_it, flags)
        except OSError:  # it was killed, or stands still and its mailbox is full
            return False
        return True

    def has_ended(self) -> bool:
        """Whether it is gone; it never goes by itself while its owner lives."""
        return _is_over(self.pidfd, 0)

    def dismiss(self) -> None:
        """Say that all is put right, and wait until it is gone."""
        self.tell(_BYE)
        self._line.close()
        if not _is_over(self.pidfd, _PATIENCE):  # it stands still
            send_signal(self.pidfd, signal.SIGKILL)
        self.let_go()

    def let_go(self) -> None:
        """Close what we have of it."""
        self._line.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


def _word(op: int, text: str = "", key: int = 0) -> bytes | None:
    """As it goes over the line; `None` where the text is too long."""
    said = os.fsencode(text)
    if len(said) > _LONGEST:
        return None
    word = ffi.new("struct pe_guard_word *")
    word.op, word.size, word.key = op, len(said), key
    word.text[0 : len(said)] = said
    packed: bytes = ffi.buffer(word)[:]
    return packed


class DeadOnesGuard:
    """The guard of an owner that is dead, met at the door *line*: see csrc/shelf.c."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    def take(self, key: int) -> int:
        """What was kept as *key*, the caller's to close; -1 where that is nothing."""
        word = _word(_TAKE, key=key)
        assert word is not None
        self._line.send(word, socket.MSG_NOSIGNAL)
        said, fds, _ = passing.receive(self._line, len(word), 1)
        if len(said) != len(word):
            raise ConnectionResetError(errno.ECONNRESET, "it hung up")
        return fds[0] if fds else -1

    def drop(self, key: int) -> None:
        """What was kept as *key* somebody else keeps now."""
        word = _word(UNKEEP, key=key)
        assert word is not None
        self._line.send(word, socket.MSG_NOSIGNAL)

    def dismiss(self) -> None:
        """Nobody wants what is left."""
        word = _word(_BYE)
        assert word is not None
        self._line.send(word, socket.MSG_NOSIGNAL)

    def close(self) -> None:
        """Leave it."""
        self._line.close()


def _start() -> socket.socket:
    """Our end of the line to a new one."""
    packed = encode(Plan(("guard",)))
    birth = ffi.new("struct pe_birth *")
    pending, born = ffi.new("struct pe_pending **"), ffi.new("struct pe_child *")
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        birth.program, birth.cgroup, birth.stdio = program("guard"), -1, (null, null, null)
        answer = lib.pe_begin_spawn(packed, len(packed), birth, pending)
        check(answer, "start the guard")
        check(lib.pe_end_spawn(pending[0], born), "start the guard")
    finally:
        os.close(null)
    line = socket.socket(fileno=born.report)
    try:
        wait(born.pidfd)  # it has cloned the guard, and is over
    except BaseException:
        line.close()
        raise
    finally:
        os.close(born.pidfd)
    return line


def _is_over(pidfd: int, milliseconds: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(milliseconds))
