"""Records: the old one or the new one, and a reason for what is neither."""

import json
import os
import resource
from pathlib import Path

import pytest

from pyengine.errors import NoSpace, NotPermitted, StoreError
from pyengine.model.state import ContainerState, Status
from pyengine.store import owners, records
from pyengine.store.layout import STEADY, Layout

STATE = ContainerState(status=Status.EXITED, exit_code=4)


def test_what_was_written_is_read_back(tmp_path):
    path = str(tmp_path / "state.json")
    assert records.read(path, ContainerState) is None
    records.write(path, STATE)
    assert records.read(path, ContainerState) == STATE
    assert os.listdir(tmp_path) == ["state.json"]
    assert (tmp_path / "state.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"version": 1, "pid": "x"}',
        '{"version": 1, "x": ' + "[" * 99999,
    ],
)
def test_a_damaged_record_says_so(tmp_path, content):
    path = tmp_path / "state.json"
    path.write_text(content)
    with pytest.raises(StoreError, match="is damaged"):
        records.read(str(path), ContainerState)


def test_a_record_of_a_newer_version_is_not_guessed_at(tmp_path):
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"version": 99}))
    with pytest.raises(StoreError, match="newer version"):
        records.read(str(path), ContainerState)


def test_a_fifo_or_a_link_in_a_record_s_place_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    os.symlink("/etc/passwd", tmp_path / "link")
    for name in ("fifo", "link"):
        with pytest.raises(StoreError):
            records.read(str(tmp_path / name), ContainerState)


def test_a_full_disk_is_no_space_and_the_old_record_stays(tmp_path):
    path = str(tmp_path / "state.json")
    records.write(path, STATE)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limit[1]))
    try:
        with pytest.raises((StoreError, NoSpace)):
            records.write(path, ContainerState(pid=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert records.read(path, ContainerState) == STATE


def layout_of(tmp_path: Path) -> Layout:
    layout = Layout.of(tmp_path / "root", None)
    owners.prepare(layout)
    return layout


def test_the_root_is_nobody_else_s(tmp_path):
    layout = layout_of(tmp_path)
    assert os.stat(layout.root).st_mode & 0o777 == 0o700


def test_a_directory_of_others_is_never_taken(tmp_path):
    (tmp_path / "theirs").mkdir(mode=0o755)
    os.chmod(tmp_path / "theirs", 0o755)
    (tmp_path / "theirs" / "letter").write_text("dear")
    with pytest.raises(StoreError, match="holds other things"):
        owners.prepare(Layout.of(tmp_path / "theirs", None))
    assert os.stat(tmp_path / "theirs").st_mode & 0o777 == 0o755
    assert os.listdir(tmp_path / "theirs") == ["letter"]


def test_a_root_that_is_a_file_or_a_link_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("/")
    for name in ("file", "link"):
        with pytest.raises((StoreError, NotPermitted)):
            owners.prepare(Layout.of(tmp_path / name, None))


def test_where_things_lie_is_said_by_arguments_then_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("PYENGINE_ROOT", str(tmp_path / "e"))
    assert Layout.of(None, None).root == str(tmp_path / "e")
    assert Layout.of(tmp_path / "a", tmp_path / "r").run == str(tmp_path / "r")
    monkeypatch.delenv("PYENGINE_ROOT")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert Layout.of(None, None) == Layout("/var/lib/pyengine", "/run/pyengine")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", "/d")
    assert Layout.of(None, "/r") == Layout("/d/pyengine", "/r")


def test_a_name_has_one_holder_at_a_time(tmp_path):
    layout = layout_of(tmp_path)
    for number in (1, 2):
        os.makedirs(layout.home(STEADY, f"{number:064}").path)
    assert owners.claim_name(layout, "web", STEADY, f"{1:064}") is None
    assert owners.claim_name(layout, "web", STEADY, f"{2:064}") == f"{1:064}"
    owners.release_name(layout, "web", STEADY, f"{2:064}")  # not its own
    assert owners.holder_of(layout, "web") == (STEADY, f"{1:064}")
    owners.release_name(layout, "web", STEADY, f"{1:064}")
    assert owners.claim_name(layout, "web", STEADY, f"{2:064}") is None


def test_a_name_whose_holder_is_gone_is_free(tmp_path):
    layout = layout_of(tmp_path)
    os.makedirs(layout.home(STEADY, f"{2:064}").path)
    assert owners.claim_name(layout, "web", STEADY, f"{1:064}") is None
    assert owners.claim_name(layout, "web", STEADY, f"{2:064}") is None
    assert owners.holder_of(layout, "web") == (STEADY, f"{2:064}")


def test_an_owner_that_holds_its_lock_is_no_orphan(tmp_path):
    layout = layout_of(tmp_path)
    name, lock = owners.claim(layout, owners.Owner(os.getpid(), 1, 1))
    try:
        assert list(owners.orphans(layout, lambda owner: True)) == []
    finally:
        os.close(lock)
    (found,) = owners.orphans(layout, lambda owner: True)
    os.close(found[1])
    assert found[0] == name


def test_a_lock_that_a_fork_has_inherited_is_not_believed(tmp_path):
    layout = layout_of(tmp_path)
    name, lock = owners.claim(layout, owners.Owner(1, 1, 1))
    try:
        ((found, again),) = owners.orphans(layout, lambda owner: False)
        os.close(again)
        assert found == name
    finally:
        os.close(lock)
