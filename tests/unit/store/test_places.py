"""Where a user who is not root has their things, and what is never believed."""

from __future__ import annotations

import os

import pytest

from pyengine.errors import StoreError
from pyengine.store import places


@pytest.fixture(autouse=True)
def nobody(monkeypatch):
    """A user that no file of this host knows."""
    monkeypatch.setattr(os, "geteuid", lambda: 2**31 + 7)
    for name in ("HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_data_lies_where_xdg_says_or_below_the_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/her")
    assert places.data_directory() == "/home/her/.local/share/pyengine"
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert places.data_directory() == "/data/pyengine"


def test_a_relative_path_says_nothing(monkeypatch):
    monkeypatch.setenv("HOME", "/home/her")
    monkeypatch.setenv("XDG_DATA_HOME", "data")
    assert places.data_directory() == "/home/her/.local/share/pyengine"


def test_without_a_home_one_is_told_to_choose():
    with pytest.raises(StoreError, match=r"no home directory; set HOME, or choose one with root="):
        places.data_directory()


def test_without_home_the_user_database_is_asked(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert places.data_directory() == "/root/.local/share/pyengine"


def test_a_runtime_directory_is_used_if_it_is_ours_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", os.getuid)
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert places.run_directory("/data") == f"{tmp_path}/pyengine"


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_runtime_directory_that_others_may_use_is_none(monkeypatch, tmp_path, mode):
    monkeypatch.setattr(os, "geteuid", os.getuid)
    tmp_path.chmod(mode)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert not places.run_directory("/data").startswith(str(tmp_path))


def test_a_link_is_no_runtime_directory(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", os.getuid)
    (tmp_path / "there").mkdir(0o700)
    (tmp_path / "link").symlink_to("there")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "link"))
    assert not places.run_directory("/data").startswith(str(tmp_path))


def test_where_there_is_none_it_is_below_tmp_unless_somebody_was_quicker(monkeypatch):
    user = os.geteuid()
    assert places.run_directory("/data") == f"/tmp/pyengine-{user}"
    monkeypatch.setattr(os.path, "lexists", lambda path: path == f"/tmp/pyengine-{user}")
    assert places.run_directory("/data") == "/data/run"
