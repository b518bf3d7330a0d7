"""Descriptors come whole over a socket, and no program that is started later gets them."""

import os
import socket

from pyengine.linux import passing


def test_a_descriptor_that_is_received_is_not_inherited():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        socket.send_fds(theirs, [b"here"], [0, 1])
        data, fds, flags = passing.receive(ours, 16, 4)
        try:
            assert (data, len(fds)) == (b"here", 2)
            assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
            assert [os.get_inheritable(fd) for fd in fds] == [False, False]
        finally:
            for fd in fds:
                os.close(fd)


def test_what_has_no_descriptors_and_the_end_bring_none():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            theirs.send(b"here")
        assert passing.receive(ours, 16, 4)[:2] == (b"here", [])
        assert passing.receive(ours, 16, 4)[:2] == (b"", [])


def test_descriptors_too_many_are_told_by_the_flags():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        socket.send_fds(theirs, [b"here"], [0, 1, 2, 0, 1, 2, 0, 1])
        _, fds, flags = passing.receive(ours, 16, 1)
        for fd in fds:
            os.close(fd)
        assert flags & socket.MSG_CTRUNC
