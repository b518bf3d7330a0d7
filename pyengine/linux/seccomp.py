"""Which system calls a container's programs may make: Docker's profiles as kernel programs."""

from __future__ import annotations

from attrs import frozen


@frozen
class Filter:
    """A classic BPF program, as seccomp(2) takes it.

    *program* is an array of ``struct sock_filter``, eight bytes an instruction in the byte
    order of the machine. *flags* are the ``SECCOMP_FILTER_FLAG_*`` to install it with; never
    ``TSYNC``: a child has one thread.
    """

    program: bytes
    flags: int = 0
