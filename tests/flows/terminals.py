"""A terminal with one command in it, as a user sits at it."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

import pytest

PATIENCE = 60.0


class Terminal:
    """A terminal with one command in its foreground."""

    def __init__(self, command, rows=30, columns=100):
        self._master, slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self._slave = slave
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.said = ""

    def resize(self, rows, columns):
        """Make it that large; the kernel tells its foreground (SIGWINCH)."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys):
        """Press keys."""
        os.write(self._master, keys)

    def expect(self, pattern):
        """Read until *pattern* has come; answers the match, and forgets what came before."""
        deadline = time.monotonic() + PATIENCE
        while (match := re.search(pattern, self.said)) is None:
            left = deadline - time.monotonic()
            assert left > 0, f"{pattern!r} is not in {self.said!r}"
            if select.select([self._master], [], [], left)[0]:
                self.said += os.read(self._master, 4096).decode()
        self.said = self.said[match.end() :]
        return match

    def settings(self):
        """How it is set now."""
        return termios.tcgetattr(self._slave)

    def hang_up(self):
        """Close its window."""
        os.close(self._slave)
        os.close(self._master)
        self._slave = self._master = -1

    def end(self):
        """Wait for the command; answers its exit code."""
        return self.process.wait(PATIENCE)

    def close(self):
        """End what is left."""
        self.process.kill()
        self.process.wait()
        if self._master >= 0:
            self.hang_up()


@pytest.fixture
def terminal(cli):
    opened = []

    def open_one(*words, **size):
        opened.append(Terminal(cli.command(*words), **size))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()
