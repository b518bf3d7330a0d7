"""All that a program says, kept for who waits for its end."""

from __future__ import annotations

from attrs import define, field


@define(eq=False)
class Collector:
    """Hears a program and keeps both streams apart, each in its order."""

    stdout: list[bytes] = field(factory=list)
    stderr: list[bytes] = field(factory=list)

    def hear(self, stream: str, data: bytes, time_ns: int) -> bool:
        """Keep *data*; there is always room."""
        (self.stdout if stream == "stdout" else self.stderr).append(data)
        return True

    def end(self) -> None:
        """Nothing to do: who waits looks by himself."""

    def both(self) -> tuple[bytes, bytes]:
        """What came on each stream."""
        return b"".join(self.stdout), b"".join(self.stderr)
