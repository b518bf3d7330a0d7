"""Line 4: places that change while we mount on them, enter them, read them.

resolve.c holds what it has resolved by descriptor and mounts on that; with paths looked up twice
the canary is reached within a few rounds (CVE-2021-30465, CVE-2025-31133, CVE-2024-45310).
"""

from __future__ import annotations

import ctypes
import os
import threading
from contextlib import closing, contextmanager
from functools import partial

import pytest
from hostile import Canary, attempt, small_root

from pyengine import EngineError, InvalidRequest, Result

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]

ROUNDS = 40
EXCHANGE = 2  # RENAME_EXCHANGE


@contextmanager
def swapping(one, other):
    """Somebody who exchanges two names as fast as can be: what a container does in its volume."""
    libc, over = ctypes.CDLL(None, use_errno=True), threading.Event()
    names = os.fsencode(one), os.fsencode(other)

    def swap():
        while not over.is_set():
            libc.renameat2(-100, names[0], -100, names[1], EXCHANGE)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def started(engine, image, script, **options):
    """A container whose shell has said "ready"."""
    container = engine.start(image, ["sh", "-c", script], **options)
    with closing(container.follow_logs(timeout=30)) as lines:
        assert "ready" in str(next(lines))
    return container


@pytest.fixture
def volume(tmp_path):
    """A directory that two containers share, with a place in it that is a link half the time."""
    canary = Canary.make(tmp_path / "canary")
    shared = tmp_path / "shared"
    (shared / "place" / "below").mkdir(parents=True)
    (shared / "decoy").symlink_to(f"{canary.path}/directory")
    return shared, canary


@pytest.mark.parametrize("kind", ["tmpfs", "bind", "file", "deep", "masked", "readonly", "workdir"])
def test_a_place_that_becomes_a_link_while_it_is_mounted_on_leads_nowhere(
    engine, image, tmp_path, volume, kind
):
    shared, canary = volume
    source = tmp_path / "source"
    source.mkdir()
    (source / "inner").write_text("given\n")
    options: dict[str, object] = {"volumes": [f"{shared}:/vol"]}
    place = "/vol/place"
    if kind == "tmpfs":
        options["tmpfs"] = [place]
    elif kind == "bind":
        options["volumes"] += [f"{source}:{place}"]
    elif kind == "file":
        options["volumes"] += [f"{source}/inner:{place}/inner"]
    elif kind == "deep":
        options["tmpfs"] = [f"{place}/a/b/c"]
    elif kind == "masked":
        options["masked_paths"] = [place, f"{place}/below"]
    elif kind == "readonly":
        options["readonly_paths"] = [place]
    else:
        options["workdir"] = f"{place}/made"
    look = f"echo x > {place}/written; cat {place}/secret {canary.path}/directory/*"
    run = partial(engine.run, image, ["sh", "-c", look], timeout=60, **options)
    with swapping(shared / "place", shared / "decoy"):
        for _ in range(ROUNDS):
            outcome = attempt(run)
            if isinstance(outcome, Result):
                assert "do not tell" not in outcome.stdout
    assert canary.is_untouched
    assert (source / "inner").read_text() == "given\n"
    assert engine.containers.list(all=True) == []
    assert engine.run(image, ["echo", "fine"], volumes=[f"{shared}:/vol"]).stdout == "fine\n"


TURNS = {
    "a link out": "busybox rm -rf /w; ln -s /proc/1/root /w; busybox rm /w; mkdir /w",
    "a descriptor": "busybox rm -rf /w; ln -s /proc/self/fd/4 /w; busybox rm /w; mkdir /w",
    "gone": "busybox rm -rf /w; mkdir /w",
    "moved": "busybox mv /w /v/; mkdir /w; busybox rm -rf /v/w",
    "a file": "busybox rm -rf /w; : > /w; busybox rm /w; mkdir /w",
}


@pytest.mark.parametrize("kind", TURNS)
def test_a_directory_that_changes_while_it_is_entered_is_inside_or_refused(
    engine, rootfs, tmp_path, kind
):
    # CVE-2024-21626 in the way of exec: fchdir to what was resolved, then getcwd(2)
    canary = Canary.make(tmp_path / "canary")
    image = f"rootfs:{small_root(rootfs, tmp_path / 'root')}"
    script = f"mkdir /w /v; echo ready; while :; do {TURNS[kind]}; done"
    container = started(engine, image, script)
    kinds = set()
    for _ in range(ROUNDS):
        look = ["sh", "-c", f"readlink /proc/self/cwd; cat ../..{canary.path}/directory/secret"]
        outcome = attempt(lambda look=look: container.exec(look, workdir="/w", timeout=60))
        if isinstance(outcome, Result):
            assert "do not tell" not in outcome.stdout
            assert outcome.stdout.split("\n")[0].split(" ")[0] in ("/w", "/v/w", "/")
            kinds.add("ran")
        else:
            assert isinstance(outcome, InvalidRequest), outcome
            kinds.add("refused")
    assert kinds
    assert canary.is_untouched


def test_accounts_that_change_while_they_are_read_never_hang_or_lead_out(engine, rootfs, tmp_path):
    canary = Canary.make(tmp_path / "canary")
    line = "stranger:x:4711:4711::/:/bin/sh"
    (tmp_path / "canary" / "passwd").write_text(f"{line}\n")
    image = f"rootfs:{small_root(rootfs, tmp_path / 'root')}"
    script = f"""
        echo ready
        while :; do
            busybox rm -rf /etc/passwd; busybox mkfifo /etc/passwd
            busybox rm -f /etc/passwd; ln -s {canary.path}/passwd /etc/passwd
            busybox rm -f /etc/passwd; mkdir /etc/passwd
            busybox rm -rf /etc/passwd; echo app:x:1000:1000::/:/bin/sh > /etc/passwd
        done
    """
    container = started(engine, image, script)
    for _ in range(ROUNDS):
        for user in ("app", "stranger"):
            outcome = attempt(partial(container.exec, "true", user=user, timeout=60))
            if isinstance(outcome, EngineError):
                assert isinstance(outcome, InvalidRequest), outcome
            else:
                assert user == "app"


def test_what_is_looked_at_from_outside_may_change_meanwhile(engine, rootfs, tmp_path):
    # diff walks the writable layer, top and stats read /proc and cgroups
    canary = Canary.make(tmp_path / "canary")
    image = f"rootfs:{small_root(rootfs, tmp_path / 'root')}"
    script = f"""
        echo ready
        while :; do
            mkdir -p /w/a/b; : > /w/a/b/c; busybox rm -rf /w/a; ln -s {canary.path} /w/a
            busybox rm -rf /w; ln -s {canary.path}/directory /w; busybox rm /w
            sleep 0 & wait
        done
    """
    container = started(engine, image, script)
    for _ in range(ROUNDS):
        paths = [change.path for change in container.diff()]
        assert not [path for path in paths if "secret" in path]
        assert container.top()
        assert container.stats()
        assert container.inspect(size=True).size is not None
    container.remove(force=True)
    assert canary.is_untouched


def test_a_root_that_is_removed_while_others_write_to_it_leaves_the_host_alone(
    engine, image, tmp_path, volume
):
    # pe_remove_tree follows no link and no ".."
    shared, canary = volume
    script = (
        f"ln -s {canary.path}/directory /out; mkdir -p /a/b/c; ln -s {canary.path} /a/b/c/out;"
        f"busybox mknod /a/node c 1 3; busybox chmod 0 /a/b"
    )
    with swapping(shared / "place", shared / "decoy"):
        for _ in range(ROUNDS // 2):
            told = engine.run(image, ["sh", "-c", script], volumes=[f"{shared}:/vol"], timeout=60)
            assert told.exit_code == 0
    engine.close()
    assert canary.is_untouched
    assert sorted(os.listdir(shared)) == ["decoy", "place"]
