"""Containers whose program is a shell with something to say."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from pyengine import Container, Engine


def said(engine: Engine, image: str, script: str, **options: object) -> str:
    """The words of a shell's *script*, run in a new container to a good end."""
    return engine.run(image, ["sh", "-c", script], **options).check().stdout


def ready(engine: Engine, image: str, script: str, **options: object) -> Container:
    """A container whose shell has said "ready": it has got as far as that."""
    container = engine.start(image, ["sh", "-c", script], **options)
    assert first_words(container) == b"ready\n"
    return container


def first_words(container: Container) -> bytes:
    """The first line of its log, once it is there."""
    with closing(container.follow_logs(timeout=60)) as lines:
        return next(lines).data


def interrupted(call: Callable[[], object]) -> None:
    """Make *call* in this thread, and press ctrl-C once it waits for what runs."""
    main = threading.get_native_id(), threading.get_ident()

    def press() -> None:
        while "poll" not in Path(f"/proc/self/task/{main[0]}/wchan").read_text():
            os.sched_yield()
        signal.pthread_kill(main[1], signal.SIGINT)

    pressing = threading.Thread(target=press)
    pressing.start()
    with pytest.raises(KeyboardInterrupt):
        call()
    pressing.join(10)
