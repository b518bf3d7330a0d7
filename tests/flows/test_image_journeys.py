"""Images on their way through the command line: run at once, pulled by many, killed half-way.

``pytest -m soak -s`` kills a hundred pulls (PYENGINE_PULL_KILLS says another number).
"""

from __future__ import annotations

import gzip
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
from attrs import define
from support.hostile import Exchange, hostile_server
from support.images import tar_of, tar_of_directory
from support.tally import Tally

import pyengine
from pyengine.linux import native_log

pytestmark = pytest.mark.kernel
pytest_plugins = ("command_line",)

PATIENCE = 120
KILLS = int(os.environ.get("PYENGINE_PULL_KILLS", "0"))
MOST_AGAIN = 0.05  # of the bytes of the blobs that were finished


def some_layer(number, files, size):
    """*files* files of *size* bytes that do not compress."""
    tar = tar_of({f"srv/{number}/{name}": os.urandom(size) for name in range(files)})
    return gzip.compress(tar, 1, mtime=0)


@pytest.fixture(scope="module")
def large(registry):
    """An image of 32 MB in six layers, one of them of many files."""
    layers = [some_layer(number, 3, 2_000_000) for number in range(5)]
    layers.insert(2, some_layer(9, 1000, 2_000))
    return registry.put_image("journeys/large", "1", layers)


def finished(process):
    """What it has said, now that it has ended well."""
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    return out.decode()


def test_an_image_is_run_from_an_empty_root_and_again_without_the_registry(
    cli, registry, rootfs, capfd
):
    # "What it must show" 1
    registry.put_image("busybox", "latest", [gzip.compress(tar_of_directory(rootfs), 1, mtime=0)])
    with hostile_server(registry.port) as server:
        words = ("run", "--rm", f"{server.address}/busybox", "echo", "hi")
        assert finished(cli.popen(*words)) == "hi\n"
        first = len(server.asked)
        assert first > 0
        server.forget()
        assert finished(cli.popen(*words)) == "hi\n"
        assert (server.asked, server.connections) == ([], 0)
    assert finished(cli.popen(*words)) == "hi\n"  # nobody listens there any more
    with capfd.disabled():
        print(f"\nrun of an image from an empty root: {first} requests; again: 0, 0 connections")


def together(times):
    """The first request of each of *times* processes is answered when all have asked."""
    everybody = threading.Barrier(times)

    def wait(exchange: Exchange) -> None:
        everybody.wait(PATIENCE)
        exchange.forward()

    return wait


def test_four_processes_pull_each_blob_once_and_unpack_each_layer_once(cli, hostile, large, capfd):
    # "What it must show" 7
    tally = Tally(hostile)
    hostile.when("GET .*/manifests/1$", together(4), times=4)
    cli("images")  # makes the root
    os.mkdir(f"{cli.root}/layers", 0o700)
    watcher = native_log.new_watcher()
    try:
        native_log.add_watch(watcher, f"{cli.root}/layers", native_log.IN_CREATE)
        name = f"{hostile.address}/journeys/large:1"
        processes = [cli.popen("pull", "-q", name) for _ in range(4)]
        assert [finished(process) for process in processes] == [f"{name}\n"] * 4
        made = [name for _, _, name in native_log.read_events(watcher)]
    finally:
        os.close(watcher)
    unpacked = [name for name in made if name.startswith(".new-")]
    blobs = [large.config, *large.layers]
    fetched = {digest: len(hostile.heard(f"GET .*/blobs/{digest}")) for digest in blobs}
    with capfd.disabled():
        print(f"\nfour pulls of {len(blobs)} blobs: {sum(fetched.values())} downloads,"
              f" {len(unpacked)} unpacks of {len(large.layers)} layers,"
              f" {sum(tally.bytes.values()):,} bytes")  # fmt: skip
    assert set(fetched.values()) == {1}
    assert len(unpacked) == len({name.split("-")[1] for name in unpacked}) == len(large.layers)
    with pyengine.Engine(cli.root) as engine:
        assert engine.check() == []


@define
class Figures:
    """What came of many kills."""

    kills: int = 0
    blobs: int = 0
    finished: int = 0
    again: int = 0
    worst: float = 0.0
    parts: int = 0
    lost: int = 0
    named: int = 0

    def __str__(self) -> str:
        share = self.again / self.finished if self.finished else 0.0
        return (
            f"{self.kills} kills, {self.named} of them after the name: {self.blobs} finished blobs"
            f" of {self.finished:,} bytes, {self.again:,} bytes of them again ({share:.2%}, at"
            f" worst {self.worst:.2%}); of parts of {self.parts:,} bytes {self.lost:,} again"
        )


class Pulls:
    """Pulls of one image into one root after the other."""

    def __init__(self, hostile, image):
        self.image, self._hostile = image, hostile
        self.name = f"{hostile.address}/journeys/large:1"
        self.tally = Tally(hostile)

    def start(self, root, *rules):
        self.tally = Tally(self._hostile)
        for pattern, action in rules:
            self._hostile.when(pattern, action)
        command = [sys.executable, "-m", "pyengine", "--root", root, "pull", "-q", self.name]
        return subprocess.Popen(
            command,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def lasts(self, root):
        """Seconds from the first request to the end of an undisturbed pull."""
        process = self.start(root)
        assert self.tally.asked.wait(PATIENCE)
        begun = time.monotonic()
        finished(process)
        return time.monotonic() - begun

    def killed(self, root, moment):
        """Whether a pull was killed *moment* seconds after its first request."""
        process = self.start(root)
        assert self.tally.asked.wait(PATIENCE)
        try:
            process.communicate(timeout=moment)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        return process.returncode == -signal.SIGKILL


@pytest.fixture
def pulls(hostile, large):
    return Pulls(hostile, large)


def sizes_in(directory, end=""):
    """The sizes of the files in *directory* by the digest that they are called."""
    found = os.scandir(directory) if os.path.isdir(directory) else ()
    return {
        f"sha256:{one.name.removesuffix(end)}": one.stat().st_size
        for one in found
        if one.name.endswith(end)
    }


def assert_nothing_else(root, image):
    """After a prune there is what the image needs, and nothing else."""
    with pyengine.Engine(root) as engine:
        engine.images.prune()
        assert engine.check() == []
        assert len(engine.images.list()) == 1
    wanted = {image.digest, image.config, *image.layers}
    assert set(sizes_in(f"{root}/blobs/blobs/sha256")) == wanted
    assert len(os.listdir(f"{root}/layers")) == len(image.layers)
    assert not any(name.startswith(".") for name in os.listdir(f"{root}/layers"))
    assert os.listdir(f"{root}/ingest") == []
    assert os.listdir(f"{root}/pins") == []


def kill_and_pull_again(pulls, root, moment, figures):
    """One kill, and what the next pull makes of it."""
    if not pulls.killed(root, moment):
        return
    figures.kills += 1
    done = sizes_in(f"{root}/blobs/blobs/sha256")
    done.pop(pulls.image.digest, None)  # asked for as a manifest
    parts = sizes_in(f"{root}/ingest", ".part")
    with pyengine.Engine(root) as engine:
        figures.named += len(engine.images.list())
        assert [found for found in engine.check() if found.is_damage] == []
    assert pulls.name in finished(pulls.start(root))
    again = sum(pulls.tally.bytes[digest] for digest in done)
    whole = {digest: os.stat(f"{root}/blobs/blobs/sha256/{digest[7:]}").st_size for digest in parts}
    figures.blobs += len(done)
    figures.finished += sum(done.values())
    figures.again += again
    figures.worst = max(figures.worst, again / max(sum(done.values()), 1))
    figures.parts += sum(parts.values())
    figures.lost += sum(
        max(pulls.tally.bytes[digest] + size - whole[digest], 0) for digest, size in parts.items()
    )
    with pyengine.Engine(root) as engine:
        assert [found for found in engine.check() if found.is_damage] == []
    assert again <= MOST_AGAIN * sum(done.values())
    assert_nothing_else(root, pulls.image)


def endure(pulls, tmp_path, kills):
    """*kills* kills at random moments, each in a root of its own."""
    chance = random.Random(4711)
    figures = Figures()
    lasts = pulls.lasts(str(tmp_path / "undisturbed"))
    for number in range(kills * 3):  # who had ended before the kill was not killed
        if figures.kills == kills:
            break
        root = str(tmp_path / f"{number}")
        kill_and_pull_again(pulls, root, chance.uniform(0, lasts), figures)
        subprocess.run(["rm", "-rf", root], check=True)
    return figures, lasts


def test_a_pull_that_was_killed_is_pulled_on(pulls, tmp_path, capfd):
    # "What it must show" 5
    figures, _ = endure(pulls, tmp_path, KILLS or 2)
    with capfd.disabled():
        print(f"\n{figures}")
    assert figures.kills == (KILLS or 2)
    assert figures.lost <= MOST_AGAIN * figures.parts


@pytest.mark.soak
def test_a_hundred_pulls_that_were_killed_are_pulled_on(pulls, tmp_path, capfd):
    # "What it must show" 5
    figures, lasts = endure(pulls, tmp_path, KILLS or 100)
    with capfd.disabled():
        print(f"\nkills within {lasts:.2f} s of the first request: {figures}")
    assert figures.kills == (KILLS or 100)
    assert figures.lost <= MOST_AGAIN * figures.parts


def test_what_a_killed_pull_left_goes_with_a_prune(pulls, tmp_path):
    root = str(tmp_path / "root")
    layer = pulls.image.layers[-1]
    reached = threading.Event()

    def hold(exchange: Exchange) -> None:
        answer = exchange.ask()
        exchange.head(answer.status, answer.headers)
        exchange.raw(answer.body[:1_000_000])
        reached.set()
        exchange.stall()

    process = pulls.start(root, (layer, hold))
    assert reached.wait(PATIENCE)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    with pyengine.Engine(root) as engine:
        engine.images.prune()
        assert engine.check() == []
    assert sizes_in(f"{root}/blobs/blobs/sha256") == {}
    assert [os.listdir(f"{root}/{name}") for name in ("layers", "ingest", "pins")] == [[], [], []]
