"""A start that returns when the container is ready, or says why it never will be."""

from __future__ import annotations

import re
import time

import pytest

from pyengine import (
    ContainerNotFound,
    ExecutableNotFound,
    HealthCheck,
    InvalidRequest,
    NotReady,
    Unsupported,
    ready,
)

pytestmark = pytest.mark.kernel

SERVER = "mkdir -p /www; echo hello > /www/x; exec httpd -f -p 8080 -h /www"


def start(engine, image, script, condition, **options):
    return engine.start(image, ["sh", "-c", script], ready=condition, timeout=20, **options)


def test_a_line_of_its_log_says_that_it_is_ready(engine, image):
    script = "echo one; echo two; echo ready at 1; echo ready at 2; exec sleep 99"
    container = start(engine, image, script, ready.log(r"ready at \d$", times=2))
    assert container.status == "running"
    assert container.logs(tail=1) == "ready at 2\n"
    other = start(engine, image, script, ready.log(re.compile("TWO", re.IGNORECASE)))
    assert other.status == "running"


def test_a_port_is_tried_from_inside(engine, image):
    container = start(engine, image, SERVER, ready.port(8080))
    assert "hello" in container.exec(["wget", "-qO-", "http://127.0.0.1:8080/x"]).stdout


def test_a_port_that_only_version_six_has_is_found_too(engine, image):
    script = "exec httpd -f -p [::1]:8081 -h /"
    assert start(engine, image, script, ready.port(8081)).status == "running"


def test_an_answer_has_the_status_that_is_wanted(engine, image):
    asked = ready.http("/x", port=8080) & ready.http("/y", port=8080, status=404)
    assert start(engine, image, SERVER, asked).status == "running"
    wrong = ready.http("/x", port=8080, status=404)
    with pytest.raises(NotReady, match="too long"):
        engine.start(image, ["sh", "-c", SERVER], ready=wrong, timeout=1)


def test_who_answers_letter_by_letter_does_not_stretch_the_time(engine, image):
    answer = "while :; do printf x; sleep 0.05; done"
    script = f"exec nc -ll -p 8080 -e sh -c '{answer}'"
    before = time.monotonic()
    with pytest.raises(NotReady, match="too long"):
        engine.start(image, ["sh", "-c", script], ready=ready.http("/", port=8080), timeout=0.5)
    assert time.monotonic() - before < 5


def test_a_program_inside_says_that_it_is_ready(engine, image):
    script = "sleep 0.1; touch /up; exec sleep 99"
    assert start(engine, image, script, ready.exec(["test", "-e", "/up"])).status == "running"
    with pytest.raises(ExecutableNotFound):
        start(engine, image, script, ready.exec("nonesuch"))
    assert len(engine.containers.list(all=True)) == 1


def test_its_health_check_says_that_it_is_ready(engine, image):
    check = HealthCheck(("CMD", "test", "-e", "/up"), interval=0.02)
    script = "sleep 0.1; touch /up; exec sleep 99"
    container = start(engine, image, script, ready.health(), health=check)
    assert container.inspect().health.status == "healthy"
    with pytest.raises(InvalidRequest, match="no health check"):
        start(engine, image, script, ready.health())


def test_one_of_two_is_enough_where_one_is_asked_for(engine, image):
    asked = ready.port(1) | ready.log("up")
    assert start(engine, image, "echo up; exec sleep 99", asked).status == "running"


def test_who_ends_is_not_ready_and_its_last_words_are_told(engine, image):
    before = time.monotonic()
    with pytest.raises(NotReady, match=r"port\(80\): .* exit code 7") as caught:
        start(engine, image, "echo last words; sleep 0.1; exit 7", ready.port(80), name="gone")
    assert caught.value.logs == "last words\n"
    assert caught.value.condition == "port(80)"
    assert time.monotonic() - before < 10
    with pytest.raises(ContainerNotFound):
        engine.containers.get("gone")


@pytest.mark.parametrize("condition", [ready.port(80), ready.log("never"), ready.exec("false")])
def test_who_takes_too_long_is_not_ready_and_is_removed(engine, image, condition, survivors):
    with pytest.raises(NotReady, match="too long") as caught:
        engine.start(
            image, ["sh", "-c", "echo said; exec sleep 4713"], ready=condition, timeout=0.3
        )
    assert caught.value.logs == "said\n"
    assert engine.containers.list(all=True) == []
    assert survivors("sleep 4713") == []


def test_a_container_that_was_made_is_started_until_ready(engine, image):
    container = engine.create(image, ["sh", "-c", "echo up; exec sleep 99"])
    container.start(ready=ready.log("up"), timeout=20)
    assert container.status == "running"
    container.stop(0)
    with pytest.raises(NotReady):
        container.start(ready=ready.log("down"), timeout=0.2)
    assert container.status == "exited"


def test_what_removes_itself_is_not_ready_either(engine, image):
    with pytest.raises(NotReady):
        start(engine, image, "exit 3", ready.port(80), auto_remove=True)
    assert engine.containers.list(all=True) == []


def test_without_a_log_there_are_no_lines_to_wait_for(engine, image):
    with pytest.raises(Unsupported, match="none"):
        start(engine, image, "exec sleep 99", ready.log("x"), log="none")
    assert engine.containers.list(all=True) == []


def test_what_is_no_condition_is_refused_before_anything_is_made(engine, image):
    with pytest.raises(InvalidRequest, match=r"pyengine\.ready"):
        engine.start(image, "sleep 99", ready="port 80")
    assert engine.containers.list(all=True) == []


def test_the_port_of_a_container_in_the_hosts_network_is_the_hosts(engine, image):
    with pytest.raises(NotReady):
        engine.start(image, "sleep 99", network="host", ready=ready.port(1), timeout=0.1)
