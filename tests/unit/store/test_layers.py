"""A layer is there whole or not at all, is unpacked by one, and is believed only if it may be."""

from __future__ import annotations

import os
import stat
import threading

import pytest
from support.stores import Machine, layout_in

from pyengine.errors import InvalidRequest
from pyengine.store.layers import LayerMissing, LayerRecord, Layers

CHAIN = "sha256:" + "a" * 64
DIFF = "sha256:" + "d" * 64
BLOB = "sha256:" + "b" * 64


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture
def layers(tmp_path, machine):
    return Layers(layout_in(tmp_path), machine.kernel())


def names(layers):
    return sorted(os.listdir(layers.layout.unpacked))


def unpacked(layers, chain_id=CHAIN, text="content"):
    with layers.stage(chain_id) as staging:
        assert not staging.done
        with open(f"{staging.path}/file", "w") as file:
            file.write(text)
        staging.commit(LayerRecord(chain_id, DIFF, size=7, entries=1, blob=BLOB))


def content(layers, chain_id=CHAIN):
    with open(f"{layers.directory(chain_id)}/file") as file:
        return file.read()


def test_a_layer_is_found_once_it_is_whole(layers):
    assert layers.find(CHAIN) is None
    with layers.stage(CHAIN) as staging:
        assert layers.find(CHAIN) is None
        assert os.path.samestat(os.fstat(staging.fd), os.stat(staging.path))
        staging.commit(LayerRecord(CHAIN, DIFF, size=7, entries=1, blob=BLOB))
    assert layers.find(CHAIN) == LayerRecord(CHAIN, DIFF, "", 7, 1, BLOB, "first boot")
    assert list(layers.all()) == [CHAIN]
    assert names(layers) == [CHAIN[7:]]


def test_the_root_of_a_layer_is_open_inside_and_the_store_is_not(layers):
    umask = os.umask(0o077)
    try:
        unpacked(layers)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(os.stat(layers.directory(CHAIN)).st_mode) == 0o755
    for path in (layers.layout.root, layers.layout.unpacked, layers.home(CHAIN)):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o700


def test_what_is_not_committed_leaves_nothing(layers):
    class Failure(Exception):
        pass

    with pytest.raises(Failure), layers.stage(CHAIN) as staging:  # noqa: PT012
        os.mkdir(f"{staging.path}/directory")
        raise Failure
    assert layers.find(CHAIN) is None
    assert names(layers) == []


def test_what_a_killed_process_staged_is_removed_by_the_next(layers):
    os.makedirs(f"{layers.layout.unpacked}/.new-{CHAIN[7:]}-123456/fs")
    unpacked(layers)
    assert names(layers) == [CHAIN[7:]]


def test_a_layer_is_unpacked_by_one_of_many_threads(layers):
    unpackings = []
    starting = threading.Barrier(8)

    def want():
        starting.wait()
        with layers.stage(CHAIN) as staging:
            if not staging.done:
                unpackings.append(1)
                staging.commit(LayerRecord(CHAIN, DIFF))
        assert layers.find(CHAIN) is not None

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert unpackings == [1]
    assert names(layers) == [CHAIN[7:]]


def test_who_waits_for_a_layer_can_be_told_to_stop(layers):
    class Enough(Exception):
        pass

    def stop():
        raise Enough

    with layers.stage(CHAIN), pytest.raises(Enough), layers.stage(CHAIN, stop):
        pass


def test_after_a_boot_a_layer_that_may_not_be_on_disk_is_unpacked_again(layers, machine, tmp_path):
    unpacked(layers, text="zeros, perhaps")
    machine.boot = "second boot"
    reopened = Layers(layers.layout, machine.kernel())
    assert reopened.find(CHAIN) is None
    unpacked(reopened)
    assert content(reopened) == "content"
    assert names(reopened) == [CHAIN[7:]]


def test_after_a_boot_a_layer_that_was_marked_durable_is_believed(layers, machine):
    unpacked(layers)
    other = "sha256:" + "c" * 64
    assert layers.make_durable() == 1
    unpacked(layers, other)
    machine.boot = "second boot"
    reopened = Layers(layers.layout, machine.kernel())
    assert reopened.find(CHAIN) is not None
    assert reopened.find(other) is None


def test_one_sync_makes_all_layers_durable(layers, machine):
    for digit in "123":
        unpacked(layers, "sha256:" + digit * 64)
    assert (layers.make_durable(), machine.synced) == (3, 1)
    assert (layers.make_durable(), machine.synced) == (0, 1)


def test_the_mark_of_a_layer_that_is_wanted_is_on_disk_whoever_made_it(layers, monkeypatch):
    unpacked(layers)
    synced, fsync = [], os.fsync

    def seen(fd):
        synced.append((os.readlink(f"/proc/self/fd/{fd}"), layers.is_durable(CHAIN)))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", seen)
    for _ in range(2):
        layers.make_durable(CHAIN)
        assert synced.pop() == (layers.home(CHAIN), True)


def test_a_layer_of_another_boot_is_never_marked_durable(layers, machine):
    unpacked(layers)
    machine.boot = "second boot"
    assert Layers(layers.layout, machine.kernel()).make_durable() == 0


def test_what_takes_a_layers_place_during_the_sync_is_not_marked_for_it(tmp_path, machine):
    layers = Layers(layout_in(tmp_path), machine.kernel())
    unpacked(layers)

    def replace(fd):
        layers.discard(CHAIN)
        layers.bury()
        unpacked(layers)

    machine.boot, meddler = "first boot", Machine().kernel()
    meddled = Layers(layers.layout, type(meddler)(meddler.remove_tree, replace, meddler.boot))
    assert meddled.make_durable() == 0
    machine.boot = "second boot"
    assert Layers(layers.layout, machine.kernel()).find(CHAIN) is None


@pytest.mark.parametrize("record", ["", "{}", "[]", '{"version":1,"chain_id":"sha256:other"}'])
def test_a_layer_whose_record_is_damaged_is_not_there(layers, machine, record):
    unpacked(layers)
    with open(f"{layers.home(CHAIN)}/layer.json", "w") as file:
        file.write(record)
    reopened = Layers(layers.layout, machine.kernel())
    assert (layers.find(CHAIN), reopened.find(CHAIN)) == (None, None)
    unpacked(reopened)
    assert names(reopened) == [CHAIN[7:]]


def test_a_layer_that_was_removed_is_not_remembered(layers):
    unpacked(layers)
    assert layers.find(CHAIN) is not None
    Layers(layers.layout, Machine().kernel()).discard(CHAIN)
    assert layers.find(CHAIN) is None


def test_a_removed_layer_frees_its_space_when_it_is_buried(layers):
    unpacked(layers)
    grave = layers.discard(CHAIN)
    assert names(layers) == [grave]
    assert layers.discard(CHAIN) == ""
    assert layers.bury() == [grave]
    assert names(layers) == []


def test_what_nobody_unpacks_any_more_is_buried_and_what_somebody_does_is_not(layers):
    left = f".new-{'e' * 64}-123456"
    os.makedirs(f"{layers.layout.unpacked}/{left}/fs")
    with layers.stage(CHAIN) as staging:
        assert layers.bury() == [left]
        assert os.path.isdir(staging.path)
        staging.commit(LayerRecord(CHAIN, DIFF))
    assert names(layers) == [CHAIN[7:]]


def test_a_directory_becomes_a_layer_without_being_copied(layers, tmp_path):
    upper = tmp_path / "upper"
    upper.mkdir()
    (upper / "file").write_text("content")
    inode = os.stat(upper / "file").st_ino
    layers.adopt(str(upper), LayerRecord(CHAIN, DIFF, size=7))
    assert os.stat(f"{layers.directory(CHAIN)}/file").st_ino == inode
    assert not upper.exists()
    assert layers.find(CHAIN) == LayerRecord(CHAIN, DIFF, size=7, boot="first boot")


def test_what_is_no_chain_id_names_no_directory(layers):
    for ask in (layers.find, layers.directory, layers.stage, layers.discard):
        with pytest.raises(InvalidRequest):
            ask("sha256:../..")


def test_lower_directories_are_those_of_the_chain_the_topmost_first(layers):
    chain = [f"sha256:{digit * 64}" for digit in "1234"]
    for parent, chain_id in zip(["", *chain], chain, strict=False):
        with layers.stage(chain_id) as staging:
            hides = chain_id == chain[1]
            staging.commit(LayerRecord(chain_id, DIFF, parent, hides_all=hides))
    assert layers.lowers(chain[3]) == [layers.directory(one) for one in reversed(chain[1:])]
    layers.discard(chain[2])
    with pytest.raises(LayerMissing, match=f"layer {chain[2]} is not unpacked"):
        layers.lowers(chain[3])


def test_a_layer_is_committed_as_what_was_staged(layers):
    with layers.stage(CHAIN) as staging, pytest.raises(ValueError, match="not what was staged"):
        staging.commit(LayerRecord(DIFF, DIFF))
