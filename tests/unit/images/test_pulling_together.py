"""Several processes pull at the same time, and some of them are killed."""

from __future__ import annotations

import gzip
import os
import threading

import pytest
from support.hostile import stall_after
from support.images import content_in, tar_of
from support.stores import spawn

from pyengine.images.catalog import Images
from pyengine.images.pulling import pull
from pyengine.images.servers import Means
from pyengine.model.reference import Reference

PATIENCE = 60
LAYERS = tuple(gzip.compress(tar_of({f"{n}": os.urandom(1 << 20)}), 1, mtime=0) for n in range(3))

PULL = """
import sys
from support.images import content_in
from pyengine.images.catalog import Images
from pyengine.images.pulling import pull
from pyengine.images.servers import Means
from pyengine.model.reference import Reference

images = Images(content_in(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
named = pull(images, Reference.parse(sys.argv[2]), Means(environ={}))
print(named.manifest, flush=True)
"""


@pytest.fixture(scope="module")
def image(registry):
    return registry.put_image("together/app", "1", LAYERS)


def puller(directory, hostile):
    """A process that is ready to pull."""
    process = spawn(PULL, str(directory), f"{hostile.address}/together/app:1")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process):
    """Let it pull."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def ended(process):
    """What it has said."""
    said, _ = process.communicate(timeout=PATIENCE)
    return said.strip()


def test_each_blob_is_fetched_once_however_many_pull(tmp_path, hostile, image):
    processes = [puller(tmp_path, hostile) for _ in range(4)]
    for process in processes:
        go(process)
    assert [ended(process) for process in processes] == [image.digest] * 4
    for digest in (image.config, *image.layers):
        assert len(hostile.heard(f"GET .*{digest}")) == 1


def test_a_killed_pull_goes_on_where_it_was(tmp_path, hostile, image):
    large = image.layers[1]
    hostile.when(large, stall_after(900_000), times=1)
    process = puller(tmp_path, hostile)
    go(process)
    assert hostile.stalled.wait(PATIENCE)
    part = tmp_path / "root" / "ingest" / f"{large.partition(':')[2]}.part"
    with part.open("rb") as file:
        _until(lambda: os.fstat(file.fileno()).st_size == 900_000)
    process.kill()
    process.communicate()
    hostile.forget()
    images = Images(content_in(tmp_path))
    assert not images.names.all()
    reference = Reference.parse(f"{hostile.address}/together/app:1")
    assert pull(images, reference, Means(environ={})).manifest == image.digest
    assert hostile.heard(large)[0].headers["range"] == "bytes=900000-"
    assert images.content.blobs.verify(large)
    assert os.listdir(tmp_path / "root" / "ingest") == []


def test_who_waits_for_a_process_that_is_killed_goes_on_for_it(tmp_path, hostile, image):
    large = image.layers[1]
    hostile.when(large, stall_after(500_000), times=1)
    first = puller(tmp_path, hostile)
    go(first)
    assert hostile.stalled.wait(PATIENCE)
    second = puller(tmp_path, hostile)
    go(second)
    _until(lambda: len(hostile.heard("manifests/1")) == 2)
    first.kill()
    first.communicate()
    assert ended(second) == image.digest
    assert len(hostile.heard(large)) == 2


def _until(is_so):
    """Wait for what another process does, and nobody tells of."""
    never = threading.Event()
    for _ in range(PATIENCE * 100):
        if is_so():
            return
        never.wait(0.01)
    raise AssertionError("it has not come to that")
