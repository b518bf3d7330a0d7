"""A full disk costs a container its output, and neither its life nor its log."""

from __future__ import annotations

import subprocess

import pytest

from pyengine.containers.log_writer import LogWriter
from pyengine.containers.logs import read_logs
from pyengine.model.spec import LogConfig

pytestmark = pytest.mark.kernel

SIZE = 256 * 1024


@pytest.fixture
def disk(tmp_path):
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "disk", tmp_path], check=True)
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("options", [(), (("max-file", "3"), ("max-size", "100k"))])
def test_what_a_full_disk_swallowed_is_told_once_there_is_room(disk, options):
    filler = disk / "filler"
    filler.write_bytes(b"x" * (SIZE // 2))
    log = str(disk / "log")
    writer = LogWriter(log, LogConfig("json-file", options))
    for number in range(3000):
        writer.write("stdout", b"%08d\n" % number, number)
    kept = [int(line.data) for line in read_logs(log) if line.stream == "stdout"]
    assert kept == sorted(set(kept))
    filler.unlink()
    writer.write("stdout", b"00003000\n", 3000)
    writer.close()
    lines = list(read_logs(log))
    told = [line.text for line in lines if line.stream == "stderr"]
    assert told
    assert all("No space left on device" in text for text in told)
    assert sum(int(text.split()[1]) for text in told) == writer.lost == 9 * (3000 - len(kept))
    assert lines[-1].data == b"00003000\n"
