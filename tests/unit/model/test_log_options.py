"""Log options mean what Docker's mean."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyengine.errors import InvalidRequest, Unsupported
from pyengine.model.log import LogLine, LogWindow, parse_tail
from pyengine.model.log_options import TAG_FIELDS, LogSettings, attributes_of, check_tag
from pyengine.model.options_lifecycle import log as read_log
from pyengine.model.spec import LogConfig

LABELS = {"tier": "front", "team": "web", "x.y": "1"}
ENV = ["A=1", "AB=2=3", "B=", "KEYONLY"]


def attributes(fields=None, **options):
    config = LogConfig("json-file", tuple((k.replace("_", "-"), v) for k, v in options.items()))
    return attributes_of(config, LABELS, ENV, fields)


def test_without_options_a_log_is_one_file_without_a_limit():
    assert LogSettings.of(LogConfig()) == LogSettings(True, None, 1, False, None)
    assert not LogSettings.of(LogConfig("none")).is_kept


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({"max-size": "10k", "max-file": "3"}, LogSettings(True, 10_240, 3)),
        ({"max-size": "1", "max-file": "2", "compress": "T"}, LogSettings(True, 1, 2, True)),
        ({"compress": "0"}, LogSettings()),
        ({"mode": "blocking"}, LogSettings()),
        ({"mode": "non-blocking"}, LogSettings(buffer_size=1 << 20)),
        ({"mode": "non-blocking", "max-buffer-size": "4m"}, LogSettings(buffer_size=4 << 20)),
    ],
)
def test_options_are_read(options, settings):
    assert LogSettings.of(LogConfig("json-file", tuple(options.items()))) == settings


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({}, LogSettings(True, 20 << 20, 5, True)),
        ({"max-size": "1m", "max-file": "2"}, LogSettings(True, 1 << 20, 2, True)),
        ({"max-file": "1", "compress": "false"}, LogSettings(True, 20 << 20, 1)),
    ],
)
def test_the_local_driver_keeps_a_compressed_ring_of_five_files(options, settings):
    # C87
    assert LogSettings.of(read_log(LogConfig("local", tuple(options.items())))) == settings


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"tag": "x"}, "unknown log opt 'tag' for local"),
        ({"max-file": "1"}, "max file count is 1"),
        ({"max-size": "0"}, "more than 0"),
        ({"max-buffer-size": "1m"}, "non-blocking"),
    ],
)
def test_the_local_driver_refuses_what_docker_refuses_of_it(options, why):
    # C87
    with pytest.raises(InvalidRequest, match=why):
        read_log(LogConfig("local", tuple(options.items())))


def test_attributes_are_the_labels_and_variables_that_were_named():
    assert attributes() == {}
    assert attributes(labels="tier,absent") == {"tier": "front"}
    assert attributes(labels_regex="^t") == {"tier": "front", "team": "web"}
    assert attributes(env="AB,KEYONLY") == {"AB": "2=3"}
    assert attributes(env_regex="^A", labels="x.y") == {"x.y": "1", "A": "1", "AB": "2=3"}


def test_a_tag_names_fields():
    fields = {"Name": "web", "ID": "0123"}
    assert attributes(fields, tag="{{.Name}}/{{ .ID }}!") == {"tag": "web/0123!"}
    assert attributes(fields, tag="plain") == {"tag": "plain"}
    assert attributes(tag="") == {}


@pytest.mark.parametrize("tag", ["{{.Secret}}", "{{", "{{with .Name}}x{{end}}", '{{index . "a"}}'])
def test_a_tag_that_is_more_than_fields_is_not_supported(tag):
    with pytest.raises(Unsupported, match="ImageName"):
        check_tag(tag)
    with pytest.raises(Unsupported):
        attributes(tag=tag)


def test_every_field_may_be_named():
    check_tag("".join(f"{{{{.{name}}}}}" for name in TAG_FIELDS))


def test_attributes_that_would_dwarf_each_line_are_refused():
    config = LogConfig("json-file", (("labels", "big"),))
    with pytest.raises(InvalidRequest, match="128 KiB"):
        attributes_of(config, {"big": "x" * 200_000}, [])


@given(st.integers(0, 10**18))
def test_a_tail_is_a_number_or_all(number):
    assert parse_tail(number) == parse_tail(str(number)) == number
    assert parse_tail("all") is parse_tail(None) is None


@pytest.mark.parametrize("wrong", [-1, "-1", True, 1.0, "ten", "", "9" * 30, b"1", "١"])
def test_what_is_no_tail_is_refused(wrong):
    with pytest.raises(InvalidRequest, match="tail"):
        parse_tail(wrong)


def test_a_window_needs_a_stream():
    with pytest.raises(InvalidRequest, match="you must choose at least one stream"):
        LogWindow.of(stdout=False, stderr=False)


@given(st.booleans(), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_a_window_has_both_its_edges(stdout, since, until, moment):
    window = LogWindow(stdout=stdout, since=since, until=until)
    assert window.wants(2, moment) == (since <= moment <= until)
    assert window.wants(1, moment) == (stdout and since <= moment <= until)
    assert LogWindow(tail=3).has_all_but_tail
    assert not window.has_all_but_tail


def test_a_line_is_a_value():
    line = LogLine("stderr", b"caf\xc3\xa9 \xff\n", 1_500_000_000, {"a": "b"})
    assert (line.text, line.time, line.ends_line) == ("café \ufffd\n", 1.5, True)
    assert pickle.loads(pickle.dumps(line)) == line
    assert hash(line) == hash(LogLine("stderr", line.data, line.time_ns, {}))
    assert not LogLine("stdout", b"piece", 0).ends_line
