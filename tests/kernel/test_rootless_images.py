"""Images of users without any right: of one with ids to give files to, and of one with none."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.archives import END, directory, entry, link
from support.images import make_image, tar_of_directory
from support.users import USER, Stranger, somebody

from pyengine.linux.process import has_ended
from pyengine.model import digests

pytestmark = pytest.mark.kernel

FIRST = 3_000_000

CHANGES = (
    entry("bin/lifted", b"#!/bin/sh\n", mode=0o4755)
    + directory("srv/", uid=0, gid=0, mode=0o755)
    + directory("srv/theirs", uid=70, gid=71, mode=0o700)
    + entry("srv/theirs/secret", b"hidden\n", uid=70, gid=71, mode=0o600)
    + link("srv/theirs/again", "srv/theirs/secret", uid=70, gid=71, mode=0o600)
    + directory("srv/none", uid=0, gid=0, mode=0)
    + entry("srv/none/zero", b"nothing\n", uid=0, gid=0, mode=0)
    + entry("etc/.wh.hostname")
    + directory("var/", mode=0o755)
    + entry("var/.wh..wh..opq")
    + entry("var/new", b"new\n")
    + END
)
"""Files of others, closed and lifted ones, a whiteout and a directory that hides what is below."""

_FRAME = """
import json, os, pyengine
with pyengine.Engine(root=os.path.expanduser("~/engine")) as engine:
    {code}
print(json.dumps(answer))
"""


def _docker_archive(*layers: bytes) -> bytes:
    made = make_image(layers)
    config = f"{digests.hex_of(made.id)}.json"
    names = [f"{number}/layer.tar" for number, _ in enumerate(layers)]
    manifest = [{"Config": config, "RepoTags": ["app:latest"], "Layers": names}]
    files = {"manifest.json": json.dumps(manifest).encode(), config: made.config}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in (files | dict(zip(names, layers, strict=True))).items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture(scope="module")
def base(rootfs: str) -> bytes:
    return tar_of_directory(rootfs)


@pytest.fixture(scope="module", params=["subids", "single"])
def stranger(request: pytest.FixtureRequest, base: bytes) -> Iterator[Stranger]:
    """Each of both; they have an archive of an image, ``app.tar``."""
    lines = f"stranger:{FIRST}:65536\n" if request.param == "subids" else None
    with somebody(lines) as made:
        made.tier = request.param  # type: ignore[attr-defined]
        (made.home / "app.tar").write_bytes(_docker_archive(base, CHANGES))
        made.give(made.home)
        yield made


@pytest.fixture
def do(stranger: Stranger) -> Iterator[Callable[[str], object]]:
    """Has them do something with an ``engine``: what they ``answer``. At the end nothing is left:
    they remove every image, and no file and no process is there any more.
    """

    def run(code: str) -> object:
        told = stranger.python(_FRAME.format(code=code.strip().replace("\n", "\n    ")))
        assert told.returncode == 0, told.stderr
        assert _processes() == []
        return json.loads(told.stdout)

    yield run
    run(_REMOVE_ALL)
    engine = stranger.home / "engine"
    assert os.listdir(engine / "layers") == []
    assert _foreign(engine) == []
    assert [path for path in (engine / "blobs").rglob("sha256/*") if path.is_file()] == []


_REMOVE_ALL = """
for container in engine.containers.list(all=True):
    container.remove(force=True)
for image in engine.images:
    engine.images.remove(image, force=True)
engine.images.prune({"dangling": "false"})
answer = len(engine.images.list(all=True))
"""


def _processes() -> list[str]:
    """Those of theirs that go on: who has ended may wait for this host's first process."""
    found = [pid for pid in os.listdir("/proc") if pid.isdigit() and _is_theirs(pid)]
    return [pid for pid in found if not _ends(int(pid))]


def _ends(pid: int) -> bool:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return has_ended(pidfd, 10.0)
    finally:
        os.close(pidfd)


def _is_theirs(pid: str) -> bool:
    try:
        return os.stat(f"/proc/{pid}").st_uid in (USER, *range(FIRST, FIRST + 65536))
    except FileNotFoundError:
        return False


def _foreign(top: Path) -> list[str]:
    """What belongs to other ids of theirs."""
    paths = (f"{place}/{name}" for place, *both in os.walk(top) for names in both for name in names)
    return [path for path in paths if os.lstat(path).st_uid != USER]


LOOK = (
    "stat -c '%u:%g %a %h' /srv/theirs/secret /srv/theirs /srv/none /bin/lifted; "
    "cat /srv/theirs/again /srv/none/zero; ls -d /etc/hostname /var/log /var/* 2>/dev/null"
)

LOAD = 'engine.images.load(os.path.expanduser("~/app.tar"))\n'


def seen(stranger: Stranger) -> list[str]:
    """What `LOOK` says in a container of the image; where there is one id, all is root's."""
    who = "70:71" if stranger.tier == "subids" else "0:0"  # type: ignore[attr-defined]
    there = [f"{who} 600 2", f"{who} 700 2", "0:0 0 2", "0:0 4755 1"]
    return [*there, "hidden", "nothing", "/etc/hostname", "/var/new"]


def _looked(name: str) -> str:
    return f'answer = engine.run({name!r}, ["sh", "-c", {LOOK!r}]).stdout.splitlines()'


def test_a_loaded_image_has_its_owners_modes_and_marks(stranger, do):
    assert do(LOAD + _looked("app")) == seen(stranger)
    fs = list((stranger.home / "engine/layers").glob("*/fs/srv/theirs"))
    owner = FIRST + 69 if stranger.tier == "subids" else USER
    assert [os.stat(path).st_uid for path in fs] == [owner]


def test_a_pulled_image_has_them_too(stranger, do, registry, base):
    layers = (gzip.compress(base, mtime=0), gzip.compress(CHANGES, mtime=0))
    registry.put_image("rootless", "1", layers)
    name = f"{registry.address}/rootless:1"
    assert do(_looked(name)) == seen(stranger)


def test_one_keeps_their_own_id_in_it(do):
    code = f"""
{LOAD}
told = engine.run("app", ["sh", "-c", "id -u; cat /var/new; ls /etc/group"], userns="keep-id")
answer = told.stdout.split()
"""
    assert do(code) == [str(USER), "new", "/etc/group"]


def test_an_image_whose_root_and_accounts_are_anothers_runs(stranger, do, base):
    closed = (
        directory("./", uid=70, gid=70, mode=0o700)
        + directory("etc", uid=70, gid=70, mode=0o711)
        + entry("etc/passwd", _ACCOUNTS, uid=70, gid=70, mode=0o600)
    )
    (stranger.home / "closed.tar").write_bytes(_docker_archive(base, closed + END))
    code = """
engine.images.load(os.path.expanduser("~/closed.tar"))
running = engine.start("app", "sleep 100", user="me")
answer = [running.exec("id -u", user=user).stdout for user in ("me", "you")]
"""
    expected = ["7\n", "8\n"]
    if stranger.tier == "single":  # there is nobody else to be
        code = code.replace('"me"', '"root"').replace('"you"', '"root"')
        expected = ["0\n", "0\n"]
    assert do(code) == expected


_ACCOUNTS = b"""\
root:x:0:0::/:/bin/sh
me:x:7:7::/:/bin/sh
you:x:8:8::/:/bin/sh
"""

WRITES = (
    "mkdir /made; echo 1 > /made/file; chmod 4711 /made/file; rm /var/new; rm -r /srv/none; "
    "mkdir /srv/none; chown 5:6 /made/file /made 2>/dev/null; chmod 700 /made; echo done"
)
AFTER = "stat -c '%u:%g %a' /made /made/file; ls /srv/none /var; cat /srv/theirs/secret"


@pytest.mark.parametrize("runs", [True, False])
def test_what_is_written_becomes_an_image_and_leaves_as_one(stranger, do, runs):
    end = "; exec sleep 100" if runs else ""
    code = f"""
{LOAD}
words = ["sh", "-c", {WRITES + end!r}]
if {runs}:
    container = engine.start("app", words, ready=pyengine.ready.log("done"))
else:
    container = engine.create("app", words)
    container.start()
    container.wait()
image = container.commit("app:2", pause=False)
size = container.inspect(size=True).size
told = engine.run("app:2", ["sh", "-c", {AFTER!r}]).stdout.split("\\n")
changes = [[change.kind.value, change.path] for change in container.diff()]
image.save(os.path.expanduser("~/saved.tar"))
answer = [told, changes, size]
"""
    told, changes, size = do(code)
    who = "5:6" if stranger.tier == "subids" else "0:0"
    mode = "711" if stranger.tier == "subids" else "4711"  # chown takes the bit away
    there = [f"{who} 700", f"{who} {mode}"]
    assert told == [*there, "/srv/none:", "", "/var:", "hidden", ""]
    assert changes[:3] == [["A", "/made"], ["A", "/made/file"], ["C", "/srv"]]
    assert ["D", "/var/new"] in changes
    assert size == (2 if runs else 0)
    entries = _last_layer(stranger.home / "saved.tar")
    assert entries["made/file"] == (*map(int, who.split(":")), int(mode, 8))
    assert {"var/.wh.new", "srv/none/.wh..wh..opq"} <= entries.keys()


def _last_layer(archive: Path) -> dict[str, tuple[int, int, int]]:
    with tarfile.open(archive) as outer:
        manifest = json.load(outer.extractfile("manifest.json"))  # type: ignore[arg-type]
        layer = outer.extractfile(manifest[0]["Layers"][-1])
        with tarfile.open(fileobj=layer, mode="r:*") as tar:
            return {one.name.removeprefix("./"): (one.uid, one.gid, one.mode) for one in tar}


def test_who_gives_the_root_away_can_be_committed_all_the_same(stranger, do):
    if stranger.tier == "single":
        who = "0:0"  # which only seems to succeed
        shell = "echo 1 > /new; chmod 700 /"
    else:
        who = "5:6"
        shell = "echo 1 > /new; chown 5:6 /new /; chmod 700 /"
    code = f"""
{LOAD}
container = engine.create("app", ["sh", "-c", {shell!r}])
container.start()
container.wait()
container.commit("app:2")
container.commit("app:3")
answer = [engine.run(f"app:{{n}}", "stat -c %u:%g /new").stdout for n in (2, 3)]
"""
    assert do(code) == [f"{who}\n", f"{who}\n"]


def test_what_one_wrote_whose_users_are_others_is_committed_where_it_is_the_same(stranger, do):
    code = f"""
{LOAD}
container = engine.create("app", ["sh", "-c", "echo 1 > /tmp/new"], userns="keep-id")
container.start()
container.wait()
try:
    container.commit("app:2")
    answer = engine.run("app:2", "stat -c %u:%g /tmp/new", userns="keep-id").stdout
except pyengine.Unsupported as error:
    answer = error.missing
"""
    refused = "its files belong to users of its own"
    assert do(code) == (refused if stranger.tier == "subids" else f"{USER}:{USER}\n")


def test_who_is_killed_while_layers_are_unpacked_leaves_no_process_and_is_cleaned_up_after(
    stranger, do
):
    code = f"""
from pyengine.images.content import Content
import signal
class Killed:
    def __init__(self, real):
        self.real = real
    def feed(self, data):
        self.real.feed(data)
    def finish(self):
        self.real.finish()
        os.kill(os.getpid(), signal.SIGKILL)
with pyengine.Engine(root=os.path.expanduser("~/engine")) as engine:
    engine._house.enter()
    content = engine._house.images.content
    real = content.unpacker
    object.__setattr__(content, "unpacker", lambda fd, limits: Killed(real(fd, limits)))
    {LOAD}
"""
    assert stranger.python(f"import os, pyengine\n{code}").returncode == -9
    staged = [name for name in os.listdir(stranger.home / "engine/layers") if name[:4] == ".new"]
    assert staged
    assert do(LOAD + _looked("app")) == seen(stranger)


CHECK = """
found = engine.check(repair={repair})
answer = [[each.kind, each.what, each.done] for each in found]
"""


def test_a_store_is_looked_through_and_mended(stranger, do):
    assert do(f"{LOAD}engine.run('app', 'true')\n{CHECK.format(repair=False)}") == []
    (secret,) = (stranger.home / "engine/layers").glob("*/fs/srv/theirs/secret")
    found = os.stat(secret)
    secret.write_bytes(b"hidde!\n")
    os.utime(secret, ns=(found.st_atime_ns, found.st_mtime_ns))
    (kind, what, done), *more = do(CHECK.format(repair=True))
    assert (kind, more) == ("damaged layer", [])
    assert "srv/theirs/" in what
    assert "unpacked again" in done
    assert do(CHECK.format(repair=False)) == []
    assert do(_looked("app")) == seen(stranger)
