"""All that a program says, kept for who waits for its end."""

from __future__ import annotations

from io import BytesIO

from attrs import define, field


@define(eq=False)
class Collector:
    """Hears a program and keeps both streams apart, each in its order.

    A `BytesIO` grows in place and gives its bytes away without another copy: of a gigabyte that
    is half of the time.
    """

    _stdout: BytesIO = field(factory=BytesIO)
    _stderr: BytesIO = field(factory=BytesIO)

    def hear(self, stream: str, data: bytes, time_ns: int) -> bool:
        """Keep *data*; there is always room."""
        (self._stdout if stream == "stdout" else self._stderr).write(data)
        return True

    def take(self, stream: int, data: bytes) -> None:
        """Keep *data* of the first stream, or of the second (1)."""
        (self._stderr if stream else self._stdout).write(data)

    def end(self) -> None:
        """Nothing to do: who waits looks by himself."""

    def both(self) -> tuple[bytes, bytes]:
        """What came on each stream."""
        return self._stdout.getvalue(), self._stderr.getvalue()
