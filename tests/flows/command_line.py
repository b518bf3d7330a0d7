"""``pyengine --root …`` for tests: called here, or started as a process of its own."""

import subprocess
import sys

import pytest
from support.keepers import end_keeper

from pyengine.cli.main import main

PYENGINE = (sys.executable, "-m", "pyengine")

_LONG_LIVED = """
trap 'echo bye; exit 5' TERM
trap 'echo usr' USR1
echo ready
echo oops >&2
while :; do sleep 30 & wait; done
"""


class Cli:
    """The command line over one root."""

    def __init__(self, root, capfd):
        self.root = str(root)
        self.err = ""
        self._capfd = capfd

    def __call__(self, *words, code=0):
        """What it prints, if it ends with *code*; what it complains of is in `err`."""
        found = main(["--root", self.root, *words])
        out, self.err = self._capfd.readouterr()
        assert found == code, self.err
        return out

    def command(self, *words):
        """The same, as the words of a command of its own."""
        return [*PYENGINE, "--root", self.root, *words]

    def popen(self, *words, **streams):
        """The same, in a process of its own."""
        given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(self.command(*words), **{**given, **streams})

    def names(self):
        """The names of all containers that are there."""
        return self("ps", "-a", "--format", "{{.Names}}").split()


@pytest.fixture
def cli(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("pyengine.cli.main.listen", lambda: None)  # signals stay pytest's
    cli = Cli(tmp_path / "root", capfd)
    yield cli
    for name in cli.names():
        cli("rm", "-f", name)
    end_keeper(cli.root)


@pytest.fixture
def web(cli):
    """The command of a container that runs until it is stopped."""
    words = ("run", "--name", "web", "-l", "tier=db", "-e", "A=1", "host:", "sh", "-c", _LONG_LIVED)
    process = cli.popen(*words)
    assert process.stdout.readline() == b"ready\n"
    yield process
    process.kill()
    process.communicate()
