"""A process may be killed before any call that it makes in the store: what is there is whole.

As in `test_faults`, each episode runs once to see which calls it makes that change the disk, and
is then killed at each of them; after that another process does the same, and it succeeds.
"""

from __future__ import annotations

import os
import platform
import shutil

import pytest
from support import faults
from support.stores import Machine

import pyengine
from pyengine.model import digests
from pyengine.store.blobs import Blobs
from pyengine.store.layers import Layers
from pyengine.store.layout import Layout
from pyengine.store.pins import Pins

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the table of calls is x86-64's"),
]

DATA = bytes(range(256)) * 64
DIGEST = digests.of(DATA)
CHAIN = "sha256:" + "a" * 64

PREAMBLE = f"""
import os, sys
from support.stores import Machine
from pyengine.store.blobs import Blobs
from pyengine.store.layers import LayerRecord, Layers
from pyengine.store.layout import Layout
from pyengine.store.pins import Pins
DATA, DIGEST, CHAIN = bytes(range(256)) * 64, {DIGEST!r}, {CHAIN!r}
layout = Layout(sys.argv[1], sys.argv[1])
blobs, layers, pins = Blobs(layout), Layers(layout, Machine("a boot").kernel()), Pins(layout)

def fetch():
    with blobs.ingest(DIGEST, len(DATA)) as ingest:
        if not ingest.done:
            for at in range(ingest.offset, len(DATA), 4096):
                ingest.write(DATA[at : at + 4096])
            ingest.commit()

def unpack():
    with layers.stage(CHAIN) as staging:
        if not staging.done:
            for name in "one", "two":
                with open(f"{{staging.path}}/{{name}}", "w") as file:
                    file.write(name)
            staging.commit(LayerRecord(CHAIN, DIGEST, size=6))
    layers.make_durable()

def unpack_again():
    layers._kernel = Machine("another boot").kernel()
    unpack()

def pin():
    with pins.hold() as hold:
        hold.add(DIGEST)

def remove():
    layers.discard(CHAIN)
    layers.bury()
    blobs.remove(DIGEST)
"""

MARKED = """
for mark, code in ((sys.argv[3], sys.argv[2]), (sys.argv[4], "")):
    try:
        os.mkdir(mark)
    except FileExistsError:
        exec(code)
"""

EPISODES = {
    "fetch": ("", "fetch()"),
    "put": ("", "blobs.put(DATA)"),
    "unpack": ("", "unpack()"),
    "unpack after a boot": ("fetch(); unpack(); os.unlink(layers.home(CHAIN) + '/durable')",
                            "unpack_again()"),
    "pin": ("fetch()", "pin()"),
    "remove": ("fetch(); unpack()", "remove()"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def victims_find_the_package(monkeypatch):
    home = os.path.dirname(os.path.dirname(os.path.abspath(pyengine.__file__)))
    monkeypatch.setenv("PYTHONPATH", f"{home}:{home}/tests")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


def lived(root, before, code, kill_at=None):
    def interesting(call):
        return any(path.startswith(root) for path in call.paths())

    return faults.run_until(
        f"{PREAMBLE}\n{before}\n{MARKED}",
        root,
        code,
        faults.BEGIN,
        faults.END,
        kill_at=kill_at,
        interesting=interesting,
    )


def assert_whole(root):
    """Whatever has its name is all of it."""
    layout = Layout(root, root)
    blobs = Blobs(layout)
    for digest, _ in blobs.all():
        assert blobs.verify(digest)
    for boot in ("a boot", "another boot"):
        layers = Layers(layout, Machine(boot).kernel())
        if layers.find(CHAIN) is not None:
            assert sorted(os.listdir(layers.directory(CHAIN))) == ["one", "two"]


def leftovers(root):
    """What the next sweep leaves beside blobs and layers: nothing."""
    layout = Layout(root, root)
    Layers(layout, Machine("a boot").kernel()).bury()
    Blobs(layout).drop_unfinished()
    Pins(layout).held()
    places = (layout.ingest, layout.pins, layout.unpacked)
    found = [name for place in places if os.path.isdir(place) for name in os.listdir(place)]
    return [name for name in found if digests.why_not(f"sha256:{name}")]


@pytest.mark.parametrize("episode", EPISODES)
def test_a_store_is_whole_wherever_its_user_was_killed(tmp_path, episode):
    before, code = EPISODES[episode]
    root = str(tmp_path / "root")
    calls = lived(root, before, code).calls
    assert len(calls) > 2
    for number in range(len(calls)):
        shutil.rmtree(root)
        death = lived(root, before, code, kill_at=number)
        assert death.killed_at is not None, death.said
        assert_whole(root)
        again = lived(root, "", code)
        assert again.exit_code == 0, f"after {death.killed_at}: {again.said}"
        assert_whole(root)
        assert leftovers(root) == [], death.killed_at
