"""A seccomp profile in Docker's JSON, read into values or refused with the place that is wrong."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Mapping
from enum import Enum

from attrs import field, frozen

from pyengine.errors import InvalidRequest, Unsupported
from pyengine.linux.capabilities import NAMES
from pyengine.linux.seccomp_tables import KEYS, WORDS

# SECCOMP_RET_*, linux/seccomp.h; the lower 16 bits are an errno or a message
KILL_PROCESS, KILL_THREAD, TRAP, ERRNO = 0x80000000, 0x00000000, 0x00030000, 0x00050000
TRACE, LOG, ALLOW = 0x7FF00000, 0x7FFC0000, 0x7FFF0000

FLAG_LOG, FLAG_SPEC_ALLOW = 1 << 1, 1 << 2  # SECCOMP_FILTER_FLAG_*

ALL_BITS = 2**64 - 1

_ACTIONS = {
    "SCMP_ACT_KILL": KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": KILL_PROCESS,
    "SCMP_ACT_TRAP": TRAP,
    "SCMP_ACT_ERRNO": ERRNO,
    "SCMP_ACT_TRACE": TRACE,
    "SCMP_ACT_LOG": LOG,
    "SCMP_ACT_ALLOW": ALLOW,
}
_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 0,  # a child has one thread: there is nobody to agree with
    "SECCOMP_FILTER_FLAG_LOG": FLAG_LOG,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": FLAG_SPEC_ALLOW,
}
_CARRIERS = (ERRNO, TRACE)  # the actions that carry a number
_ERRNO_MOST = 4095  # MAX_ERRNO: the kernel cuts off what is above
_KERNEL = re.compile(r"(\d{1,4})\.(\d{1,4})", re.ASCII)
_CAPABILITIES = frozenset(NAMES)


class Comparison(Enum):
    """How an argument is compared with a value; both are unsigned."""

    EQUAL = "SCMP_CMP_EQ"
    NOT_EQUAL = "SCMP_CMP_NE"
    LESS = "SCMP_CMP_LT"
    LESS_OR_EQUAL = "SCMP_CMP_LE"
    GREATER = "SCMP_CMP_GT"
    GREATER_OR_EQUAL = "SCMP_CMP_GE"


@frozen
class Condition:
    """What argument number *argument* has to be; `EQUAL` looks at the bits of *mask* only."""

    argument: int
    comparison: Comparison
    value: int
    mask: int = ALL_BITS


@frozen
class Circumstances:
    """When a rule counts: each empty field leaves it open."""

    capabilities: frozenset[str] = frozenset()
    architectures: frozenset[str] = frozenset()
    kernel: tuple[int, int] | None = None  # at least this


@frozen
class Rule:
    """*action*, a ``SECCOMP_RET_*`` with its number, for *names* where every condition is met."""

    names: tuple[str, ...]
    action: int
    conditions: tuple[Condition, ...] = ()
    includes: Circumstances = Circumstances()
    excludes: Circumstances = Circumstances()


@frozen
class Profile:
    """A whole profile; *companions* are the further architectures of each that has some."""

    default: int
    rules: tuple[Rule, ...]
    architectures: tuple[str, ...] = ()
    companions: tuple[tuple[str, tuple[str, ...]], ...] = ()
    flags: int = field(default=FLAG_SPEC_ALLOW)


def load(text: str) -> object:
    """The value that the JSON *text* of a profile stands for; stricter than `json.loads`.

    Raises `InvalidRequest` for what is no JSON, and for NaN, infinities and keys that come
    twice, about which readers disagree.
    """
    import json  # milliseconds to load: only for who needs it

    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)
    except InvalidRequest:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("seccomp", text, why=f"not JSON: {error}") from error


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InvalidRequest("seccomp", twice, why="the key is there twice")
    return found


def _no_number(text: str) -> object:
    raise InvalidRequest("seccomp", text, why="not a number")


def parse(value: object) -> Profile:
    """Read a profile. Raises `InvalidRequest`, and `Unsupported` for one that wants a listener.

    >>> parse({"defaultAction": "SCMP_ACT_ALLOW"}).default == ALLOW
    True
    """
    known = "defaultAction defaultErrnoRet defaultErrno architectures archMap syscalls flags"
    given = _object(value, "the profile", f"{known} listenerPath listenerMetadata")
    for key in ("listenerPath", "listenerMetadata"):
        if given.get(key):
            raise Unsupported(f"seccomp {key}", "nobody listens", "leave it out")
    default = _action(given, "defaultAction", "defaultErrnoRet", "defaultErrno", "")
    architectures = _texts(given.get("architectures"), "architectures", KEYS)
    companions = _companions(given.get("archMap"))
    if architectures and companions:
        raise _wrong("archMap", given["archMap"], "either 'architectures' or 'archMap'")
    rules = _list(given.get("syscalls"), "syscalls")
    return Profile(
        default=default,
        rules=tuple(_rule(rule, f"syscalls[{at}]") for at, rule in enumerate(rules)),
        architectures=architectures,
        companions=companions,
        flags=_flags(given.get("flags")),
    )


def _wrong(where: str, given: object, expected: str) -> InvalidRequest:
    return InvalidRequest("seccomp", given, why=f"at {where}", expected=expected)


def _object(value: object, where: str, known: str) -> Mapping[str, object]:
    """A mistyped key would loosen a rule, not break it: so unknown ones are refused."""
    if not isinstance(value, Mapping):
        raise _wrong(where, value, "an object")
    names = known.split()
    for key in value:
        if key not in names:
            raise _wrong(where, key, f"one of the keys {', '.join(names)}")
    return value


def _list(value: object, where: str) -> list[object] | tuple[object, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise _wrong(where, value, "a list")
    return value


def _text(value: object, where: str, known: Iterable[str] = ()) -> str:
    if not isinstance(value, str) or not value or (known and value not in known):
        raise _wrong(where, value, f"one of {', '.join(sorted(known))}" if known else "a text")
    return value


def _texts(value: object, where: str, known: Iterable[str] = ()) -> tuple[str, ...]:
    listed = _list(value, where)
    return tuple(_text(one, f"{where}[{at}]", known) for at, one in enumerate(listed))


def _number(value: object, where: str, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise _wrong(where, value, f"a whole number from 0 to {most}")
    return value


def _flags(value: object) -> int:
    """Without the key, as in Docker, programs are not slowed by mitigations; ``[]`` is none."""
    if value is None:
        return FLAG_SPEC_ALLOW
    bits = 0
    waits = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"
    for name in _texts(value, "flags", (*_FLAGS, waits)):
        if name == waits:
            raise Unsupported(f"seccomp flag {name}", "nobody listens", "leave it out")
        bits |= _FLAGS[name]
    return bits


def _companions(value: object) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found = []
    for at, entry in enumerate(_list(value, "archMap")):
        where = f"archMap[{at}]"
        given = _object(entry, where, "architecture subArchitectures")
        below = f"{where}.subArchitectures"
        found.append(
            (
                _text(given.get("architecture"), f"{where}.architecture", KEYS),
                _texts(given.get("subArchitectures"), below, KEYS),
            )
        )
    return tuple(found)


def _action(given: Mapping[str, object], key: str, number: str, name: str, above: str) -> int:
    """The action at *key*, with the errno that stands at *number*, or by name at *name*."""
    word = given.get(key)
    where = f"{above}{key}"
    if word == "SCMP_ACT_NOTIFY":
        raise Unsupported("seccomp action SCMP_ACT_NOTIFY", "nobody listens", "use SCMP_ACT_ERRNO")
    action = _ACTIONS[_text(word, where, _ACTIONS)]
    carried = _carried(given, number, name, above, _ERRNO_MOST if action == ERRNO else 0xFFFF)
    if action in _CARRIERS:
        return action | (errno.EPERM if carried is None else carried)
    if carried is not None:
        raise _wrong(where, word, f"SCMP_ACT_ERRNO or SCMP_ACT_TRACE, as there is {number}")
    return action


def _carried(
    given: Mapping[str, object], number: str, name: str, above: str, most: int
) -> int | None:
    counted = given.get(number)
    carried = None if counted is None else _number(counted, f"{above}{number}", most)
    if given.get(name) in (None, ""):
        return carried
    word = _text(given[name], f"{above}{name}")
    named = getattr(errno, word, None)
    if type(named) is not int or not word.startswith("E"):
        raise _wrong(f"{above}{name}", word, "the name of an errno, such as EPERM")
    if carried not in (None, named):
        raise _wrong(f"{above}{name}", word, f"the name of {number}, which is {carried}")
    return named


def _rule(value: object, where: str) -> Rule:
    known = "names name action errnoRet errno args comment includes excludes"
    given = _object(value, where, known)
    if given.get("name") and given.get("names"):
        raise _wrong(where, given["name"], "either 'name' or 'names'")
    names = _texts([given["name"]] if given.get("name") else given.get("names"), f"{where}.names")
    if not names:
        raise _wrong(f"{where}.names", given.get("names"), "at least one system call")
    if given.get("comment") not in (None, ""):
        _text(given["comment"], f"{where}.comment")
    conditions = _list(given.get("args"), f"{where}.args")
    return Rule(
        names=names,
        action=_action(given, "action", "errnoRet", "errno", f"{where}."),
        conditions=tuple(
            _condition(one, f"{where}.args[{at}]") for at, one in enumerate(conditions)
        ),
        includes=_circumstances(given.get("includes"), f"{where}.includes"),
        excludes=_circumstances(given.get("excludes"), f"{where}.excludes"),
    )


def _condition(value: object, where: str) -> Condition:
    given = _object(value, where, "index value valueTwo op")
    argument = _number(given.get("index"), f"{where}.index", 5)
    operand = _number(given.get("value"), f"{where}.value", ALL_BITS)
    second = given.get("valueTwo")
    other = 0 if second is None else _number(second, f"{where}.valueTwo", ALL_BITS)
    masked = "SCMP_CMP_MASKED_EQ"
    word = _text(given.get("op"), f"{where}.op", (masked, *(one.value for one in Comparison)))
    if word == masked:  # value is the mask, valueTwo what is left of the argument
        return Condition(argument, Comparison.EQUAL, other & operand, operand)
    if other:
        raise _wrong(f"{where}.valueTwo", other, f"none: only {masked} looks at it")
    return Condition(argument, Comparison(word), operand)


def _circumstances(value: object, where: str) -> Circumstances:
    if value is None:
        return _ANY
    given = _object(value, where, "caps arches minKernel")
    kernel = given.get("minKernel")
    if kernel in (None, ""):
        least = None
    elif isinstance(kernel, str) and (match := _KERNEL.fullmatch(kernel)):
        least = int(match[1]), int(match[2])
    else:
        raise _wrong(f"{where}.minKernel", kernel, "a version such as '4.8'")
    return Circumstances(
        frozenset(_texts(given.get("caps"), f"{where}.caps", _CAPABILITIES)),
        frozenset(_texts(given.get("arches"), f"{where}.arches", WORDS)),
        least,
    )


_ANY = Circumstances()
