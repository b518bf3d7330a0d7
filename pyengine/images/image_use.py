"""What a container says about the image it was made from."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import frozen


@frozen
class ImageUse:
    """One container that needs an image: *layers* are chain ids, where its record names them."""

    container: str
    image: str
    is_running: bool = False
    layers: tuple[str, ...] = ()


Uses = Callable[[], Iterable[ImageUse]]
"""Tells, each time it is asked, which containers there are that use images."""
