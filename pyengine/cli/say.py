"""Writing to the standard streams: every byte arrives as it was, or the reader has gone."""

from __future__ import annotations

import os

STDOUT, STDERR = 1, 2


def write(data: bytes, descriptor: int = STDOUT) -> None:
    """Write all of *data*; `BrokenPipeError` if nobody reads any more."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:  # whoever gave us this descriptor made it non-blocking
            _wait_until_writable(descriptor)


def _wait_until_writable(descriptor: int) -> None:
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    poll.poll()


def say(text: str, end: str = "\n") -> None:
    """Write a line of *text*; what was no UTF-8 when it was read is the same bytes again."""
    write(encoded(text + end))


def complain(text: str) -> None:
    """Say on standard error what is wrong, in the name of the program."""
    try:
        write(encoded(f"pyengine: {text}\n"), STDERR)
    except OSError:  # there is nobody left to tell
        pass


def encoded(text: str) -> bytes:
    """*text* as UTF-8; half of a surrogate pair, which has no bytes, becomes ``?``."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
