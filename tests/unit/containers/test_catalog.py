"""Containers on disk: placed, named, made true by one file, found by all, taken away at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading

import pytest
from attrs import evolve

import pyengine
from pyengine.containers import recovery
from pyengine.containers.catalog import Catalog
from pyengine.errors import AlreadyExists, ContainerNotFound, InvalidRequest, StoreError
from pyengine.linux.hierarchy import Hierarchy
from pyengine.model.record import ContainerRecord
from pyengine.model.spec import ContainerSpec
from pyengine.model.state import ContainerState, Status
from pyengine.store import owners
from pyengine.store.layout import Layout


def identity(letter):
    return letter * 64


def record(letter, name):
    return ContainerRecord(ContainerSpec(identity(letter), name, "host:", ("true",)))


@pytest.fixture
def layout(tmp_path):
    made = Layout.of(tmp_path, None)
    owners.prepare(made)
    return made


@pytest.fixture
def catalog(layout):
    made = Catalog(layout)
    yield made
    made.leave()
    assert owners.names(layout) in ([], ["none"])


@pytest.fixture
def other(layout):
    """The same root, as another process has it."""
    made = Catalog(layout)
    yield made
    made.leave()


def make(catalog, letter, name, owner="process"):
    catalog.place(identity(letter), owner)
    catalog.claim_name(name, identity(letter))
    catalog.write_record(record(letter, name))


def test_a_container_is_there_once_its_record_is(catalog, other):
    catalog.place(identity("a"), "process")
    catalog.claim_name("web", identity("a"))
    for one in (catalog, other):
        assert one.ids() == []
        with pytest.raises(ContainerNotFound):
            one.find("web")
        with pytest.raises(ContainerNotFound):
            one.record(identity("a"))
    catalog.write_record(record("a", "web"))
    for one in (catalog, other):
        assert one.ids() == [identity("a")]
        assert one.find("web") == one.find("/web") == one.find("aaa") == identity("a")
        assert one.record(identity("a")) == record("a", "web")
        assert one.state(identity("a")) == ContainerState()


def test_a_name_belongs_to_one(catalog, other):
    make(catalog, "a", "web")
    other.place(identity("b"), "process")
    with pytest.raises(AlreadyExists) as caught:
        other.claim_name("web", identity("b"))
    assert caught.value.holder == identity("a")
    assert other.is_taken("web")
    catalog.release_name("web", identity("a"))
    other.claim_name("web", identity("b"))
    catalog.release_name("web", identity("a"))  # it is another's by now, and stays so
    assert owners.holder_of(other.layout, "web")[1] == identity("b")


@pytest.mark.parametrize("word", ["nobody", "b", "../none", "a/b", "x" * 300, "a\0", "."])
def test_what_names_nobody_is_not_found(catalog, word):
    make(catalog, "a", "web")
    with pytest.raises(ContainerNotFound):
        catalog.find(word)


def test_a_beginning_of_several_ids_is_refused(catalog):
    for last in "01":
        one = "c" * 63 + last
        catalog.place(one, "process")
        catalog.write_record(ContainerRecord(ContainerSpec(one, f"n{last}", "host:", ("true",))))
    with pytest.raises(InvalidRequest, match="Multiple IDs"):
        catalog.find("cc")
    for bad in ("", None, 7):
        with pytest.raises(InvalidRequest):
            catalog.find(bad)


def test_what_others_write_is_seen_at_once(catalog, other):
    make(catalog, "a", "web")
    assert other.record(identity("a")).spec.name == "web"
    for number in range(50):
        name, state = f"name{number}", ContainerState(Status.RUNNING, pid=number)
        catalog.write_record(record("a", name))
        catalog.write_state(identity("a"), state)
        assert other.record(identity("a")).spec.name == name
        assert other.state(identity("a")) == state


def test_a_state_that_comes_back_is_not_taken_for_an_older_one(catalog, other):
    # files of the same size may get the same inode again within one tick of the clock
    make(catalog, "a", "web")
    states = [ContainerState(Status.RUNNING, pid=number) for number in (1001, 1002, 1003)]
    for _ in range(100):
        for state in states:
            catalog.write_state(identity("a"), state)
            catalog.write_state(identity("a"), evolve(state, pid=9999))
            catalog.write_state(identity("a"), state)
            assert other.state(identity("a")) == state


def test_the_state_of_what_was_removed_cannot_be_written(catalog):
    make(catalog, "a", "web")
    path, _ = catalog.forsake(identity("a"))
    shutil.rmtree(path)
    with pytest.raises(ContainerNotFound):
        catalog.write_state(identity("a"), ContainerState(Status.EXITED))


def test_who_changes_a_container_is_alone_with_it(catalog, other):
    make(catalog, "a", "web")
    counted = []

    def count(one):
        for _ in range(50):
            with one.locked(identity("a")):
                state = one.state(identity("a"))
                one.write_state(identity("a"), evolve(state, restarts=state.restarts + 1))
        counted.append(one)

    threads = [threading.Thread(target=count, args=(one,)) for one in (catalog, other) * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(counted) == 4
    assert catalog.state(identity("a")).restarts == 200


def test_who_waited_for_a_container_that_went_is_told(catalog, other, layout):
    make(catalog, "a", "web")
    answers = []

    def wait():
        try:
            with other.locked(identity("a")):
                answers.append("locked")
        except ContainerNotFound:
            answers.append("gone")

    with catalog.locked(identity("a")) as home:
        waiting = threading.Thread(target=wait)
        waiting.start()
        os.rename(home.path, f"{layout.root}/elsewhere")
    waiting.join(10)
    assert answers in (["gone"], ["locked"])  # it may have had its lock before it went
    with pytest.raises(ContainerNotFound), catalog.locked(identity("a")):
        pass


def test_a_forsaken_container_s_name_is_free_when_it_is_gone(catalog):
    make(catalog, "a", "web")
    path, afterwards = catalog.forsake(identity("a"))
    assert os.path.isdir(path)
    os.rename(path, f"{catalog.trash}/a")
    assert catalog.ids() == []
    afterwards()
    assert not catalog.is_taken("web")
    with pytest.raises(ContainerNotFound):
        catalog.forsake(identity("a"))


def test_a_steady_container_stays_when_its_maker_leaves(layout, other):
    making = Catalog(layout)
    make(making, "a", "mine")
    make(making, "b", "kept", owner="none")
    assert making.own() == [identity("a")]
    making.leave()
    making.leave()
    assert other.ids() == [identity("b")]
    assert other.own() == []
    assert other.find("kept") == identity("b")


def test_a_damaged_record_is_named(catalog, other):
    make(catalog, "a", "web")
    with open(catalog.home(identity("a")).record, "w") as file:
        file.write("{")
    with pytest.raises(StoreError, match="damaged"):
        other.record(identity("a"))


def test_a_place_that_cannot_be_is_told(catalog, layout):
    make(catalog, "a", "web")
    with pytest.raises(StoreError):
        catalog.place(identity("a"), "process")
    assert catalog.is_mine(catalog.owner)
    assert not catalog.is_mine("none")


_RACER = """
import sys
from pyengine.containers.catalog import Catalog
from pyengine.errors import AlreadyExists
from pyengine.model.record import ContainerRecord
from pyengine.model.spec import ContainerSpec
from pyengine.store.layout import Layout

catalog = Catalog(Layout.of(sys.argv[1], None))
owner, letter = sys.argv[2], sys.argv[3]
print("ready", flush=True)
for line in sys.stdin:
    number = int(line)
    one = f"{letter}{number:063x}"
    catalog.place(one, owner)
    try:
        catalog.claim_name(f"name{number}", one)
        spec = ContainerSpec(one, f"name{number}", "host:", ("true",))
        catalog.write_record(ContainerRecord(spec))
        print(one, flush=True)
    except AlreadyExists as error:
        print("lost to", error.holder, flush=True)
catalog.leave()
"""


@pytest.mark.parametrize("owner", ["process", "none"])
def test_of_many_processes_that_want_one_name_one_gets_it(catalog, layout, owner):
    home = os.path.dirname(os.path.dirname(os.path.abspath(pyengine.__file__)))
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", _RACER, layout.root, owner, letter],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": home},
        )
        for letter in "abcdef"
    ]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for number in range(60):
        if number % 2:  # a name that a kill has left behind, which all try to take over
            os.symlink(f"{owner}/{'9' * 64}", f"{layout.names}/name{number}")
        for racer in racers:
            racer.stdin.write(f"{number}\n")
            racer.stdin.flush()
        told = [racer.stdout.readline().strip() for racer in racers]
        won = [one for one in told if not one.startswith("lost to ")]
        assert len(won) == 1
        assert {one for one in told if one not in won} == {f"lost to {won[0]}"}
        assert catalog.find(f"name{number}") == won[0]
    for racer in racers:
        racer.stdin.close()
        assert racer.wait(20) == 0
        racer.stdout.close()


def test_a_container_of_nobody_s_is_its_maker_s_until_it_is_true(catalog, other, layout):
    catalog.place(identity("a"), "none")
    catalog.claim_name("web", identity("a"))
    assert owners.containers_of(layout, "none") == []
    other.place(identity("b"), "process")
    with pytest.raises(AlreadyExists):  # its name is taken all the same
        other.claim_name("web", identity("b"))
    home = catalog.write_record(record("a", "web"))
    assert owners.containers_of(layout, "none") == [identity("a")]
    assert home == catalog.home(identity("a")) == layout.home("none", identity("a"))
    catalog.leave()
    assert other.find("web") == identity("a")


def test_who_is_killed_before_a_container_is_true_leaves_neither_it_nor_its_name(other, layout):
    child = os.fork()
    if child == 0:
        try:
            making = Catalog(layout)
            making.place(identity("a"), "none")
            making.claim_name("web", identity("a"))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    recovery.recover(layout, Hierarchy.probe())
    assert os.listdir(layout.owners) in ([], ["none"])
    assert os.listdir(layout.names) == []
    make(other, "b", "web")
