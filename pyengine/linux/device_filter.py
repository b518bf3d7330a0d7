"""Which devices a container's programs may open or make, as the kernel enforces it.

Version 2 trees, with or without controllers, take an eBPF program (``BPF_CGROUP_DEVICE``, Linux
4.15, bpf(2)); version 1 has the ``devices`` controller. eBPF is not the classic BPF of seccomp:
eight bytes an instruction, ten registers, one exit value.
"""

from __future__ import annotations

import binascii
import os
import stat
import struct
from collections.abc import Sequence
from functools import lru_cache

from attrs import frozen

from pyengine.errors import InvalidRequest, KernelError
from pyengine.linux import cgroup_files as files
from pyengine.model.spec import DeviceRule


@frozen(cache_hash=True)
class DevicePolicy:
    """What may be done to devices: each right (read, write, make) is decided by the last rule
    that names it, and refused where none does.

    *unrestricted* needs no filter at all (a privileged container).
    """

    rules: tuple[tuple[DeviceRule, bool], ...] = ()  # a rule, and whether it allows
    unrestricted: bool = False

    @property
    def is_default(self) -> bool:
        """Whether a container can share the filter of all others that asked for nothing."""
        return self is DEFAULT_POLICY or self == DEFAULT_POLICY

    @property
    def fingerprint(self) -> str:
        """Eight letters that are the same for the same policy, in every process."""
        return f"{binascii.crc32(repr(self.rules).encode()):08x}"


def _allow(
    kind: str, major: int | None, minor: int | None, access: str = "rwm"
) -> tuple[DeviceRule, bool]:
    return DeviceRule(kind, major, minor, access), True


DEFAULT_POLICY = DevicePolicy(
    (
        (DeviceRule("c", 10, 229, "rwm"), False),  # fuse: said by Docker, though nothing allows it
        _allow("c", None, None, "m"),
        _allow("b", None, None, "m"),
        _allow("c", 1, 3),  # null
        _allow("c", 1, 5),  # zero
        _allow("c", 1, 7),  # full
        _allow("c", 1, 8),  # random
        _allow("c", 1, 9),  # urandom
        _allow("c", 5, 0),  # tty
        _allow("c", 5, 1),  # console
        _allow("c", 5, 2),  # ptmx
        _allow("c", 136, None),  # pts/*
    )
)
"""Docker's (row C72): make any node, use only those every container has."""

UNRESTRICTED = DevicePolicy(unrestricted=True)
"""A privileged container's."""


def device_policy(allowed: Sequence[DeviceRule] = (), *, privileged: bool = False) -> DevicePolicy:
    """The default policy and what *allowed* adds to it, later rules last.

    >>> device_policy() is DEFAULT_POLICY
    True
    """
    if privileged:
        return UNRESTRICTED
    if not allowed:
        return DEFAULT_POLICY
    return DevicePolicy(DEFAULT_POLICY.rules + tuple((rule, True) for rule in allowed))


def device_rule(path: str, access: str = "rwm") -> DeviceRule:
    """The rule that gives *access* to the device node at *path* of the host.

    Raises `InvalidRequest` where *path* is no device.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        raise InvalidRequest("device", path, why=error.strerror or "") from error
    if stat.S_ISCHR(found.st_mode):
        kind = "c"
    elif stat.S_ISBLK(found.st_mode):
        kind = "b"
    else:
        raise InvalidRequest("device", path, why="it is not a device node")
    return DeviceRule(kind, os.major(found.st_rdev), os.minor(found.st_rdev), access)


# --- the program -----------------------------------------------------------------------------
# linux/bpf_common.h and linux/bpf.h; the context is struct bpf_cgroup_dev_ctx:
# u32 access_type (access << 16 | type), u32 major, u32 minor

_LDX_W = 0x61  # BPF_LDX | BPF_MEM | BPF_W
_MOV64_REG = 0xBF
_MOV64_IMM = 0xB7
_AND32_IMM = 0x54
_RSH32_IMM = 0x74
_JA = 0x05
_JNE32_IMM = 0x56  # BPF_JMP32 | BPF_JNE | BPF_K: compares all 32 bits, unsigned
_JSET_IMM = 0x45
_EXIT = 0x95

_TYPES = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_BLOCK, _CHAR
_RIGHTS = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_MKNOD, _READ, _WRITE

_INSTRUCTION = struct.Struct("<BBhi")


class _Assembler:
    """Collects instructions and resolves forward jumps to labels."""

    def __init__(self) -> None:
        self._lines: list[tuple[int, int, int, str, int]] = []
        self._labels: dict[str, int] = {}
        self.used: set[str] = set()

    def add(
        self,
        code: int,
        target: int = 0,
        source: int = 0,
        *,
        to: str = "",
        value: int = 0,
        at: int = 0,
    ) -> None:
        """*to* names the label to jump to, *at* is an offset in memory."""
        if to:
            self.used.add(to)
        self._lines.append((code, source << 4 | target, at, to, value))

    def label(self, name: str) -> None:
        self._labels[name] = len(self._lines)

    def assemble(self) -> bytes:
        pieces = []
        for position, (code, registers, offset, to, value) in enumerate(self._lines):
            if to:
                offset = self._labels[to] - position - 1
            signed = value - (1 << 32) if value >= 1 << 31 else value
            pieces.append(_INSTRUCTION.pack(code, registers, offset, signed))
        return b"".join(pieces)


@lru_cache(maxsize=16)
def program(policy: DevicePolicy) -> bytes:
    """The eBPF instructions that answer 1 to what *policy* allows and 0 to all else.

    Raises `InvalidRequest` for more rules than a jump can cross.
    """
    if len(policy.rules) > 1_000:
        raise InvalidRequest("device_cgroup_rules", len(policy.rules), expected="at most 1000")
    code = _Assembler()
    code.add(_LDX_W, 2, 1, at=0)
    code.add(_MOV64_REG, 3, 2)
    code.add(_RSH32_IMM, 3, value=16)  # r3: the rights that are asked for
    code.add(_AND32_IMM, 2, value=0xFFFF)  # r2: the type
    code.add(_LDX_W, 4, 1, at=4)  # r4: major
    code.add(_LDX_W, 5, 1, at=8)  # r5: minor
    for right in _RIGHTS:
        _decide(code, policy, right)
    code.add(_MOV64_IMM, 0, value=1)
    code.add(_EXIT)
    if "refuse" in code.used:  # the verifier takes no instruction that cannot be reached
        code.label("refuse")
        code.add(_MOV64_IMM, 0, value=0)
        code.add(_EXIT)
    return code.assemble()


def _decide(code: _Assembler, policy: DevicePolicy, right: str) -> None:
    """Refuse if *right* is asked for and not allowed, else go on."""
    code.add(_JSET_IMM, 3, value=_RIGHTS[right], to=f"{right}?")
    code.add(_JA, to=f"{right} done")
    code.label(f"{right}?")
    for index, (rule, allows) in enumerate(reversed(policy.rules)):
        if right not in rule.access:
            continue
        following = f"{right} {index}"
        if rule.kind != "a":
            code.add(_JNE32_IMM, 2, value=_TYPES[rule.kind], to=following)
        if rule.major is not None:
            code.add(_JNE32_IMM, 4, value=rule.major, to=following)
        if rule.minor is not None:
            code.add(_JNE32_IMM, 5, value=rule.minor, to=following)
        code.add(_JA, to=f"{right} done" if allows else "refuse")
        code.label(following)
        if following not in code.used:  # it decides everything: older rules are never asked
            break
    else:
        code.add(_JA, to="refuse")
    code.label(f"{right} done")


def v1_lines(policy: DevicePolicy) -> tuple[tuple[str, bytes], ...]:
    """What to write into which file of a v1 ``devices`` cgroup, in order."""
    if policy.unrestricted:
        return (("devices.allow", b"a"),)
    lines = [("devices.deny", b"a")]
    for rule, allows in policy.rules:
        major = "*" if rule.major is None else rule.major
        minor = "*" if rule.minor is None else rule.minor
        # the kernel reads "a" as everything, whatever numbers and rights follow
        for kind in "bc" if rule.kind == "a" else rule.kind:
            content = f"{kind} {major}:{minor} {rule.access}".encode()
            lines.append(("devices.allow" if allows else "devices.deny", content))
    return tuple(lines)


# --- the deed --------------------------------------------------------------------------------

_SYSCALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "s390x": 351, "ppc64le": 361}
_PROG_LOAD, _PROG_ATTACH = 5, 8
_PROG_TYPE_CGROUP_DEVICE = 15
_ATTACH_TYPE_DEVICE = 6
_ALLOW_MULTI = 2  # programs of parents are asked as well; each may refuse

ATTACHED = "trusted.pyengine.devices"
"""The mark on a directory whose program is in place: cheaper to ask for than bpf(2)."""


def attach(policy: DevicePolicy, directory: str) -> None:
    """Filter the devices of the version 2 cgroup *directory* and all below it.

    The program lives as long as the cgroup. Raises `KernelError`, EPERM or ENOSYS where the
    host does not let us.
    """
    # ctypes takes milliseconds to load: only here, once for all containers with the default
    import errno

    try:
        import ctypes
    except ImportError as error:  # a Python built without libffi
        raise KernelError(errno.ENOSYS, "call bpf(2)", f"this Python has no ctypes: {error}") from (
            error
        )
    number = _SYSCALL.get(os.uname().machine)
    if number is None:
        raise KernelError(errno.ENOSYS, "find the number of bpf(2) on this machine")
    call = ctypes.CDLL(None, use_errno=True).syscall

    def bpf(command: int, attributes: bytes, doing: str) -> int:
        # without argument types ctypes passes int: too short for a long and a size_t
        result: int = call(
            ctypes.c_long(number),
            ctypes.c_long(command),
            ctypes.c_char_p(attributes),
            ctypes.c_size_t(len(attributes)),
        )
        if result < 0:
            raise KernelError(ctypes.get_errno(), doing)
        return result

    instructions = program(policy)
    code = ctypes.create_string_buffer(instructions, len(instructions))
    text = ctypes.create_string_buffer(b"Apache-2.0")
    load = struct.pack(
        "<IIQQIIQII16s",
        _PROG_TYPE_CGROUP_DEVICE,
        len(instructions) // 8,
        ctypes.addressof(code),
        ctypes.addressof(text),
        0, 0, 0, 0, 0,  # no log, no version, no flags
        b"pyengine_dev",
    )  # fmt: skip
    loaded = bpf(_PROG_LOAD, load, "load a device filter")
    try:
        target = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            attributes = struct.pack("<IIII", target, loaded, _ATTACH_TYPE_DEVICE, _ALLOW_MULTI)
            bpf(_PROG_ATTACH, attributes, f"attach a device filter to {directory}")
        finally:
            os.close(target)
    finally:
        os.close(loaded)


def attach_once(policy: DevicePolicy, directory: str) -> None:
    """As `attach`, unless it has been done to this directory before, by any process."""
    try:
        os.getxattr(directory, ATTACHED)
        return
    except OSError:
        attach(policy, directory)  # two processes at once: the same program twice does no harm
    try:
        os.setxattr(directory, ATTACHED, b"1")
    except OSError:  # before Linux 5.7: the next process attaches it once more
        return


def restrict_v1_once(policy: DevicePolicy, directory: str) -> None:
    """As `restrict_v1`, unless it has been done to this directory before, by any process."""
    try:
        os.getxattr(directory, ATTACHED)
        return
    except OSError:
        restrict_v1(policy, directory)
    try:
        os.setxattr(directory, ATTACHED, b"1")
    except OSError:  # before Linux 5.7: the next process writes it once more
        return


def restrict_v1(policy: DevicePolicy, directory: str) -> None:
    """Write *policy* into the v1 ``devices`` cgroup *directory*. Raises `OSError`."""
    for file, content in v1_lines(policy):
        files.write(f"{directory}/{file}", content)
