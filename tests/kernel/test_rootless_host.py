"""The image ``host:`` for a user without any right: the host's root, put together of pieces."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest
from support.users import USER, Stranger, somebody

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module", params=["single", "subids"])
def stranger(request) -> Iterator[Stranger]:
    """Once with one id, and once with more; then the host's /etc has mounts below it, too."""
    with somebody("stranger:3000000:65536\n" if request.param == "subids" else None) as made:
        yield made


@pytest.fixture
def theirs(stranger: Stranger):
    """Has them do something with an ``engine``: what they ``answer``."""

    def run(code: str) -> object:
        told = stranger.python(_FRAME.format(code=code.strip()))
        assert told.returncode == 0, told.stderr
        return json.loads(told.stdout)

    return run


_FRAME = """
import json, os, pyengine
def told(container):
    container.start(); container.wait()
    return [f"{{change.kind.value}} {{change.path}}" for change in container.diff()]
with pyengine.Engine() as engine:
    {code}
print(json.dumps(answer))
"""


def test_the_first_command_of_the_readme_works(theirs):
    code = """
    shell = "echo I am process $$; ls /sys/class/net; python3 -c 'print(6 * 7)'"
    found = engine.run("host:", ["sh", "-c", shell])
    answer = found.stdout.splitlines(), found.stderr, found.exit_code
    """
    assert theirs(code) == [["I am process 1", "lo", "42"], "", 0]


def test_what_is_at_the_top_of_the_host_is_there(theirs):
    found = set(str(theirs('answer = engine.run("host:", "ls -A /").stdout')).split())
    kinds = ("is_dir", "is_file", "is_symlink")
    here = {e.name for e in os.scandir("/") if any(getattr(e, kind)() for kind in kinds)}
    assert here <= found


def test_what_it_writes_is_its_own_and_its_changes_are_told(theirs):
    name = f"made-{os.getpid()}"
    code = f"""
    shell = "touch /tmp/{name} /var/tmp/{name} /usr/{name} ~/{name}; mkdir /{name}"
    answer = told(engine.create("host:", ["sh", "-c", shell]))
    """
    changed = ["C /root", "C /tmp", "C /usr", "C /var", "C /var/tmp"]
    added = [f"A {at}/{name}" for at in ("", "/root", "/tmp", "/usr", "/var/tmp")]
    assert sorted(theirs(code)) == sorted(changed + added)
    assert not any(os.path.exists(f"{at}/{name}") for at in ("", "/tmp", "/var/tmp", "/usr"))


def test_what_it_takes_away_of_the_ground_is_told_too(theirs):
    code = 'answer = told(engine.create("host:", "rm /bin"))'
    assert theirs(code) == ["D /bin"]


def test_what_is_the_host_s_root_s_is_nobody_s_and_stays_as_it_is(theirs):
    code = """
    shell = "stat -c %u /usr/bin/env /usr; cat /etc/shadow; echo > /etc/passwd; rm /usr/bin/env"
    found = engine.run("host:", ["sh", "-c", shell])
    answer = found.stdout.split(), found.exit_code
    """
    assert theirs(code) == [["65534", "0"], 1]
    assert os.path.exists("/usr/bin/env")


def test_its_own_writes_are_there_when_it_starts_again(theirs):
    code = """
    container = engine.create("host:", ["sh", "-c", "echo x >> /opt/mine; wc -l < /opt/mine"])
    told(container); told(container)
    answer = container.logs()
    """
    assert theirs(code) == "1\n2\n"


def test_a_read_only_root_is_so_in_all_its_pieces_but_not_in_what_is_mounted(theirs, stranger):
    (stranger.home / "shared").mkdir(exist_ok=True)
    stranger.give(stranger.home / "shared")
    code = """
    shell = "for at in / /tmp /usr /var/tmp /root /mnt; do touch $at/x && echo $at; done"
    mounts = [pyengine.bind(os.path.expanduser("~/shared"), "/mnt")]
    found = engine.run("host:", ["sh", "-c", shell], read_only=True, mounts=mounts)
    answer = found.stdout.split()
    """
    assert theirs(code) == ["/mnt"]


def test_the_store_lies_below_the_layers_and_is_not_in_their_way(theirs, stranger):
    code = """
    shell = 'ls "$0"; touch "$0"/x'
    answer = engine.run("host:", ["sh", "-c", shell, engine.info().root]).exit_code
    """
    assert theirs(code) == 0
    assert not (stranger.home / ".local/share/pyengine/x").exists()


def test_who_keeps_their_id_is_themselves_over_the_host(theirs):
    code = (
        'answer = engine.run("host:", ["sh", "-c", "id -u; touch /tmp/x"], userns="keep-id").stdout'
    )
    assert theirs(code) == f"{USER}\n"
