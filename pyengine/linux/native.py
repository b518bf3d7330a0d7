"""The kernel, spoken to in Python: the C extension's births, and what is opened by it.

C answers with a number; the words are found here. ``str``, values and exceptions on this
side, ``char *``, fds and ``-errno`` on that side.
"""

from __future__ import annotations

import errno
import os
import select
import signal
from functools import cache
from os import fsencode
from pathlib import Path
from typing import Any

from attrs import field, frozen, mutable

from pyengine._native import ffi, lib
from pyengine.errors import KernelError
from pyengine.linux.plan import ABI, Plan, Step, encode
from pyengine.linux.process import send_signal

if lib.pe_abi() != ABI:  # a stale extension beside newer Python, or the other way round
    raise ImportError(
        f"pyengine's C extension speaks version {lib.pe_abi()} of the border, Python {ABI}: "
        "build it again (pip install .)"
    )

_RUNNING, _FAILED, _BORN, _TERMINAL, _USHER = range(5)
_CLONE, _ARRANGE = -2, -3  # enum pe_stage
_MFD_EXEC = 0x10
_UNTIL_REAPED = 1000  # milliseconds

RESOLVE_NO_XDEV, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS = 0x01, 0x02, 0x04
RESOLVE_BENEATH, RESOLVE_IN_ROOT = 0x08, 0x10


@frozen
class Failure:
    """Why a child did not become its program: *step* failed, or the program itself if ``None``."""

    errno: int
    step: Step | None

    def error(self) -> KernelError:
        """The failure as an exception."""
        return KernelError(self.errno, str(self.step) if self.step else "execute the program")


@mutable
class Child:
    """A child on its way to its program, or running it; *pidfd* is the caller's to close."""

    pid: int
    pidfd: int
    report: int
    plan: Plan = field(repr=False)
    terminal: int = -1  # the master of its terminal, once it has said so
    usher: tuple[int, int] = (0, -1)  # pid and pidfd of who brings it into its container
    failure: Failure | None = None  # what it has said of that before `hear` listened
    said: Any = field(factory=lambda: ffi.new("struct pe_said *"), repr=False)  # its last word


@frozen
class End:
    """How a child ended: *exit_code*, or *signal*; ``None`` for both if somebody else reaped it."""

    exit_code: int | None
    signal: int | None
    user_seconds: float
    system_seconds: float
    peak_memory: int  # bytes


def check(answer: int, doing: str) -> int:
    """*answer*, which raises `KernelError` where it is an error's negative number."""
    if answer < 0:
        raise KernelError(-answer, doing)
    return answer


@frozen
class _Program:
    """A sealed memfd; *mode_stays* where whoever finds it in /proc cannot change its mode."""

    fd: int
    mode_stays: bool


@cache
def _program(name: str) -> _Program:
    return _seal(name)


def _seal(name: str) -> _Program:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        fd = os.memfd_create(f"pyengine-{name}", flags | _MFD_EXEC)
    except OSError:
        fd = os.memfd_create(f"pyengine-{name}", flags)  # before Linux 6.3
    os.write(fd, (Path(__file__).parent.parent / name).read_bytes())
    sealed = lib.pe_seal(fd)
    if sealed < 0:
        os.close(fd)
    return _Program(fd, bool(check(sealed, f"seal the {name}")))


def landing_for(plan: Plan) -> _Program:
    """The landing; one more where it stays in the container, who may take its right to run away."""
    landing = _program("landing")
    return _seal("landing") if plan.init and not landing.mode_stays else landing


def let_go(landing: _Program) -> None:
    """A birth is over that had *landing* from `landing_for`."""
    if landing.fd != program("landing"):
        os.close(landing.fd)


def program(name: str) -> int:
    """A sealed memfd that holds one of our freestanding programs, ``landing`` or ``joiner``."""
    return _program(name).fd


@cache
def own_pidfd(pid: int) -> int:
    """A pidfd of this process; *pid* is its pid, so that a fork makes its own."""
    return os.pidfd_open(pid)


def birth_of(plan: Plan, stdio: tuple[int, int, int], landing: int) -> Any:
    """C's ``struct pe_birth``: what the child of *plan* is given; not where it is born."""
    birth = ffi.new("struct pe_birth *")
    birth.init, birth.program, birth.stdio = plan.init, landing, stdio
    birth.n_fds = len(plan.fds)
    if plan.fds:
        birth.fds[0 : len(plan.fds)] = plan.fds
    return birth


class Birth:
    """A child that is being born while its caller does something else; `end` it, come what may.

    It walks *plan*; *stdio* are its first descriptors. Raises `KernelError` if there could be
    no child at all.
    """

    def __init__(self, plan: Plan, stdio: tuple[int, int, int]) -> None:
        self._plan = plan
        self._packed = encode(plan)
        self._landing = landing_for(plan)
        birth = birth_of(plan, stdio, self._landing.fd)
        birth.unshare, birth.cgroup = plan.unshare, plan.cgroup
        self._pending = ffi.new("struct pe_pending **")
        answer = lib.pe_begin_spawn(self._packed, len(self._packed), birth, self._pending)
        if answer < 0:
            let_go(self._landing)
        check(answer, "clone a child")

    def end(self) -> Child:
        """Wait until it has walked its plan, one way or the other; `hear` tells which."""
        born = ffi.new("struct pe_child *")
        answer = lib.pe_end_spawn(self._pending[0], born)
        let_go(self._landing)
        check(answer, "clone a child")
        return Child(born.pid, born.pidfd, born.report, self._plan)


def spawn(plan: Plan, stdio: tuple[int, int, int]) -> Child:
    """Clone a child that walks *plan*; `hear` tells how it went. Raises as `Birth`."""
    return Birth(plan, stdio).end()


def end(child: Child) -> None:
    """Kill *child*, whatever it was about to become, and let go of everything of it."""
    _adopt(child)
    if child.report >= 0:
        lib.pe_abandon(child.report)  # it may wait for its plan
    if child.pidfd >= 0:
        send_signal(child.pidfd, signal.SIGKILL)
    hear(child)
    if child.pidfd >= 0:  # if it was not known before, it may run its program by now
        send_signal(child.pidfd, signal.SIGKILL)
    if child.terminal >= 0:
        os.close(child.terminal)
    bury(child)


def bury(child: Child) -> None:
    """Reap a *child* that failed, if there ever was one, and let go of it."""
    if child.pidfd >= 0:
        wait(child.pidfd)
        os.close(child.pidfd)
    elif child.pid > 0:
        _end_unheld(child.pid)


def _end_unheld(pid: int) -> None:
    """Kill and reap a child of which there was no room for a pidfd, if it is one of ours."""
    try:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except ChildProcessError:
        return


def hear_birth(child: Child) -> bool:
    """Wait until the joiner has given birth to *child*; sets its ``pid`` and ``pidfd``.

    False if it could not; `hear` tells why. What the child does is for `hear` too.
    """
    while child.pidfd < 0 and _take_word(child):
        pass  # a quick child has said things before the joiner told of its birth
    return child.pidfd >= 0


def hear(child: Child) -> Failure | None:
    """Wait until *child* runs its program, or failed to, and say why; then it has been killed.

    Sets *child*'s ``terminal``, and for a child born by the joiner ``pid`` and ``pidfd``.
    """
    if child.report < 0:  # that was heard
        return child.failure
    try:
        # woken once, at the last word: woken at each, we would take the processor from the child
        poll = select.poll()
        poll.register(child.report, 0)
        poll.poll()
        while _take_word(child):
            pass
    except BaseException:  # ctrl-C: nobody would know of it any more
        end(child)
        raise
    os.close(child.report)
    child.report = -1
    _dismiss_usher(child)
    if child.failure is None and child.pidfd < 0:  # the joiner was killed
        child.failure = Failure(errno.EPIPE, _step_at(child.plan, _CLONE))
    if child.failure is not None and child.pidfd >= 0:
        send_signal(child.pidfd, signal.SIGKILL)  # whoever waits for it now shall not wait long
    return child.failure


def _dismiss_usher(child: Child) -> None:
    """Reap him; he has nothing more to say, so he is gone or about to go."""
    pid, pidfd = child.usher
    child.usher = 0, -1
    try:
        if pidfd >= 0:
            wait(pidfd)
            os.close(pidfd)
        elif pid > 0:  # there was no room for his descriptor
            os.waitpid(pid, 0)
    except ChildProcessError:  # the host program has
        return


_RECEIVE = Step("report", doing="take over its descriptors")


def _take_word(child: Child) -> bool:
    """Hear one word from *child* and keep what it tells; False once there are no more."""
    said = child.said
    if (answer := lib.pe_hear(child.report, said)) < 0:
        if child.failure is None:
            child.failure = Failure(-answer, Step("report", doing="hear from the child"))
        return False
    if said.word == _RUNNING:
        return False
    keep_word(child, said)
    said.word = _RUNNING
    return True


def _adopt(child: Child) -> None:
    """Keep what came with its last word, if ctrl-C came between that and our note of it."""
    said = child.said
    if said.word == _BORN and child.pidfd < 0:
        child.pid, child.pidfd = said.pid, said.fd
    elif said.word == _USHER and child.usher == (0, -1):
        child.usher = said.pid, said.fd
    elif said.word == _TERMINAL and child.terminal < 0:
        child.terminal = said.fd
    said.word = _RUNNING


def keep_word(child: Child, said: Any) -> None:
    """Note what *child*, or its joiner, has said."""
    if said.word == _USHER and child.usher == (0, -1):
        child.usher = said.pid, said.fd
    elif said.word in (_TERMINAL, _BORN) and said.fd < 0:  # we have no room for its descriptor
        child.pid = said.pid if said.word == _BORN else child.pid
        child.failure = child.failure or Failure(errno.EMFILE, _RECEIVE)
    elif said.word == _TERMINAL and child.terminal < 0:
        child.terminal = said.fd
    elif said.word == _BORN and child.pidfd < 0:
        child.pid, child.pidfd = said.pid, said.fd
    elif said.fd >= 0:  # nobody of ours says that
        os.close(said.fd)
    elif child.failure is None:
        child.failure = Failure(said.error, _step_at(child.plan, said.step))


def _step_at(plan: Plan, number: int) -> Step | None:
    if number == _CLONE:
        return Step("clone", doing="clone a child inside the container")
    if number == _ARRANGE:
        return Step("arrange", doing="lay down its file descriptors")
    return plan.steps[number] if 0 <= number < len(plan.steps) else None


def wait(pidfd: int, *, block: bool = True) -> End | None:
    """Reap the child behind *pidfd*; ``None`` if it still runs and *block* is false.

    The kernel reaps by pidfd (waitid(2), Linux 5.4), so no other child of the host program is
    touched. If the host program was quicker, Linux 6.15 still tells how it ended.
    """
    end = ffi.new("struct pe_end *")
    answer = lib.pe_wait(pidfd, 0 if block else os.WNOHANG, end)
    if answer == -errno.ECHILD:
        return _end_of_reaped(pidfd)
    return None if check(answer, "wait for a child") == 0 else end_from(end)


def end_from(end: Any) -> End:
    """What C's ``struct pe_end`` says."""
    exited = end.code == os.CLD_EXITED
    return End(
        end.status if exited else None,
        None if exited else end.status,
        end.user_us / 1e6,
        end.system_us / 1e6,
        end.peak_kib << 10,
    )


def _end_of_reaped(pidfd: int) -> End:
    """What PIDFD_GET_INFO knows of a process that is gone (Linux 6.15: PIDFD_INFO_EXIT).

    It knows once somebody has reaped it, which a pidfd shows as a hang-up. Where nobody does, as
    in a container of another engine without an init, it is not waited for long.
    """
    import fcntl
    import struct

    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll()
    poll.modify(pidfd, 0)  # POLLHUP alone
    poll.poll(_UNTIL_REAPED)
    info = bytearray(64)
    struct.pack_into("=Q", info, 0, 1 << 3)
    try:
        fcntl.ioctl(pidfd, 0xC040FF0B, info)  # _IOWR(0xFF, 11, 64 bytes of struct pidfd_info)
    except OSError:
        return End(None, None, 0.0, 0.0, 0)
    (mask,) = struct.unpack_from("=Q", info, 0)
    if not mask & 1 << 3:
        return End(None, None, 0.0, 0.0, 0)
    (status,) = struct.unpack_from("=i", info, 60)
    signal = status & 0x7F
    return End(None if signal else status >> 8 & 0xFF, signal or None, 0.0, 0.0, 0)


def new_namespace(flag: int, *, loopback: bool = False) -> int:
    """Make a namespace that no process is in; it lives as long as the fd that comes back."""
    return check(lib.pe_new_namespace(flag, loopback), "make a namespace")


def socket_beside(pidfd: int, family: int) -> int:
    """A TCP socket, not blocking, in the network namespace of the process *pidfd*."""
    return check(lib.pe_socket_beside(pidfd, family), "make a socket in the container")


def open_in_root(root: int, path: str, flags: int, mode: int = 0) -> int:
    """Open *path* as a process whose root directory is the fd *root* would: nothing leads out.

    Raises `KernelError`.
    """
    answer = lib.pe_openat2(
        root, fsencode(path), flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
    )
    return check(answer, f"open {path} in the container")


def remove_tree(directory: int, name: str) -> None:
    """Remove *name* in the directory fd, and all below it; nothing there is fine.

    Links are not followed, and no depth of directories is too much.
    """
    answer = lib.pe_remove_tree(directory, fsencode(name))
    if answer != -errno.ENOENT:
        check(answer, f"remove {name}")


def sync_file_system(fd: int) -> None:
    """Wait until everything on the file system of *fd* is on disk: syncfs(2).

    Raises `KernelError`: an error that was seen while something of it was written counts too.
    """
    check(lib.pe_sync_file_system(fd), "write the file system to its disk")
