"""Containers that several processes share: begun by the first, ended with the last.

==========================  =================================  ===================================
What happens                What is left of it                 Who does the rest
==========================  =================================  ===================================
a holder lets go            one lease less                     the holder, if that was the last
a holder is killed          a lease that is worth nothing      the keeper, who watches its pidfd
 …in a run of tests         a lease as long as the run lasts   the keeper, who watches that, too
the last of a run leaves,   who has come, of how many          the keeper, at the end of the run
 and some never came
the starter is killed       a container that does not run yet  who asks next starts it; else
                                                               the keeper, or the next opener
the keeper is killed        the leases, on disk                the next keeper
it ends by itself           a container that has ended         who asks next makes another
==========================  =================================  ===================================
"""

from __future__ import annotations

import hashlib
import math
import os
import select
import threading
import time
from collections.abc import Callable

import attrs
from attrs import evolve, frozen

from pyengine.containers import ending, keeper, recovery
from pyengine.containers.house import House
from pyengine.containers.making import create
from pyengine.containers.readiness import await_ready, require_condition
from pyengine.containers.starting import start
from pyengine.errors import (
    AlreadyExists,
    ContainerNotFound,
    EngineClosed,
    EngineError,
    ForeignProcess,
    InvalidRequest,
    TimedOut,
    WrongState,
)
from pyengine.linux.process import has_ended, open_process, start_time
from pyengine.linux.watch import Watch
from pyengine.model.options import ContainerOptions
from pyengine.model.state import LIVELY
from pyengine.store import leases, owners, records
from pyengine.store.layout import STEADY, Home

_DEFAULT = ContainerOptions("", ())


@frozen
class Held:
    """A lease of this process's."""

    container_id: str
    name: str


# --- who wants one ---


def acquire(
    house: House,
    options: ContainerOptions,
    ready: object = None,
    timeout: float | None = None,
    run: tuple[int, int] | None = None,
) -> Held:
    """Hold the container that *options* name; it is made and started if there is none.

    *run*: the pid of a process that has many work for it, us among them, and how many: the
    container waits for who has not come yet, and for who takes the place of one that was killed.

    Raises as `starting.create_and_start` and `readiness.await_ready`, `AlreadyExists` where the
    name is that of a container that nobody shares, and `InvalidRequest` where it is shared on
    other terms.
    """
    house.enter()
    condition = None if ready is None else require_condition(ready)
    deadline = None if timeout is None else time.monotonic() + timeout
    terms = _terms(options)
    theirs = None if run is None else leases.Run(run[0], start_time(run[0]), run[1])
    held = _hold(house, options, terms, theirs) or _await_other(
        house, options.name or "", lambda: _hold(house, options, terms, theirs), timeout
    )
    try:
        _start(house, held.container_id)
        _introduce(house)
        if condition is not None:
            await_ready(house, held.container_id, condition, deadline)
    except BaseException:
        release(house, held)
        raise
    return held


def _await_other(
    house: House, name: str, hold: Callable[[], Held | None], timeout: float | None
) -> Held:
    """What *hold* gets once somebody has made, or removed, the container called *name*.

    Who does so is seen in the directories that he changes; that he was killed, by trying again.
    """
    deadline = math.inf if timeout is None else time.monotonic() + timeout
    try:
        made = owners.steady(house.layout)
    except OSError as error:
        records.refuse(house.layout.owners, error)
    with Watch(house.layout.names, name) as names, Watch(made, "") as homes:
        while (held := hold()) is None:
            heard = [names]
            while heard and _is_between(house, name):
                if time.monotonic() > deadline:
                    raise TimedOut(f"waiting for container {name!r}", timeout or 0.0)
                left = max(min(deadline - time.monotonic(), _PATIENCE), 0)
                heard, _, _ = select.select([names, homes], [], [], left)
                names.take()
                homes.take()
    return held


_PATIENCE = 0.5  # seconds


def _is_between(house: House, name: str) -> bool:
    """Whether the name is taken for a container that is not there yet, or not any more."""
    try:
        house.catalog.find(f"/{name}")
    except ContainerNotFound:
        return house.catalog.is_taken(name)
    return False


def release(house: House, held: Held) -> None:
    """Let go; with the last holder the container goes, too."""
    house.leases.discard(held)
    _settle(house, held.container_id, held.name)


def release_all(house: House) -> None:
    """Let go of everything that this process holds; nothing in a fork of it."""
    try:
        house.enter()
    except (ForeignProcess, EngineClosed):
        return
    for held in list(house.leases):
        release(house, held)


def _terms(options: ContainerOptions) -> leases.Terms:
    """Raises `InvalidRequest` for what cannot be shared."""
    why = "it is shared: it ends with the last process that holds it, and not before"
    for name, value in (
        ("restart", options.restart[0] != "no"),
        ("auto_remove", options.auto_remove),
    ):
        if value:
            raise InvalidRequest(name, getattr(options, name), why=why, expected="nothing")
    if options.stdin is not None:
        raise InvalidRequest("stdin", options.stdin, why="several share it", expected="nothing")
    return leases.Terms(
        tuple(
            (field.name, hashlib.sha256(repr(value).encode()).hexdigest()[:16])
            for field in attrs.fields(ContainerOptions)
            if (value := getattr(options, field.name)) != getattr(_DEFAULT, field.name)
        )
    )


def _hold(
    house: House, options: ContainerOptions, terms: leases.Terms, run: leases.Run | None
) -> Held | None:
    """A lease of the container; `None` where that was about to go, and another has to be made."""
    _introduce(house)  # before there is something to hold: who is killed then leaves nothing
    try:
        container_id = _find_or_make(house, options, terms)
        lease = _lease(house, options, container_id, terms, run)
    except ContainerNotFound:
        return None
    if not lease:
        ending.abandon(house, container_id)
        return None
    held = Held(container_id, lease)
    house.leases.add(held)
    return held


def _find_or_make(house: House, options: ContainerOptions, terms: leases.Terms) -> str:
    try:
        asked = evolve(options, owner="none")
        return create(house, asked, lambda home: leases.begin(home, terms)).spec.id
    except AlreadyExists:
        return house.catalog.find(f"/{options.name}")


def _lease(
    house: House,
    options: ContainerOptions,
    container_id: str,
    terms: leases.Terms,
    run: leases.Run | None,
) -> str:
    """The name of a lease; empty where the container has ended, and nobody gets one any more."""
    with house.catalog.locked(container_id) as home:
        theirs = leases.terms_of(home)
        if theirs is None:
            raise AlreadyExists("container", f"/{options.name}", container_id)
        state = house.catalog.state(container_id)
        if leases.is_over(home) or (state.finished and state.status not in LIVELY):
            leases.end(home)
            return ""
        if differ := theirs.difference(terms):
            why = f"container {container_id[:12]} is shared, with another {' and '.join(differ)}"
            raise InvalidRequest(
                "name", options.name, why=why, expected="the same options, or another"
            )
        return leases.add(home, house.catalog.owner, run)


def _start(house: House, container_id: str) -> None:
    if house.catalog.state(container_id).status in LIVELY:
        return
    try:
        start(house, container_id)
    except WrongState:  # another holder was quicker
        return


def _introduce(house: House) -> None:
    """Have the keeper know that we may hold something."""
    with keeper.ensure(house.layout) as line:
        line.ask("watch", fields={"owner": house.catalog.owner})


# --- who looks after them ---


def _settle(house: House, container_id: str, lease: str = "") -> None:
    """Take *lease* back, and end the container if nobody holds it."""
    try:
        with house.catalog.locked(container_id) as home:
            if lease:
                leases.drop(home, lease)
            if _holders(house, home) or _await_runs(house, home):
                return
            leases.end(home)
    except ContainerNotFound:
        return
    ending.abandon(house, container_id)


def _holders(house: House, home: Home) -> list[str]:
    return leases.holders(home, lambda owner: recovery.watcher_lives(house.layout, owner))


def _await_runs(house: House, home: Home) -> bool:
    """Whether a run goes on of which somebody may come; the keeper looks again at its end."""
    found = False
    for run in leases.awaited(home, lambda owner: recovery.watcher_lives(house.layout, owner)):
        pidfd = open_process(run.pid, run.start_time)
        if pidfd is None:
            continue
        found = True
        if house.keeps and run not in house.watched:
            _watch(house, run, pidfd)
        else:
            os.close(pidfd)
    return found


def settle_all(house: House) -> None:
    """End every shared container that nobody holds any more."""
    for container_id in owners.containers_of(house.layout, STEADY):
        if os.path.isdir(house.layout.home(STEADY, container_id).leases):
            _settle(house, container_id)


def watch_all(house: House) -> None:
    """Watch everybody who holds something: a keeper before us was killed."""
    for container_id in owners.containers_of(house.layout, STEADY):
        for owner in _holders(house, house.layout.home(STEADY, container_id)):
            try:
                watch(house, owner)
            except EngineError as error:  # it has just left, or does not say who it is any more
                house.warn("not watched: %s", error)
    settle_all(house)


def watch(house: House, owner: str) -> None:
    """Put in order what *owner* held as soon as its process has ended. Raises `InvalidRequest`."""
    if owner not in owners.names(house.layout):
        raise InvalidRequest("owner", owner, expected="the name of an owner directory")
    if owner in house.watched:
        return
    found = records.read(f"{house.layout.owners}/{owner}/owner.json", owners.Owner)
    pidfd = None if found is None else open_process(found.pid, found.start_time)
    if pidfd is None:
        settle_all(house)
        return
    _watch(house, owner, pidfd)


def _watch(house: House, who: str | leases.Run, pidfd: int) -> None:
    house.watched.add(who)
    threading.Thread(
        target=_await_end, args=(house, who, pidfd), name="pyengine-leases", daemon=True
    ).start()


def _await_end(house: House, who: str | leases.Run, pidfd: int) -> None:
    try:
        has_ended(pidfd, None)
    finally:
        os.close(pidfd)
        house.watched.discard(who)
    settle_all(house)
