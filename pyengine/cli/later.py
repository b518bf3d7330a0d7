"""Docker's verbs that this version does not have: each says what is missing."""

from __future__ import annotations

from collections.abc import Callable

from pyengine.cli.verb import Call, Verb
from pyengine.errors import Unsupported

_MANIFESTS = ("indexes are not made here yet", "push each platform under a tag of its own")
_TRUST = ("signatures are not checked yet", "name the image by its digest")
_NETWORKS = ("networks are not built yet", "use --network host or --network none")
_VOLUMES = ("volumes are not built yet", "bind a directory of the host with -v")
_BUILDS = ("builds are not built yet", "pull an image, or commit a container")
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
    "compose": ("compose files are not built yet", "run each container by itself"),
    "config": _SWARM,
    "context": _CONTEXTS,
    "cp": _FILES,
    "export": _FILES,
    "manifest": _MANIFESTS,
    "network": _NETWORKS,
    "node": _SWARM,
    "plugin": ("the engine takes no plugins", "use what it has"),
    "port": _NETWORKS,
    "secret": _SWARM,
    "serve": _SERVER,
    "service": _SWARM,
    "stack": _SWARM,
    "swarm": _SWARM,
    "trust": _TRUST,
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
