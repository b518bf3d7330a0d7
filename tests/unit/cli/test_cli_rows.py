import json

import pytest

from pyengine.cli.formats import Format, Layout, labels_text
from pyengine.cli.listing import VERBS, rows_of
from pyengine.cli.logs import prefix, stamp
from pyengine.cli.stats import row
from pyengine.cli.system import event_fields, event_line
from pyengine.cli.template import Template
from pyengine.cli.template_values import Record
from pyengine.cli.usage import TemplateError
from pyengine.model.event import Event
from pyengine.model.info import ContainerInfo
from pyengine.model.log import LogLine
from pyengine.model.mounts import Mount, MountKind
from pyengine.model.spec import ContainerSpec
from pyengine.model.state import ContainerState, Status
from pyengine.model.stats import (
    BlockStats,
    CpuStats,
    MemoryStats,
    NetworkStats,
    PidsStats,
    Stats,
)

NOW = 1_700_000_000.0
LAYOUT = Layout({"ID": "CONTAINER ID", "Names": "NAMES"}, ("ID", "Names"), quiet="ID")
ROWS = [Record({"ID": "1", "Names": "web"}, Label=str), Record({"ID": "2", "Names": "\x1b["})]


def container(**given):
    spec = {
        "id": "b" * 64,
        "name": "web",
        "image": "host:",
        "argv": ("sleep", "60 with many words"),
        "labels": (("b", "2"), ("a", "1")),
        "mounts": (Mount(MountKind.BIND, "/d", "/srv/a-very-long-path"),),
        "created": NOW - 7200,
    }
    state = ContainerState(Status.RUNNING, pid=1, started=NOW - 5)
    return ContainerInfo(ContainerSpec(**{**spec, **given}), state, size=1_234_567)


def listed(info, *, truncates=True):
    (found,) = rows_of([info], truncates=truncates, now=NOW)
    return found


def test_a_row_of_ps_tells_what_docker_tells():
    found = listed(container())
    assert found["ID"] == "b" * 12
    assert found["Command"] == '"sleep \'60 with many…"'
    assert found["RunningFor"] == "2 hours ago"
    assert found["Status"] == "Up 5 seconds"
    assert found["Size"] == "1.23MB"
    assert found["Names"] == "web"
    assert found["Labels"] == "a=1,b=2"
    assert found["Mounts"] == "/srv/a-very-lo…"
    assert found["Networks"] == "none"
    assert found.methods["Label"]("a") == "1"
    assert found.methods["Label"]("c") == ""


def test_nothing_is_shortened_where_that_is_not_wanted():
    found = listed(container(), truncates=False)
    assert found["ID"] == "b" * 64
    assert found["Command"] == "\"sleep '60 with many words'\""
    assert found["Mounts"] == "/srv/a-very-long-path"


def test_a_hostile_command_and_image_do_not_reach_the_terminal():
    found = listed(container(argv=("\x1b[2J", "\udcff"), image="x\x07"))
    assert found["Command"] == '"\\x1b[2J \\xff"'
    assert found["Image"] == "x?"


def test_every_column_of_ps_has_a_header():
    (form,) = [flag for flag in VERBS["ps"].flags if flag.name == "format"]
    assert form.kind == "string"
    assert set(listed(container())) <= set(_headers())


def _headers():
    from pyengine.cli.listing import _HEADERS

    return _HEADERS


@pytest.mark.parametrize("text", ["", "table", "table {{.ID}}\\t{{.Names}}"])
def test_a_table_has_its_headers_and_no_escapes(text):
    assert (
        Format.parse(text, LAYOUT).text(ROWS)
        == "CONTAINER ID   NAMES\n1              web\n2              ?[\n"
    )


def test_a_table_may_show_a_label_under_its_name():
    form = Format.parse('table {{.ID}}\t{{.Label "com.x-y.foo_bar-z"}}', LAYOUT)
    assert form.text(ROWS[:1]) == "CONTAINER ID   foo bar z\n1              com.x-y.foo_bar-z\n"


def test_quiet_leaves_ids_and_json_is_every_field(capfd):
    Format.parse("", LAYOUT, quiet=True).print(ROWS)
    Format.parse("json", LAYOUT).print(ROWS[:1])
    Format.parse("{{.ID}}\\n-", LAYOUT).print(ROWS[:1])
    out = capfd.readouterr().out.split("\n")
    assert out[:2] == ["1", "2"]
    assert json.loads(out[2]) == {"ID": "1", "Names": "web"}
    assert out[3:] == ["1", "-", ""]


def test_a_field_that_no_row_has_is_an_error():
    with pytest.raises(TemplateError):
        Format.parse("{{.Nope}}", LAYOUT).print(ROWS)


def test_labels_stand_in_order():
    assert labels_text({"b": "2", "a": ""}) == "a=,b=2"


def test_a_row_of_stats_tells_what_docker_tells():
    sample = Stats(
        cpu=CpuStats(total=500_000_000, host=20_000_000_000, online=2),
        precpu=CpuStats(total=100_000_000, host=18_000_000_000, online=2),
        memory=MemoryStats(
            used=50_000_000, limit=8_000_000_000, detail={"inactive_file": 1_000_000}
        ),
        pids=PidsStats(3, 100),
        block=(BlockStats(8, 0, 123_456, 4096),),
        networks={"eth0": NetworkStats(rx_bytes=1500, tx_bytes=2_500_000)},
        read_ns=2,
        preread_ns=1,
    )
    # docker 20.10's answer to the same numbers
    assert row("a" * 64, "web", sample, truncates=True) == {
        "BlockIO": "123kB / 4.1kB",
        "CPUPerc": "40.00%",
        "Container": "a" * 12,
        "ID": "a" * 12,
        "MemPerc": "0.61%",
        "MemUsage": "46.73MiB / 7.451GiB",
        "Name": "web",
        "NetIO": "1.5kB / 2.5MB",
        "PIDs": "3",
    }


def test_a_container_that_does_not_run_uses_nothing():
    assert row("a" * 64, "web", Stats(), truncates=False)["MemUsage"] == "0B / 0B"


def test_an_event_is_one_line_with_its_attributes_in_order():
    attributes = {"image": "host:", "name": "web", "b": "c\n\x1b[2J"}
    event = Event("container", "start", "a" * 64, attributes, 1_700_000_000_123_456_789)
    assert event_line(event) == (
        f"2023-11-14T22:13:20.123456789Z container start {'a' * 64} "
        "(b=c??[2J, image=host:, name=web)"
    )


def test_a_template_may_ask_for_every_part_of_an_event():
    attributes = {"image": "host:", "name": "web"}
    event = Event("container", "die", "a" * 64, attributes, 1_700_000_000_123_456_789)
    template = "{{.Type}} {{.Action}} {{.Actor.ID}} {{.Actor.Attributes.name}} {{.Time}} {{.From}}"
    told = Template.parse(template).render(event_fields(event))
    assert told == f"container die {'a' * 64} web 1700000000 host:"
    assert Template.parse("{{.Actor.Attributes.nope}}").render(event_fields(event)) == "<no value>"


def test_a_log_line_is_told_with_its_time_and_attributes():
    line = LogLine("stdout", b"hi\n", 1_700_000_000_000_000_001, {"b": "x y", "a": "1"})
    assert prefix(line, stamps=True, details=True) == (b"2023-11-14T22:13:20.000000001Z a=1,b=x+y ")
    assert prefix(line, stamps=False, details=False) == b""


def test_a_stamp_always_has_nine_digits_of_a_second():
    assert stamp(0) == "1970-01-01T00:00:00.000000000Z"
