"""The images of an engine: where they are, who unpacks them, which containers use them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pyengine.containers.image_roots import uses
from pyengine.images.catalog import Images
from pyengine.images.content import Content

if TYPE_CHECKING:
    from pyengine.containers.house import House


def images_of(house: House) -> Images:
    """The images below the root of *house*."""
    if os.geteuid() != 0:
        from pyengine.containers.layer_hands import LayerHands

        house.hands = LayerHands(house.joiners)
    return Images(Content.at(house.layout, hands=house.hands), lambda: uses(house))
