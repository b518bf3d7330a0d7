"""Processes as ``/proc`` shows them. What is read there was written by containers."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import lru_cache

from pyengine.linux import cgroup_files as files
from pyengine.linux.counters import host_cpu, memory_total
from pyengine.model.process_info import ProcessInfo

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")

COMMAND_LIMIT = 16_384
"""No more bytes of a command line are read: a process can make its own as long as it likes."""


def list_processes(pids: Iterable[int]) -> list[ProcessInfo]:
    """What *pids* are and do; those that have ended meanwhile are left out."""
    booted, memory = host_cpu().booted, memory_total()
    uptime = float(files.read("/proc/uptime", 256).split()[0])
    found = (_process(pid, booted, uptime, memory) for pid in pids)
    return [process for process in found if process is not None]


def namesakes(pid: int) -> list[int]:
    """The processes in the pid namespace of *pid*, as far as this user may look.

    Who has ended and was not reaped yet is left out, as in a cgroup.
    """
    wanted = _pid_namespace(pid)
    if not wanted:
        return []
    numbers = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return sorted(
        number for number in numbers if _pid_namespace(number) == wanted and _has_not_ended(number)
    )


def _pid_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:  # it has ended, or is not ours
        return ""


def _has_not_ended(pid: int) -> bool:
    try:
        return bool(os.readlink(f"/proc/{pid}/ns/mnt"))
    except OSError:  # it has left all but this one
        return False


def _process(pid: int, booted: int, uptime: float, memory: int) -> ProcessInfo | None:
    try:
        stat = files.read(f"/proc/{pid}/stat", 4_096)
        status = files.read(f"/proc/{pid}/status", 16_384)
        command = files.read(f"/proc/{pid}/cmdline", COMMAND_LIMIT)[:COMMAND_LIMIT]
    except OSError:  # it has ended
        return None
    return parse_process(stat, status, command, booted=booted, uptime=uptime, memory=memory)


def parse_process(
    stat: bytes, status: bytes, command: bytes, *, booted: int, uptime: float, memory: int
) -> ProcessInfo | None:
    """Put together proc_pid_stat(5), proc_pid_status(5) and proc_pid_cmdline(5) of a process.

    None where they are not complete.
    """
    # the name may contain anything, also ") R 1": only the last parenthesis is the kernel's
    before, _, rest = stat.rpartition(b")")
    number, _, name = before.partition(b" (")
    words = rest.split()
    if len(words) < 22 or not number.strip().isdigit():
        return None
    numbers = [int(word) for word in words[1:22]]  # fields 4 to 24
    uid, gid, locked = _identity(status)
    shown = printable(name)
    resident = numbers[20] * _PAGE
    started = numbers[18] / _TICKS
    return ProcessInfo(
        pid=int(number),
        ppid=numbers[0],
        uid=uid,
        gid=gid,
        user=user_name(uid),
        name=shown,
        command=_command(command, shown),
        state=words[0].decode("ascii", "replace"),
        flags=_flags(numbers, int(number), locked),
        terminal=terminal(numbers[3]),
        started=booted + started,
        elapsed=max(uptime - started, 0.0),
        cpu_seconds=(numbers[10] + numbers[11]) / _TICKS,
        resident=resident,
        virtual=numbers[19],
        memory_percent=resident / memory * 100.0 if memory else 0.0,
        nice=numbers[15],
        threads=numbers[16],
        process_group=numbers[1],
        session=numbers[2],
    )


def printable(text: bytes) -> str:
    """*text* on one line, without what a terminal would obey.

    >>> printable(b"a\\x1b[2Jb")
    'a?[2Jb'
    """
    decoded = text.decode("utf-8", "replace")
    if decoded.isprintable():
        return decoded
    return "".join(character if character.isprintable() else "?" for character in decoded)


def terminal(number: int) -> str:
    """The name of terminal *number* (field 7 of proc_pid_stat(5)).

    >>> terminal(0), terminal(136 << 8 | 3), terminal(4 << 8 | 1)
    ('?', 'pts/3', 'tty1')
    """
    major = number >> 8 & 0xFFF
    minor = (number & 0xFF) | (number >> 12 & 0xFFF00)
    if 136 <= major <= 143:
        return f"pts/{(major - 136) * 256 + minor}"
    if major == 4:
        return f"tty{minor}" if minor < 64 else f"ttyS{minor - 64}"
    if major == 5 and minor == 1:
        return "console"
    return "?" if number == 0 else f"{major}:{minor}"


@lru_cache(maxsize=256)
def user_name(uid: int) -> str:
    """What the host calls *uid*; its number where it has no name."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return str(uid)


def _command(command: bytes, name: str) -> str:
    # a process may overwrite its arguments with anything, also without a NUL at the end
    text = command.rstrip(b"\0 ").replace(b"\0", b" ")
    return printable(text) if text else f"[{name}]"


def _identity(status: bytes) -> tuple[int, int, bool]:
    """Effective user and group, and whether it holds memory that cannot be swapped."""
    uid = gid = 0
    locked = False
    for line in status.split(b"\n"):
        key, _, value = line.partition(b":")
        words = value.split()
        if key == b"Uid" and len(words) == 4:
            uid = int(words[1])
        elif key == b"Gid" and len(words) == 4:
            gid = int(words[1])
        elif key == b"VmLck" and words:
            locked = words[0] != b"0"
    return uid, gid, locked


def _flags(numbers: list[int], pid: int, locked: bool) -> str:
    """The letters behind ps's state: ps(1), "PROCESS STATE CODES"."""
    group, session, foreground = numbers[1], numbers[2], numbers[4]
    nice, threads = numbers[15], numbers[16]
    flags = "<" if nice < 0 else "N" if nice > 0 else ""
    flags += "L" if locked else ""
    flags += "s" if session == pid else ""
    flags += "l" if threads > 1 else ""
    return flags + ("+" if foreground == group else "")
