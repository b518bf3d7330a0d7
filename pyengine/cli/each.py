"""Doing one thing to every container that is named."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from pyengine.cli.say import complain, say
from pyengine.cli.verb import Call
from pyengine.errors import EngineError

if TYPE_CHECKING:
    from pyengine import Container

AT_ONCE = 16
"""How many containers are stopped, or waited for, at the same time."""

Act = Callable[["Container"], str | None]


def for_each(call: Call, act: Act, *, forgives: type[EngineError] | None = None) -> int:
    """*act* on each container that *call* names, and print the names in order, or what it says.

    An error is told and the others have their turn; the exit code is then 1, unless it is one
    that *forgives* names.
    """
    names = call.arguments
    found: list[str | EngineError | None] = [None] * len(names)
    with call.engine() as engine:

        def one(index: int) -> None:
            try:
                answer = act(engine.containers.get(names[index]))
            except EngineError as error:
                found[index] = error
            else:
                found[index] = names[index] if answer is None else answer

        for start in range(0, len(names), AT_ONCE):
            _together(one, range(start, min(start + AT_ONCE, len(names))))
            for answer in found[start : start + AT_ONCE]:
                _tell(answer)
    failed = [one for one in found if isinstance(one, EngineError)]
    return int(any(forgives is None or not isinstance(error, forgives) for error in failed))


def _together(one: Callable[[int], None], indices: range) -> None:
    if len(indices) == 1:
        one(indices[0])  # here, where it can be interrupted
        return
    threads = [threading.Thread(target=one, args=(index,), daemon=True) for index in indices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _tell(answer: str | EngineError | None) -> None:
    if isinstance(answer, EngineError):
        complain(str(answer))
    elif answer is not None:
        say(answer)
