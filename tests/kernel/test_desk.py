"""An owner's desk, as those meet it who do not know how to behave."""

from __future__ import annotations

import json
import os
import socket

import pytest

import pyengine
from pyengine.containers import desk as desks
from pyengine.containers import desk_protocol as protocol
from pyengine.containers import packets
from pyengine.containers.asking import connect, identity_of
from pyengine.errors import ContainerNotFound, InvalidRequest, StoreError, Unsupported, WrongState
from pyengine.store.layout import Layout

pytestmark = pytest.mark.kernel


@pytest.fixture
def container(engine, image):
    return engine.start(image, "sleep 600")


@pytest.fixture
def place(engine, container):
    """The layout, and the name of this process's desk."""
    layout = Layout(engine.root, engine.root)
    return layout, f"{container.inspect().state.watcher}.sock"


@pytest.fixture
def line(place):
    layout, name = place
    made = connect(layout, name)
    assert made is not None
    with made:
        yield made


@pytest.fixture
def raw(place):
    """A connection that has said nothing yet."""
    layout, name = place
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as made:
        made.settimeout(5)
        directory = os.open(layout.desks, os.O_PATH)
        try:
            made.connect(f"/proc/self/fd/{directory}/{name}")
        finally:
            os.close(directory)
        yield made


@pytest.mark.parametrize("packet", [b"x", b"{}", b'{"pyengine":1,"root":"1:1"}', b"[" * 60_000])
def test_who_does_not_say_where_he_belongs_is_sent_away(raw, packet, line):
    raw.send(packet)
    try:
        while raw.recv(100):
            pass
    except ConnectionResetError:
        pass
    assert line.ask("ping")[0]["pid"] == os.getpid()


@pytest.mark.parametrize("packet", [b"x", b"[]", b'{"do":1}', b'{"do":"ping","id":"../x"}'])
def test_a_request_that_makes_no_sense_is_answered_and_the_next_one_too(raw, place, packet):
    raw.send(protocol.pack_hello(root=identity_of(place[0])))
    assert protocol.unpack_hello(raw.recv(1000)).kind == "process"
    raw.send(packet)
    assert "error" in json.loads(raw.recv(10_000))
    raw.send(protocol.pack(protocol.Request("ping")))
    assert "ok" in json.loads(raw.recv(10_000))


def test_too_much_at_once_is_the_end_of_it(raw, place, line):
    raw.send(protocol.pack_hello(root=identity_of(place[0])))
    raw.recv(1000)
    null = os.open("/dev/null", os.O_RDONLY)
    try:
        packets.send(raw, protocol.pack(protocol.Request("ping")), (null,) * 9)
    finally:
        os.close(null)
    try:
        assert raw.recv(1000) == b""
    except ConnectionResetError:
        pass
    assert line.ask("ping")


@pytest.mark.parametrize(
    ("do", "fields", "error"),
    [
        ("dance", {}, Unsupported),
        ("start", {}, InvalidRequest),
        ("leave", {}, InvalidRequest),
        ("resize", {"rows": "many", "columns": 1}, InvalidRequest),
        ("resize", {"rows": 1, "columns": 1}, WrongState),
        ("restart", {"timeout": "long"}, InvalidRequest),
        ("exec", {"options": {"argv": 1}}, InvalidRequest),
        ("attach", {"stdout": 1}, InvalidRequest),
    ],
)
def test_what_cannot_be_is_refused(line, container, do, fields, error):
    with pytest.raises(error):
        line.ask(do, container.id, fields)
    assert container.status == "running"


def test_a_container_that_is_not_there_is_not_found(line):
    with pytest.raises(ContainerNotFound):
        line.ask("resize", "0" * 64, {"rows": 1, "columns": 1})


def test_there_is_room_for_so_many_and_who_is_one_too_many_is_told(place, monkeypatch):
    monkeypatch.setattr(desks, "CONNECTIONS", 2)
    first, second = connect(*place), connect(*place)
    with first, second, pytest.raises(StoreError, match="desk"):
        connect(*place)
    assert first is not None


def test_a_fork_neither_answers_nor_keeps_anybody_waiting(place):
    layout, name = place
    pid = os.fork()
    if pid == 0:
        os._exit(0 if connect(layout, name) is not None else 1)
    assert os.waitpid(pid, 0)[1] == 0  # its parent answers it, as anybody else


def test_a_desk_goes_with_its_engine(tmp_path, image):
    with pyengine.Engine(root=tmp_path / "x") as engine:
        engine.start(image, "sleep 600")
        assert len(os.listdir(tmp_path / "x/desk")) == 1
    assert os.listdir(tmp_path / "x/desk") == []
