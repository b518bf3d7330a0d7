"""Layers of images, unpacked: directories for overlayfs, by chain id, each unpacked once.

A layer is staged beside the others and gets its name in one rename. After a power cut its files
may be empty all the same, so a layer is believed only in the boot that unpacked it, or once it
has been marked durable, which happens after everything was written to the disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

from attrs import evolve, frozen

from pyengine.errors import StoreError
from pyengine.model import digests
from pyengine.store import disk, locks, records
from pyengine.store.disk import Kernel
from pyengine.store.layout import Layout
from pyengine.store.locks import Waiting

STAGED, DEAD, LOCK = ".new-", ".dead-", ".lock-"
"""What names in the directory of layers begin with that are not layers."""

RECORD, CONTENT, MARKER = "layer.json", "fs", "durable"
"""What is in the directory of a layer."""

_REMEDY = "run `pyengine system check`"
_BATCH = 256  # layers that are marked at once: each needs an fd
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@frozen
class LayerRecord:
    """What is known of an unpacked layer.

    *parent* is the chain id of those below it, empty for the lowest; *blob* the digest of what it
    was unpacked from, empty for one that a container wrote. *size* is in bytes, *boot* that of
    the machine in which it was made. *hides_all*: nothing below it is seen.
    """

    chain_id: str
    diff_id: str
    parent: str = ""
    size: int = 0
    entries: int = 0
    blob: str = ""
    boot: str = ""
    hides_all: bool = False


class LayerMissing(StoreError):
    """A layer is not there, or nobody knows whether its files are on the disk."""


class Layers:
    """The unpacked layers of one engine's root, for all its processes and threads."""

    def __init__(self, layout: Layout, kernel: Kernel) -> None:
        self.layout = layout
        self._kernel = kernel
        self._known: dict[str, tuple[int, int, LayerRecord]] = {}

    def home(self, chain_id: str) -> str:
        """The directory of the layer, of its record too."""
        return f"{self.layout.unpacked}/{digests.hex_of(digests.check(chain_id))}"

    def directory(self, chain_id: str) -> str:
        """What overlayfs gets as a lower directory; whether it is there tells `find`."""
        return f"{self.home(chain_id)}/{CONTENT}"

    def find(self, chain_id: str) -> LayerRecord | None:
        """The layer, if it is there and can be believed.

        One whose record is damaged is not there: it is unpacked again.
        """
        home = self.home(chain_id)
        try:
            now = os.stat(f"{home}/{RECORD}")
            os.stat(f"{home}/{CONTENT}")  # it comes last: see `adopt`
        except OSError:
            return None
        inode, changed, record = self._known.get(chain_id, (0, 0, None))
        if record is not None and (inode, changed) == (now.st_ino, now.st_mtime_ns):
            return record
        record = self.read(chain_id)
        if record is None or not self.is_believed(record):
            return None
        self._known[chain_id] = (now.st_ino, now.st_mtime_ns, record)
        return record

    def read(self, chain_id: str) -> LayerRecord | None:
        """What stands in its record, believed or not; `None` where there is none that is whole."""
        try:
            record = records.read(f"{self.home(chain_id)}/{RECORD}", LayerRecord, _REMEDY)
        except StoreError:
            return None
        return record if record is not None and record.chain_id == chain_id else None

    def is_believed(self, record: LayerRecord) -> bool:
        """Whether its files are what was unpacked, also if the power was cut since."""
        if record.boot and record.boot == self._kernel.boot():
            return True
        return self.is_durable(record.chain_id)

    def is_durable(self, chain_id: str) -> bool:
        """Whether it was marked when all its files were on the disk."""
        return os.path.exists(f"{self.home(chain_id)}/{MARKER}")

    def stage(self, chain_id: str, waiting: Waiting | None = None) -> Staging:
        """Unpack a layer, as the only one who does.

        Waits as long as another process or thread does the same; *waiting* is called meanwhile.

        >>> with layers.stage(chain_id) as staging:  # doctest: +SKIP
        ...     if not staging.done:
        ...         unpacked = unpack_into(staging.fd)
        ...         staging.commit(LayerRecord(chain_id, diff_id, parent, unpacked.bytes))
        """
        self.home(chain_id)
        return Staging(self, chain_id, waiting)

    def adopt(self, directory: str, record: LayerRecord) -> None:
        """Make *directory*, in overlay form and on the same file system, that layer: in no time.

        It is moved, not copied, in one rename that comes last: killed before, it is where it
        was. Where the layer is there already it stays where it is. Raises `StoreError`, `NoSpace`.
        """
        home = self.home(record.chain_id)
        disk.make_directories(self.layout.unpacked)
        fd = locks.acquire(f"{self.layout.unpacked}/{LOCK}{os.path.basename(home)}", None)
        try:
            if self.find(record.chain_id) is not None:
                return
            os.makedirs(home, 0o700, exist_ok=True)
            known = evolve(record, boot=self._kernel.boot())
            records.write(f"{home}/{RECORD}", known)
            self._kernel.move(directory, f"{home}/{CONTENT}")
        except OSError as error:
            records.refuse(directory, error)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(f"{self.layout.unpacked}/{LOCK}{os.path.basename(home)}")
            locks.release(fd)

    def rewrite(self, record: LayerRecord) -> None:
        """Write the record of a layer whose files are there. Raises `NoSpace`, `StoreError`."""
        records.write(f"{self.home(record.chain_id)}/{RECORD}", record, staging=disk.sync_file)

    @contextmanager
    def aside(self, chain_id: str) -> Iterator[tuple[str, int]]:
        """An empty directory, and an fd of it, to unpack a layer in once more; it goes at the end.

        Nobody unpacks that layer meanwhile. Raises `StoreError`.
        """
        staging = Staging(self, chain_id, None)
        with staging.anew():
            yield staging.path, staging.fd

    def lowers(self, chain_id: str) -> list[str]:
        """The lower directories for overlayfs that *chain_id* stands for, the topmost first.

        Raises `LayerMissing` for one that is not there, or cannot be believed.
        """
        found = []
        while chain_id:
            record = self.find(chain_id)
            if record is None:
                raise LayerMissing(
                    self.home(chain_id), f"layer {chain_id} is not unpacked", _REMEDY
                )
            found.append(self.directory(chain_id))
            chain_id = "" if record.hides_all else record.parent
        return found

    def all(self) -> Iterator[str]:
        """The chain ids of all that have a layer's name, believed or not."""
        for name in disk.names(self.layout.unpacked):
            chain_id = f"{'sha256' if len(name) == 64 else 'sha512'}:{name}"
            if not digests.why_not(chain_id):
                yield chain_id

    def make_durable(self, *wanted: str) -> int:
        """Wait until all layers are on disk, and mark those that were not; answers how many.

        One syncfs(2) does for all of them. The marks of *wanted* are on disk as well when this
        returns, whoever made them: others lose, by a cut, the time to unpack them again. Raises
        `KernelError`, `StoreError`.
        """
        marked = 0
        fresh = [chain_id for chain_id in self.all() if self._is_fresh(chain_id)]
        for start in range(0, len(fresh), _BATCH):
            marked += self._mark(fresh[start : start + _BATCH])
        for chain_id in wanted:
            disk.sync_directory(self.home(chain_id))
        return marked

    def _is_fresh(self, chain_id: str) -> bool:
        if self.is_durable(chain_id):
            return False
        record = self.read(chain_id)
        return record is not None and self.is_believed(record)

    def _mark(self, chain_ids: list[str]) -> int:
        """Held open, so that what takes the place of one of them is not marked for it."""
        held: list[int] = []
        marked = 0
        try:
            for chain_id in chain_ids:
                try:
                    held.append(os.open(self.home(chain_id), _DIRECTORY))
                except FileNotFoundError:
                    continue
            if held:
                self._kernel.sync(held[0])
            for fd in held:
                try:
                    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
                    os.close(os.open(MARKER, flags, 0o600, dir_fd=fd))
                    marked += 1
                except FileNotFoundError:  # it has been removed
                    continue
        except OSError as error:
            records.refuse(self.layout.unpacked, error)
        finally:
            for fd in held:
                os.close(fd)
        return marked

    def discard(self, chain_id: str) -> str:
        """Take the layer away, for `bury` to free its space; its name until then, or nothing.

        Who may tell that nobody wants it calls. Raises `StoreError`.
        """
        name = digests.hex_of(digests.check(chain_id))
        grave = f"{self.layout.unpacked}/{DEAD}{name}-{os.urandom(6).hex()}"
        self._known.pop(chain_id, None)
        try:
            os.rename(self.home(chain_id), grave)
        except FileNotFoundError:
            return ""
        except OSError as error:
            records.refuse(grave, error)
        return os.path.basename(grave)

    def bury(self) -> list[str]:
        """Remove what is no layer, or none any more, and what a killed process staged: its names.

        Raises `StoreError`, `KernelError`.
        """
        buried = []
        for name in disk.names(self.layout.unpacked):
            if name.startswith(DEAD):
                self._remove(name)
                buried.append(name)
            elif name.startswith((STAGED, LOCK)):
                lock = f"{LOCK}{name[len(STAGED) :].partition('-')[0]}"
                if self._is_left(name if name.startswith(LOCK) else lock, name):
                    buried.append(name)
        return buried

    def _is_left(self, lock: str, name: str) -> bool:
        """Remove *name*, unless somebody holds its *lock*; whether it is gone."""
        path = f"{self.layout.unpacked}/{lock}"
        fd = locks.try_acquire_new(path)
        if fd is None:
            return False
        try:
            if name != lock:
                self._remove(name)
            os.unlink(path)
        finally:
            locks.release(fd)
        return True

    def _remove(self, name: str) -> None:
        try:
            directory = os.open(self.layout.unpacked, _DIRECTORY)
        except OSError as error:
            records.refuse(self.layout.unpacked, error)
        try:
            self._kernel.remove_tree(directory, name)
        finally:
            os.close(directory)

    def _replace(self, chain_id: str, staged: str) -> None:
        """Give *staged* its name; one that was there, and is not believed, goes."""
        while True:
            try:
                os.rename(staged, self.home(chain_id))
            except OSError as error:
                replaced = self.discard(chain_id)
                if not replaced:
                    records.refuse(self.home(chain_id), error)
                self._remove(replaced)
            else:
                return


class Staging:
    """A layer that is being unpacked, by nobody else; use it in a ``with``.

    *done*: it is there, somebody else was quicker. *path* and *fd*: where its content belongs,
    an empty directory. A block that ends without `commit` leaves nothing.
    """

    def __init__(self, layers: Layers, chain_id: str, waiting: Waiting | None) -> None:
        self.chain_id = chain_id
        self.done = False
        self.fd = -1
        self._layers = layers
        self._waiting = waiting
        self._lock = -1
        name = digests.hex_of(chain_id)
        self._lock_path = f"{layers.layout.unpacked}/{LOCK}{name}"
        self._name = f"{STAGED}{name}-{os.urandom(6).hex()}"
        self._home = f"{layers.layout.unpacked}/{self._name}"

    @property
    def path(self) -> str:
        """The directory of the content, while it is staged."""
        return f"{self._home}/{CONTENT}"

    @contextmanager
    def anew(self) -> Iterator[None]:
        """As the ``with`` of the staging itself, whether or not the layer is there."""
        disk.make_directories(self._layers.layout.unpacked)
        self._lock = locks.acquire(self._lock_path, self._waiting)
        try:
            self._begin()
            yield
        finally:
            self._leave()

    def __enter__(self) -> Self:
        if self._layers.find(self.chain_id) is not None:
            self.done = True
            return self
        disk.make_directories(self._layers.layout.unpacked)
        self._lock = locks.acquire(self._lock_path, self._waiting)
        try:
            self.done = self._layers.find(self.chain_id) is not None
            if not self.done:
                self._begin()
        except BaseException:
            self._leave()
            raise
        return self

    def _begin(self) -> None:
        kin = self._name.rpartition("-")[0]
        for name in disk.names(self._layers.layout.unpacked):
            if name.startswith(f"{kin}-"):  # of a process that was killed
                self._layers._remove(name)
        self._make()

    def _make(self) -> None:
        try:
            os.mkdir(self._home, 0o700)
            os.mkdir(self.path, 0o755)
            os.chmod(self.path, 0o755)  # whatever the umask: it is the image's
            self.fd = os.open(self.path, _DIRECTORY)
        except OSError as error:
            records.refuse(self._home, error)

    def __exit__(self, *_: object) -> None:
        self._leave()

    def empty(self) -> None:
        """Remove all that was put there; `fd` is another after this. Raises `StoreError`."""
        os.close(self.fd)
        self.fd = -1
        self._layers._remove(self._name)
        self._make()

    def _leave(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        if self._lock < 0:
            return
        try:
            if os.path.lexists(self._home):
                self._layers._remove(self._name)
        finally:
            try:
                os.unlink(self._lock_path)
            except FileNotFoundError:
                pass
            locks.release(self._lock)
            self._lock = -1

    def commit(self, record: LayerRecord) -> None:
        """Make it a layer, which others see from now on; *record*'s boot is put in.

        Its diff id is verified by the caller. Raises `NoSpace`, `StoreError`.
        """
        if record.chain_id != self.chain_id:
            raise ValueError(f"{record.chain_id} is not what was staged: {self.chain_id}")
        if self.done:
            return
        known = evolve(record, boot=self._layers._kernel.boot())
        records.write(f"{self._home}/{RECORD}", known)
        self._layers._replace(self.chain_id, self._home)
        self.done = True
