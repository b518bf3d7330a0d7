"""Work done by nobody: in a forked child without rights, in a cgroup of choice."""

from __future__ import annotations

import ctypes  # noqa: F401 — loaded by whoever may read it: nobody cannot
import json
import os
from collections.abc import Callable
from typing import Any

from pyengine.linux import cgroup_files

NOBODY = 65_534


def as_nobody(work: Callable[[], object], join: str | None = None) -> Any:
    """What *work* returns in a child that has joined the cgroup *join* and is nobody."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if join is not None:
                cgroup_files.write(join + "/cgroup.procs", b"0")
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            os.write(writer, json.dumps(work()).encode())
        except BaseException as error:  # noqa: BLE001 — the parent says it
            os.write(writer, json.dumps(repr(error)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        answer = file.read()
    os.waitpid(child, 0)
    return json.loads(answer)
