"""The verbs without an engine: one engine for the whole process, made when first used."""

from __future__ import annotations

import atexit
import os
import threading
from typing import Any, NoReturn

from pyengine.container import Container
from pyengine.engine import Engine
from pyengine.image import Image
from pyengine.model.result import Result

__all__ = ["build", "create", "default_engine", "pull", "run", "start"]

_lock = threading.Lock()
_engines: dict[int, Engine] = {}  # by process: a fork gets one of its own


def default_engine() -> Engine:
    """The engine that `run`, `start`, … use; it is closed when the process ends."""
    pid = os.getpid()
    with _lock:
        engine = _engines.get(pid)
        if engine is None:
            engine = _engines[pid] = Engine()
            atexit.register(engine.close)
    return engine


def run(
    image: str,
    command: object = None,
    *,
    check: bool = False,
    timeout: float | None = None,
    keep: bool = False,
    **options: object,
) -> Result:
    """As `Engine.run`."""
    engine = default_engine()
    return engine.run(image, command, check=check, timeout=timeout, keep=keep, **options)


def start(
    image: str,
    command: object = None,
    *,
    timeout: float | None = None,
    ready: object = None,
    **options: object,
) -> Container:
    """As `Engine.start`."""
    return default_engine().start(image, command, timeout=timeout, ready=ready, **options)


def create(image: str, command: object = None, **options: object) -> Container:
    """As `Engine.create`."""
    return default_engine().create(image, command, **options)


def pull(reference: str, **options: Any) -> Image:
    """As `Engine.pull`."""
    return default_engine().pull(reference, **options)


def build(context: object = ".", **options: object) -> NoReturn:
    """As `Engine.build`."""
    default_engine().build(context, **options)
