"""Accounts of a container whose files only the root of its users may read."""

from __future__ import annotations

import json
import sys
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

from pyengine.containers.accounts import identity_by, read_in_layers
from pyengine.containers.their_root import ask

if TYPE_CHECKING:
    from pyengine.containers.identity import Identity
    from pyengine.linux.native_joiner import Joiner

_OPAQUE = "user.overlay.opaque"
_FILES = ("etc/passwd", "etc/group")


def identity_of_theirs(
    joiner: Joiner, directories: tuple[str, ...], user: str, group_add: tuple[str, ...]
) -> Identity:
    """As `accounts.identity_in_layers`, of what is closed to this process.

    A file that is closed to the root of *joiner*, too, says nothing.
    """
    told = json.loads(ask(joiner, __name__, *directories))

    def read(path: str, needed: bool) -> bytes | None:
        return None if told[path] is None else b64decode(told[path])

    return identity_by(read, user, group_add)


def main() -> int:
    """Read them, for who may not."""
    told = {}
    for path in _FILES:
        try:
            found = read_in_layers(tuple(sys.argv[1:]), _OPAQUE, path, False)
        except PermissionError:
            found = None
        told[path] = None if found is None else b64encode(found).decode()
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
