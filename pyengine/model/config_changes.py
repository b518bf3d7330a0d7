"""Changes to an image's config, written as instructions of a Dockerfile (rows O24, I35)."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterable

from attrs import evolve

from pyengine.errors import InvalidRequest
from pyengine.model.config import DEFAULT_SHELL, ImageConfig
from pyengine.model.dockerfile_words import expand, split_words
from pyengine.model.options_lifecycle import health as checked_health
from pyengine.model.options_network import expose as exposed_ports
from pyengine.model.options_program import user as checked_user
from pyengine.model.signals import parse_signal
from pyengine.model.spec import HealthCheck
from pyengine.model.units import parse_duration

_INSTRUCTION = re.compile(r"\s*([A-Za-z]+)(?:\s+(.*))?", re.DOTALL)
_FLAG = re.compile(r"--([a-z-]+)(?:=(\S*))?(?:\s+|\Z)")
_CONTINUED = re.compile(r"\\[ \t]*\n")
_HEALTH_FLAGS = ("interval", "timeout", "start-period", "start-interval", "retries")
_NOT_ON_BUILD = ("ONBUILD", "FROM", "MAINTAINER")


def apply_changes(config: ImageConfig, changes: Iterable[str]) -> ImageConfig:
    """*config* after *changes*, such as ``ENV A=1`` or ``CMD ["sh"]``, one after the other.

    Raises `InvalidRequest` for other instructions than CMD, ENTRYPOINT, ENV, EXPOSE,
    HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR.

    >>> apply_changes(ImageConfig(), ["ENV A=1 B=$A", 'CMD ["sh"]']).command
    ('sh',)
    """
    command_set = False  # an ENTRYPOINT takes away the command that it was not made for
    for change in [changes] if isinstance(changes, str) else changes:
        for line in _lines(change):
            name, rest = _instruction(line)
            config = _INSTRUCTIONS[name](config, rest)
            if name == "CMD":
                command_set = True
            elif name == "ENTRYPOINT" and not command_set:
                config = evolve(config, command=())
    return config


def _lines(change: object) -> list[str]:
    if not isinstance(change, str) or "\0" in change:
        raise InvalidRequest("change", change, expected="an instruction such as 'ENV A=1'")
    lines = [line.strip() for line in _CONTINUED.sub(" ", change).split("\n")]
    return [line for line in lines if line and not line.startswith("#")]


def _instruction(line: str) -> tuple[str, str]:
    match = _INSTRUCTION.fullmatch(line)
    name = match[1].upper() if match else ""
    if match is None or name not in _INSTRUCTIONS:
        why = f"{name or line[:40]!r} is not a valid change command"
        raise InvalidRequest("change", line, expected=", ".join(_INSTRUCTIONS), why=why)
    if not (rest := (match[2] or "").strip()):
        raise InvalidRequest("change", line, why=f"{name} requires at least one argument")
    return name, rest


def _variables(config: ImageConfig) -> dict[str, str]:
    found = {}
    for entry in config.env:
        name, equals, value = entry.partition("=")
        if equals:
            found[name] = value
    return found


def _json_words(text: str) -> tuple[str, ...] | None:
    """The words of ``["a", "b"]``; `None` if it is something else, as Docker takes it."""
    if not text.startswith("["):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, list) and all(isinstance(word, str) for word in found):
        if any("\0" in word for word in found):
            raise InvalidRequest("change", text, why="it contains a NUL byte")
        return tuple(found)
    return None


def _program(config: ImageConfig, text: str) -> tuple[str, ...]:
    words = _json_words(text)
    return (*(config.shell or DEFAULT_SHELL), text) if words is None else words


def _cmd(config: ImageConfig, text: str) -> ImageConfig:
    return evolve(config, command=_program(config, text), args_escaped=False)


def _entrypoint(config: ImageConfig, text: str) -> ImageConfig:
    return evolve(config, entrypoint=_program(config, text))


def _pairs(config: ImageConfig, text: str, name: str) -> dict[str, str]:
    """``A=1 B="2 3"``, or ``A 1``, the form of old: everything behind the name is its value."""
    words = split_words(text)
    variables = _variables(config)
    if "=" not in words[0]:
        name_and_value = text.split(None, 1)
        if len(name_and_value) < 2:
            raise InvalidRequest("change", f"{name} {text}", why=f"{name} must have two arguments")
        key, value = (expand(part, variables) for part in name_and_value)
        return {key: value}
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            why = f"{word!r} has no '='"
            raise InvalidRequest("change", f"{name} {text}", why=why)
        if not (key := expand(key, variables)):
            raise InvalidRequest("change", f"{name} {text}", why=f"{name} names can not be blank")
        found[key] = expand(value, variables)
    return found


def _env(config: ImageConfig, text: str) -> ImageConfig:
    entries = list(config.env)
    names = [entry.partition("=")[0] for entry in entries]
    for name, value in _pairs(config, text, "ENV").items():
        if name in names:  # a variable keeps its place
            entries[names.index(name)] = f"{name}={value}"
        else:
            entries.append(f"{name}={value}")
    return evolve(config, env=tuple(entries))


def _label(config: ImageConfig, text: str) -> ImageConfig:
    made = {**dict(config.labels), **_pairs(config, text, "LABEL")}
    return evolve(config, labels=tuple(made.items()))


def _expanded(config: ImageConfig, text: str) -> list[str]:
    variables = _variables(config)
    return [expand(word, variables) for word in split_words(text)]


def _single(config: ImageConfig, text: str, name: str) -> str:
    words = _expanded(config, text)
    if len(words) != 1:
        why = f"{name} requires exactly one argument"
        raise InvalidRequest("change", f"{name} {text}", why=why)
    return words[0]


def _expose(config: ImageConfig, text: str) -> ImageConfig:
    ports = exposed_ports(_expanded(config, text))
    return evolve(config, exposed=tuple(dict.fromkeys((*config.exposed, *ports))))


def _volume(config: ImageConfig, text: str) -> ImageConfig:
    words = _json_words(text)
    variables = _variables(config)
    raw = split_words(text) if words is None else words
    paths = [expand(word, variables).strip() for word in raw]
    if not paths or "" in paths:
        raise InvalidRequest("change", f"VOLUME {text}", why="VOLUME specified can not be empty")
    return evolve(config, volumes=tuple(dict.fromkeys((*config.volumes, *paths))))


def _user(config: ImageConfig, text: str) -> ImageConfig:
    return evolve(config, user=checked_user(_single(config, text, "USER")))


def _workdir(config: ImageConfig, text: str) -> ImageConfig:
    path = expand(text, _variables(config))
    whole = posixpath.join("/", config.workdir, path)
    return evolve(config, workdir=posixpath.normpath("/" + whole.lstrip("/")))


def _stop_signal(config: ImageConfig, text: str) -> ImageConfig:
    signal = _single(config, text, "STOPSIGNAL")
    parse_signal(signal, "stop signal")
    return evolve(config, stop_signal=signal)


def _on_build(config: ImageConfig, text: str) -> ImageConfig:
    word = text.split(None, 1)[0].upper()
    if word in _NOT_ON_BUILD:
        why = f"{word} isn't allowed as an ONBUILD trigger"
        raise InvalidRequest("change", f"ONBUILD {text}", why=why)
    return evolve(config, onbuild=(*config.onbuild, text))


def _healthcheck(config: ImageConfig, text: str) -> ImageConfig:
    given: dict[str, str] = {}
    rest = text
    while match := _FLAG.match(rest):
        name, value = match.groups()
        if name not in _HEALTH_FLAGS or not value:
            raise InvalidRequest("change", f"HEALTHCHECK {text}", why=f"--{name} is no flag of it")
        given[name] = value
        rest = rest[match.end() :]
    kind, _, command = rest.partition(" ")
    kind, command = kind.upper(), command.strip()
    if kind == "NONE" and not command and not given:
        return evolve(config, health=HealthCheck(test=("NONE",)))
    if kind != "CMD" or not command:
        raise InvalidRequest("change", f"HEALTHCHECK {text}", expected="[flags] CMD …, or NONE")
    words = _json_words(command)
    test = ("CMD-SHELL", command) if words is None else ("CMD", *words)
    return evolve(config, health=_health_of(test, given))


def _health_of(test: tuple[str, ...], given: dict[str, str]) -> HealthCheck:
    usual = HealthCheck()

    def seconds(name: str, default: float) -> float:
        if name not in given:
            return default
        return parse_duration(given[name], f"health {name}") or default

    retries = given.get("retries", "0")
    check = HealthCheck(
        test=test,
        interval=seconds("interval", usual.interval),
        timeout=seconds("timeout", usual.timeout),
        start_period=seconds("start-period", usual.start_period),
        start_interval=seconds("start-interval", usual.start_interval),
        retries=retries,  # type: ignore[arg-type]  # read by the next line
    )
    checked = checked_health(check)
    return checked if checked.retries else evolve(checked, retries=usual.retries)


_INSTRUCTIONS: dict[str, Callable[[ImageConfig, str], ImageConfig]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _on_build,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
