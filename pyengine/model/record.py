"""What is written down of a container when it is made."""

from __future__ import annotations

from attrs import frozen

from pyengine.model.spec import ContainerSpec
from pyengine.model.state import ContainerState


@frozen
class Farm:
    """A root that is made of pieces of the host's, by their paths there.

    *layers* are directories below what the container writes, and *nested* those of them that it
    is written to as well; *files* are shown as they are.
    """

    layers: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()


@frozen
class ContainerRecord:
    """A container's specification, and the directories that its root is made of.

    *layers* are its image's, *lowers* the same with one of ours on top that holds what every
    root needs; the topmost first, absolute paths of the host. *nested*: they lie below the last.
    *first_id* is the host's id of its root, where it has users of its own; 0: it has the host's.
    *farm*: its root is that instead of one overlay. *born*: what it did when it was written
    down, if it was started right away; a state that is written later holds instead. *image_id*
    is its image's, where that is one of the store; so many of *layers*, the topmost, were
    *committed* of its own, and are no image's that it was made of.
    """

    spec: ContainerSpec
    layers: tuple[str, ...] = ()
    lowers: tuple[str, ...] = ()
    nested: bool = False
    first_id: int = 0
    farm: Farm | None = None
    born: ContainerState | None = None
    image_id: str = ""
    committed: int = 0
