"""A program that owns a container, one who joined it, and a joiner: to be killed by a test.

    python -m support.owner BASE LOWER [init] [user]

It prints the pids of all its children, and waits for its input to end.
"""

from __future__ import annotations

import os
import sys

from pyengine.linux import native, native_joiner
from pyengine.linux.plan import Plan, Step
from support.births import ENV, FRESH, House, joining


def main(base: str, lower: str, *words: str) -> None:
    """Give birth, say to whom, wait."""
    house = House(base, lower)
    null = os.open("/dev/null", os.O_RDWR)
    ids = (Step("ids", flags=1000, fd=1000),) if "user" in words else ()
    tied = Step("pdeathsig", flags=9, fd=0)
    steps = (*house.root(), Step("pivot"), *ids, tied)
    owner = native.own_pidfd(os.getpid())
    plan = Plan(("sleep", "600"), ENV, steps, FRESH, fds=(owner,), init="init" in words)
    container = native.spawn(plan, (null, null, null))
    joiner = native_joiner.Joiner()
    visitor = joiner.spawn(joining(container, "sleep", "600"), (null, null, null))
    failures = native.hear(container), native.hear(visitor)
    if failures != (None, None):
        sys.exit(str(failures))
    pids = []
    for thread in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{thread}/children", encoding="ascii") as file:
            pids += file.read().split()
    print(*pids, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
