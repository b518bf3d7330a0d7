"""How a log is to be kept, and what each of its entries shall carry."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from attrs import frozen

from pyengine.errors import InvalidRequest, Unsupported
from pyengine.model.spec import LogConfig
from pyengine.model.units import parse_size

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_BUFFER = "1m"  # docker's
_LOCAL = {"max-size": "20m", "max-file": "5", "compress": "true"}  # docker's (row C87)


@frozen
class LogSettings:
    """What the texts of a `LogConfig` mean (rows C85 to C87).

    *max_size* bytes in one file, ``None`` for no limit; *max_file* files at most; *compress*
    those that are full; *buffer_size* bytes that may wait to be written, ``None`` if whoever
    writes them waits.
    """

    is_kept: bool = True
    max_size: int | None = None
    max_file: int = 1
    compress: bool = False
    buffer_size: int | None = None

    @classmethod
    def of(cls, config: LogConfig) -> LogSettings:
        """Read a *config* that has been checked.

        >>> LogSettings.of(LogConfig("json-file", (("max-size", "16m"), ("max-file", "2"))))
        LogSettings(is_kept=True, max_size=16777216, max_file=2, compress=False, buffer_size=None)
        """
        options = dict(config.options)
        if config.driver == "local":
            options = {**_LOCAL, **options}
        size = options.get("max-size")
        waits = options.get("mode") != "non-blocking"
        return cls(
            is_kept=config.driver != "none",
            max_size=None if size is None else parse_size(size, "log option max-size"),
            max_file=int(options.get("max-file", "1")),
            compress=options.get("compress") in _TRUE,
            buffer_size=None if waits else parse_size(options.get("max-buffer-size", _BUFFER)),
        )


_LARGEST_ATTRIBUTES = 128 * 1024
_TAG_FIELD = re.compile(r"\{\{ *\.([A-Za-z]+) *\}\}")
TAG_FIELDS = frozenset(
    ("Command", "DaemonName", "FullID", "ID", "ImageFullID", "ImageID", "ImageName", "Name")
)
"""What a tag may name, as in ``{{.Name}}``."""


def check_tag(tag: str) -> None:
    """`Unsupported` if *tag* is a template that says more than the names of `TAG_FIELDS`."""
    named = set(_TAG_FIELD.findall(tag))
    if not named <= TAG_FIELDS or "{{" in _TAG_FIELD.sub("", tag):
        remedy = f"use only {', '.join(f'{{{{.{name}}}}}' for name in sorted(TAG_FIELDS))}"
        raise Unsupported(f"the log tag {tag!r}", "only plain fields are built", remedy)


def attributes_of(
    config: LogConfig,
    labels: Mapping[str, str],
    env: Iterable[str],
    fields: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """What each entry shall carry, by the options ``labels``, ``env`` and ``tag`` (row C86).

    *env* are texts such as ``"A=1"``; *fields* what the names of `TAG_FIELDS` stand for.
    Raises `Unsupported` as `check_tag` does, and `InvalidRequest` beyond 128 KiB.

    >>> config = LogConfig("json-file", (("env-regex", "^A"), ("labels", "tier,team")))
    >>> attributes_of(config, {"tier": "front", "other": "x"}, ["AB=1", "B=2"])
    {'tier': 'front', 'AB': '1'}
    """
    options = dict(config.options)
    variables = dict(one.split("=", 1) for one in env if "=" in one)
    found: dict[str, str] = {}
    for option, given in (("labels", labels), ("env", variables)):
        listed = options.get(option, "").split(",")
        found |= {name: given[name] for name in listed if name in given}
        if pattern := options.get(f"{option}-regex"):
            found |= {name: value for name, value in given.items() if re.search(pattern, name)}
    if tag := options.get("tag"):
        check_tag(tag)
        found["tag"] = _TAG_FIELD.sub(lambda match: (fields or {}).get(match[1], ""), tag)
    if sum(len(name) + len(value) for name, value in found.items()) > _LARGEST_ATTRIBUTES:
        why = "the labels and variables it names are longer than 128 KiB, in each line"
        raise InvalidRequest("log options", options, why=why)
    return found
