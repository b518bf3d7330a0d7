"""What a user holds first: the engine, the verbs without one, and what this version lacks."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest
from support.keepers import end_keeper
from support.whoever import IS_ROOT

import pyengine
from pyengine import InvalidRequest, Unsupported

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]


def python(script, **environment):
    """Run *script* in a Python of its own; its output."""
    home = os.path.dirname(os.path.dirname(os.path.abspath(pyengine.__file__)))
    told = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": home, **environment},
        timeout=60,
        check=False,
    )
    assert (told.stderr, told.returncode) == ("", 0)
    return told.stdout


def test_the_verbs_work_without_an_engine_and_leave_nothing(tmp_path, image, survivors):
    script = f"""
import pyengine
print(pyengine.run({image!r}, "echo hi").stdout, end="")
idle = pyengine.create({image!r}, "true", name="idle")
web = pyengine.start({image!r}, "sleep 4771", name="web")
print(idle.status, web.status, web.exec("echo there").stdout, end="")
for verb in (lambda: pyengine.pull("UPPER"), lambda: pyengine.build(".")):
    try:
        verb()
    except (pyengine.InvalidRequest, pyengine.Unsupported) as error:
        print("lowercase" in str(error) or "not built yet" in str(error))
"""
    told = python(script, PYENGINE_ROOT=str(tmp_path / "default"))
    assert told == "hi\ncreated running there\nTrue\nTrue\n"
    assert survivors("sleep 4771") == []
    assert os.listdir(tmp_path / "default/owners") == []


def test_an_engine_may_make_containers_that_outlive_it(tmp_path, image):
    with pyengine.Engine(root=tmp_path / "x", owner="none") as engine:
        engine.create(image, name="kept")
        assert engine.run(image, "true")
        assert engine.run(image, "true", owner="process")
    with pyengine.Engine(root=tmp_path / "x") as engine:
        assert [one.name for one in engine.containers] == ["kept"]
        engine.containers.get("kept").remove()
    end_keeper(str(tmp_path / "x"))


@pytest.mark.parametrize(
    "options", [{"owner": "nobody"}, {"log_level": "loud"}, {"require": ["magic"]}]
)
def test_an_engine_that_cannot_be_is_refused_at_once(tmp_path, options):
    with pytest.raises(InvalidRequest):
        pyengine.Engine(root=tmp_path / "x", **options)
    assert not (tmp_path / "x").exists()


def test_what_is_required_is_there_or_refused_with_a_way_out(tmp_path):
    with pyengine.Engine(root=tmp_path, require={"seccomp", "overlay", "pids"}) as engine:
        assert engine.capabilities().tier == "root"
    with pytest.raises(Unsupported, match="not built yet"):
        pyengine.Engine(root=tmp_path, require="networks")
    for wrong in ({"mirrors": ["ftp://x"]}, {"insecure_registries": ["a/b"]}):
        with pytest.raises(InvalidRequest):
            pyengine.Engine(root=tmp_path, **wrong)


def test_an_engine_that_is_refused_has_let_go_of_everything(tmp_path):
    lacking = "keep-id" if IS_ROOT else "mknod"
    before = sorted(os.listdir("/proc/self/fd"))
    with pytest.raises(Unsupported) as caught:
        pyengine.Engine(root=tmp_path / "engine", require={lacking})
    assert sorted(os.listdir("/proc/self/fd")) == before  # while the traceback still holds it
    assert caught.value.remedy


def test_what_happens_is_logged_only_where_it_was_asked_for(tmp_path, image, caplog):
    with pyengine.Engine(root=tmp_path / "quiet") as engine:
        engine.run(image, "true")
    assert caplog.records == []
    with pyengine.Engine(root=tmp_path / "loud", log_level="debug") as engine:
        engine.run(image, "true")
    logging.getLogger("pyengine").setLevel(logging.NOTSET)
    assert [record.getMessage().split()[-1] for record in caplog.records] == [
        *("create", "start", "die", "destroy")
    ]


@pytest.mark.parametrize(
    "ask",
    [
        lambda engine: engine.networks.create("x"),
        lambda engine: list(engine.volumes),
        lambda engine: engine.build("."),
        lambda engine: engine.images.search("alpine"),
        lambda engine: engine.serve(),
    ],
)
def test_what_an_engine_does_not_do_yet_says_so_with_a_way_out(engine, ask):
    with pytest.raises(Unsupported) as caught:
        ask(engine)
    assert caught.value.missing
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        *(("port", (80,)), ("connect", (80,)), ("copy_to", ("a", "b")), ("copy_from", ("a", "b"))),
        *(("put_archive", ("/", b"")), ("get_archive", ("/",)), ("path", ("/etc",))),
        *(("export", ("x.tar",)), ("commit", ()), ("snapshot", ()), ("reset", ("x",))),
        ("fork", ()),
    ],
)
def test_what_a_container_does_not_do_yet_says_so_with_a_way_out(engine, image, verb, words):
    container = engine.create(image)
    with pytest.raises(Unsupported) as caught:
        getattr(container, verb)(*words)
    assert caught.value.remedy
    with pytest.raises(Unsupported):
        _ = container.ports


def test_an_engine_has_a_name_to_be_known_by(tmp_path, monkeypatch):
    assert repr(pyengine.Engine(root=tmp_path)) == f"Engine('{tmp_path}')"
    monkeypatch.setenv("PYENGINE_ROOT", str(tmp_path / "from/environment"))
    assert pyengine.Engine().root == str(tmp_path / "from/environment")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert pyengine.Engine(root="~/x").root == f"{tmp_path}/x"


def test_a_root_that_others_can_write_to_is_made_private(tmp_path, image):
    (tmp_path / "open").mkdir(mode=0o777)
    with pyengine.Engine(root=tmp_path / "open") as engine:
        engine.run(image, "true")
    assert os.stat(tmp_path / "open").st_mode & 0o077 == 0


def test_importing_is_quick_and_does_nothing():
    script = """
import sys, threading, os
before = set(os.listdir("/proc/self/fd"))
import pyengine
pyengine.Engine
print(threading.active_count(), len(set(os.listdir("/proc/self/fd")) - before))
print(sorted(name for name in ("json", "asyncio", "subprocess", "ssl") if name in sys.modules))
"""
    threads, more = python(script).splitlines()
    assert threads.split() == ["1", "0"]
    assert more in ("[]", "['json']")
