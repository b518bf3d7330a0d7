"""A warning says what an error would, and goes where errors go."""

from __future__ import annotations

import pickle

from pyengine import LimitNotEnforced


def test_it_says_what_why_and_what_to_do():
    told = str(LimitNotEnforced("memory", "there is no controller", "run as root"))
    assert told == "memory is not enforced: there is no controller; run as root"
    assert str(LimitNotEnforced("cpus", "why")) == "cpus is not enforced: why"


def test_it_is_a_warning_that_survives_a_pickle():
    made = LimitNotEnforced("memory", "why", "remedy")
    again = pickle.loads(pickle.dumps(made))
    assert isinstance(again, UserWarning)
    assert (again.option, again.missing, again.remedy) == ("memory", "why", "remedy")
