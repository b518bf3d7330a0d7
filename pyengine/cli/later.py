"""Docker's verbs that this version does not have: each says what is missing."""

from __future__ import annotations

from collections.abc import Callable

from pyengine.cli.verb import Call, Verb
from pyengine.errors import Unsupported

_IMAGES = ("images and registries are not built yet", "use host: or rootfs:/directory as image")
_NETWORKS = ("networks are not built yet", "use --network host or --network none")
_VOLUMES = ("volumes are not built yet", "bind a directory of the host with -v")
_BUILDS = ("builds are not built yet", "use host: or rootfs:/directory as image")
_FILES = ("copying files is not built yet", "use exec and tar, or bind a directory with -v")
_SWARM = ("there is no swarm", "use one host's containers")
_CONTEXTS = ("the engine is this process", "use docker's own command for other hosts")
_SERVER = ("the API server is not built yet", "use the command line or the Python API")

MISSING: dict[str, tuple[str, str]] = {
    "bake": _BUILDS,
    "build": _BUILDS,
    "builder": _BUILDS,
    "buildx": _BUILDS,
    "checkpoint": ("checkpoints are not built yet", "start the container anew"),
    "commit": _IMAGES,
    "compose": ("compose files are not built yet", "run each container by itself"),
    "config": _SWARM,
    "context": _CONTEXTS,
    "cp": _FILES,
    "export": _FILES,
    "history": _IMAGES,
    "image": _IMAGES,
    "images": _IMAGES,
    "import": _IMAGES,
    "load": _IMAGES,
    "login": _IMAGES,
    "logout": _IMAGES,
    "manifest": _IMAGES,
    "network": _NETWORKS,
    "node": _SWARM,
    "plugin": ("the engine takes no plugins", "use what it has"),
    "port": _NETWORKS,
    "pull": _IMAGES,
    "push": _IMAGES,
    "rmi": _IMAGES,
    "save": _IMAGES,
    "search": _IMAGES,
    "secret": _SWARM,
    "serve": _SERVER,
    "service": _SWARM,
    "stack": _SWARM,
    "swarm": _SWARM,
    "system df": _IMAGES,
    "system prune": ("there are only containers yet", "use container prune"),
    "tag": _IMAGES,
    "trust": _IMAGES,
    "volume": _VOLUMES,
}
"""Why each is not here, and what to do instead."""


def _refuse(name: str) -> Callable[[Call], int]:
    def act(_call: Call) -> int:
        missing, remedy = MISSING[name]
        raise Unsupported(f"'{name}'", missing, remedy)

    return act


VERBS = {
    name: Verb(
        "[ARG...]",
        f"Not in this version: {missing}",
        _refuse(name),
        flags=None,
        most=None,
    )
    for name, (missing, _) in MISSING.items()
}
