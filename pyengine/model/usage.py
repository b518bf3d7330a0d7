"""What a program that has ended has used."""

from __future__ import annotations

from attrs import frozen


@frozen
class Usage:
    """What a program and all its descendants used.

    *peak_memory* is bytes: exact where the container has a memory limit; elsewhere the kernel's
    ``ru_maxrss`` of its largest process, which is never less than the truth but starts at the
    size of the process that gave birth to it (getrusage(2)). The rest are seconds.
    """

    peak_memory: int = 0
    user_seconds: float = 0.0
    system_seconds: float = 0.0

    @property
    def cpu_seconds(self) -> float:
        """Processor time, in user mode and in the kernel together."""
        return self.user_seconds + self.system_seconds
