"""What is written down of a container when it is made."""

from __future__ import annotations

from attrs import frozen

from pyengine.model.spec import ContainerSpec


@frozen
class ContainerRecord:
    """A container's specification, and the directories that its root is made of.

    *layers* are its image's, *lowers* the same with one of ours on top that holds what every
    root needs; the topmost first, absolute paths of the host. *nested*: they lie below the last.
    """

    spec: ContainerSpec
    layers: tuple[str, ...] = ()
    lowers: tuple[str, ...] = ()
    nested: bool = False
