"""Whatever a record's file holds, it is a value or a `StoreError` that can be shown."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pyengine.errors import StoreError
from pyengine.model.health import Health
from pyengine.model.record import ContainerRecord
from pyengine.model.state import ContainerState, Status
from pyengine.store import owners, records
from pyengine.store.leases import Terms

KINDS = (ContainerRecord, ContainerState, owners.Owner, Health, Terms)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
WHOLE = (
    (ContainerState, ContainerState(status=Status.RUNNING, pid=7, start_time=9, watcher="7-a")),
    (owners.Owner, owners.Owner(7, 8, 9)),
    (Terms, Terms((("image", "ab"),))),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("records") / "record.json"


def looked_at(path, kind):
    """The value, or `None` where a `StoreError` says why there is none."""
    refusal = None
    try:
        return records.read(str(path), kind)
    except StoreError as error:
        refusal = error
    text = str(refusal)
    assert text.isprintable()
    assert len(text) < 700
    assert refusal.path == str(path)
    assert refusal.remedy
    return None


@given(st.binary(max_size=60), st.sampled_from(KINDS))
@example(b'{"version":1,"pid":' + b"9" * 9999 + b"}", ContainerState)
@example(b'{"version":' + b"9" * 9999 + b"}", ContainerState)
@example(b'{"version":1,"started":1e999}', ContainerState)
@example(b'{"version":1,"started":NaN}', ContainerState)
@example(b'{"version":1,"error":"\\ud800"}', ContainerState)
@example(b"[" * 9999, ContainerState)
def test_any_bytes_are_a_record_or_damaged(path, data, kind):
    path.write_bytes(data)
    looked_at(path, kind)


@given(st.data())
def test_a_record_with_anything_changed_is_a_record_or_damaged(path, data):
    kind, value = data.draw(st.sampled_from(WHOLE))
    records.write(str(path), value)
    plain = json.loads(path.read_bytes())
    name = data.draw(st.sampled_from([*plain, "new"]))
    plain[name] = data.draw(anything)
    path.write_text(json.dumps(plain))
    found = looked_at(path, kind)
    assert found is None or isinstance(found, kind)


@pytest.mark.parametrize(
    "state",
    [
        ContainerState(pid=-1),
        ContainerState(pid=1 << 40),
        ContainerState(pid=1, start_time=-1),
        ContainerState(started=float("nan")),
        ContainerState(finished=float("inf")),
        ContainerState(watcher="../../etc"),
        ContainerState(watcher=".."),
        ContainerState(watcher="a\0b"),
    ],
)
def test_a_state_that_cannot_be_true_is_damaged(path, state):
    records.write(str(path), state)
    with pytest.raises(StoreError, match="is damaged"):
        records.read(str(path), ContainerState)


@pytest.mark.parametrize("owner", [owners.Owner(0, 1, 1), owners.Owner(1 << 40, 1, 1)])
def test_an_owner_who_cannot_be_is_damaged(path, owner):
    records.write(str(path), owner)
    with pytest.raises(StoreError, match="is damaged"):
        records.read(str(path), owners.Owner)


@pytest.mark.parametrize("version", [0, -1, True, "1", None, 1.5, [1]])
def test_a_version_that_is_none_is_damaged_and_not_newer(path, version):
    path.write_text(json.dumps({"version": version}))
    with pytest.raises(StoreError, match="is damaged"):
        records.read(str(path), ContainerState)
    assert not records.is_newer(str(path))
