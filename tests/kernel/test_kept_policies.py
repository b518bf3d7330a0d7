"""What a container of nobody does by itself, it does under one keeper after another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import until
from support.keepers import end_keeper, kill_keeper

import pyengine
from pyengine import HealthCheck, NotReady, ready

pytestmark = pytest.mark.kernel


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[pyengine.Engine]:
    """An engine at whose end no container is left, and no keeper."""
    place = str(tmp_path / "engine")
    with pyengine.Engine(root=place) as made:
        yield made
        for container in made.containers.list(all=True):
            container.remove(force=True)
    end_keeper(place)


def start(engine, image, script, **options):
    return engine.start(image, ["sh", "-c", script], owner="none", **options)


def test_a_keeper_starts_it_again(engine, image):
    # C80
    container = start(engine, image, "echo ran; exit 3", restart="on-failure:2")
    assert container.wait(timeout=30).exit_code == 3
    info = container.inspect()
    assert (info.status, info.state.restarts) == ("exited", 2)
    assert container.logs() == "ran\n" * 3


def test_what_a_keeper_would_start_again_is_stopped_from_anywhere(engine, image):
    # C80
    container = start(engine, image, "exit 3", restart="always")
    until(container, lambda info: info.status == "restarting" and info.state.restarts == 3)
    container.stop()
    assert container.status == "exited"
    assert container.inspect().state.stopped_by_hand


def test_the_next_keeper_goes_on_where_one_was_killed(engine, image):
    container = start(engine, image, "exit 3", restart="always")
    until(container, lambda info: info.status == "restarting" and info.state.restarts == 4)
    kill_keeper(engine.root)
    other = start(engine, image, "exec sleep 99")  # it needs a keeper: there is one again
    until(container, lambda info: info.state.restarts > 4)
    assert other.status == "running"


def test_a_kept_container_is_checked_by_one_keeper_after_another(engine, image):
    # C84
    check = HealthCheck(("CMD", "test", "-e", "/well"), interval=0.05, retries=1)
    container = start(engine, image, "exec sleep 99", health=check)
    until(container, lambda info: info.health.status == "unhealthy")
    kill_keeper(engine.root)
    start(engine, image, "exec sleep 99")
    assert container.inspect().health.status == "unhealthy"
    container.exec("touch /well")
    assert int(container.wait("healthy", timeout=20)) == 0


def test_a_kept_container_is_ready_as_others_are(engine, image):
    script = "echo up; exec httpd -f -p 8080 -h /"
    container = start(engine, image, script, ready=ready.log("up") & ready.port(8080), timeout=20)
    assert container.status == "running"
    with pytest.raises(NotReady, match="exit code 4") as caught:
        start(engine, image, "echo last; exit 4", ready=ready.port(80), timeout=20)
    assert caught.value.logs == "last\n"
    assert engine.containers.list(all=True) == [container]
