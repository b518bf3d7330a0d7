"""Full files of a log move on: ``log`` becomes ``log.1``, that ``log.2``, and the oldest goes."""

from __future__ import annotations

import os
import threading
from weakref import WeakValueDictionary

BLOCK = 256 * 1024
_LEVEL = 1  # a third of the time of gzip's default, for a fifth more on the disk


def name_of(path: str, number: int) -> str:
    """The file that is *number* rotations old."""
    return f"{path}.{number}" if number else path


def stamp_of(fd: int) -> str:
    """What tells a full file from every other, though its inode be used again.

    It is put into the header of its compressed copy, so that who was reading the file finds it.
    """
    found = os.fstat(fd)
    return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"


def mover_of(path: str) -> Mover:
    """The one object of this process that moves the files of the log at *path*."""
    with _lock:
        mover = _movers.get(path)
        if mover is None:
            mover = _movers[path] = Mover(path)
        return mover


class Mover:
    """Rotates the files of one log, and compresses them on a thread that ends when it has."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()  # whoever holds it may rename
        self._thread: threading.Thread | None = None

    def rotate(self, most: int, *, compress: bool) -> None:
        """Make room for a new file; *most* there may be, with it. Raises `OSError`."""
        with self._lock:
            _shift(self._path, most)
            if compress and self._thread is None:
                self._start()

    def settle(self) -> None:
        """Wait until no file is being compressed."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def _start(self) -> None:
        import gzip  # noqa: F401  (here, because a thread that outlives the program cannot)

        thread = threading.Thread(target=self._compress, name="pyengine-gzip", daemon=True)
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:  # no thread to be had: the next rotation tries again
            self._thread = None

    def _compress(self) -> None:
        while self._compress_one():
            pass

    def _compress_one(self) -> bool:
        """Whether there may be another one."""
        staged = f"{self._path}.gz.new"
        with self._lock:
            full = _open_uncompressed(self._path)
            if full is None:
                self._thread = None
                return False
        try:
            _write_compressed(full, staged)
            with self._lock:
                self._replace(full, staged)
        except OSError:  # no space, or the container is gone: the next rotation tries again
            _unlink(staged)
            with self._lock:
                self._thread = None
            return False
        finally:
            os.close(full)
        return True

    def _replace(self, full: int, staged: str) -> None:
        inode = os.fstat(full).st_ino
        number = 1
        while (there := _inode(name_of(self._path, number))) != inode:
            if there is None and not os.path.exists(f"{name_of(self._path, number)}.gz"):
                _unlink(staged)  # it was rotated away meanwhile
                return
            number += 1
        name = name_of(self._path, number)
        os.rename(staged, f"{name}.gz")
        os.unlink(name)  # never both missing: whoever finds none of them has seen it all


_lock = threading.Lock()
_movers: WeakValueDictionary[str, Mover] = WeakValueDictionary()


def _inode(name: str) -> int | None:
    try:
        return os.lstat(name).st_ino
    except FileNotFoundError:
        return None


def _unlink(name: str) -> None:
    try:
        os.unlink(name)
    except FileNotFoundError:
        pass


def _shift(path: str, most: int) -> None:
    last = 0
    while os.path.lexists(name_of(path, last + 1)) or os.path.lexists(f"{path}.{last + 1}.gz"):
        last += 1
    for number in range(last, -1, -1):  # from the top, so that nothing is ever overwritten
        for ending in ("", ".gz") if number else ("",):
            name = name_of(path, number) + ending
            try:
                if number + 1 < most:
                    os.rename(name, name_of(path, number + 1) + ending)
                else:
                    os.unlink(name)
            except FileNotFoundError:
                pass


def _open_uncompressed(path: str) -> int | None:
    """The oldest full file that is not compressed."""
    found = ""
    number = 1
    while True:
        name = name_of(path, number)
        if os.path.lexists(name):
            found = name
        elif not os.path.lexists(f"{name}.gz"):
            break
        number += 1
    try:
        return os.open(found, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None


def _write_compressed(full: int, staged: str) -> None:
    import gzip

    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    with (
        os.fdopen(os.open(staged, flags, 0o640), "wb") as raw,
        gzip.GzipFile(stamp_of(full), "wb", _LEVEL, raw) as packed,
    ):
        at = 0
        while block := os.pread(full, BLOCK, at):
            packed.write(block)
            at += len(block)
