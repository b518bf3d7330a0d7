"""Who dies leaves nothing; who lives beside others sees what they have; nobody gets in the way."""

from __future__ import annotations

import os
import threading
import time
from contextlib import ExitStack, closing

import pytest
from shells import first_words
from strangers import Stranger
from support.births import ends

import pyengine
from pyengine import (
    AlreadyExists,
    ContainerNotFound,
    InvalidRequest,
    TimedOut,
    Unsupported,
    WrongState,
)
from pyengine.linux.cgroup import Cgroup, Hierarchy

pytestmark = pytest.mark.kernel


@pytest.fixture
def root(tmp_path):
    return str(tmp_path / "engine")


@pytest.fixture
def stranger(root, image):
    with Stranger(root, image) as made:
        yield made
        if made.lives:
            assert made.leave() == 0
    with pyengine.Engine(root=root) as engine:  # recovers it, if it was killed
        engine.containers.list()


def in_kernel(container_id):
    """The cgroups that a container has."""
    cgroup = Cgroup.open(Hierarchy.probe(), container_id)
    paths = (cgroup.v2_path, *cgroup.v1_paths.values())
    return [path for path in paths if path is not None and os.path.exists(path)]


def left_in(root):
    """What is in a root beyond what every root has."""
    found = [f"{above}/{name}" for above, _, files in os.walk(root) for name in files]
    found += [f"{root}/owners/{name}" for name in os.listdir(f"{root}/owners")]
    found += [f"{root}/names/{name}" for name in os.listdir(f"{root}/names")]
    always = f"{root}/init/", f"{root}/events/"
    return [path for path in found if not path.startswith(always)]


# --- who dies ---


def test_containers_of_a_killed_process_die_with_it_and_leave_nothing(stranger, root, image):
    ids = [stranger.ask(f"engine.start(image, 'sleep 4741', name='c{n}').id") for n in range(3)]
    assert stranger.ask("engine.create(image, 'true', name='made').name") == "made"
    pids = [stranger.ask(f"engine.containers.get('{one}').inspect().pid") for one in ids]
    assert stranger.ask("engine.containers.get('c0').popen('sleep 4742').pid") > 0
    pidfds = [os.pidfd_open(pid) for pid in pids]
    stranger.kill_with_guard()
    assert [ends(pidfd) for pidfd in pidfds] == [True] * 3
    for pidfd in pidfds:
        os.close(pidfd)
    with pyengine.Engine(root=root) as engine:
        assert engine.containers.list(all=True) == []
        assert left_in(root) == []
        assert [in_kernel(one) for one in ids] == [[]] * 3
        assert engine.create(image, name="c0").name == "c0"
    assert left_in(root) == []


def test_nobody_of_a_killed_process_s_containers_survives(stranger, root, survivors):
    script = "(trap '' TERM HUP; setsid sleep 4743 &) ; sleep 4743 & exec sleep 4743"
    stranger.ask(f'engine.start(image, ["sh", "-c", {script!r}], init=True).id')
    stranger.tell("engine.containers.list()[0].popen('sleep 4743').pid")
    assert int(stranger.hear()) > 0
    stranger.kill_with_guard()
    with pyengine.Engine(root=root) as engine:
        engine.containers.list()
        assert survivors("sleep 4743") == []


def test_a_process_that_ends_without_closing_leaves_nothing(root, image, survivors):
    with Stranger(root, image) as leaving:
        leaving.ask("engine.start(image, 'sleep 4744').id")
        assert leaving.leave() == 0
    assert survivors("sleep 4744") == []
    assert left_in(root) == []


def test_a_process_that_just_stops_being_is_recovered_from(stranger, root):
    one = stranger.ask("engine.start(image, 'sleep 99').id")
    stranger.tell("os._exit(3)")
    assert stranger.leave() == 3
    with pyengine.Engine(root=root) as engine:
        assert engine.containers.list(all=True) == []
        assert in_kernel(one) == []


def test_a_detached_container_outlives_who_made_it(root, image):
    with Stranger(root, image) as making:
        making.ask("engine.create(image, 'echo hi', name='kept', owner='none').id")
        making.ask("engine.create(image, 'true', name='mine').id")
        making.kill()
    with pyengine.Engine(root=root) as engine:
        kept = engine.containers.get("kept")
        assert kept.status == "created"
        assert "mine" not in engine.containers
        kept.start(owner="process")
        assert kept.wait(timeout=10).exit_code == 0
    with pyengine.Engine(root=root) as engine:
        kept = engine.containers.get("kept")
        assert (kept.status, kept.logs()) == ("exited", "hi\n")
        kept.remove()
    assert [path for path in left_in(root) if path != f"{root}/owners/none"] == []


def test_a_run_that_died_with_its_process_is_told_as_killed(root, image, survivors):
    script = ["sh", "-c", "echo up >> /said; cat /said; exec sleep 4745"]
    with Stranger(root, image) as running:
        running.ask(f"engine.create(image, {script!r}, name='kept', owner='none').id")
        assert running.ask("engine.containers.get('kept').start(owner='process')") is None
        assert running.ask("next(engine.containers.get('kept').follow_logs()).data") == b"up\n"
        running.kill()
    with pyengine.Engine(root=root) as engine:
        kept = engine.containers.get("kept")
        state = kept.inspect().state
        assert (state.status, state.exit_code, state.pid) == ("exited", 137, 0)
        assert "watcher was killed" in state.error
        assert survivors("sleep 4745") == []
        assert (kept.logs(), in_kernel(kept.id)) == ("up\n", [])
        kept.start(owner="process")  # and what it wrote is there still
        with closing(kept.follow_logs(tail=2)) as lines:
            assert [next(lines).data for _ in range(2)] == [b"up\n"] * 2
        kept.remove(force=True)


def test_a_fork_that_outlives_its_engine_s_process_holds_nothing_up(stranger, root):
    one = stranger.ask("engine.start(image, 'sleep 99').id")
    child = stranger.ask("os.fork() or (time.monotonic() and __import__('signal').pause())")
    assert child > 0
    try:
        stranger.kill_with_guard()
        with pyengine.Engine(root=root) as engine:
            assert engine.containers.list(all=True) == []
            assert in_kernel(one) == []
            assert left_in(root) == []
    finally:
        os.kill(child, 9)


def test_what_was_half_made_is_nobody_s_container(root, image):
    staged = "owners/.new-1-0123456789ab"
    with pyengine.Engine(root=root) as engine:
        engine.create(image, name="whole", owner="none")
        for half in (
            f"owners/none/{'a' * 64}",
            f"owners/none/{'b' * 64}/upper",
            staged,
        ):
            os.makedirs(f"{root}/{half}")
        os.symlink(f"none/{'a' * 63}c", f"{root}/names/ghost")
    old = time.time() - 3600
    for path in (f"owners/none/{'a' * 64}", staged):
        os.utime(f"{root}/{path}", (old, old))
    with pyengine.Engine(root=root) as engine:
        assert [one.name for one in engine.containers.list(all=True)] == ["whole"]
        assert "ghost" not in engine.containers
        assert engine.create(image, name="ghost").name == "ghost"
        left = os.listdir(f"{root}/owners/none")
        assert sorted(left) == sorted([engine.containers.get("whole").id, "b" * 64])
        assert not os.path.exists(f"{root}/{staged}")
        engine.containers.get("whole").remove()


def test_a_damaged_record_of_the_dead_is_no_obstacle(stranger, root):
    one = stranger.ask("engine.start(image, 'sleep 99').id")
    (owner,) = os.listdir(f"{root}/owners")
    stranger.kill_with_guard()
    with open(f"{root}/owners/{owner}/{one}/container.json", "w") as file:
        file.write('{"version": 1, "spec": 7')
    with pyengine.Engine(root=root) as engine:
        assert engine.containers.list(all=True) == []
        assert in_kernel(one) == []


def test_many_may_recover_at_once(root, image):
    with Stranger(root, image) as dying:
        for _ in range(4):
            dying.ask("engine.start(image, 'sleep 99').id")
        dying.kill_with_guard()
    with ExitStack() as stack:
        living = [stack.enter_context(Stranger(root, image)) for _ in range(4)]
        for one in living:
            one.tell("engine.containers.list(all=True)")
        assert [one.hear() for one in living] == ["[]"] * 4
        assert [one.leave() for one in living] == [0] * 4
    assert left_in(root) == []


# --- who lives beside others ---


@pytest.fixture
def theirs(stranger, engine):
    """A stranger's container, as this process sees it; `engine` has the same root."""
    script = "trap 'echo bye; exit 6' TERM; echo up; while :; do sleep 99 & wait $!; done"
    stranger.ask(f'engine.start(image, ["sh", "-c", {script!r}], name="theirs").id')
    container = engine.containers.get("theirs")
    assert first_words(container) == b"up\n"
    return container


def test_another_s_container_is_seen_and_used(theirs, stranger, engine):
    assert [one.name for one in engine.containers.list()] == ["theirs"]
    assert theirs.inspect().spec.name == "theirs"
    assert theirs.exec(["sh", "-c", "echo x > /new; echo hi"]).stdout == "hi\n"
    assert {process.name for process in theirs.top()} == {"sh", "sleep"}
    assert theirs.stats().pids.current >= 2
    assert [change.path for change in theirs.diff()] == ["/new"]
    theirs.update(pids=50)
    theirs.rename("ours")
    assert stranger.ask("engine.containers.get('ours').inspect().spec.resources.pids") == 50
    theirs.pause()
    assert stranger.ask("str(engine.containers.get('ours').status)") == "paused"
    theirs.unpause()
    assert stranger.ask("str(engine.containers.get('ours').status)") == "running"


def test_another_s_container_is_stopped_waited_for_and_removed(theirs, stranger):
    lines = theirs.follow_logs(timeout=10)
    ends = []
    waiting = threading.Thread(target=lambda: ends.append(theirs.wait(timeout=10).exit_code))
    waiting.start()
    theirs.stop(timeout=10)
    waiting.join(10)
    assert ends == [6]
    assert [line.data for line in lines] == [b"up\n", b"bye\n"]
    assert theirs.logs() == "up\nbye\n"
    assert stranger.ask("engine.containers.get('theirs').wait().exit_code") == 6
    theirs.remove()
    assert "ContainerNotFound" in stranger.ask("engine.containers.get('theirs')")


def test_another_s_container_is_killed_and_removed_by_force(theirs, stranger):
    theirs.kill()
    assert (theirs.status, theirs.wait().exit_code) == ("exited", 137)
    stranger.ask("engine.containers.get('theirs').start()")
    assert theirs.status == "running"
    theirs.remove(force=True)
    assert stranger.ask("engine.containers.list(all=True)") == []


def test_what_only_its_own_process_can_do_is_refused_where_it_cannot_be_asked(theirs, root):
    os.unlink(f"{root}/desk/{theirs.inspect().state.watcher}.sock")
    for ask in (theirs.restart, theirs.attach, lambda: theirs.resize(1, 2)):
        with pytest.raises(Unsupported, match="in that process"):
            ask()
    with pytest.raises(WrongState):
        theirs.remove()
    with pytest.raises(WrongState):
        theirs.start()


def _how_it_ended(container):
    """How who waits hears of a container whose process was killed: who opens the root tells how
    it ended, but a guard, who is mostly quicker, buries without a word.
    """
    try:
        return container.wait(timeout=20).exit_code
    except ContainerNotFound:
        return "gone"


def test_who_waits_for_another_s_container_hears_of_its_process_s_death(theirs, stranger):
    lines = theirs.follow_logs(timeout=20)
    assert next(lines).data == b"up\n"
    found = []
    waiting = threading.Thread(target=lambda: found.append(_how_it_ended(theirs)))
    waiting.start()
    stranger.kill()
    waiting.join(20)
    assert found[0] in (137, "gone")
    assert list(lines) == []


def test_who_waits_for_a_start_or_a_removal_hears_of_another_s(stranger, engine):
    stranger.ask("engine.create(image, ['sh', '-c', 'exit 4'], name='theirs').id")
    theirs = engine.containers.get("theirs")
    found = []
    waiting = [
        threading.Thread(target=lambda c=condition: found.append(theirs.wait(c, timeout=10)))
        for condition in ("next-exit", "removed")
    ]
    for thread in waiting:
        thread.start()
    assert stranger.ask("engine.containers.get('theirs').start()") is None
    waiting[0].join(10)
    assert stranger.ask("engine.containers.get('theirs').remove()") is None
    waiting[1].join(10)
    assert [one.exit_code for one in found] == [4, 4]


def test_of_two_who_want_a_name_one_gets_it(stranger, engine, image):
    stranger.ask("engine.create(image, name='taken').id")
    with pytest.raises(AlreadyExists, match="taken"):
        engine.create(image, name="taken")
    for turn in range(20):
        stranger.tell(f"engine.create(image, name='name{turn}').name")
        try:
            mine = engine.create(image, name=f"name{turn}").name
        except AlreadyExists:
            mine = ""
        answer = stranger.hear()
        assert ("AlreadyExists" in answer) == (mine != "")
    with pytest.raises(InvalidRequest):
        engine.create(image, name="")


def test_both_may_run_and_remove_at_once(stranger, engine, image):
    work = "[engine.run(image, ['echo', str(n)]).stdout for n in range(20)]"
    stranger.tell(work)
    mine = [engine.run(image, ["echo", str(n)]).stdout for n in range(20)]
    assert mine == eval(stranger.hear()) == [f"{n}\n" for n in range(20)]
    assert engine.containers.list(all=True) == []


def test_a_lock_that_another_holds_is_waited_for_no_longer_than_it_lives(stranger, engine, image):
    stranger.ask("engine.start(image, 'sleep 99', name='theirs').id")
    theirs = engine.containers.get("theirs")
    held = "engine._house.catalog.locked(engine.containers.get('theirs').id)"
    stranger.ask(f"globals().update(lock={held}) or lock.__enter__().path")
    with pytest.raises(TimedOut):
        theirs.wait(timeout=0.05)
    stranger.kill()
    assert _how_it_ended(theirs) in (137, "gone")


def test_staged_layers_and_levels_of_cgroups_of_the_dead_are_cleared_up(root, image):
    with pyengine.Engine(root=root) as engine:
        engine.run(image, "true")
        for name in ("0" * 32 + ".12345678", "1" * 32 + ".12345678"):
            os.makedirs(f"{root}/init/{name}/dev")
        os.utime(f"{root}/init/{'0' * 32}.12345678", (0, 0))
        levels = Hierarchy.probe().levels(f"{2**31 - 1}-0123456789ab")
        made = [tree + path for tree, path in levels if os.path.isdir(os.path.dirname(tree + path))]
        for path in made:
            os.mkdir(path)
        with pyengine.Engine(root=root) as another:
            another.containers.list()
        left = [name for name in os.listdir(f"{root}/init") if "." in name]
        assert left == ["1" * 32 + ".12345678"]
        assert [path for path in made if os.path.exists(path)] == []
        assert made != []
