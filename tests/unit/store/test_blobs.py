"""A blob is there whole, verified and private, or it is not there; one process fetches it."""

from __future__ import annotations

import hashlib
import os
import stat
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyengine.errors import DigestMismatch, InvalidContent, InvalidRequest, NoSpace, StoreError
from pyengine.store.blobs import BlobMissing, Blobs
from pyengine.store.layout import Layout

DATA = bytes(range(256)) * 1000


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


DIGEST = digest_of(DATA)


@pytest.fixture
def blobs(tmp_path):
    return Blobs(Layout(str(tmp_path / "root"), str(tmp_path / "run")))


def waiting_files(blobs):
    return os.listdir(blobs.layout.ingest)


def test_what_was_put_is_read_back(blobs):
    assert blobs.put(DATA) == DIGEST
    assert (blobs.has(DIGEST), blobs.size(DIGEST)) == (True, len(DATA))
    assert blobs.read(DIGEST, most=len(DATA)) == DATA
    assert list(blobs.all()) == [(DIGEST, len(DATA))]
    assert waiting_files(blobs) == []


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_blob_has_the_digest_it_was_asked_for_by(blobs, algorithm):
    digest = digest_of(DATA, algorithm)
    assert blobs.put(DATA, digest) == digest
    assert blobs.read(digest, most=1 << 20) == DATA
    assert blobs.verify(digest)


def test_the_store_is_an_oci_layout_that_nobody_else_sees(blobs):
    blobs.put(DATA)
    root = blobs.layout.blobs
    with open(f"{root}/oci-layout") as file:
        assert file.read() == '{"imageLayoutVersion":"1.0.0"}'
    for directory, names, files in os.walk(blobs.layout.root):
        for name in names:
            assert stat.S_IMODE(os.stat(f"{directory}/{name}").st_mode) == 0o700
        for name in files:
            assert stat.S_IMODE(os.stat(f"{directory}/{name}").st_mode) == 0o600
    assert os.path.isfile(f"{root}/blobs/sha256/{DIGEST[7:]}")


def test_a_blob_that_is_missing_is_said_to_be(blobs):
    for ask in (blobs.size, blobs.open, lambda digest: blobs.read(digest, 1)):
        with pytest.raises(BlobMissing, match=f"blob {DIGEST} is missing"):
            ask(DIGEST)


@pytest.mark.parametrize("digest", ["sha256:../../../etc/passwd", "", "md5:" + "0" * 32])
def test_what_is_no_digest_names_no_file(blobs, digest):
    for ask in (blobs.has, blobs.path, lambda digest: blobs.ingest(digest, 1)):
        with pytest.raises(InvalidRequest):
            ask(digest)


def test_a_damaged_blob_is_not_read(blobs):
    blobs.put(DATA)
    with open(blobs.path(DIGEST), "r+b") as file:
        file.write(b"!")
    with pytest.raises(StoreError, match="damaged"):
        blobs.read(DIGEST, most=1 << 20)
    assert not blobs.verify(DIGEST)
    blobs.put(DATA)
    assert blobs.verify(DIGEST)


def test_a_blob_that_is_too_long_is_not_read(blobs):
    blobs.put(DATA)
    with pytest.raises(InvalidContent, match="longer than 5 bytes"):
        blobs.read(DIGEST, most=5)


def test_put_refuses_what_is_not_of_the_digest(blobs):
    with pytest.raises(DigestMismatch):
        blobs.put(b"other", DIGEST)
    assert not blobs.has(DIGEST)


@given(st.lists(st.integers(0, len(DATA)), max_size=5))
def test_a_blob_that_comes_in_pieces_is_the_same(tmp_path_factory, cuts):
    blobs = Blobs(Layout(str(tmp_path_factory.mktemp("root")), ""))
    ends = [*sorted(cuts), len(DATA)]
    with blobs.ingest(DIGEST, len(DATA)) as ingest:
        for start, end in zip([0, *ends], ends, strict=False):
            ingest.write(DATA[start:end])
            assert ingest.offset == end
        ingest.commit()
    assert blobs.read(DIGEST, most=len(DATA)) == DATA
    assert waiting_files(blobs) == []


def fetched(blobs, data, size=None):
    with blobs.ingest(DIGEST, size) as ingest:
        ingest.write(data)
        ingest.commit()


@pytest.mark.parametrize("said", [None, len(DATA)])
@pytest.mark.parametrize("data", [DATA[:-1] + b"!", DATA + b"!", b"!" + DATA], ids=repr)
def test_what_is_not_what_was_promised_never_gets_the_name(blobs, data, said):
    with pytest.raises(DigestMismatch):
        fetched(blobs, data, said)
    assert not blobs.has(DIGEST)
    assert waiting_files(blobs) == []  # no later attempt builds on it
    fetched(blobs, DATA)
    assert blobs.has(DIGEST)


def test_a_blob_that_ends_early_is_gone_on_with(blobs):
    with pytest.raises(DigestMismatch, match=f"has 1000 bytes instead of {len(DATA)}"):
        fetched(blobs, DATA[:1000], len(DATA))
    with blobs.ingest(DIGEST, len(DATA)) as ingest:
        assert ingest.offset == 1000
        assert b"".join(ingest.resumed()) == DATA[:1000]
        ingest.write(DATA[1000:])
        ingest.commit()
    assert blobs.verify(DIGEST)


def test_what_an_attempt_left_is_verified_too(blobs):
    with pytest.raises(DigestMismatch):
        fetched(blobs, b"!" + DATA[1:1000], len(DATA))
    with blobs.ingest(DIGEST, len(DATA)) as ingest:
        ingest.write(DATA[1000:])  # nobody asked for what was there
        with pytest.raises(DigestMismatch, match="is not the blob"):
            ingest.commit()
        assert ingest.offset == 0
        ingest.write(DATA)
        ingest.commit()
    assert blobs.verify(DIGEST)


def test_an_attempt_that_left_too_much_is_forgotten(blobs):
    with pytest.raises(DigestMismatch):
        fetched(blobs, DATA[:1000], len(DATA))
    with blobs.ingest(DIGEST, 10) as ingest:
        assert ingest.offset == 0


def test_a_fetch_begins_anew_when_it_is_told_to(blobs):
    with blobs.ingest(DIGEST, len(DATA)) as ingest:
        ingest.write(b"wrong")
        ingest.restart()
        assert ingest.offset == 0
        ingest.write(DATA)
        ingest.commit()
    assert blobs.verify(DIGEST)


def test_what_is_there_is_not_fetched(blobs):
    blobs.put(DATA)
    with blobs.ingest(DIGEST, len(DATA)) as ingest:
        assert ingest.done
        assert list(ingest.resumed()) == []
        ingest.commit()


def test_a_full_disk_keeps_nothing_of_a_blob(blobs, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with pytest.raises(NoSpace), blobs.ingest(DIGEST, len(DATA)) as ingest:  # noqa: PT012
        ingest.write(DATA[:500])
        monkeypatch.setattr(os, "write", full)
        ingest.write(DATA[500:])
    assert waiting_files(blobs) == []


def test_one_of_many_threads_fetches_and_all_have_it(blobs):
    fetches = []
    starting = threading.Barrier(8)

    def want():
        starting.wait()
        with blobs.ingest(DIGEST, len(DATA)) as ingest:
            if not ingest.done:
                fetches.append(1)
                ingest.write(DATA)
                ingest.commit()
        assert blobs.has(DIGEST)

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fetches == [1]
    assert waiting_files(blobs) == []


def test_who_waits_can_be_told_to_stop(blobs):
    class Enough(Exception):
        pass

    def stop():
        raise Enough

    with blobs.ingest(DIGEST, len(DATA)) as ingest:
        ingest.write(b"x")
        with pytest.raises(Enough), blobs.ingest(DIGEST, len(DATA), stop):
            pass
        descriptors = len(os.listdir("/proc/self/fd"))
        with pytest.raises(Enough), blobs.ingest(DIGEST, len(DATA), stop):
            pass
        assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_draft_gets_the_name_of_its_content(blobs):
    with blobs.draft() as draft:
        draft.write(DATA[:7])
        draft.write(memoryview(DATA)[7:])
        assert draft.commit() == DIGEST
    assert blobs.verify(DIGEST)
    with blobs.draft() as draft:
        draft.write(b"never mind")
    assert waiting_files(blobs) == []


def test_a_blob_is_on_disk_before_it_has_its_name(blobs, monkeypatch):
    blobs.prepare()
    order = []
    for name in ("fsync", "rename"):
        true = getattr(os, name)

        def noted(*arguments, name=name, true=true):
            order.append(name)
            return true(*arguments)

        monkeypatch.setattr(os, name, noted)
    fetched(blobs, DATA)
    assert order == ["fsync", "rename", "fsync"]


def test_the_directories_are_on_disk_before_what_is_in_them(blobs, monkeypatch):
    made, true = [], os.mkdir
    synced = []
    monkeypatch.setattr(os, "mkdir", lambda path, mode: (true(path, mode), made.append(path)))
    monkeypatch.setattr("pyengine.store.disk.sync_directory", synced.append)
    blobs.put(DATA)
    assert {os.path.dirname(path) for path in made} <= set(synced)
    assert f"{blobs.layout.blobs}/blobs/sha256" in made


def test_a_removed_blob_frees_its_bytes(blobs):
    blobs.put(DATA)
    assert blobs.remove(DIGEST) == len(DATA)
    assert blobs.remove(DIGEST) == 0
    assert not blobs.has(DIGEST)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_blob_that_is_no_file_is_refused_at_once_and_nothing_stays_open(blobs, make):
    blobs.put(b"other")
    make(blobs.path("sha256:" + "a" * 64))
    before = os.listdir("/proc/self/fd")
    with pytest.raises(StoreError):
        blobs.read("sha256:" + "a" * 64, most=100)
    assert os.listdir("/proc/self/fd") == before
