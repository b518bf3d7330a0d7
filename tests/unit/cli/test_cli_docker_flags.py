"""The flags are docker's: none is missing, none is called or shortened otherwise."""

from pathlib import Path

import pytest

from pyengine.cli import catalog
from pyengine.cli.container_flags import CREATE_FLAGS, RUN_FLAGS
from pyengine.cli.flags import Given, parse
from pyengine.cli.request import read_request
from pyengine.errors import EngineError
from pyengine.model.options import KEYWORDS

_LINES = (Path(__file__).parent / "docker_flags.txt").read_text().splitlines()[1:]
DOCKERS = [tuple(part.strip() for part in line.split("|")) for line in _LINES]
_KINDS = {"int64": "int"}

# what the command itself sees to; everything else is handed to the engine, or refused
OWN = {"attach", "cidfile", "detach", "detach-keys", "interactive", "quiet", "rm", "sig-proxy"}


def flags_of(name):
    verb, _, rest = catalog.find(tuple(name.split(" ")))
    assert not rest
    return {flag.name: flag for flag in verb.flags}


@pytest.mark.parametrize(("verb", "names", "kind", "default"), DOCKERS)
def test_every_flag_of_docker_is_there(verb, names, kind, default):
    name, _, short = names.partition(",")
    flag = flags_of(verb)[name]
    assert flag.short == short
    assert flag.kind == _KINDS.get(kind, kind)
    if default == "true":
        assert flag.default == "true"


def test_no_verb_has_a_flag_that_docker_does_not_have():
    known = {(verb, names.partition(",")[0]) for verb, names, *_ in DOCKERS}
    for verb in {verb for verb, _ in known}:
        ours = {(verb, name) for name, flag in flags_of(verb).items() if not flag.hidden}
        assert ours - known == set()


def test_every_keyword_is_an_option_of_the_engine():
    assert {flag.keyword for flag in RUN_FLAGS if flag.keyword} <= KEYWORDS


_SAMPLES = {
    "bool": "true",
    "int": "7",
    "uint16": "7",
    "uint64": "7",
    "map": "a=b",
    "ulimit": "nofile=1024",
    "network": "host",
}
_ODD = {"attach": "stdout", "storage-opt": "size=1g", "log-opt": "max-size=1m"}


@pytest.mark.parametrize("flag", [flag for flag in CREATE_FLAGS if flag.name not in OWN])
def test_no_flag_is_accepted_and_ignored(flag):
    value = _ODD.get(flag.name) or _SAMPLES.get(flag.kind, "x")
    given = parse([f"--{flag.name}={value}", "host:"], CREATE_FLAGS, command="x")
    try:
        request = read_request(given)
    except EngineError:
        return
    assert request.options != read_request(Given({}, ("host:",))).options


def test_no_two_flags_share_a_letter():
    letters = [flag.short for flag in RUN_FLAGS if flag.short]
    assert sorted(letters) == sorted(set(letters))
