"""The joiner, which is asked for children: see csrc/joiner.c.

It stands beside `native`, which hears what becomes of them.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pyengine._native import ffi, lib
from pyengine.errors import KernelError
from pyengine.linux.capabilities import DEFAULT, mask
from pyengine.linux.native import (
    Child,
    End,
    birth_of,
    bury,
    check,
    end,
    end_from,
    hear,
    keep_word,
    landing_for,
    let_go,
    program,
    wait,
)
from pyengine.linux.plan import JOIN_TARGET, NEWNET, NEWUSER, Plan, Step, encode

if TYPE_CHECKING:
    from pyengine.linux.id_helpers import Told
    from pyengine.model.ids import IdMaps

_NOT_YET = Plan(())
_NO_PROGRAM = ("/nonexistent-program-of-a-socket",)  # not to be there is how it ends

_WAITS = 5  # of enum pe_word
_USUAL, _ALL = mask(DEFAULT), 0xFFFFFFFFFFFFFFFF


class Joiner:
    """The program that gives birth inside running containers: made when needed.

    There are two of it where containers may do more than is usual: to take capabilities out of
    its bounding set (capabilities(7)) costs each child a system call for each of them, unless
    its joiner has done it for all.

    With *ids* it is root of a user namespace with these, and so are its children: their other
    namespaces belong to that one. There it is one for all: a second would have a user namespace
    of its own, and nobody enters what belongs to another's (setns(2)). Whoever joins a container
    of another process enters the user namespace of that with the rest; he is the child of a
    joiner beside it, which stayed outside.
    """

    def __init__(self, ids: IdMaps | None = None) -> None:
        self.ids = ids
        outside = None if ids is None else _Process(_ALL)
        self._any = _Process(_ALL, ids, outside)
        self._usual = self._any if ids is not None else _Process(_USUAL)
        self._outside = outside or self._any

    def socket_beside(self, pidfd: int, family: int) -> int:
        """`native.socket_beside` for a process in a user namespace of ours, whoever made it."""
        steps = (
            Step("setns", fd=JOIN_TARGET, flags=NEWUSER | NEWNET, doing="join its network"),
            Step("socket", flags=family, doing="make a socket there"),
        )
        plan = Plan(_NO_PROGRAM, parts=steps, target=pidfd, joined=NEWUSER | NEWNET)
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        try:
            child = self.spawn(plan, (null, null, null))
        finally:
            os.close(null)
        failure = hear(child)
        bury(child)
        if child.terminal < 0:
            assert failure is not None
            raise failure.error()
        return child.terminal

    def run(self, words: tuple[str, ...], env: tuple[str, ...], most: int) -> Told:
        """Run a program of the host's to its end, as root of our users; *most* bytes are heard."""
        return _run(self._usual, words, env, most)

    def open(self) -> None:
        """Start it now. Raises `Unsupported` where it cannot have these ids, and why."""
        self._usual.open()

    @property
    def users(self) -> int:
        """Its user namespace, by an fd of its own, where it has one and is open; else -1."""
        return self._usual.users

    def spawn(self, plan: Plan, stdio: tuple[int, int, int]) -> Child:
        """Ask for a child next to *plan*'s target; `hear` tells how it went, and who it is."""
        packed = plan.laid or encode(plan)
        landing = landing_for(plan)
        birth = birth_of(plan, stdio, landing.fd)
        birth.unshare, birth.cgroup = plan.unshare, plan.cgroup

        def ask(joiner: int, report: object) -> int:
            target, joined = plan.target, plan.joined
            answer: int = lib.pe_join(joiner, packed, len(packed), birth, target, joined, report)
            return answer

        try:
            return self._process(plan.bounds, plan.joined).child(ask, plan)
        finally:
            let_go(landing)

    def visit(
        self, plan: Plan, *, stdin: int, fds: tuple[int, ...], cgroup: int, target: int
    ) -> Visit:
        """As `spawn`, with pipes for its outputs; *plan* is laid, and says nothing of the rest."""
        packed, joined = plan.laid, plan.joined
        made = ffi.new("struct pe_visit *")
        birth = ffi.new("struct pe_birth *")
        birth.cgroup, birth.stdio[0], birth.n_fds = cgroup, stdin, len(fds)
        birth.fds[0 : len(fds)] = fds

        def ask(joiner: int) -> int:
            answer: int = lib.pe_begin_visit(
                joiner, packed, len(packed), birth, target, joined, made
            )
            return answer

        self._process(plan.bounds).ask(ask)
        return Visit(made, plan)

    def conceive(
        self,
        *,
        cgroup: int,
        unshare: int = 0,
        bounds: int = _ALL,
        users: int = -1,
        more: bool = False,
    ) -> Child:
        """Ask for a child that waits until it is told its plan; see `Plan` for what is asked.

        With *users*, a user namespace by its fd, it is root of that one. With *more* another is
        asked for at once. `instruct` or `native.end` it: what the kernel has to do for it takes
        as long as most plans.
        """
        return self._process(bounds).conceive(cgroup, unshare, users, more)

    def _process(self, bounds: int, joined: int = 0) -> _Process:
        if joined & NEWUSER:
            return self._outside
        return self._any if bounds & ~_USUAL else self._usual

    def close(self) -> None:
        """End the joiner, and wait until it is gone."""
        self._usual.close()
        self._any.close()
        self._outside.close()


def instruct(child: Child, plan: Plan, stdio: tuple[int, int, int]) -> None:
    """Tell *child* what to do, with *stdio* as its first descriptors.

    Raises `KernelError` and `InvalidRequest`; it has to be ended by `native.end` then.
    """
    packed = plan.laid or encode(plan)
    child.plan = plan
    landing = landing_for(plan)
    try:
        birth = birth_of(plan, stdio, landing.fd)
        answer = lib.pe_instruct(child.report, packed, len(packed), birth)
        check(answer, "tell a child what to do")
    finally:
        let_go(landing)


class Visit:
    """A program on its way into a container, to be seen through; or else taken over, by `child`."""

    def __init__(self, made: Any, plan: Plan) -> None:
        self._made = made
        self._plan = plan

    def see_through(
        self, deadline: float | None, hear: Callable[[int, bytes], object]
    ) -> End | None:
        """Wait until it has become its program, and until that has ended.

        *hear* is called with 0 or 1 and what it has said on its first or second output. `None`
        where there is more to do: it is still being born; *deadline* (of `time.monotonic`) has
        passed; or it says so much that somebody else should read on.
        """
        made = self._made
        until = -1 if deadline is None else max(round(deadline * 1e9), 0)
        try:
            while (answer := lib.pe_see_through(until, made)) == -errno.EINTR:
                pass  # on the way back into C Python has looked for ctrl-C
            check(answer, "wait for a program")
        finally:
            for output in range(2):
                if made.data[output] != ffi.NULL:
                    hear(output, ffi.buffer(made.data[output], made.size[output])[:])
            lib.pe_forget(made)
        return end_from(made.end) if answer == 1 else None

    def child(self) -> tuple[Child, int, int]:
        """It as a child, to be heard by `native.hear`, and its outputs: the caller's now."""
        made = self._made
        child = Child(-1, -1, made.report, self._plan)
        for number in range(made.n_words):
            keep_word(child, made.words[number])
        return child, made.outputs[0], made.outputs[1]


class _Process:
    """One such process, whose children have *bounds* in their bounding set at most.

    *ids* are those of its own user namespace, where it has one; *outside* is a process that has
    none.
    """

    def __init__(
        self, bounds: int, ids: IdMaps | None = None, outside: _Process | None = None
    ) -> None:
        self._bounds = bounds
        self._ids = ids
        self._outside = outside
        self.users = -1  # its user namespace, where it has one
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._pidfd = -1

    def child(self, ask: Callable[[int, object], int], plan: Plan) -> Child:
        """The child that *ask* asks for, given whom to ask and where to put its report."""
        report = ffi.new("int *", -1)
        try:
            self.ask(lambda joiner: ask(joiner, report))
            return Child(-1, -1, report[0], plan)
        except BaseException:
            if report[0] >= 0:  # ctrl-C: it was asked already
                end(Child(-1, -1, report[0], plan))
            raise

    def conceive(self, cgroup: int, unshare: int, users: int, more: bool) -> Child:
        """See `Joiner.conceive`."""
        birth = ffi.new("struct pe_birth *")
        birth.unshare, birth.cgroup = unshare, cgroup

        def ask(joiner: int, report: object) -> int:
            answer: int = lib.pe_conceive(joiner, birth, users, more, report)
            return answer

        return self.child(ask, _NOT_YET)

    def open(self) -> None:
        """Start it, if it does not run."""
        with self._lock:
            self._open()

    def ask(self, ask: Callable[[int], int]) -> None:
        """Call *ask* with the socket to ask at."""
        with self._lock:
            answer = ask(self._open())
            if answer == -errno.EPIPE:  # somebody has killed it: make another
                self._end()
                answer = ask(self._open())
        check(answer, "ask the joiner for a child")

    def _open(self) -> int:
        if self._socket is None:
            self._start()
        assert self._socket is not None
        return self._socket.fileno()

    def _start(self) -> None:
        ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        born = ffi.new("struct pe_child *")
        has_users = self._ids is not None
        with theirs:
            answer = lib.pe_start_joiner(
                program("joiner"), theirs.fileno(), self._bounds, has_users, born
            )
        if answer < 0:
            ours.close()
            raise KernelError(-answer, "start the joiner")
        self._socket, self._pidfd = ours, born.pidfd
        if self._ids is not None:
            try:
                self._give_users(ours, self._ids)
            except BaseException:
                self._end()
                raise

    def _end(self) -> None:
        if self._socket is None:
            return
        ours, pidfd = self._socket, self._pidfd
        self._socket, self._pidfd = None, -1
        # it leaves when its engine does; closing would not tell it, were there a fork of ours
        ours.shutdown(socket.SHUT_RDWR)
        ours.close()
        wait(pidfd)
        os.close(pidfd)

    def close(self) -> None:
        """End it, and wait until it is gone."""
        with self._lock:
            self._end()
            users, self.users = self.users, -1
            if users >= 0:
                os.close(users)

    def _give_users(self, joiner: socket.socket, ids: IdMaps) -> None:
        """Map the *ids* of the user namespace that the joiner has just made."""
        from pyengine.linux.userns import map_ids, refused  # nothing that root needs

        said = ffi.new("struct pe_said *")
        check(lib.pe_hear(joiner.fileno(), said), "hear from the joiner")
        if said.word != _WAITS:
            raise refused(said.error or errno.ECONNRESET)
        outside = self._outside
        assert outside is not None
        if self.users < 0:  # later it cannot be looked into
            with suppress(OSError):
                self.users = os.open(f"/proc/{said.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        map_ids(said.pid, ids, lambda words: _run(outside, words))
        joiner.send(bytes(((not ids.is_single) | ids.has_user(0) << 1,)))


def _run(
    process: _Process, words: tuple[str, ...], env: tuple[str, ...] = (), most: int = 4096
) -> Told:
    """Run a program of the host's as a child of *process*: to its end, and with nothing of ours."""
    from pyengine.linux.id_helpers import Told

    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    read, write = os.pipe2(os.O_CLOEXEC)
    with open(read, "rb") as output:
        try:
            child = process.conceive(-1, 0, -1, False)
            try:
                instruct(child, Plan(words, env), (null, write, write))
            except BaseException:
                end(child)
                raise
        finally:
            os.close(write)
            os.close(null)
        failure = hear(child)
        if failure is not None:
            bury(child)
            raise failure.error()
        try:
            said = output.read(most)
        finally:
            ended = wait(child.pidfd)
            os.close(child.pidfd)
    assert ended is not None
    code = ended.exit_code if ended.signal is None else 128 + ended.signal
    return Told(code, said.decode(errors="replace"))
