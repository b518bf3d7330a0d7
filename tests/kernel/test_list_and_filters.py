"""Containers are listed, found, chosen, inspected and pruned as Docker does."""

from __future__ import annotations

import re
import time

import pytest
from shells import ready

import pyengine
from pyengine import ContainerNotFound, InvalidRequest, bind

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]


@pytest.fixture
def fleet(engine, image, tmp_path):
    """One container of each kind, by name, the oldest first."""
    made = {"made": engine.create(image, "true", name="made", labels={"tier": "db", "a": ""})}
    failing = ["sh", "-c", "exit 3"]
    made["gone"] = engine.create(image, failing, name="gone", expose=["80", "53/udp"])
    made["gone"].start()
    made["gone"].wait(timeout=10)
    made["web1"] = engine.start(image, "sleep 99", name="web1", labels={"tier": "web", "a": ""})
    made["web2"] = engine.start(
        image, "sleep 99", name="web2", network="host", mounts=[bind(tmp_path, "/data")]
    )
    made["still"] = engine.start(image, "sleep 99", name="still", labels={"tier": "web"})
    return made


def names(found):
    return [one.name for one in found]


# --- listing (O21) ---


def test_what_runs_is_listed_and_the_rest_if_asked(engine, fleet):
    # O21: newest first
    assert names(engine.containers.list()) == ["still", "web2", "web1"]
    everybody = ["still", "web2", "web1", "gone", "made"]
    assert names(engine.containers.list(all=True)) == everybody
    assert names(engine.containers) == everybody
    assert names(engine.containers.list(limit=4)) == everybody[:4]
    assert names(engine.containers.list(limit=0)) == ["still", "web2", "web1"]
    assert names(engine.containers.list(limit=-1)) == ["still", "web2", "web1"]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"status": "exited"}, "gone"),
        ({"status": ["created", "paused"]}, "still made"),
        ({"exited": "3"}, "gone"),
        ({"exited": 0}, ""),
        ({"name": "web"}, "web2 web1"),
        ({"name": "^/web1$"}, "web1"),
        ({"name": ["1$", "2$"]}, "web2 web1"),
        ({"label": "tier"}, "still web1"),
        ({"label": "tier=web"}, "still web1"),
        ({"label": ["tier=web", "a"]}, "web1"),
        ({"label": "tier=web", "name": "still"}, "still"),
        ({"before": "web2"}, "web1"),
        ({"since": "web1"}, "still web2"),
        ({"network": "host"}, "web2"),
        ({"network": "none", "status": "running"}, "web1"),
        ({"volume": "/data"}, "web2"),
        ({"expose": "80", "status": "exited"}, "gone"),
        ({"expose": "53/udp", "status": "exited"}, "gone"),
        ({"expose": "53", "status": "exited"}, ""),
        ({"publish": "80"}, ""),
        ({"health": "none"}, "still web2 web1"),
        ({"health": "healthy"}, ""),
        ({"is-task": "true"}, ""),
        ({"isolation": "default"}, "still web2 web1"),
        ({"ancestor": "alpine"}, ""),
        ({}, "still web2 web1"),
    ],
)
def test_filters_choose_as_docker_s_do(engine, fleet, filters, found):
    # O21: several labels must all be there, several values of another key are alternatives
    if "status" in filters:
        fleet["still"].pause()
    assert names(engine.containers.list(filters=filters)) == found.split()


def test_an_image_and_an_id_are_filters_too(engine, fleet, image):
    # O21
    assert len(engine.containers.list(filters={"ancestor": image})) == 3
    one = fleet["web1"]
    assert engine.containers.list(filters={"id": one.short_id}) == [one]
    assert engine.containers.list(filters={"id": one.id[1:9]}) == []


@pytest.mark.parametrize(
    "filters",
    [
        {"colour": "red"},
        {"status": "sleeping"},
        {"exited": "soon"},
        {"name": "("},
        {"before": "nobody"},
        {"until": "1h"},
        {"health": "fine"},
    ],
)
def test_a_filter_that_docker_refuses_is_refused(engine, fleet, filters):
    # O21
    with pytest.raises(InvalidRequest):
        engine.containers.list(filters=filters)


# --- finding (C23) ---


def test_a_container_is_found_by_name_id_and_beginning_of_the_id(engine, fleet):
    one = fleet["web1"]
    for word in ("web1", "/web1", one.id, one.short_id):
        assert engine.containers.get(word) == one
        assert word in engine.containers
    assert one in engine.containers
    with pytest.raises(ContainerNotFound, match="No such container: nobody"):
        engine.containers.get("nobody")
    for absent in ("nobody", "", "a/b", "\0", 7, None):
        assert absent not in engine.containers
    with pytest.raises(InvalidRequest):
        engine.containers.get("")


def test_a_beginning_that_several_ids_have_is_nobody_s(engine, image):
    many = [engine.create(image, "true") for _ in range(17)]  # two begin with the same digit
    first = [one.id[0] for one in many]
    shared = next(digit for digit in first if first.count(digit) > 1)
    with pytest.raises(InvalidRequest, match="Multiple IDs found"):
        engine.containers.get(shared)


def test_a_name_is_looked_for_before_an_id(engine, image):
    one = engine.create(image)
    other = engine.create(image, name=one.short_id)
    assert engine.containers.get(one.short_id) == other
    assert engine.containers.get(one.id) == one


def test_handles_of_one_container_are_the_same(engine, fleet):
    one, again = fleet["web1"], engine.containers.get("web1")
    assert one == again
    assert hash(one) == hash(again)
    assert one != fleet["web2"]
    assert repr(one) == f"Container(id='{one.id}')"


def test_two_engines_of_one_root_see_the_same_containers(engine, fleet):
    with pyengine.Engine(root=engine.root) as other:
        assert names(other.containers.list(all=True)) == names(engine.containers.list(all=True))
        told = other.containers.get("web1").exec("hostname").stdout
        assert told.strip() == fleet["web1"].short_id
    assert fleet["web1"].status == "running"


# --- inspecting (O20, O22, pitfalls 37 to 39) ---


def test_a_container_is_told_as_docker_tells_it(engine, fleet):
    # O20, pitfalls 37, 38, 39
    told = fleet["web2"].inspect().to_docker()
    assert (told["Name"], told["Path"], told["Args"]) == ("/web2", "sleep", ["99"])
    state = told["State"]
    assert (state["Status"], state["Running"], state["Paused"]) == ("running", True, False)
    assert state["Pid"] > 0
    assert re.match(r"\d{4}-\d\d-\d\dT.*Z", state["StartedAt"])
    assert state["FinishedAt"] == "0001-01-01T00:00:00Z"
    assert told["HostConfig"]["NetworkMode"] == "host"
    assert [(one["Type"], one["Destination"], one["RW"]) for one in told["Mounts"]] == [
        ("bind", "/data", True)
    ]
    ended = fleet["gone"].inspect().to_docker()["State"]
    assert (ended["Status"], ended["ExitCode"], ended["Pid"]) == ("exited", 3, 0)
    assert ended["StartedAt"] < ended["FinishedAt"]
    assert engine.create(fleet["made"].image).inspect().to_docker()["Mounts"] == []
    fleet["still"].pause()
    assert fleet["still"].inspect().to_docker()["State"]["Paused"]


def test_a_row_of_the_list_is_told_as_docker_tells_it(engine, fleet):
    # O22, pitfall 37
    told = {info.name: info.to_docker_summary() for info in engine.containers.infos(all=True)}
    assert told["web1"]["Names"] == ["/web1"]
    assert told["web1"]["Labels"] == {"tier": "web", "a": ""}
    assert (told["made"]["State"], told["made"]["Status"]) == ("created", "Created")
    assert re.match(r"Exited \(3\) .* ago", told["gone"]["Status"])
    assert told["gone"]["Command"] == "sh -c 'exit 3'"
    assert isinstance(told["web1"]["Created"], int)
    fleet["still"].pause()
    paused = engine.containers.infos(filters={"name": "still"})[0].to_docker_summary()
    assert re.match(r"Up .*\(Paused\)", paused["Status"])


def test_a_property_is_true_when_it_is_asked_for(engine, fleet, image):
    one = fleet["web1"]
    assert (one.name, one.image, one.status) == ("web1", image, "running")
    assert one.labels == {"tier": "web", "a": ""}
    one.kill()
    assert one.status == "exited"
    one.remove()
    with pytest.raises(ContainerNotFound):
        _ = one.status


def test_labels_and_annotations_are_kept_as_they_were_given(engine, image):
    # C14, C15
    one = engine.create(image, labels={"a": "1", "b": ""}, annotations={"note": "x"})
    assert one.labels == {"a": "1", "b": ""}
    told = one.inspect().to_docker()
    assert told["HostConfig"]["Annotations"] == {"note": "x"}
    assert told["Config"]["Labels"] == {"a": "1", "b": ""}
    with pytest.raises(InvalidRequest, match="annotations"):
        engine.create(image, annotations={"": "x"})


def test_what_a_container_has_written_is_counted_where_asked(engine, image):
    # O20: its size
    one = ready(engine, image, "head -c 70000 /dev/zero > /x; ln /x /y; echo ready; sleep 99")
    assert one.inspect().size is None
    assert one.inspect(size=True).size == 70000
    assert one.inspect(size=True).to_docker()["SizeRw"] == 70000


# --- pruning (O33) ---


def test_pruning_removes_what_does_not_run(engine, fleet):
    # O33
    report = engine.containers.prune()
    assert set(report.deleted) == {fleet["made"].id, fleet["gone"].id}
    assert report.reclaimed == 0
    assert names(engine.containers.list(all=True)) == ["still", "web2", "web1"]
    assert engine.containers.prune().deleted == ()


def test_pruning_may_be_choosy(engine, fleet, image):
    # O33
    def prune(**filters):
        return engine.containers.prune(filters).deleted

    assert prune(label="tier=nothing") == ()
    assert prune(until="1h") == ()
    assert engine.containers.prune({"label!": "tier"}).deleted == (fleet["gone"].id,)
    written = engine.start(image, ["sh", "-c", "head -c 5000 /dev/zero > /x"], labels={"x": ""})
    written.wait(timeout=10)
    report = engine.containers.prune({"label": "x", "until": str(time.time())})
    assert (report.deleted, report.reclaimed) == ((written.id,), 5000)
    with pytest.raises(InvalidRequest):
        prune(status="exited")
    assert names(engine.containers.list(all=True)) == ["still", "web2", "web1", "made"]


# --- the engine itself ---


def test_the_engine_counts_its_containers(engine, fleet):
    fleet["still"].pause()
    info = engine.info()
    assert (info.containers, info.running, info.paused, info.stopped) == (5, 2, 1, 2)
    told = info.to_docker()
    assert (told["Containers"], told["ContainersPaused"], told["OSType"]) == (5, 1, "linux")
    assert engine.version().to_docker()["ApiVersion"]
