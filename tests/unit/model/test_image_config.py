"""The config of an image: what is read is what was written, and what is wrong with the rest."""

from __future__ import annotations

import hashlib
import json
import tracemalloc

import pytest
from attrs import evolve
from hypothesis import given, settings
from image_strategies import configs, images

from pyengine.errors import InvalidContent
from pyengine.model import digests
from pyengine.model import media_types as media
from pyengine.model.config_json import read_config, write_config
from pyengine.model.content import Descriptor, Manifest
from pyengine.model.image_config import (
    MOST_BYTES,
    HistoryEntry,
    chain_ids,
    check_match,
    parse,
    print_config,
)

modest = settings(max_examples=80, deadline=None)


@modest
@given(configs)
def test_what_is_said_of_programs_reads_back_as_it_was_written(config):
    plain = json.loads(json.dumps(write_config(config)))
    read = read_config(plain)
    assert sorted(read.labels) == sorted(config.labels)
    assert evolve(read, labels=()) == evolve(config, labels=())


@modest
@given(images)
def test_an_image_reads_back_what_it_wrote(image):
    data = print_config(image)
    read = parse(data)

    def in_order(one):  # objects are written in order of their keys
        config = one.config
        config = evolve(
            config,
            labels=tuple(sorted(config.labels)),
            volumes=tuple(sorted(config.volumes)),
            exposed=tuple(sorted(config.exposed)),
        )
        return evolve(one, config=config)

    assert in_order(read) == in_order(image)
    assert print_config(read) == data
    assert (read.raw, read.digest) == (data, digests.of(data))


SHA = digests.of(b"x")
PLAIN = {
    "architecture": "amd64",
    "os": "linux",
    "rootfs": {"type": "layers", "diff_ids": [SHA]},
    "config": {"Env": ["PATH=/bin", "NOVALUE"], "Cmd": None},
}


def image(config=None, **changes):
    plain = {**PLAIN, **changes}
    if config is not None:
        plain["config"] = config
    return json.dumps({name: value for name, value in plain.items() if value != "gone"}).encode()


def test_docker_s_own_fields_are_no_trouble():
    read = parse(
        image(
            container="c0ffee",
            container_config={"Cmd": ["x"]},
            docker_version="18.09",
            id="x",
            parent="y",
            created="0001-01-01T00:00:00Z",
            history=[{"created": "2024-01-31T10:00:00.123456789Z", "created_by": "RUN x"}],
        )
    )
    assert read.created is None
    assert read.history == (HistoryEntry(1706695200.123456, "RUN x"),)
    assert read.config.env == ("PATH=/bin", "NOVALUE")
    assert str(read.platform) == "linux/amd64"
    assert parse(image(rootfs={"type": "layers", "diff_ids": None})).diff_ids == ()


def test_a_check_of_several_texts_runs_as_docker_runs_it():
    read = parse(image({"Healthcheck": {"Test": ["CMD-SHELL", "a $0", "b"]}}))
    assert read.config.health.test == ("CMD", "/bin/sh", "-c", "a $0", "b")


def test_a_check_that_runs_nothing_is_none():
    read = parse(image({"Healthcheck": {"Test": [], "Interval": 5_000_000_000}}))
    assert read.config.health is None
    assert parse(image({"Healthcheck": {"Test": ["NONE"]}})).config.health.test == ("NONE",)


def test_a_moment_keeps_what_a_float_cannot_hold():
    text = "2024-01-31T12:00:00.123456789+02:00"
    read = parse(image(created=text))
    assert read.created_text == text
    assert read.created == pytest.approx(1706695200.123456789)
    assert parse(image(created="1970-01-01T00:00:00Z")).created == 0.0


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"[]", "no object"),
        (b"\0", "no JSON"),
        (image(architecture="gone"), "no architecture"),
        (image(os=""), "no os"),
        (image(os=5), "os is no text"),
        (image(Os="linux"), "key 'Os' is not 'os'"),
        (image(rootfs="gone"), "rootfs is no object"),
        (image(rootfs={"type": "tar", "diff_ids": []}), "type of its rootfs"),
        (image(rootfs={"type": "layers", "diff_ids": {}}), "diff_ids is no list"),
        (image(rootfs={"type": "layers"}), "diff_ids is no list"),
        (image(rootfs={"type": "layers", "diff_ids": [5]}), "diff id 0 is no digest"),
        (image(rootfs={"type": "layers", "diff_ids": [SHA, "sha256:"]}), "diff id 1 is no digest"),
        (image(rootfs={"type": "layers", "diff_ids": [SHA] * 501}), "more than 500"),
        (image(rootfs={"type": "layers", "Diff_ids": [SHA]}), "key 'Diff_ids'"),
        (image(created="yesterday"), "'yesterday' is no moment"),
        (image(created="2024-02-30T00:00:00Z"), "is no moment"),
        (image(created="2024-01-31T10:00:00"), "is no moment"),
        (image(created="1066-10-14T09:00:00Z"), "is no moment"),
        (image(created=5), "created is no text"),
        (image(history={}), "history is no list"),
        (image(history=[5]), "entry of its history is no object"),
        (image(history=[{"empty_layer": "true"}]), "empty_layer is neither"),
        (image(history=[{}] * 10_001), "10001 history, more than"),
        (image(author="x" * (2 << 20)), "author has more than"),
        (image(variant="a\0"), "variant has a NUL byte"),
        (image(**{"os.features": "x"}), "os.features is no list"),
        (image(config=[]), "config is not valid: it is no object|it is no object"),
        (image(config={"env": []}), "key 'env' is not 'Env'"),
        (image(config={"Env": "A=1"}), "Env is no list"),
        (image(config={"Env": [5]}), "entry of its Env is no text"),
        (image(config={"Env": ["A=\0"]}), "entry of its Env has a NUL byte"),
        (image(config={"Env": ["A=1"] * 100_000}), "100000 entries, more than"),
        (image(config={"Env": ["A=" + "x" * (128 << 10)]}), "more than 131072 bytes"),
        (image(config={"Cmd": "sh"}), "Cmd is no list"),
        (image(config={"Cmd": ["é" * (64 << 10)]}), "more than 131072 bytes"),
        (image(config={"Entrypoint": [None]}), "entry of its Entrypoint is no text"),
        (image(config={"User": "-1"}), "User '-1'"),
        (image(config={"User": "4294967295"}), "User '4294967295'"),
        (image(config={"User": "0:99999999999"}), "User"),
        (image(config={"User": "a:b:c"}), "User 'a:b:c'"),
        (image(config={"User": "a\nb"}), "User"),
        (image(config={"User": 0}), "User is no text"),
        (image(config={"WorkingDir": "/a\0"}), "WorkingDir has a NUL"),
        (image(config={"WorkingDir": "/" + "a" * (128 << 10)}), "WorkingDir has more than"),
        (image(config={"Labels": ["a"]}), "Labels is no object"),
        (image(config={"Labels": {"a": 5}}), "value of its Labels is no text"),
        (image(config={"Labels": {"a": None}}), "value of its Labels is no text"),
        (image(config={"Volumes": ["/data"]}), "Volumes is no object"),
        (image(config={"Volumes": {"/data": "x"}}), "value of its Volumes is no object"),
        (image(config={"Volumes": {"/": {}}}), "volume '/' may not be one"),
        (image(config={"Volumes": {"//./": {}}}), "volume '//./' may not be one"),
        (image(config={"Volumes": {"": {}}}), "volume '' may not be one"),
        (image(config={"Volumes": {"/proc/sys": {}}}), "volume '/proc/sys' may not be one"),
        (image(config={"Volumes": {"/data/../proc": {}}}), "has '..' in it"),
        (image(config={"Volumes": {"/a\0": {}}}), "key of its Volumes has a NUL"),
        (image(config={"ExposedPorts": ["80/tcp"]}), "ExposedPorts is no object"),
        (image(config={"ExposedPorts": {"http": {}}}), "exposed port 'http' is none"),
        (image(config={"ExposedPorts": {"0/tcp": {}}}), "exposed port '0/tcp' is none"),
        (image(config={"ExposedPorts": {"65536": {}}}), "exposed port '65536' is none"),
        (image(config={"ExposedPorts": {"9-8": {}}}), "exposed port '9-8' is none"),
        (
            image(config={"ExposedPorts": {f"{n}-65535/tcp": {} for n in range(1, 9)}}),
            "more than there are",
        ),
        (image(config={"StopSignal": 9}), "StopSignal is no text"),
        (image(config={"ArgsEscaped": 1}), "ArgsEscaped is neither"),
        (image(config={"Healthcheck": []}), "Healthcheck is no object"),
        (image(config={"Healthcheck": {"test": ["NONE"]}}), "key 'test' is not 'Test'"),
        (image(config={"Healthcheck": {"Test": ["RUN", "x"]}}), "begins with 'RUN'"),
        (image(config={"Healthcheck": {"Test": ["CMD"]}}), "begins with 'CMD'"),
        (image(config={"Healthcheck": {"Test": ["CMD-SHELL"]}}), "begins with"),
        (image(config={"Healthcheck": {"Interval": "30s"}}), "Interval of its Healthcheck"),
        (image(config={"Healthcheck": {"Interval": -1}}), "Interval of its Healthcheck"),
        (image(config={"Healthcheck": {"Timeout": 5}}), "Timeout of its Healthcheck"),
        (image(config={"Healthcheck": {"Retries": -1}}), "Retries of its Healthcheck"),
        (image(config={"Healthcheck": {"Retries": True}}), "Retries of its Healthcheck"),
        (b" " * MOST_BYTES + b"{}", "more than 8388608"),
    ],
)
def test_what_is_no_image_is_refused_with_its_reason(data, why):
    with pytest.raises(InvalidContent, match=why) as caught:
        parse(data)
    assert caught.value.digest == digests.of(data)


def test_an_image_config_of_the_largest_size_costs_bounded_memory():
    data = image(config={"Env": ["A=" + "x" * 100_000] * 80}, comment="\U0001f600")
    tracemalloc.start()
    try:
        parse(data)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 64 << 20


def test_layers_upon_one_another_are_called_by_all_of_them():
    a, b, c = (digests.of(one) for one in (b"a", b"b", b"c"))
    second = "sha256:" + hashlib.sha256(f"{a} {b}".encode()).hexdigest()
    third = "sha256:" + hashlib.sha256(f"{second} {c}".encode()).hexdigest()
    assert chain_ids((a, b, c)) == (a, second, third)
    assert chain_ids(()) == ()


def test_a_manifest_and_its_config_have_to_match():
    data = image()
    file = parse(data)
    config = Descriptor(media.OCI_CONFIG, digests.of(data), len(data))
    layer = Descriptor(media.OCI_LAYER, SHA, 1)
    good = Manifest(media.OCI_MANIFEST, config, (layer,))
    check_match(good, file)
    for bad, why in (
        (evolve(good, layers=()), "it has 1 layers, and its manifest 0"),
        (evolve(good, layers=(layer, layer)), "it has 1 layers, and its manifest 2"),
        (evolve(good, config=evolve(config, size=1)), "and its manifest says 1"),
        (evolve(good, config=evolve(config, digest=SHA)), f"it is not {SHA}"),
    ):
        with pytest.raises(InvalidContent, match=why):
            check_match(bad, file)
