"""What an image says about the programs in it."""

from __future__ import annotations

from attrs import frozen

from pyengine.model.spec import HealthCheck

DEFAULT_SHELL = ("/bin/sh", "-c")
"""What runs a text, where the image names no shell of its own."""


@frozen
class ImageConfig:
    """The configuration of an image; from nothing (``rootfs:``, ``host:``) it is a shell.

    *env* are ``NAME=value`` texts, *exposed* such as ``80/tcp``; *onbuild* are instructions for
    who builds on the image; *args_escaped*: its command is one text that Windows splits itself.
    """

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str = ""
    workdir: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    volumes: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    stop_signal: str = ""
    shell: tuple[str, ...] = ()
    health: HealthCheck | None = None
    onbuild: tuple[str, ...] = ()
    args_escaped: bool = False


FROM_NOTHING = ImageConfig(command=("/bin/sh",))
