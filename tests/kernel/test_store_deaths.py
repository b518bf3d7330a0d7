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
from support.images import content_in
from support.stores import Machine
from tries import HOW_MANY, chosen

import pyengine
from pyengine.images.catalog import Images
from pyengine.images.mending import look
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
from support.images import content_in
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

IMAGES = """
from support.images import HERE, content_in, make_image, store_blobs, tar_of
from pyengine.images.catalog import Images
from pyengine.images.mending import look
from pyengine.images.unpacking import layer_plans, unpack
from pyengine.model.image_config import parse
from pyengine.model.reference import Reference
content = content_in(os.path.dirname(sys.argv[1]))
images = Images(content)
base = tar_of({"base": b"b" * 5000})
one = make_image([base, tar_of({"one": b"1" * 3000})])
two = make_image([base, tar_of({"two": b"2" * 3000})])

def have(image, name, pulled=False):
    store_blobs(content, image)
    unpack(content, layer_plans(image.manifest, parse(image.config)))
    images.add(Reference.parse(name), image.target, image.manifest, HERE, pulled=pulled)

def gone(name):
    from pyengine.errors import ImageNotFound
    try:
        images.remove(name)
    except ImageNotFound:
        pass

def spoil():
    have(one, "one"); have(two, "two")
    top = layer_plans(one.manifest, parse(one.config))[1].chain_id
    os.truncate(layers.directory(top) + "/tar", 0)
    os.truncate(blobs.path(two.manifest.layers[1].digest), 5)
"""

ARCHIVES = """
from support.image_archives import Once, docker_files, layout_of, tar
from pyengine.images.archive_load import load
from pyengine.images.archive_sources import resolve_source
from pyengine.images.importing import import_
lone = make_image([tar_of({"lone": b"1" * 3000})])
beside = os.path.dirname(sys.argv[1])

def load_all():
    load(images, Once(tar(docker_files(lone, ["lone:1"]))))

def load_refused():
    from pyengine.errors import InvalidContent
    files = docker_files(lone, ["lone:1"])
    files["manifest.json"] = files["manifest.json"].replace(b"layer.tar", b"other.tar")
    try:
        load(images, Once(tar(files)))
    except InvalidContent:
        pass

def run_source():
    path = beside + "/layout.tar"
    if not os.path.exists(path):
        with open(path, "wb") as file:
            file.write(tar(layout_of(lone)))
    resolve_source(images, "oci:" + path)
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
    "unpack after a boot": (
        "fetch(); unpack(); os.unlink(layers.home(CHAIN) + '/durable')",
        "unpack_again()",
    ),
    "pin": ("fetch()", "pin()"),
    "remove": ("fetch(); unpack()", "remove()"),
}

EPISODES_OF_IMAGES = {
    "first name": ("", "have(one, 'one')"),
    "move a name": ("have(one, 'name'); have(two, 'two')", "images.tag('two', 'name')"),
    "move a pulled name": ("have(one, 'name', True)", "have(two, 'name', True)"),
    "remove": ("have(one, 'one'); have(two, 'two')", "gone('one')"),
    "prune": ("have(one, 'name'); have(two, 'name')", "images.prune()"),
    "check": ("spoil()", "look(images)"),
    "load": ("", "load_all()"),
    "load what is refused": ("", "load_refused()"),
    "run an archive": ("", "run_source()"),
    "import": ("", "import_(images, tar_of({'sh': b's' * 9000}), 'mine:1', created=1e9)"),
}  # fmt: skip


SOAKED = ("load", "import")  # the others go through the same calls, and some more


@pytest.fixture(autouse=True)
def victims_find_the_package(monkeypatch):
    home = os.path.dirname(os.path.dirname(os.path.abspath(pyengine.__file__)))
    monkeypatch.setenv("PYTHONPATH", f"{home}:{home}/tests")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


def lived(root, before, code, kill_at=None, preamble=PREAMBLE):
    def interesting(call):
        return any(path.startswith(root) for path in call.paths())

    return faults.run_until(
        f"{preamble}\n{before}\n{MARKED}",
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


@pytest.mark.parametrize("how_many", HOW_MANY)
@pytest.mark.parametrize("episode", EPISODES)
def test_a_store_is_whole_wherever_its_user_was_killed(tmp_path, episode, how_many):
    before, code = EPISODES[episode]
    root = str(tmp_path / "root")
    calls = lived(root, before, code).calls
    assert len(calls) > 2
    for number in chosen(calls, how_many, 6):
        shutil.rmtree(root)
        death = lived(root, before, code, kill_at=number)
        assert death.killed_at is not None, death.said
        assert_whole(root)
        again = lived(root, "", code)
        assert again.exit_code == 0, f"after {death.killed_at}: {again.said}"
        assert_whole(root)
        assert leftovers(root) == [], death.killed_at


def images_in(root):
    return Images(content_in(os.path.dirname(root)))


def assert_images_whole(root):
    """Every name means an image of which all is there."""
    images = images_in(root)
    for named in images.names.all():
        reached = images.reach.of_name(named)
        assert reached.is_final
        for digest in reached.blobs:
            assert images.content.blobs.verify(digest)
        assert all(images.content.layers.find(one) for one in reached.layers)


@pytest.mark.parametrize(
    "episode",
    [
        pytest.param(episode, marks=[pytest.mark.soak] if episode in SOAKED else [])
        for episode in EPISODES_OF_IMAGES
    ],
)
@pytest.mark.parametrize("how_many", HOW_MANY)
def test_every_name_means_a_whole_image_wherever_somebody_was_killed(tmp_path, episode, how_many):
    before, code = EPISODES_OF_IMAGES[episode]
    root, preamble = str(tmp_path / "root"), f"{PREAMBLE}\n{IMAGES}\n{ARCHIVES}"
    calls = lived(root, before, code, preamble=preamble).calls
    assert len(calls) > 2
    expected = sorted((one.reference, one.config) for one in images_in(root).names.all())
    for number in chosen(calls, how_many, 6):
        shutil.rmtree(root)
        death = lived(root, before, code, kill_at=number, preamble=preamble)
        assert death.killed_at is not None, death.said
        if episode != "check":
            assert_images_whole(root)
        again = lived(root, "", code, preamble=preamble)
        assert again.exit_code == 0, f"after {death.killed_at}: {again.said}"
        images = images_in(root)
        assert sorted((one.reference, one.config) for one in images.names.all()) == expected
        images.sweep()
        assert [one for one in look(images) if one.kind != "missing blob"] == []
