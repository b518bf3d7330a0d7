"""``doctor`` says what works, and of the rest the cause and the remedy."""

from __future__ import annotations

import json

import pytest

from pyengine import Capabilities, Feature
from pyengine.cli import doctor
from pyengine.cli.flags import Given
from pyengine.cli.verb import Call

WORKS = Feature("pid", "processes of its own", True)
LACKS = Feature("io", "limits of disks", False, "no\x1bcontroller", "have it delegated")


class Examined:
    """An engine on a host that is as it was told to be."""

    def __init__(self, tier):
        self._found = Capabilities(tier, (LACKS, WORKS))

    def capabilities(self):
        return self._found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def call(monkeypatch, tier, **values):
    monkeypatch.setattr(Call, "engine", lambda self: Examined(tier))
    made = Call.__new__(Call)
    object.__setattr__(made, "given", Given(values))
    return doctor.doctor(made)


def test_what_works_comes_first_and_what_does_not_with_its_remedy():
    lines = doctor.report(Capabilities("root", (LACKS, WORKS)))
    assert lines[0] == "Containers run here as root."
    assert [line.split()[:2] for line in lines[2:4]] == [["yes", "pid"], ["no", "io"]]
    assert lines[4].split("why: ")[1].endswith("controller")
    assert "\x1b" not in lines[4]
    assert lines[5].endswith("remedy: have it delegated")


@pytest.mark.parametrize(("tier", "code"), [("root", 0), ("single", 0), ("none", 1)])
def test_its_exit_code_tells_whether_containers_run(monkeypatch, capfd, tier, code):
    assert call(monkeypatch, tier) == code
    assert capfd.readouterr().out.startswith("Containers run here")


def test_as_json_it_is_all_there(monkeypatch, capfd):
    assert call(monkeypatch, "root", json=True) == 0
    told = json.loads(capfd.readouterr().out)
    assert told == Capabilities("root", (LACKS, WORKS)).to_dict()
