"""What is said at a desk: whatever comes is a value or refused, and errors arrive as they left."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyengine.containers import desk_protocol as protocol
from pyengine.errors import (
    ContainerNotFound,
    EngineError,
    InUse,
    InvalidRequest,
    KernelError,
    TimedOut,
    WrongState,
)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
packets = st.binary(max_size=200) | anything.map(lambda value: json.dumps(value).encode())
facts = st.dictionaries(st.sampled_from(["errno", "doing", "what", "kind"]), anything)
ids = st.text("0123456789abcdef", min_size=64, max_size=64)


@pytest.mark.parametrize("read", [protocol.unpack, protocol.unpack_hello, protocol.unpack_answer])
@given(packet=packets)
def test_any_packet_is_understood_or_refused(read, packet):
    try:
        read(packet)
    except EngineError:
        pass


@given(
    answer=st.fixed_dictionaries(
        {"error": st.sampled_from(["InvalidRequest", "KernelError", "InUse"]) | anything},
        optional={
            "fields": anything | st.dictionaries(st.sampled_from(["errno", "doing"]), anything)
        },
    )
)
def test_any_error_that_is_told_raises_one_of_ours_that_can_be_shown(answer):
    packet = json.dumps(answer).encode()
    with pytest.raises(EngineError) as raised:
        protocol.unpack_answer(packet)
    assert str(raised.value)


@given(st.text(max_size=20), ids, st.dictionaries(st.text(max_size=8), st.integers() | st.text()))
def test_a_request_reads_back_what_it_wrote(do, container_id, fields):
    request = protocol.Request(do, container_id, fields)
    assert protocol.unpack(protocol.pack(request)) == request


@pytest.mark.parametrize(
    "error",
    [
        WrongState("web", "exited", "pause", "start it first"),
        ContainerNotFound("web"),
        InUse("desk", "x", ("a", "b")),
        KernelError(2, "mount proc"),
        TimedOut("starting", 1.5),
        InvalidRequest("memory", "1m", why="too little"),
    ],
)
def test_an_error_arrives_as_it_left(error):
    with pytest.raises(type(error)) as raised:
        protocol.unpack_answer(protocol.pack_error(error))
    assert str(raised.value) == str(error)


def test_an_error_that_nobody_knows_arrives_as_its_words():
    class Odd(EngineError):
        pass

    with pytest.raises(KernelError, match="oh dear"):
        protocol.unpack_answer(protocol.pack_error(Odd("oh dear")))


def test_another_protocol_is_refused_by_its_number():
    with pytest.raises(InvalidRequest, match="version 2 of the protocol, this is version 1"):
        protocol.unpack_hello(b'{"pyengine":2,"version":"9"}')


def test_an_id_is_sixty_four_digits():
    with pytest.raises(InvalidRequest, match="container id"):
        protocol.unpack(b'{"do":"start","id":"../x"}')


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.binary(max_size=50), st.integers(0, 2**63)), max_size=6
    ),
    st.integers(1, 40),
)
def test_frames_come_out_whole_however_they_are_cut(said, step):
    stream = b"".join(protocol.frame(*each) for each in said)
    buffer, heard = bytearray(), []
    for at in range(0, len(stream), step):
        buffer += stream[at : at + step]
        heard += protocol.frames(buffer)
    assert heard == said
    assert not buffer


def test_a_frame_that_is_too_long_is_refused_before_it_came():
    with pytest.raises(InvalidRequest, match="frame"):
        list(protocol.frames(bytearray(protocol._HEADER.pack(1, 1 << 20, 0))))


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_a_size_reads_back_what_it_wrote(rows, columns):
    ((kind, data, _),) = protocol.frames(bytearray(protocol.size_frame(rows, columns)))
    assert (kind, protocol.read_size(data)) == (protocol.RESIZE, (rows, columns))
