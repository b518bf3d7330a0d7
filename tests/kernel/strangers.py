"""Other programs that use the same root: each a process with an engine, that does as it is told."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from types import TracebackType

import pyengine

_PROGRAM = """
import os, sys, threading, time
import pyengine
engine = pyengine.Engine(root=sys.argv[1])
image = sys.argv[2]
print("ready", flush=True)
for line in sys.stdin:
    try:
        answer = repr(eval(line))
    except Exception as error:
        answer = repr(f"{type(error).__name__}: {error}")
    print(answer, flush=True)
"""


class Stranger:
    """A process with an engine of its own on *root*; killed at the end if it lives still."""

    def __init__(self, root: str, image: str) -> None:
        home = os.path.dirname(os.path.dirname(os.path.abspath(pyengine.__file__)))
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, root, image],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": home},
        )
        assert self.hear() == "ready"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def hear(self) -> str:
        """The next line that it says."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().rstrip("\n")

    def tell(self, expression: str) -> None:
        """Have it evaluate *expression*; `hear` its answer, if there is to be one."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{expression}\n")
        self._process.stdin.flush()

    def ask(self, expression: str) -> object:
        """What *expression* is there: a plain value, else its text; an error is its text too."""
        self.tell(expression)
        answer = self.hear()
        try:
            return ast.literal_eval(answer)
        except (ValueError, SyntaxError):
            return answer

    def kill(self) -> None:
        """SIGKILL, as the kernel does when memory runs out; returns when it is gone."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)

    def kill_with_guard(self) -> None:
        """The same when its guard goes first: who opens the root next has to do its work."""
        guard = self.ask("engine._house.guard.pid")
        assert isinstance(guard, int)
        self._process.send_signal(signal.SIGSTOP)  # or it would make another
        os.kill(guard, signal.SIGKILL)
        self.kill()

    def leave(self) -> int:
        """Have it end as programs do; its exit code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait(30)

    def __enter__(self) -> Stranger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.lives:
            self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None and not stream.closed:
                stream.close()
