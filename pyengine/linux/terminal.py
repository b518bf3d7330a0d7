"""Terminals: their window sizes, held by a descriptor of either end (ioctl_tty(2))."""

from __future__ import annotations

import fcntl
import struct
import termios

from pyengine.errors import KernelError


def set_window_size(fd: int, rows: int, columns: int) -> None:
    """Tell the terminal, and with SIGWINCH who runs in its foreground, how large it is."""
    try:
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("=4H", rows, columns, 0, 0))
    except OSError as error:
        raise KernelError(error.errno or 0, "resize the terminal") from error
