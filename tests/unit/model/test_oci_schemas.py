"""OCI's own schemas judge what we write, and what we let pass."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_strategies import descriptors, images, pairs
from jsonschema import Draft4Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4
from support.mutations import mutations, sample

from pyengine.errors import InvalidContent
from pyengine.model import content, image_config
from pyengine.model import media_types as media

modest = settings(max_examples=60, deadline=None)


def _validators():
    """A judge for each schema; they name one another by the names of their files."""
    read = {path.name: json.loads(path.read_text()) for path in _SCHEMAS.glob("*.json")}
    for schema in read.values():
        _without_ids(schema)
    named = [(name, Resource(schema, DRAFT4)) for name, schema in read.items()]
    registry = Registry().with_resources(named)
    return {name: Draft4Validator(schema, registry=registry) for name, schema in read.items()}


def _without_ids(schema):
    """Their ids are addresses at which they do not lie: by these no reference would be found."""
    if isinstance(schema, dict):
        if isinstance(schema.get("id"), str):
            del schema["id"]
        for inner in schema.values():
            _without_ids(inner)


_SCHEMAS = Path(__file__).with_name("oci_schemas")
JUDGES = _validators()
MANIFEST = JUDGES["image-manifest-schema.json"]
INDEX = JUDGES["image-index-schema.json"]
CONFIG = JUDGES["config-schema.json"]


def verdict(judge, data):
    return [error.message for error in judge.iter_errors(json.loads(data))]


@modest
@given(
    descriptors(media.CONFIGS),
    st.lists(descriptors(media.LAYERS), min_size=1, max_size=3),
    st.booleans(),
    pairs,
)
def test_a_manifest_that_we_write_is_oci_s(config, layers, oci, annotations):
    assert verdict(MANIFEST, content.print_manifest(config, layers, oci, annotations)) == []


@modest
@given(st.lists(descriptors(media.MANIFESTS), max_size=3), st.booleans(), pairs)
def test_an_index_that_we_write_is_oci_s(entries, oci, annotations):
    assert verdict(INDEX, content.print_index(entries, oci, annotations)) == []


@modest
@given(images)
def test_a_config_that_we_write_is_oci_s(image):
    assert verdict(CONFIG, image_config.print_config(image)) == []


def _is_pardoned(error):
    """What their schemas refuse, and Go's readers, so all registries, let pass."""
    return error.instance is None or error.validator == "minItems"


ODD = (5, -1, 1.5, "", "x", "a/b", True, [], {}, ["x"], [5], {"": 5}, {"x": {}})
RIGHT = sample()
MANIFEST_PLAIN = json.loads(RIGHT.manifest)
CONFIG_PLAIN = json.loads(RIGHT.blobs[MANIFEST_PLAIN["config"]["digest"]])
INDEX_PLAIN = {
    "schemaVersion": 2,
    "mediaType": media.OCI_INDEX,
    "manifests": [
        {
            **MANIFEST_PLAIN["config"],
            "mediaType": media.OCI_MANIFEST,
            "platform": {"os": "linux", "architecture": "amd64", "os.features": ["x"]},
            "annotations": {"a": "b"},
            "urls": ["https://x/"],
        }
    ],
    "annotations": {"a": "b"},
}


def places(plain, at=()):
    """Every path into *plain*."""
    yield at
    if isinstance(plain, dict | list):
        inner = plain.items() if isinstance(plain, dict) else enumerate(plain)
        for step, value in inner:
            yield from places(value, (*at, step))


def spoiled(plain):
    """*plain* with something odd in each place, or without what was there."""
    for place in places(plain):
        for odd in (*ODD, None) if place else ():
            made = copy.deepcopy(plain)
            at = made
            for step in place[:-1]:
                at = at[step]
            if odd is None:
                del at[place[-1]]
            else:
                at[place[-1]] = odd
            yield json.dumps(made).encode()


@pytest.mark.parametrize(
    ("judge", "plain", "parse"),
    [
        (MANIFEST, MANIFEST_PLAIN, content.parse),
        (INDEX, INDEX_PLAIN, content.parse),
        (CONFIG, CONFIG_PLAIN, image_config.parse),
    ],
    ids=["manifest", "index", "config"],
)
def test_what_their_schema_refuses_we_refuse(judge, plain, parse):
    parse(json.dumps(plain).encode())
    assert verdict(judge, json.dumps(plain)) == []
    accepted, count = [], 0
    for made in spoiled(plain):
        if any(not _is_pardoned(error) for error in judge.iter_errors(json.loads(made))):
            count += 1
            try:
                parse(made)
            except InvalidContent:
                continue
            accepted.append(made)
    assert accepted == []
    assert count > 50


def test_their_schema_lets_many_mutations_pass_that_we_refuse():
    """Or the mutations would show nothing that a schema does not."""
    passed = refused = 0
    for image in mutations():
        try:
            errors = verdict(MANIFEST, image.manifest)
        except (ValueError, RecursionError):
            errors = ["no JSON"]
        passed, refused = passed + (not errors), refused + bool(errors)
    assert passed > 100
    assert refused > 100
