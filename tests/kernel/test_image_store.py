"""Processes share a store of images, whose layers are real ones; its check sees into them."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import tarfile

import pytest
from attrs import evolve
from support.images import HERE, make_image, store_blobs, tar_of
from support.stores import layout_in, spawn

from pyengine.images import zstandard
from pyengine.images.catalog import Images
from pyengine.images.content import Content
from pyengine.images.mending import look
from pyengine.images.unpacking import layer_plans, unpack
from pyengine.model import digests, image_config
from pyengine.model.reference import Reference

pytestmark = pytest.mark.kernel

PULLER = """
import os, sys
from support.images import HERE, make_image, tar_of
from support.stores import layout_in
from pyengine.images.catalog import Images
from pyengine.images.content import Content
from pyengine.images.unpacking import LayerSink, layer_plans, unpack_one
from pyengine.model import content as model, image_config
from pyengine.model.reference import Reference
content = Content.at(layout_in(sys.argv[1]))
note = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
true_unpacker = content.unpacker

def unpacker(fd, limits):
    os.write(note, b"unpacked\\n")
    return true_unpacker(fd, limits)

import attrs
content = attrs.evolve(content, unpacker=unpacker)
image = make_image([tar_of({f"d{n}/f{m}": os.urandom(0) + bytes([m]) * 3000 for m in range(200)})
                    for n in range(4)])
plans = layer_plans(image.manifest, image_config.parse(image.config))
print("ready", flush=True)
input()
with content.pins.hold() as hold:
    hold.add(image.manifest.digest, image.id)
    for plan, blob in zip(plans, image.layers):
        hold.add(plan.blob, plan.chain_id)
        with content.blobs.ingest(plan.blob, plan.size) as ingest:
            if not ingest.done:
                os.write(note, b"fetched %d\\n" % ingest.offset)
                with LayerSink(content, plan) as sink:
                    for data in ingest.resumed():
                        sink.feed(data)
                    for at in range(ingest.offset, len(blob), 500):
                        ingest.write(blob[at:at + 500])
                        sink.feed(blob[at:at + 500])
                    ingest.commit()
                    sink.finish()
        unpack_one(content, plan)
    for data in (image.config, model.print_manifest(image.manifest.config, image.manifest.layers)):
        content.blobs.put(data)
    Images(content).add(Reference.parse("shared"), image.target, image.manifest, HERE)
print("done", flush=True)
"""


def test_four_processes_that_want_an_image_fetch_and_unpack_each_layer_once(tmp_path):
    note = tmp_path / "note"
    pullers = [spawn(PULLER, str(tmp_path), str(note)) for _ in range(4)]
    for puller in pullers:
        assert puller.stdout.readline() == "ready\n"
    for puller in pullers:
        puller.stdin.write("\n")
        puller.stdin.flush()
    for puller in pullers:
        assert puller.communicate(timeout=120)[0] == "done\n"
    assert sorted(note.read_text().splitlines()) == ["fetched 0"] * 4 + ["unpacked"] * 4
    images = Images(Content.at(layout_in(tmp_path)))
    assert look(images) == []
    (named,) = images.names.all()
    lowers = images.content.layers.lowers(sorted_chain(images, named)[-1])
    assert len(lowers) == 4
    for number, lower in enumerate(reversed(lowers)):
        assert len(os.listdir(f"{lower}/d{number}")) == 200


def sorted_chain(images, named):
    file = image_config.parse(images.content.blobs.read(named.config, 1 << 20))
    return image_config.chain_ids(file.diff_ids)


def test_a_process_that_waits_goes_on_when_the_one_that_fetches_is_killed(tmp_path):
    note = tmp_path / "note"
    feed = "sink.feed(blob[at:at + 500])"
    code = PULLER.replace(feed, f"{feed}; pause()")
    pause = 'def pause():\n    if at == 1000: print("half", flush=True); input()\n'
    first = spawn(pause + code, str(tmp_path), str(note))
    assert first.stdout.readline() == "ready\n"
    first.stdin.write("\n")
    first.stdin.flush()
    assert first.stdout.readline() == "half\n"
    second = spawn(PULLER, str(tmp_path), str(note))
    assert second.stdout.readline() == "ready\n"
    second.stdin.write("\n")
    second.stdin.flush()
    assert note.read_text().splitlines() == ["fetched 0", "unpacked"]
    first.kill()
    first.communicate()
    assert second.communicate(timeout=60)[0] == "done\n"
    assert note.read_text().splitlines()[2] == "fetched 1500"
    assert look(Images(Content.at(layout_in(tmp_path)))) == []


def rich_tar():
    """One of each kind that a layer may have."""
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:

            def add(name, kind=tarfile.REGTYPE, data=b"", **what):
                member = tarfile.TarInfo(name)
                member.type, member.size, member.mtime = kind, len(data), 1_700_000_000.25
                for key, value in what.items():
                    setattr(member, key, value)
                tar.addfile(member, io.BytesIO(data))

            add("dir", tarfile.DIRTYPE, mode=0o750, uid=1000)
            add("dir/file", data=b"x" * 10_000, mode=0o4755)
            add("dir/hard", tarfile.LNKTYPE, linkname="dir/file")
            add("dir/soft", tarfile.SYMTYPE, linkname="/etc/passwd")
            add("dir/fifo", tarfile.FIFOTYPE, mode=0o600)
            add("dir/null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
            add(".wh.gone")
            add("dir/.wh..wh..opq")
            capability = "\x01\x00\x00\x02\x00\x04" + "\x00" * 14
            add("dir/ping", data=b"p", pax_headers={"SCHILY.xattr.security.capability": capability})
        return file.getvalue()


def _flip(path):
    with open(path, "r+b") as file:
        file.seek(5000)
        file.write(b"!")
    os.utime(path, (1_700_000_000.25, 1_700_000_000.25))


DAMAGES = {
    "file flipped": lambda top: _flip(f"{top}/dir/file"),
    "file gone": lambda top: os.unlink(f"{top}/dir/ping"),
    "file too many": lambda top: os.mkdir(f"{top}/dir/more"),
    "capability gone": lambda top: os.removexattr(f"{top}/dir/ping", "security.capability"),
    "owner": lambda top: os.chown(f"{top}/dir", 0, 0),
    "mode": lambda top: os.chmod(f"{top}/dir/file", 0o755),
    "link elsewhere": lambda top: (
        os.unlink(f"{top}/dir/soft"),
        os.symlink("/etc/shadow", f"{top}/dir/soft"),
    ),
    "hard link torn": lambda top: (
        os.unlink(f"{top}/dir/hard"),
        os.link(f"{top}/dir/ping", f"{top}/dir/hard"),
    ),
    "whiteout gone": lambda top: os.unlink(f"{top}/gone"),
    "opaque mark gone": lambda top: os.removexattr(f"{top}/dir", "trusted.overlay.opaque"),
    "device of another number": lambda top: (
        os.unlink(f"{top}/dir/null"),
        os.mknod(f"{top}/dir/null", 0o20666, os.makedev(1, 5)),
    ),
    "fifo became a file": lambda top: (
        os.unlink(f"{top}/dir/fifo"),
        open(f"{top}/dir/fifo", "w").close(),
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_whatever_is_changed_in_a_layer_is_found_and_put_right(tmp_path, name):
    image = make_image([rich_tar()])
    content = Content.at(layout_in(tmp_path))
    store_blobs(content, image)
    plans = layer_plans(image.manifest, image_config.parse(image.config))
    unpack(content, plans)
    images = Images(content)
    images.add(Reference.parse("rich"), image.target, image.manifest, HERE)
    assert look(images) == []
    DAMAGES[name](content.layers.directory(plans[0].chain_id))
    (found,) = look(images)
    assert (found.kind, found.done) == ("damaged layer", "unpacked again from its blob")
    assert look(images) == []


def test_a_bomb_leaves_nothing_of_itself(tmp_path):
    content = Content.at(layout_in(tmp_path))
    content = evolve(content, limits=evolve(content.limits, ratio_from=1 << 20))
    image = make_image([tar_of({"zeros": bytes(64 << 20)})])
    store_blobs(content, image)
    from pyengine.errors import InvalidContent

    with pytest.raises(InvalidContent, match="taken for a bomb"):
        unpack(content, layer_plans(image.manifest, image_config.parse(image.config)))
    assert os.listdir(content.layout.unpacked) == []


GREEDY = """
import resource, sys
from support.stores import layout_in
from pyengine.images.content import Content
from pyengine.images.unpacking import LayerPlan, unpack
content = Content.at(layout_in(sys.argv[1]))
plans = [LayerPlan(*text.split(",")[:4], 0) for text in sys.argv[2:]]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
unpack(content, plans)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("kind", ["gzip", "zstd", "xz"])
def test_large_layers_are_unpacked_in_little_memory(tmp_path, kind):
    compress = {
        "gzip": lambda tar: gzip.compress(tar, 1, mtime=0),
        "zstd": _zstd,
        "xz": lambda tar: lzma.compress(tar, preset=1),
    }[kind]
    content = Content.at(layout_in(tmp_path))
    plans = []
    for number in range(3):
        tar = tar_of({f"zeros{number}": bytes(100 << 20), "noise": os.urandom(4 << 20)})
        blob, diff_id = content.blobs.put(compress(tar)), digests.of(tar)
        plans.append(f"{diff_id},{diff_id},,{blob}")
    with spawn(GREEDY, str(tmp_path), *plans) as greedy:
        grown = int(greedy.communicate(timeout=200)[0])
    assert grown < 64 << 10  # KiB, as getrusage(2) has it
    assert all(content.layers.find(plan.partition(",")[0]) for plan in plans)


def _zstd(tar):
    compressor = zstandard.compressor(3)
    return compressor.compress(tar) + compressor.flush()
