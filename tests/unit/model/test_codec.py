"""Values to JSON and back."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.model.codec import from_plain, to_plain
from pyengine.model.mounts import Mount, MountKind, Recursion
from pyengine.model.record import ContainerRecord
from pyengine.model.spec import (
    ContainerSpec,
    HealthCheck,
    LogConfig,
    Namespaces,
    Resources,
    Security,
    Ulimit,
)
from pyengine.model.state import ContainerState, Status

texts = st.text(max_size=12)
pairs = st.lists(st.tuples(texts, texts), max_size=3).map(tuple)
mounts = st.builds(
    Mount,
    kind=st.sampled_from(MountKind),
    target=texts,
    source=texts,
    read_only=st.booleans(),
    recursive=st.sampled_from(Recursion),
    options=st.lists(texts, max_size=2).map(tuple),
)
specs = st.builds(
    ContainerSpec,
    id=texts,
    name=texts,
    image=texts,
    argv=st.lists(texts, max_size=3).map(tuple),
    env=st.lists(texts, max_size=3).map(tuple),
    labels=pairs,
    tty=st.booleans(),
    console_size=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    stop_timeout=st.floats(allow_nan=False, allow_infinity=False),
    health=st.none() | st.builds(HealthCheck, test=st.lists(texts, max_size=2).map(tuple)),
    log=st.builds(LogConfig, options=pairs),
    resources=st.builds(Resources, memory=st.none() | st.integers(0, 1 << 62)),
    security=st.builds(Security, privileged=st.booleans(), seccomp=st.none() | texts),
    namespaces=st.builds(Namespaces, pid=texts),
    mounts=st.lists(mounts, max_size=2).map(tuple),
    ulimits=st.lists(st.builds(Ulimit, texts, st.integers(), st.integers()), max_size=2).map(tuple),
)


@given(specs, st.lists(texts, max_size=3).map(tuple), st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_record_reads_back_what_it_wrote(spec, layers, nested):
    record = ContainerRecord(spec, layers, layers, nested)
    assert from_plain(ContainerRecord, json.loads(json.dumps(to_plain(record)))) == record


@given(st.sampled_from(Status), st.integers(0, 1 << 22), st.floats(0, 2e9))
def test_a_state_reads_back_what_it_wrote(status, pid, started):
    state = ContainerState(status=status, pid=pid, started=started, groups=(1, 2))
    assert from_plain(ContainerState, json.loads(json.dumps(to_plain(state)))) == state


def test_what_is_as_by_default_is_not_written():
    assert to_plain(ContainerState()) == {}
    assert to_plain(ContainerState(pid=7)) == {"pid": 7}


@pytest.mark.parametrize(
    "plain",
    [
        [],
        "text",
        {"pid": "7"},
        {"pid": True},
        {"status": "sleeping"},
        {"groups": 3},
        {"groups": ["a"]},
        {"nonsense": 1},
        {"started": "now"},
    ],
)
def test_what_is_no_state_is_refused(plain):
    with pytest.raises(ValueError, match=r"\S"):
        from_plain(ContainerState, plain)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_any_json_is_a_record_or_a_reason(plain):
    try:
        found = from_plain(ContainerRecord, plain)
    except ValueError:
        return
    assert isinstance(found, ContainerRecord)
