"""The part of an image's JSON that is about its programs, read with limits (row I31)."""

from __future__ import annotations

import re
from typing import Any

from pyengine.errors import InvalidContent, InvalidRequest
from pyengine.model import content_fields as fields
from pyengine.model.config import DEFAULT_SHELL, ImageConfig
from pyengine.model.options_program import user
from pyengine.model.spec import HealthCheck

MOST_ENTRIES = 10_000
"""Variables, labels, volumes or words of one image."""
LONGEST_TEXT = 128 << 10
"""Bytes of a variable or a word: the kernel's MAX_ARG_STRLEN."""
MOST_PORTS = 3 * 65535
"""Every port of every protocol."""

_KNOWN = frozenset(
    (
        *("User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels"),
        *("StopSignal", "ArgsEscaped", "Healthcheck", "OnBuild", "Shell"),
    )
)
_KNOWN_OF_HEALTH = frozenset(
    ("Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries")
)
_TIMES = {
    "Interval": "interval",
    "Timeout": "timeout",
    "StartPeriod": "start_period",
    "StartInterval": "start_interval",
}
_USUAL = HealthCheck()
_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(?:tcp|udp|sctp))?", re.ASCII | re.IGNORECASE)
_LONGEST_TIME = 10**19  # nanoseconds: what Go's durations can hold, and a little more


def read_config(plain: object, what: str = "config") -> ImageConfig:
    """The value of the object ``config`` of an image; raises `InvalidContent`.

    Kept as it is: what makes no sense only where it runs, such as a variable without ``=``.
    """
    if plain is None:
        return ImageConfig()
    if not isinstance(plain, dict):
        raise InvalidContent(what, "it is no object")
    fields.exact_names(plain, _KNOWN, what)
    return ImageConfig(
        entrypoint=_words(plain, "Entrypoint", what),
        command=_words(plain, "Cmd", what),
        env=_words(plain, "Env", what),
        user=_user(plain, what),
        workdir=_short(fields.text(plain, "WorkingDir", what), "WorkingDir", what),
        labels=_labels(plain, what),
        volumes=_volumes(plain, what),
        exposed=_ports(plain, what),
        stop_signal=_short(fields.text(plain, "StopSignal", what), "StopSignal", what),
        shell=_words(plain, "Shell", what),
        health=_health(plain.get("Healthcheck"), what),
        onbuild=_words(plain, "OnBuild", what),
        args_escaped=fields.flag(plain, "ArgsEscaped", what),
    )


def write_config(config: ImageConfig) -> dict[str, Any]:
    """*config* as JSON knows it; what is empty is left out."""
    found: dict[str, Any] = {
        "User": config.user,
        "ExposedPorts": {port: {} for port in config.exposed},
        "Env": list(config.env),
        "Entrypoint": list(config.entrypoint),
        "Cmd": list(config.command),
        "Healthcheck": None if config.health is None else _plain_health(config.health),
        "ArgsEscaped": config.args_escaped,
        "Volumes": {path: {} for path in config.volumes},
        "WorkingDir": config.workdir,
        "OnBuild": list(config.onbuild),
        "Labels": dict(config.labels),
        "StopSignal": config.stop_signal,
        "Shell": list(config.shell),
    }
    return {name: value for name, value in found.items() if value}


def _few(found: Any, name: str, what: str) -> None:
    if len(found) > MOST_ENTRIES:
        raise InvalidContent(what, f"its {name} has {len(found)} entries, more than {MOST_ENTRIES}")


def _short(text: str, name: str, what: str) -> str:
    if len(text) > LONGEST_TEXT // 4 and len(text.encode()) >= LONGEST_TEXT:
        raise InvalidContent(what, f"a text of its {name} has more than {LONGEST_TEXT} bytes")
    return text


def _words(plain: dict[str, Any], name: str, what: str) -> tuple[str, ...]:
    found = fields.texts(plain, name, what)
    _few(found, name, what)
    return tuple(_short(word, name, what) for word in found)


def _user(plain: dict[str, Any], what: str) -> str:
    asked = fields.text(plain, "User", what)
    try:
        return user(asked)
    except InvalidRequest as error:
        why = error.why or f"it is not {error.expected}"
        raise InvalidContent(what, f"its User {asked[:80]!r}: {why}") from error


def _labels(plain: dict[str, Any], what: str) -> tuple[tuple[str, str], ...]:
    found = fields.pairs(plain, what, "Labels")
    _few(found, "Labels", what)
    return found


def _keys(plain: dict[str, Any], name: str, what: str) -> tuple[str, ...]:
    """The keys of an object that stands for a set: Go has no sets."""
    found = fields.mapping(plain, name, what)
    for key, value in found.items():
        fields.clean(key, f"a key of its {name}", what)
        if value is not None and not isinstance(value, dict):
            raise InvalidContent(what, f"a value of its {name} is no object")
    return tuple(found)


def _volumes(plain: dict[str, Any], what: str) -> tuple[str, ...]:
    found = _keys(plain, "Volumes", what)
    _few(found, "Volumes", what)
    for path in found:
        parts = [part for part in _short(path, "Volumes", what).split("/") if part not in ("", ".")]
        if ".." in parts:
            raise InvalidContent(what, f"its volume {path[:80]!r} has '..' in it")
        if not parts or (path.startswith("/") and parts[0] == "proc"):
            raise InvalidContent(what, f"its volume {path[:80]!r} may not be one")
    return found


def _ports(plain: dict[str, Any], what: str) -> tuple[str, ...]:
    found = _keys(plain, "ExposedPorts", what)
    count = 0
    for port in found:
        match = _PORT.fullmatch(port)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last <= 65535:
            raise InvalidContent(what, f"its exposed port {port[:80]!r} is none")
        count += last - first + 1
    if count > MOST_PORTS:
        raise InvalidContent(what, f"it exposes {count} ports, more than there are")
    return found


def _health(plain: object, what: str) -> HealthCheck | None:
    if plain is None:
        return None
    if not isinstance(plain, dict):
        raise InvalidContent(what, "its Healthcheck is no object")
    fields.exact_names(plain, _KNOWN_OF_HEALTH, what)
    test = _words(plain, "Test", what)
    kind, count = (test[0] if test else ""), len(test) - 1
    if kind == "CMD-SHELL" and count > 1:  # what Docker runs then: sh -c, and $0, $1, …
        kind, test = "CMD", ("CMD", *DEFAULT_SHELL, *test[1:])
    rules = {"": count < 0, "NONE": count == 0, "CMD": count >= 1, "CMD-SHELL": count == 1}
    if not rules.get(kind, False):
        raise InvalidContent(what, f"the Test of its Healthcheck begins with {kind[:80]!r}")
    times = {field: _seconds(plain, name, what) for name, field in _TIMES.items()}
    retries = plain.get("Retries")
    if retries is not None and (type(retries) is not int or not 0 <= retries < 1 << 31):
        raise InvalidContent(what, "the Retries of its Healthcheck are no number")
    if not test:  # times alone check nothing
        return None
    return HealthCheck(test=test, retries=retries or _USUAL.retries, **times)


def _seconds(plain: dict[str, Any], name: str, what: str) -> float:
    value = plain.get(name)
    if not value and not isinstance(value, str):  # 0 stands for the default
        value = 0
    if type(value) is not int or not (value == 0 or 1_000_000 <= value < _LONGEST_TIME):
        raise InvalidContent(what, f"the {name} of its Healthcheck is no time in nanoseconds")
    return value / 1e9 if value else float(getattr(_USUAL, _TIMES[name]))


def _plain_health(check: HealthCheck) -> dict[str, Any]:
    plain: dict[str, Any] = {"Test": list(check.test)}
    for name, field in _TIMES.items():
        if (seconds := getattr(check, field)) != getattr(_USUAL, field):
            plain[name] = round(seconds * 1e9)
    if check.retries != _USUAL.retries:
        plain["Retries"] = check.retries
    return plain
