"""What a program that has ended has used."""

from __future__ import annotations

from attrs import frozen


@frozen
class Usage:
    """What a program and all its descendants used.

    *peak_memory* is bytes: of the whole container where a memory controller counted, else of
    its largest process; None where nobody counted. The rest are seconds of processor time.
    """

    peak_memory: int | None = None
    cpu_seconds: float = 0.0
    user_seconds: float = 0.0
    system_seconds: float = 0.0
