"""A catalog of images, and who uses them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.images import content_in

from pyengine.images.catalog import Images
from pyengine.images.image_use import ImageUse


@pytest.fixture
def uses() -> list[ImageUse]:
    """The containers that use images: a test puts some in."""
    return []


@pytest.fixture
def images(tmp_path: Path, uses: list[ImageUse]) -> Images:
    """One that is empty."""
    return Images(content_in(tmp_path), lambda: tuple(uses))
