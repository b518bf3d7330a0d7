"""``docker top``: some processes in the columns that ps would show them in (row O17)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import lru_cache

from pyengine.errors import InvalidRequest, Unsupported
from pyengine.model.process_info import ProcessInfo, ProcessTable

_Cell = Callable[[ProcessInfo, float], str]
_Column = tuple[str, _Cell]


def process_table(
    processes: Sequence[ProcessInfo], arguments: str = "-ef", *, now: float | None = None
) -> ProcessTable:
    """*processes* as ``ps`` with *arguments* would show them.

    Known are ``-e`` and ``-ef``, BSD's ``ax`` and ``aux``, and ``-o`` with
    columns of ps(1), also renamed (``-o pid,args=WHAT``). Raises `Unsupported` for others.
    *now* are seconds since 1970.

    >>> process_table([], "-o pid,comm").titles
    ('PID', 'COMMAND')
    """
    columns = columns_of(arguments)
    moment = time.time() if now is None else now
    rows = (tuple(cell(process, moment) for _, cell in columns) for process in processes)
    return ProcessTable(tuple(title for title, _ in columns), tuple(rows))


@lru_cache(maxsize=64)
def columns_of(arguments: str) -> tuple[_Column, ...]:
    """The titles and cells that ps's *arguments* ask for."""
    words = arguments.split()
    chosen: list[_Column] = []
    letters = ""
    while words:
        word = words.pop(0)
        flags, wants, value = _option(word)
        letters += flags
        if wants:
            if not value and not words:
                raise InvalidRequest("ps arguments", arguments, why="-o needs columns")
            chosen.extend(_chosen(value or words.pop(0)))
    if chosen:
        return tuple(chosen)
    return tuple(_KNOWN[name] for name in _layout(letters, arguments))


def _option(word: str) -> tuple[str, bool, str]:
    """The letters of *word*, whether it ends in ``o``, and what follows the ``o``."""
    if word.startswith("--format"):
        return "-", True, word[8:].lstrip("=")
    letters, wants, value = word.partition("o")
    return letters, bool(wants), value


def _chosen(text: str) -> list[_Column]:
    found = []
    while text:
        name, _, text = text.partition(",")
        name, renamed, title = name.partition("=")
        if renamed and text:  # as in ps, a title goes on to the end
            title, text = f"{title},{text}", ""
        column = _KNOWN.get(name)
        if column is None:
            raise Unsupported(
                f"the column {name!r} of ps", "it is not known", f"one of {', '.join(_KNOWN)}"
            )
        found.append((title if renamed else column[0], column[1]))
    return found


def _layout(letters: str, arguments: str) -> tuple[str, ...]:
    has_dash = "-" in letters
    asked = frozenset(letters) - frozenset("-w")
    if has_dash and asked <= frozenset("eAf"):
        return _FULL if "f" in asked else _SHORT
    if asked <= frozenset("axu"):  # "-aux" too: ps takes it for "aux"
        return _BSD_USER if "u" in asked else _BSD
    raise Unsupported(
        f"ps with {arguments!r}", "only -e, -ef, ax, aux and -o are known", "use -o COLUMN,…"
    )


# --- how a cell is written: as procps does ---


def _clock_time(process: ProcessInfo, _: float) -> str:
    """``[days-]hours:minutes:seconds`` of processor time."""
    return _long(int(process.cpu_seconds))


def _long(seconds: int) -> str:
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    text = f"{hour:02}:{minute:02}:{second:02}"
    return f"{days}-{text}" if days else text


def _bsd_time(process: ProcessInfo, _: float) -> str:
    minute, second = divmod(int(process.cpu_seconds), 60)
    return f"{minute}:{second:02}"


def _elapsed(process: ProcessInfo, _: float) -> str:
    text = _long(int(process.elapsed))
    return text.removeprefix("00:") if "-" not in text else text


def _started(process: ProcessInfo, now: float) -> str:
    """The hour if it was today, else the day, else the year."""
    then, today = time.localtime(process.started), time.localtime(now)
    if now - process.started < 24 * 3600 and then.tm_yday == today.tm_yday:
        return time.strftime("%H:%M", then)
    if then.tm_year == today.tm_year:
        return time.strftime("%b%d", then)
    return str(then.tm_year)


def _long_start(process: ProcessInfo, _: float) -> str:
    return time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(process.started))


def _percent(share: Callable[[ProcessInfo], float]) -> _Cell:
    return lambda process, _: f"{share(process):.1f}"


def _plain(value: Callable[[ProcessInfo], object]) -> _Cell:
    return lambda process, _: str(value(process))


_PID = ("PID", _plain(lambda process: process.pid))
_PPID = ("PPID", _plain(lambda process: process.ppid))
_USER = ("USER", _plain(lambda process: process.user))
_UID = ("UID", _plain(lambda process: process.uid))
_GID = ("GID", _plain(lambda process: process.gid))
_NAME = ("COMMAND", _plain(lambda process: process.name))
_COMMAND = ("COMMAND", _plain(lambda process: process.command))
_CPU = ("%CPU", _percent(lambda process: process.cpu_percent))
_MEMORY = ("%MEM", _percent(lambda process: process.memory_percent))
_VIRTUAL = ("VSZ", _plain(lambda process: process.virtual // 1024))
_RESIDENT = ("RSS", _plain(lambda process: process.resident // 1024))
_TERMINAL = ("TT", _plain(lambda process: process.terminal))
_STAT = ("STAT", _plain(lambda process: process.state + process.flags))
_GROUP = ("PGID", _plain(lambda process: process.process_group))
_SESSION = ("SID", _plain(lambda process: process.session))
_THREADS = ("NLWP", _plain(lambda process: process.threads))

_KNOWN: dict[str, _Column] = {
    "pid": _PID,
    "tgid": ("TGID", _PID[1]),
    "ppid": _PPID,
    "user": _USER,
    "euser": ("EUSER", _USER[1]),
    "uname": _USER,
    "uid": _UID,
    "euid": ("EUID", _UID[1]),
    "gid": _GID,
    "egid": ("EGID", _GID[1]),
    "comm": _NAME,
    "ucmd": ("CMD", _NAME[1]),
    "ucomm": _NAME,
    "args": _COMMAND,
    "cmd": ("CMD", _COMMAND[1]),
    "command": _COMMAND,
    "c": ("C", _plain(lambda process: min(int(process.cpu_percent), 99))),
    "%cpu": _CPU,
    "pcpu": _CPU,
    "%mem": _MEMORY,
    "pmem": _MEMORY,
    "vsz": _VIRTUAL,
    "vsize": _VIRTUAL,
    "rss": _RESIDENT,
    "rssize": _RESIDENT,
    "rsz": ("RSZ", _RESIDENT[1]),
    "sz": ("SZ", _plain(lambda process: process.virtual // 4096)),
    "tt": _TERMINAL,
    "tty": _TERMINAL,
    "tname": ("TTY", _TERMINAL[1]),
    "stat": _STAT,
    "s": ("S", _plain(lambda process: process.state)),
    "state": ("S", _plain(lambda process: process.state)),
    "time": ("TIME", _clock_time),
    "cputime": ("TIME", _clock_time),
    "bsdtime": ("TIME", _bsd_time),
    "etime": ("ELAPSED", _elapsed),
    "etimes": ("ELAPSED", _plain(lambda process: int(process.elapsed))),
    "stime": ("STIME", _started),
    "start_time": ("START", _started),
    "bsdstart": ("START", _started),
    "lstart": ("STARTED", _long_start),
    "ni": ("NI", _plain(lambda process: process.nice)),
    "nice": ("NI", _plain(lambda process: process.nice)),
    "pgid": _GROUP,
    "pgrp": ("PGRP", _GROUP[1]),
    "sid": _SESSION,
    "sess": ("SESS", _SESSION[1]),
    "nlwp": _THREADS,
    "thcount": ("THCNT", _THREADS[1]),
    # the ready-made layouts' own title; with its comma nobody can ask for it by name
    "user,": ("UID", _USER[1]),
}

_FULL = ("user,", "pid", "ppid", "c", "stime", "tname", "time", "cmd")
_SHORT = ("pid", "tname", "time", "ucmd")
_BSD = ("pid", "tname", "stat", "bsdtime", "command")
_BSD_USER = (
    *("user", "pid", "%cpu", "%mem", "vsz", "rss", "tname", "stat", "start_time", "bsdtime"),
    "command",
)
