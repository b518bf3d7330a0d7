"""What is seen where layers lie on one another, the topmost first: as overlayfs shows them.

Links are never followed: what a layer has at a place is hostile, and lies on the host.
"""

from __future__ import annotations

import os
import stat

Layers = tuple[str, ...]

MARKS = {True: "trusted.overlay.opaque", False: "user.overlay.opaque"}
"""What hides all below a directory: root's mark, or everybody else's."""

MARK = MARKS[os.geteuid() == 0]


def look(layers: Layers, path: str, mark: str = MARK) -> os.stat_result | None:
    """What is at *path*, such as ``etc/hosts``; `None` if nothing is, or it lies behind a link.

    Raises `PermissionError` for a directory that is closed to us.
    """
    names = path.split("/")
    for layer in layers:
        place, hides = layer, False
        for number, name in enumerate(names, 1):
            hides = hides or is_opaque(place, mark)
            place = f"{place}/{name}"
            try:
                found = os.lstat(place)
            except FileNotFoundError:
                break
            except PermissionError:
                raise
            except OSError:
                return None
            if number == len(names):
                return None if is_whiteout(found) else found
            if not stat.S_ISDIR(found.st_mode):
                return None
        if hides:
            return None
    return None


def names(layers: Layers, path: str, mark: str = MARK) -> set[str]:
    """The names in the directory *path*; none where it is no directory."""
    found: set[str] = set()
    hidden: set[str] = set()
    for layer in layers:
        seen = look((layer,), path, mark)
        if seen is not None and stat.S_ISDIR(seen.st_mode):
            for entry in os.scandir(f"{layer}/{path}"):
                if entry.name not in hidden:
                    hidden.add(entry.name)
                    if not is_whiteout(entry.stat(follow_symlinks=False)):
                        found.add(entry.name)
        if not _goes_on(layer, path, mark):
            break
    return found


def _goes_on(layer: str, path: str, mark: str) -> bool:
    """Whether what lies below *layer* is seen at *path*."""
    place = layer
    for name in ("", *path.split("/")):
        place = f"{place}/{name}" if name else place
        try:
            found = os.lstat(place)
        except FileNotFoundError:
            return True
        except PermissionError:
            raise
        except OSError:
            return False
        if not stat.S_ISDIR(found.st_mode) or is_opaque(place, mark):
            return False
    return True


def is_whiteout(found: os.stat_result) -> bool:
    """Whether it says that there is nothing: a device 0:0."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def is_opaque(directory: str, mark: str = MARK) -> bool:
    """Whether it hides all that is below it."""
    try:
        return os.getxattr(directory, mark, follow_symlinks=False) == b"y"
    except OSError:
        return False
