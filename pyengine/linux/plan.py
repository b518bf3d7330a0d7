"""What a child will do, as values: they know no C and touch nothing."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from attrs import field, frozen

from pyengine.errors import InvalidRequest

ABI = 1  # the same number as PE_ABI in csrc/pyengine.h; native.py compares them

NEWTIME, NEWNS, NEWCGROUP = 0x80, 0x20000, 0x2000000
NEWUTS, NEWIPC, NEWUSER = 0x4000000, 0x8000000, 0x10000000
NEWPID, NEWNET = 0x20000000, 0x40000000

# mount_setattr(2)
RDONLY, NOSUID, NODEV, NOEXEC, NOATIME, STRICTATIME = 0x1, 0x2, 0x4, 0x8, 0x10, 0x20
BIND_RECURSIVE, BIND_READONLY_BELOW = 1 << 32, 1 << 33
OVERLAY_VOLATILE, OVERLAY_USERXATTR, OVERLAY_READONLY, OVERLAY_OVER_AT = 1, 2, 4, 8

JOIN_TARGET, JOIN_FDS = 0, 2  # how a joining child's fds are counted: see csrc/join.h

_OPS = (
    "unshare setns cgroup slave overlay mount bind bind_at borrow root mkdir mknod symlink "
    "write null mask readonly tty pivot readonly_root sysctl proc_write hostname domainname "
    "loopback rlimit keyring chdir umask setsid bound no_new_privs seccomp groups own_stdio "
    "keepcaps ids caps pdeathsig null_stdin ctty enter remove device socket"
)
OPS = {name: number for number, name in enumerate(_OPS.split(), start=1)}

_HEAD = Struct("=8I")
_STEP = Struct("=IiQIIII")


@frozen
class Step:
    """One thing a child does; which fields it reads is said beside each op in csrc/pyengine.h.

    *fd* is an index into the plan's `Plan.fds` where the op wants an fd. *doing* is what an
    error calls it: ``could not <doing>: …``.
    """

    op: str
    target: str = ""
    source: str = ""
    kind: str = ""
    flags: int = 0
    fd: int = -1
    data: bytes = b""
    doing: str = ""

    def __str__(self) -> str:
        if self.doing:
            return self.doing
        words = [self.op.replace("_", " "), self.kind]
        words.append(self.source and f"from {self.source.split(chr(0))[0]}")
        words.append(self.target and f"on {self.target}")
        return " ".join(word for word in words if word)


@frozen(eq=False)
class Block:
    """Steps that many plans share: laid out once for each place where they come to stand."""

    steps: tuple[Step, ...]
    _laid: dict[int, tuple[bytes, bytes]] = field(factory=dict, repr=False)

    def lay(self, start: int) -> tuple[bytes, bytes]:
        """The steps as C reads them, and their texts and blobs, which begin at offset *start*."""
        if (laid := self._laid.get(start)) is None:
            if len(self._laid) >= _MOST_PLACES:
                self._laid.clear()
            room = _Room(start)
            packed = b"".join(_pack(step, room) for step in self.steps)
            laid = self._laid[start] = packed, b"".join(room.parts)
        return laid


_MOST_PLACES = 16


@frozen
class Plan:
    """Everything between being cloned and running *argv*.

    *unshare* are the namespaces made with the child, *fds* what its steps refer to, *cgroup*
    the v2 cgroup it is born into. With *target*, a pidfd, the child is born by the joiner next
    to that process, *joined* being the namespaces they share; there its steps find the target
    as fd `JOIN_TARGET` and *fds* from `JOIN_FDS` on. *bounds* is the mask of all capabilities
    that its steps leave it, or more. *laid* is what `encode` makes of it, where that is known.
    """

    argv: tuple[str, ...]
    env: tuple[str, ...] = ()
    parts: tuple[Step | Block, ...] = ()
    unshare: int = 0
    fds: tuple[int, ...] = ()
    cgroup: int = -1
    init: bool = False
    target: int = -1
    joined: int = 0
    bounds: int = (1 << 64) - 1
    laid: bytes = field(default=b"", repr=False)

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every step, in order."""
        return tuple(
            step
            for part in self.parts
            for step in (part.steps if isinstance(part, Block) else (part,))
        )


def texts(values: Sequence[str]) -> str:
    """The list form of several texts in one field: each ended by NUL, the last by another."""
    return "\0".join(values) + "\0" if values else ""


class _Room:
    """The texts and blobs of one plan, each kept once."""

    def __init__(self, start: int) -> None:
        self.parts: list[bytes] = []
        self.end = start
        self._known: dict[str, int] = {"": 0}

    def text(self, value: str) -> int:
        """Where *value* stands, ended by NUL; 0 for the empty text."""
        if (at := self._known.get(value)) is None:
            self._known[value] = at = self.end
            part = value.encode(errors="surrogateescape") + b"\0"
            self.parts.append(part)
            self.end += len(part)
        return at

    def blob(self, value: bytes) -> int:
        """Where *value* stands, aligned for the numbers it may hold; 0 for nothing."""
        if not value:
            return 0
        gap = -self.end % 8
        at = self.end + gap
        self.parts.append(bytes(gap) + value)
        self.end = at + len(value)
        return at


def _pack(step: Step, room: _Room) -> bytes:
    text = room.text
    return _STEP.pack(
        OPS[step.op],
        step.fd,
        step.flags,
        text(step.source),
        text(step.target),
        text(step.kind),
        room.blob(step.data) if step.data else 0,
    )


def encode(plan: Plan) -> bytes:
    """Lay *plan* out as C reads it: one piece of memory, no pointers.

    >>> len(encode(Plan(("true",))))
    37
    """
    head = _HEAD.size
    count = sum(len(part.steps) if isinstance(part, Block) else 1 for part in plan.parts)
    end = head + _STEP.size * count
    packed: list[bytes] = []
    shared: list[bytes] = []
    for part in plan.parts:  # the blocks' texts first: then they stand in the same place each time
        if isinstance(part, Block):
            steps, content = part.lay(end)
            packed.append(steps)
            shared.append(content)
            end += len(content)
        else:
            packed.append(b"")
    room = _Room(end)
    for index, part in enumerate(plan.parts):
        if not isinstance(part, Block):
            packed[index] = _pack(part, room)
    argv_at = room.end
    words = "\0".join((*plan.argv, *plan.env, "")).encode(errors="surrogateescape")
    if words.count(b"\0") != len(plan.argv) + len(plan.env):
        raise InvalidRequest("program", plan.argv, why="an argument or variable holds a NUL byte")
    envp_at = argv_at + len("\0".join((*plan.argv, "")).encode(errors="surrogateescape"))
    size = room.end + len(words)
    header = _HEAD.pack(ABI, size, head, count, argv_at, len(plan.argv), envp_at, len(plan.env))
    return b"".join((header, *packed, *shared, *room.parts, words))
