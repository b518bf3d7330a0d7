import os
import re
import subprocess

import pytest

from benchmarks.limit import HERE, program
from benchmarks.rootfs import LINE, LINES, Missing, add_lines, find_busybox, make_rootfs

PROGRAMS = ("run", "exec", "many", "command")


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_limit_program_is_compiled_and_waits_for_its_first_line(name, tmp_path):
    ended = subprocess.run(
        [program(name), "-d", str(tmp_path), "--", "/bin/true"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ended.stdout, ended.stderr) == ("ready\n", "")


def test_it_is_compiled_again_only_when_its_source_is_younger():
    first = os.stat(program("command"))
    assert os.stat(program("command")).st_ino == first.st_ino
    built = program("command")
    os.utime(built, (0, 0))
    assert os.stat(program("command")).st_ino != first.st_ino


def test_every_program_says_in_its_first_comment_how_it_is_called():
    for name in PROGRAMS:
        comment = (HERE / f"{name}.c").read_text().partition("*/")[0]
        assert re.search(rf"^ \* {name} ", comment, re.MULTILINE)


def test_without_busybox_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Missing, match=r"busybox.*apt-get install -y busybox-static"):
        find_busybox()


def test_a_busybox_that_lacks_what_is_needed_is_none(tmp_path, monkeypatch):
    fake = tmp_path / "busybox"
    fake.write_text("#!/bin/sh\necho cat\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(Missing, match="static busybox with"):
        find_busybox()


def test_a_root_file_system_has_its_programs_and_its_lines(tmp_path):
    root = make_rootfs(tmp_path / "root")
    add_lines(root)
    assert (root / "bin/true").resolve() == root / "bin/busybox"
    assert (root / "lines").stat().st_size == LINES * len(LINE)
    assert (root / "etc/passwd").read_text().startswith("root:x:0:0:")
