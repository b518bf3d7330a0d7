"""Options about a container's life: when it starts again, its health, its logs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from attrs import evolve

from pyengine.errors import InvalidRequest, Unsupported
from pyengine.model.options_words import integer, pairs, text, texts
from pyengine.model.spec import HealthCheck, LogConfig
from pyengine.model.units import parse_duration, parse_size

_POLICIES = ("no", "always", "unless-stopped", "on-failure")
_POLICY_FORM = "'no', 'always', 'unless-stopped' or 'on-failure[:n]'"
_DRIVERS = ("json-file", "local", "none")
_OTHER_DRIVERS = frozenset(
    ("journald", "syslog", "gelf", "fluentd", "awslogs", "gcplogs", "splunk")
)
_OF_LOCAL = ("max-size", "max-file", "compress", "mode", "max-buffer-size")
_TRUE = {"1", "t", "T", "true", "TRUE", "True"}
_TRUTH = {*_TRUE, "0", "f", "F", "false", "FALSE", "False"}


def restart(given: object) -> tuple[str, int]:
    """The policy and its number of tries, 0 for as many as it takes (row C80)."""
    if isinstance(given, Mapping):  # docker-py's form
        name, count = given.get("Name") or "no", given.get("MaximumRetryCount") or 0
        given = f"{name}:{count}" if count else name
    policy, colon, tries = text(given, "restart").partition(":")
    policy = policy or "no"
    if policy not in _POLICIES:
        raise InvalidRequest("restart", given, expected=_POLICY_FORM)
    if not colon:
        return policy, 0
    if policy != "on-failure":
        why = "maximum retry count can only be used with 'on-failure'"
        raise InvalidRequest("restart", given, expected=_POLICY_FORM, why=why)
    return policy, integer(tries, "restart", 0, 1 << 31)


def health(given: object) -> HealthCheck:
    """A `HealthCheck` whose fields make sense (rows C82, C83); times may be Go's texts."""
    if not isinstance(given, HealthCheck):
        raise InvalidRequest("health", given, expected="a HealthCheck")
    asked: object = given.test  # whatever a caller without a type checker put there
    test = ("CMD-SHELL", asked) if isinstance(asked, str) else texts(asked, "health test")
    kind, count = (test[0] if test else ""), len(test) - 1
    rules = {"": count < 0, "NONE": count == 0, "CMD": count >= 1, "CMD-SHELL": count == 1}
    if not rules.get(kind, False):
        expected = "['CMD', …], ['CMD-SHELL', 'a command'] or ['NONE']"
        raise InvalidRequest("health test", test, expected=expected)
    times = {
        field: _probe_time(getattr(given, field), f"health {field}")
        for field in ("interval", "timeout", "start_period", "start_interval")
    }
    retries = integer(given.retries, "health retries", 0, 1 << 31)
    return evolve(given, test=test, retries=retries, **times)


def _probe_time(given: object, what: str) -> float:
    seconds = parse_duration(given, what)
    if seconds != 0 and seconds < 0.001:
        raise InvalidRequest(what, given, expected="0, or at least a millisecond")
    return seconds


def log(given: object) -> LogConfig:
    """A driver's name, or a `LogConfig` with options that make sense (rows C85 to C87)."""
    driver: object = given
    options: object = ()
    if isinstance(given, LogConfig):
        driver, options = given.driver, given.options
    name = text(driver, "log") or "json-file"
    if name not in _DRIVERS and name not in _OTHER_DRIVERS:
        expected = "'json-file', 'local' or 'none'"
        raise InvalidRequest("log", given, why=f"no log driver named {name!r}", expected=expected)
    if isinstance(options, tuple) and not all(isinstance(one, str) for one in options):
        options = dict(options)
    read = {
        key: _log_value(value, f"log option {key}") for key, value in pairs(options, "log options")
    }
    if name == "json-file":
        _check_json_file(read)
    elif name == "local":
        _check_local(read)
    elif name == "none" and read:
        raise InvalidRequest("log options", read, why="the driver 'none' has no options")
    return LogConfig(name, tuple(sorted(read.items())))


def _log_value(value: object, what: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else text(value, what)


@lru_cache(maxsize=1)
def _json_file_checks() -> dict[str, Callable[[str], object]]:
    """What each option of json-file has to be; none of them hands its value on."""

    def pattern(what: str) -> Callable[[str], object]:
        def check(value: str) -> None:
            import re

            try:
                re.compile(value)
            except re.error as error:
                raise InvalidRequest(what, value, why=str(error)) from error

        return check

    def word(what: str, *words: str) -> Callable[[str], object]:
        def check(value: str) -> None:
            if value not in words:
                raise InvalidRequest(what, value, expected=" or ".join(words))

        return check

    def anything(value: str) -> object:
        return value

    return {
        "max-size": lambda value: _positive(value, "log option max-size"),
        "max-file": lambda value: integer(value, "log option max-file", 1, 1000),
        "compress": word("log option compress", *sorted(_TRUTH)),
        "labels": anything,
        "labels-regex": pattern("log option labels-regex"),
        "env": anything,
        "env-regex": pattern("log option env-regex"),
        "tag": anything,
        "mode": word("log option mode", "blocking", "non-blocking"),
        "max-buffer-size": lambda value: _positive(value, "log option max-buffer-size"),
    }


def _positive(value: str, what: str) -> None:
    if parse_size(value, what) == 0:
        raise InvalidRequest(what, value, expected="more than 0")


def _check_json_file(options: dict[str, str]) -> None:
    _check_each("json-file", options, _json_file_checks())
    if options.get("compress") in _TRUE and (
        int(options.get("max-file", "1")) < 2 or "max-size" not in options
    ):
        why = "compress needs max-size, and a max-file of at least 2"
        raise InvalidRequest("log option compress", options["compress"], why=why)
    _check_mode(options)


def _check_local(options: dict[str, str]) -> None:
    checks = _json_file_checks()
    _check_each("local", options, {name: checks[name] for name in _OF_LOCAL})
    if options.get("max-file") == "1" and options.get("compress", "true") in _TRUE:
        why = "compression cannot be enabled when max file count is 1"
        raise InvalidRequest("log option max-file", "1", why=why, expected="compress=false with it")
    _check_mode(options)


def _check_each(
    driver: str, options: dict[str, str], checks: Mapping[str, Callable[[str], object]]
) -> None:
    for name, value in options.items():
        if (check := checks.get(name)) is None:
            why = f"unknown log opt {name!r} for {driver} log driver"
            raise InvalidRequest("log options", options, why=why, expected=", ".join(checks))
        check(value)


def _check_mode(options: dict[str, str]) -> None:
    if "max-buffer-size" in options and options.get("mode") != "non-blocking":
        why = "max-buffer-size is for mode=non-blocking"
        raise InvalidRequest("log option max-buffer-size", options["max-buffer-size"], why=why)


def require_built_log(config: LogConfig) -> None:
    """`Unsupported` for the drivers of Docker that are not here."""
    if config.driver in _OTHER_DRIVERS:
        missing = "only json-file, local and none are built"
        raise Unsupported(f"the log driver {config.driver!r}", missing, "use log='json-file'")
