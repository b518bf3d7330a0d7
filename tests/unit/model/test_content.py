"""Manifests and indexes: what is read is what was written, and what is wrong with the rest."""

from __future__ import annotations

import json

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from image_strategies import descriptors, entries_of, layers_of, pairs

from pyengine.errors import ImageNotFound, InvalidContent
from pyengine.model import digests
from pyengine.model import media_types as media
from pyengine.model.content import (
    MOST_BYTES,
    Descriptor,
    Index,
    Manifest,
    choose,
    parse,
    parse_descriptor,
    print_descriptor,
    print_index,
    print_manifest,
)
from pyengine.model.platform import Platform

modest = settings(max_examples=80, deadline=None)


@modest
@given(descriptors(media.LAYERS))
def test_a_descriptor_reads_back_what_it_wrote(descriptor):
    plain = json.loads(json.dumps(print_descriptor(descriptor)))
    assert parse_descriptor(plain, "it") == descriptor


@modest
@given(descriptors(media.CONFIGS), layers_of, st.booleans(), pairs)
def test_a_manifest_reads_back_what_it_wrote(config, layers, oci, annotations):
    data = print_manifest(config, layers, oci, annotations)
    read = parse(data)
    word = media.to_oci if oci else media.to_docker
    assert read == Manifest(
        media.OCI_MANIFEST if oci else media.DOCKER_MANIFEST,
        evolve(config, media_type=word(config.media_type)),
        tuple(evolve(layer, media_type=word(layer.media_type)) for layer in layers),
        annotations,
        digests.of(data),
        len(data),
    )
    assert print_manifest(read.config, read.layers, oci, read.annotations) == data


@modest
@given(entries_of, st.booleans(), pairs)
def test_an_index_reads_back_what_it_wrote(entries, oci, annotations):
    data = print_index(entries, oci, annotations)
    kind = media.OCI_INDEX if oci else media.DOCKER_INDEX
    assert parse(data) == Index(kind, tuple(entries), annotations, digests.of(data), len(data))


SHA = digests.of(b"x")
CONFIG = {"mediaType": media.OCI_CONFIG, "digest": SHA, "size": 3}
LAYER = {"mediaType": media.OCI_LAYER_GZIP, "digest": SHA, "size": 5}
IMAGE = {"schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": CONFIG, "layers": [LAYER]}
ENTRY = {"mediaType": media.OCI_MANIFEST, "digest": SHA, "size": 7}
LIST = {"schemaVersion": 2, "mediaType": media.OCI_INDEX, "manifests": [ENTRY]}
AMD64 = {"os": "linux", "architecture": "amd64"}


def image(**changes):
    return json.dumps({**IMAGE, **changes}).encode()


def index(*entries, **changes):
    return json.dumps({**LIST, "manifests": list(entries), **changes}).encode()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"not json", "no JSON"),
        (b"[]", "no object"),
        (b"{}", "schemaVersion is not 2"),
        (image(schemaVersion=1), "schema 1"),
        (image(mediaType=sorted(media.SCHEMA_1)[0]), "schema 1"),
        (image(schemaVersion="2"), "schemaVersion is not 2"),
        (image(schemaVersion=2.0), "schemaVersion is not 2"),
        (image(schemaVersion=True), "schema 1|schemaVersion is not 2"),
        (image(mediaType=5), "mediaType is no text"),
        (image(mediaType=[]), "mediaType is no text"),
        (image(mediaType=""), "mediaType is no text"),
        (image(mediaType="application/x"), "'application/x' is not supported"),
        (image(mediaType=media.OCI_INDEX), "says it is .*index.*, and is not"),
        (index(ENTRY, mediaType=media.DOCKER_MANIFEST), "says it is .*, and is not"),
        (image(manifests=[]), "both a manifest and an index"),
        (b'{"schemaVersion":2}', "neither layers nor manifests"),
        (image(Layers=[]), "key 'Layers' is not 'layers'"),
        (image(config=None), "config: it is no descriptor"),
        (image(layers=None), "its layers is no list"),
        (image(layers={}), "its layers is no list"),
        (image(layers=[LAYER] * 501), "501 layers, more than 500"),
        (image(layers=[5]), "layer 0: it is no descriptor"),
        (image(layers=[LAYER, {**LAYER, "digest": "sha256:0"}]), "layer 1: .*64 digits"),
        (image(layers=[{**LAYER, "digest": None}]), "layer 0: its digest is none"),
        (image(layers=[{**LAYER, "size": -1}]), "size is no number of bytes"),
        (image(layers=[{**LAYER, "size": 1.0}]), "size is no number of bytes"),
        (image(layers=[{**LAYER, "size": "1"}]), "size is no number of bytes"),
        (image(layers=[{**LAYER, "size": True}]), "size is no number of bytes"),
        (image(layers=[{**LAYER, "size": None}]), "size is no number of bytes"),
        (image(layers=[{**LAYER, "Size": 7}]), "key 'Size' is not 'size'"),
        (image(layers=[{**LAYER, "\u017fize": 7}]), "is not 'size'"),  # Go takes ſ for s
        (image(layers=[{**LAYER, "mediaType": "tar"}]), "mediaType is no media type"),
        (image(layers=[{**LAYER, "mediaType": "text/plain"}]), "'text/plain' is no layer's"),
        (image(layers=[{**LAYER, "urls": "http://x"}]), "urls is no list"),
        (image(layers=[{**LAYER, "urls": [5]}]), "entry of its urls is no text"),
        (image(layers=[{**LAYER, "annotations": []}]), "annotations is no object"),
        (image(annotations={"a": 5}), "value of its annotations is no text"),
        (image(annotations={"a": "\0"}), "NUL"),
        (image(subject={}), "subject: its digest is none"),
        (image(config={**CONFIG, "mediaType": media.OCI_EMPTY}), "an artifact"),
        (image(config={**CONFIG, "mediaType": "application/vnd.cncf.helm.config.v1+json"}), "helm"),
        (index(5), "manifest 0: it is no descriptor"),
        (index({**ENTRY, "platform": 5}), "platform is no object"),
        (index({**ENTRY, "platform": {"os": "linux"}}), "no os or no architecture"),
        (index({**ENTRY, "platform": {**AMD64, "OS": "x"}}), "key 'OS' is not 'os'"),
        (index({**ENTRY, "platform": {**AMD64, "os.features": "x"}}), "os.features is no list"),
        (index(*[ENTRY] * 2001), "2001 manifests, more than 2000"),
        (b" " * MOST_BYTES + b"{}", "more than 4194304"),
    ],
)
def test_what_is_no_manifest_is_refused_with_its_reason(data, why):
    with pytest.raises(InvalidContent, match=why) as caught:
        parse(data)
    assert caught.value.digest == digests.of(data)


def test_the_announced_type_decides_where_the_document_says_nothing():
    silent = json.dumps({name: IMAGE[name] for name in IMAGE if name != "mediaType"}).encode()
    assert parse(silent).media_type == media.OCI_MANIFEST
    assert parse(silent, media.DOCKER_MANIFEST).media_type == media.DOCKER_MANIFEST
    assert parse(silent, "application/json; charset=utf-8").media_type == media.OCI_MANIFEST
    assert isinstance(parse(b'{"schemaVersion":2,"manifests":[]}'), Index)
    with pytest.raises(InvalidContent, match="and is not"):
        parse(silent, media.OCI_INDEX)


@pytest.mark.parametrize(
    ("announced", "why"),
    [
        (media.DOCKER_MANIFEST, "was announced as"),
        (media.OCI_INDEX, "was announced as"),
        ("text/html; charset=utf-8", "HTML"),
        *((kind, "schema 1") for kind in sorted(media.SCHEMA_1)),
    ],
)
def test_what_is_announced_as_something_else_is_refused(announced, why):
    with pytest.raises(InvalidContent, match=why):
        parse(image(), announced)


def test_a_platform_of_empty_texts_is_none():
    found = parse(index({**ENTRY, "platform": {"os": "", "architecture": ""}}))
    assert found.manifests[0].platform is None


def test_an_artifact_is_read_by_who_asks_for_it():
    attestation = {**LAYER, "mediaType": "application/vnd.in-toto+json"}
    data = image(layers=[attestation])
    with pytest.raises(InvalidContent, match="in-toto"):
        parse(data)
    assert parse(data, artifacts=True).layers[0].media_type == "application/vnd.in-toto+json"


def entry(text, digest, **more):
    return Descriptor(media.OCI_MANIFEST, digest, 1, platform=Platform.parse(text), **more)


def chosen(wanted, *entries):
    return choose(Index(media.OCI_INDEX, entries), Platform.parse(wanted)).digest


def test_the_best_entry_of_an_index_is_chosen():
    v6, v7, arm64 = (entry(f"linux/{name}", name) for name in ("arm/v6", "arm/v7", "arm64"))
    assert chosen("linux/arm/v7", v6, v7, arm64) == "arm/v7"
    assert chosen("linux/arm64", v6, v7, arm64) == "arm64"
    assert chosen("linux/arm64", v6, v7) == "arm/v7"
    assert chosen("linux/arm/v6", v7, v6) == "arm/v6"
    again = evolve(arm64, digest="another")
    assert chosen("linux/arm64", arm64, again) == "arm64"
    assert chosen("linux/arm64", again, arm64) == "another"


def test_an_attestation_is_never_chosen():
    note = (("vnd.docker.reference.type", "attestation-manifest"),)
    real = entry("linux/amd64", "real")
    said = entry("linux/amd64", "said", annotations=note)
    unknown = entry("unknown/unknown", "unknown")
    unsaid = Descriptor(media.OCI_MANIFEST, "unsaid", 1, annotations=note)
    assert chosen("linux/amd64", said, unknown, unsaid, real) == "real"
    with pytest.raises(ImageNotFound):
        chosen("linux/amd64", said, unknown, unsaid)


def test_what_names_no_platform_comes_last():
    anything = Descriptor(media.OCI_INDEX, "anything", 1)
    assert chosen("linux/amd64", anything) == "anything"
    assert chosen("linux/amd64", anything, entry("linux/386", "old")) == "old"


def test_a_platform_that_is_not_there_is_told_with_those_that_are():
    index = Index(media.OCI_INDEX, (entry("linux/arm64", "a"), entry("windows/amd64", "b")))
    text = "No such image: x:1: no matching manifest for linux/amd64 in the manifest list entries"
    with pytest.raises(ImageNotFound, match=f"{text}; there is linux/arm64, windows/amd64"):
        choose(index, Platform.parse("linux/amd64"), image="x:1")


def test_every_kind_of_layer_has_a_word_in_both_languages():
    for kind in media.LAYERS | media.CONFIGS | media.MANIFESTS | media.INDEXES:
        assert media.to_oci(media.to_docker(kind)) == media.to_oci(kind)
        assert media.compression_of(media.to_oci(kind)) == media.compression_of(kind)
    foreign = evolve(parse_descriptor(LAYER, "it"), media_type=media.DOCKER_FOREIGN_GZIP)
    assert foreign.is_foreign
    assert len(media.LAYERS) == 12
    assert len(media.FOREIGN_LAYERS) == 6
    assert media.layer_type("zstd", oci=False) == media.DOCKER_LAYER_ZSTD
