"""Three hundred ways to be wrong: none of them gets by the values that read images."""

from __future__ import annotations

import zlib

import pytest
from support.mutations import mutations, sample

from pyengine.errors import InvalidContent
from pyengine.model import content, digests, image_config

EVERY = list(mutations())


def blob(blobs, descriptor):
    """The blob that *descriptor* names, of its size; as a pull would look at it."""
    data = blobs.get(descriptor.digest, b"")
    if len(data) != descriptor.size or not digests.verify(data, descriptor.digest):
        raise InvalidContent("blob", "it is not what its digest says", descriptor.digest)
    return data


def unpacked(data):
    if not data.startswith(b"\x1f\x8b"):
        return data
    inflate = zlib.decompressobj(wbits=31)
    try:
        tar = inflate.decompress(data)
    except zlib.error as error:
        raise InvalidContent("layer", str(error)) from error
    if not inflate.eof or inflate.unused_data:
        raise InvalidContent("layer", "its stream has no end, or something behind it")
    return tar


def pull(image):
    """What any pull has to look at, in the order in which it comes."""
    manifest = content.parse(image.manifest, image.media_type)
    file = image_config.parse(blob(image.blobs, manifest.config))
    image_config.check_match(manifest, file)
    for layer, diff_id in zip(manifest.layers, file.diff_ids, strict=True):
        if digests.of(unpacked(blob(image.blobs, layer))) != diff_id:
            raise InvalidContent("layer", "it is not what the config says", layer.digest)


def test_the_image_that_they_are_made_of_is_right():
    pull(sample())


def test_there_are_hundreds_and_each_has_a_name_of_its_own():
    assert len(EVERY) >= 300
    assert len({image.name for image in EVERY}) == len(EVERY)
    right = sample()
    assert [
        image.name
        for image in EVERY
        if (image.manifest, image.blobs) == (right.manifest, right.blobs)
    ] == []


@pytest.mark.parametrize("image", EVERY, ids=lambda image: image.name[:60])
def test_a_mutation_is_refused(image):
    with pytest.raises(InvalidContent) as caught:
        pull(image)
    assert caught.value.why
