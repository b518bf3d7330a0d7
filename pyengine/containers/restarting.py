"""Containers that start again by themselves: how long each waits, and what ends the waiting.

A container that waits is ``restarting`` in its state file, under whose lock everything is
decided: who stops it, in whatever process, writes ``exited`` there, and then the alarm that
would have started it finds nothing to do.
"""

from __future__ import annotations

from functools import partial

from attrs import evolve, frozen

from pyengine.containers.house import House
from pyengine.errors import ContainerNotFound, EngineError
from pyengine.model.restart import FIRST_DELAY, next_delay, starts_again
from pyengine.model.spec import ContainerSpec
from pyengine.model.state import ContainerState, Status


@frozen
class Delay:
    """How long a container waits, or has waited before it was started last, and its alarm."""

    seconds: float
    alarm: int


def after(house: House, spec: ContainerSpec, state: ContainerState, ran: float) -> ContainerState:
    """The state of a container whose program has ended: *state*, or that it starts again.

    *spec* is what the container is by now; it *ran* so many seconds. Its lock is held.
    """
    is_wanted = starts_again(
        spec.restart,
        spec.restart_retries,
        exit_code=state.exit_code,
        restarts=state.restarts,
        stopped_by_hand=state.stopped_by_hand,
    )
    last = house.delays.pop(spec.id, None)
    if not is_wanted or house.alarms.is_closed:
        return state
    again = evolve(state, status=Status.RESTARTING, restarts=state.restarts + 1)
    return wait(house, spec.id, again, next_delay(last.seconds if last else 0.0, ran))


def wait(
    house: House, container_id: str, state: ContainerState, seconds: float = FIRST_DELAY
) -> ContainerState:
    """Start it again in so many *seconds*; the state to be written down meanwhile."""
    alarm = house.alarms.after(seconds, partial(_start, house, container_id))
    house.delays[container_id] = Delay(seconds, alarm)
    return evolve(state, watcher=house.catalog.owner, kept=house.keeps)


def _start(house: House, container_id: str) -> None:
    from pyengine.containers.starting import start_again

    try:
        start_again(house, container_id)
    except ContainerNotFound:
        forget(house, container_id)
    except EngineError as error:  # told by its state; docker does not try again either
        forget(house, container_id)
        if house.logger is not None:
            house.logger.warning("container %s does not start again: %s", container_id[:12], error)


def forget(house: House, container_id: str) -> None:
    """Its next wait is a first one, and nothing starts it meanwhile."""
    delay = house.delays.pop(container_id, None)
    if delay is not None:
        house.alarms.cancel(delay.alarm)


def give_up(state: ContainerState, *, by_hand: bool) -> ContainerState:
    """The state of one that waited to start again, and does not any more."""
    stopped = state.stopped_by_hand or by_hand
    return evolve(state, status=Status.EXITED, stopped_by_hand=stopped, watcher="", kept=False)


def settle(house: House, container_id: str) -> None:
    """It shall not start again any more; its lock is held."""
    state = house.catalog.state(container_id)
    if state.status is Status.RESTARTING:
        forget(house, container_id)
        house.catalog.write_state(container_id, give_up(state, by_hand=False))


def close(house: House) -> None:
    """Nothing starts by itself any more: the house is being closed."""
    house.alarms.close()
    for container_id in list(house.delays):
        try:
            with house.catalog.locked(container_id):
                settle(house, container_id)
        except EngineError:  # removed; or no space, and then the next to open this root sees to it
            continue
    house.delays.clear()
