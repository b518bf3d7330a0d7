"""A name belongs to one container at a time, and tells where that is, by whichever kind of link."""

from __future__ import annotations

import errno
import os

import pytest
from attrs import evolve

from pyengine.errors import StoreError
from pyengine.model.record import ContainerRecord
from pyengine.model.spec import ContainerSpec
from pyengine.model.state import ContainerState, Status
from pyengine.store import owners, records
from pyengine.store.layout import Layout

ONE, OTHER = "1" * 64, "2" * 64
OWNER = "4711-0123456789ab"


@pytest.fixture
def layout(tmp_path):
    made = Layout(str(tmp_path), str(tmp_path))
    owners.prepare(made)
    return made


def record_of(layout, container_id):
    home = layout.home(OWNER, container_id)
    os.makedirs(home.path)
    value = ContainerRecord(ContainerSpec(container_id, "web", "host:", ("true",)))
    records.write(home.record, value, f"{OWNER}/{container_id}")
    return home.record


def links(path):
    return os.stat(path).st_nlink


def test_a_name_costs_no_file_and_tells_whose_it_is(layout):
    record = record_of(layout, ONE)
    assert owners.claim_name(layout, "web", OWNER, ONE, record) is None
    assert links(record) == 2
    assert owners.holder_of(layout, "web") == (OWNER, ONE)
    owners.release_name(layout, "web", OWNER, ONE)
    assert links(record) == 1
    assert owners.holder_of(layout, "web") is None


def test_without_a_record_a_name_is_a_symbolic_link(layout):
    os.makedirs(layout.home(OWNER, ONE).path)
    assert owners.claim_name(layout, "web", OWNER, ONE) is None
    assert os.readlink(f"{layout.names}/web") == f"{OWNER}/{ONE}"
    assert owners.holder_of(layout, "web") == (OWNER, ONE)


@pytest.mark.parametrize("first_written", [True, False])
@pytest.mark.parametrize("then_written", [True, False])
def test_a_name_that_is_taken_is_refused_until_its_holder_is_gone(
    layout, first_written, then_written
):
    first, then = record_of(layout, ONE), record_of(layout, OTHER)
    assert owners.claim_name(layout, "web", OWNER, ONE, first if first_written else "") is None
    second = OWNER, OTHER, then if then_written else ""
    assert owners.claim_name(layout, "web", *second) == ONE
    os.unlink(first)
    os.rmdir(layout.home(OWNER, ONE).path)
    assert owners.claim_name(layout, "web", *second) is None
    assert owners.holder_of(layout, "web") == (OWNER, OTHER)


def test_a_record_that_is_written_anew_keeps_its_name(layout):
    record = record_of(layout, ONE)
    owners.claim_name(layout, "web", OWNER, ONE, record)
    value = records.read(record, ContainerRecord)
    records.write(record, evolve(value, layers=("/x",)), f"{OWNER}/{ONE}")
    assert owners.holder_of(layout, "web") == (OWNER, ONE)


def test_where_files_have_one_name_only_it_is_a_symbolic_link(layout, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "no hard links here")

    record = record_of(layout, ONE)
    monkeypatch.setattr(os, "link", refuse)
    assert owners.claim_name(layout, "web", OWNER, ONE, record) is None
    assert os.readlink(f"{layout.names}/web") == f"{OWNER}/{ONE}"


@pytest.mark.parametrize("text", ["", "x", '{"version":1}', '{"version":1,"place":"a/b/c",'])
def test_what_is_no_name_of_ours_is_told_and_left_alone(layout, text):
    path = f"{layout.names}/web"
    with open(path, "w") as file:
        file.write(text)
    with pytest.raises(StoreError, match="no container's name"):
        owners.claim_name(layout, "web", OWNER, ONE)
    assert owners.holder_of(layout, "web") is None
    with open(path) as file:
        assert file.read() == text


def test_a_place_is_no_part_of_the_value(layout):
    record = record_of(layout, ONE)
    assert records.read(record, ContainerRecord).spec.id == ONE
    born = ContainerState(Status.RUNNING, pid=7)
    value = ContainerRecord(ContainerSpec(ONE, "web", "host:", ("true",)), born=born)
    records.write(record, value, f"{OWNER}/{ONE}")
    assert records.place_in(record) == (OWNER, ONE)
    assert records.read(record, ContainerRecord) == value


def test_who_cannot_have_the_name_is_not_written(layout):
    home = layout.home(OWNER, ONE)
    os.makedirs(home.path)

    def taken(staged):
        assert records.place_in(staged) == (OWNER, ONE)
        raise FileExistsError

    value = ContainerRecord(ContainerSpec(ONE, "web", "host:", ("true",)))
    with pytest.raises(StoreError):
        records.write(home.record, value, f"{OWNER}/{ONE}", taken)
    assert not os.path.exists(home.record)
