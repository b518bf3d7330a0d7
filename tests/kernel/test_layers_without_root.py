"""Layers of a user who is not root: of one with ids to give files to, and of one with none."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.users import Stranger, somebody

pytestmark = pytest.mark.kernel

FIRST = 3_000_000

_FRAME = """
import io, json, os, socket, sys, tarfile, threading
sys.path.append({support!r})
from support.archives import *
from pyengine.containers import interpreter
from pyengine.containers.joiners import Joiners
from pyengine.containers.removing import remove_tree
from pyengine.errors import EngineError
from pyengine.linux.layer_workers import MODULE, LayerWorker

top = os.environ["HOME"] + "/layers"
os.makedirs(top + "/layer")
above = os.open(top, os.O_RDONLY)
fd = os.open(top + "/layer", os.O_RDONLY)
joiners = Joiners()
worker = LayerWorker(joiners.usual, interpreter.command(MODULE), interpreter.environment())

def feed(data):
    with worker.unpacker(fd) as unpacker:
        for at in range(0, len(data), 100_000):
            unpacker.feed(data[at:at + 100_000])
        return unpacker.finish()

def rows(*names):
    found = [os.lstat(f"{{top}}/layer/{{name}}") for name in names]
    return [[one.st_uid, one.st_gid, oct(one.st_mode), one.st_mtime] for one in found]

def packed():
    reading, writing = os.pipe()
    pieces = []
    with open(reading, "rb") as source:
        reader = threading.Thread(target=lambda: pieces.append(source.read()))
        reader.start()
        worker.pack(fd, writing)
        os.close(writing)
        reader.join()
    with tarfile.open(fileobj=io.BytesIO(pieces[0])) as tar:
        return [[one.name, one.uid, one.gid, one.mode] for one in tar]

everything = (
    directory("d", uid=5, gid=6, mode=0o700, mtime=7)
    + entry("d/file", b"x" * 300_000, uid=5, gid=6, mode=0o4755, mtime=8)
    + directory("closed", uid=70, gid=70, mode=0) + entry("closed/file", uid=70, gid=70)
    + entry("d/.wh.gone") + entry("d/.wh..wh..opq")
    + entry("null", kind=DEVICE, devmajor=1, devminor=3)
)
answer = None
try:
{code}
finally:
    worker.close()
    remove_tree(above, "layer")
    joiners.close()
    os.rmdir(top)
print(json.dumps(answer))
"""


def _ask(stranger: Stranger, code: str) -> object:
    support = stranger.library / "tests"
    if not support.exists():
        support.mkdir(0o755)
        (support / "support").mkdir(0o755)
        source = Path(__file__).parent.parent / "support/archives.py"
        (support / "support/archives.py").write_bytes(source.read_bytes())
    lines = "\n".join(f"    {line}" for line in code.strip().splitlines())
    told = stranger.python(_FRAME.format(support=str(support), code=lines))
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


@pytest.fixture(scope="module")
def rich() -> Iterator[Stranger]:
    with somebody(f"stranger:{FIRST}:65536\n") as made:
        yield made


@pytest.fixture(scope="module")
def poor() -> Iterator[Stranger]:
    with somebody() as made:
        yield made


_UNPACKED = """
done = feed(everything + END)
answer = [
    rows("d", "closed", "d/gone"), [done.entries, done.whiteouts, done.lost_devices], packed(),
    {name: os.getxattr(top + "/layer/d", name).decode() for name in os.listxattr(top + "/layer/d")}
    if os.access(top + "/layer/d", os.X_OK) else None,
]
"""

_PACKED = [".", "closed", "closed/file", "d", "d/.wh..wh..opq", "d/file", "d/.wh.gone"]


def test_files_are_given_to_whom_they_belong(rich):
    code = _UNPACKED.replace(', "d/gone"', "")
    found, counts, archive, _ = _ask(rich, code)
    assert found == [
        [FIRST + 4, FIRST + 5, "0o40700", 7],
        [FIRST + 69, FIRST + 69, "0o40000", found[1][3]],
    ]
    assert counts == [7, 2, 1]
    assert [row[0] for row in archive] == _PACKED
    owners = {row[0]: row[1:] for row in archive}
    assert owners["d/file"] == [5, 6, 0o4755]
    assert owners["closed"] == [70, 70, 0]


def test_who_has_one_id_keeps_all_files(poor):
    found, counts, archive, marks = _ask(poor, _UNPACKED)
    assert {tuple(row[:2]) for row in found} == {(poor.user, poor.user)}
    assert [row[2] for row in found] == ["0o40700", "0o40000", "0o20000"]
    assert counts == [7, 2, 1]
    assert marks == {"user.overlay.opaque": "y"}
    assert [row[0] for row in archive] == _PACKED
    assert {tuple(row[1:3]) for row in archive} == {(0, 0)}
    assert {row[0]: row[3] for row in archive}["d/file"] == 0o4755


def test_owners_that_do_not_exist_are_refused(rich):
    code = """
try:
    feed(entry("ok") + entry("theirs", uid=70_000) + END)
except EngineError as error:
    answer = [type(error).__name__, str(error)]
"""
    kind, message = _ask(rich, code)
    assert kind == "InvalidContent"
    assert message == "entry 'theirs' is not valid: its owner is not among the ids there are"


@pytest.mark.parametrize("size", [10, 10_000_000])
def test_what_is_wrong_with_an_archive_is_told_from_afar(poor, size):
    code = f"""
answer = []
for _ in range(2):
    try:
        feed(entry("../x") + b"x" * {size} + END)
    except EngineError as error:
        answer.append(str(error))
answer.append(feed(entry("a") + END).entries)
"""
    said = "entry '../x' is not valid: a name leads out of the layer"
    assert _ask(poor, code) == [said, said, 1]


def test_a_worker_that_was_killed_is_told_of_and_another_takes_its_place(poor):
    code = """
import signal
answer = [feed(entry("a") + END).entries]
unpacker = worker.unpacker(fd)
unpacker.feed(entry("b"))
signal.pidfd_send_signal(worker._pidfd, signal.SIGKILL)
try:
    unpacker.finish()
except EngineError as error:
    answer.append(str(error))
unpacker.close()
answer.append(feed(entry("c") + END).entries)
"""
    first, told, last = _ask(poor, code)
    assert (first, last) == (1, 1)
    assert "has ended" in told


def test_after_giving_up_nothing_more_comes(poor):
    code = """
with worker.unpacker(fd) as unpacker:
    for number in range(2000):
        unpacker.feed(entry(f"file{number}"))
before = len(os.listdir(top + "/layer"))
feed(END)
answer = [before, len(os.listdir(top + "/layer"))]
"""
    assert _ask(poor, code) == [2000, 2000]


def test_nothing_is_left_of_a_worker(poor):
    code = """
feed(entry("a") + END)
worker.close()
before = len(os.listdir("/proc/self/fd"))
feed(entry("b") + END)
worker.close()
answer = [before, len(os.listdir("/proc/self/fd"))]
"""
    before, after = _ask(poor, code)  # type: ignore[misc]
    assert before == after
    mine = [pid for pid in os.listdir("/proc") if pid.isdigit() and _belongs(pid, poor.user)]
    assert mine == []


def _belongs(pid: str, user: int) -> bool:
    try:
        return os.stat(f"/proc/{pid}").st_uid == user
    except FileNotFoundError:
        return False
