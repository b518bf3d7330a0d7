"""Whatever comes, the parsers answer with a value or with a reason, and with nothing else."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.errors import InvalidContent, InvalidRequest
from pyengine.model import content, content_fields, image_config
from pyengine.model import media_types as media
from pyengine.model.config import ImageConfig
from pyengine.model.config_changes import apply_changes
from pyengine.model.content import Index
from pyengine.model.image_filters import ImageFilter
from pyengine.model.path_glob import matches
from pyengine.model.platform import Platform

many = settings(max_examples=300, deadline=None)

KEYS = sorted(
    content_fields.MANIFEST
    | content_fields.DESCRIPTOR
    | content_fields.PLATFORM
    | image_config._KNOWN
    | {"type", "diff_ids", "created_by", "empty_layer", "Test", "Interval", "Retries"}
    | {"Env", "Cmd", "User", "Volumes", "ExposedPorts", "Labels", "Healthcheck", "WorkingDir"}
)
VALUES = [
    2,
    1,
    0,
    -1,
    1.5,
    True,
    None,
    "",
    "linux",
    "layers",
    "sha256:" + 64 * "a",
    "\0",
    "/",
    "80",
]
plain = st.recursive(
    st.sampled_from([*VALUES, media.OCI_MANIFEST, media.OCI_INDEX, media.OCI_CONFIG]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6)
    ),
    max_leaves=25,
)
documents = st.dictionaries(st.sampled_from(KEYS), plain, max_size=8)
announced = st.sampled_from(["", "text/html", *media.ACCEPT, *sorted(media.SCHEMA_1), ";", "\0"])


def answer(parse, *arguments):
    """What *parse* says, or `None` where it has a reason to refuse."""
    try:
        return parse(*arguments)
    except (InvalidContent, InvalidRequest) as error:
        if not str(error):
            raise
        return None


@many
@given(documents, announced, st.booleans())
def test_any_document_is_a_manifest_or_is_refused(document, media_type, artifacts):
    made = {"schemaVersion": 2, **document}
    data = json.dumps(made).encode()
    found = answer(lambda: content.parse(data, media_type, artifacts=artifacts))
    if isinstance(found, Index):
        answer(content.parse, content.print_index(found.manifests))


@many
@given(documents)
def test_any_document_is_a_config_or_is_refused(document):
    made = {
        "os": "linux",
        "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": []},
        **document,
    }
    found = answer(image_config.parse, json.dumps(made).encode())
    if found is not None:
        again = image_config.parse(image_config.print_config(found))
        assert image_config.print_config(again) == image_config.print_config(found)


@many
@given(plain)
def test_any_part_of_a_config_is_read_or_refused(part):
    made = {
        "os": "linux",
        "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": []},
        "config": part,
    }
    answer(image_config.parse, json.dumps(made).encode())


@many
@given(st.binary(max_size=80))
def test_any_bytes_are_refused(data):
    assert answer(content.parse, data) is None
    assert answer(image_config.parse, data) is None


INSTRUCTIONS = "CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR"
rests = st.text("aA1=$\\'\"{}[]:,-/ \n\0é", max_size=16)


@many
@given(st.sampled_from([*INSTRUCTIONS.split(), "RUN", "#", ""]), rests)
def test_any_change_is_made_or_refused(name, rest):
    answer(apply_changes, ImageConfig(), [f"{name} {rest}"])


@many
@given(st.text(max_size=12), st.text(max_size=12))
def test_any_pattern_fits_or_is_refused(pattern, text):
    answer(matches, pattern, text)
    answer(lambda: ImageFilter.parse({"reference": pattern, "label": text}).select([], 0.0))


@many
@given(st.text(max_size=20))
def test_any_text_is_a_platform_or_is_refused(text):
    found = answer(Platform.parse, text)
    if found is not None:
        assert Platform.parse(str(found)) == found
