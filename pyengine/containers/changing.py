"""Changing a container that is there: its name, its limits, whether it may go on."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from pyengine.containers import asking, ending, restarting
from pyengine.containers.host import host_facts
from pyengine.containers.house import House
from pyengine.containers.looking import cgroup_of, require_running, state_of, status_of
from pyengine.containers.resources import merged
from pyengine.containers.spec import check_host
from pyengine.containers.starting import start
from pyengine.errors import ContainerNotFound, InvalidRequest, StoreError, WrongState
from pyengine.model.options import parse_resources
from pyengine.model.options_lifecycle import restart as read_restart
from pyengine.model.options_program import container_name
from pyengine.model.signals import parse_signal
from pyengine.model.spec import ContainerSpec
from pyengine.model.state import Status


def pause(house: House, container_id: str) -> None:
    """Freeze every process. Raises `WrongState`, `TimedOut`, `Unsupported`."""
    require_running(house, container_id, "pause")
    with house.catalog.locked(container_id):
        _, state = require_running(house, container_id, "pause")
        cgroup_of(house, container_id).freeze()
        house.catalog.write_state(container_id, evolve(state, status=Status.PAUSED))
    house.tell("pause", house.catalog.record(container_id))


def unpause(house: House, container_id: str) -> None:
    """Let every process go on. Raises `WrongState` for one that is not paused."""
    house.enter()
    record = house.catalog.record(container_id)
    with house.catalog.locked(container_id):
        state = state_of(house, container_id)
        if state.status is not Status.PAUSED:
            hint = f"Container {container_id} is not paused"
            raise WrongState(record.spec.name, str(state.status), "unpause", hint)
        cgroup_of(house, container_id).thaw()
        house.catalog.write_state(container_id, evolve(state, status=Status.RUNNING))
    house.tell("unpause", record)


def restart(
    house: House, container_id: str, timeout: float | None = None, signal: object = None
) -> None:
    """Stop it if it runs, keep it though it would be removed at its end, start it (row O05)."""
    house.enter()
    record = house.catalog.record(container_id)
    running = house.running.get(container_id)
    if running is not None:
        running.keep = True
    elif status_of(house, container_id) in (Status.RUNNING, Status.PAUSED):
        number = None if signal is None else parse_signal(signal)
        asked = {"timeout": timeout, "signal": number}
        asking.ask_watcher(house, container_id, "restart", asked, wait=None)
        return
    ending.stop(house, container_id, timeout, signal)
    start(house, container_id)
    house.tell("restart", record)


def stop_and_remove(house: House, container_id: str) -> None:
    """Stop and remove it; one that is gone already is fine."""
    try:
        ending.stop(house, container_id)
        ending.remove(house, container_id, force=True)
    except ContainerNotFound:
        return


def rename(house: House, container_id: str, new: str) -> None:
    """Call it *new* (row O31). Raises `InvalidRequest`, `AlreadyExists`."""
    house.enter()
    name = container_name(new)
    with house.catalog.locked(container_id):
        record = house.catalog.record(container_id)
        old = record.spec.name
        if name == old:
            why = "Renaming a container with the same name as its current name"
            raise InvalidRequest("container name", new, why=why)
        house.catalog.claim_name(name, container_id)
        house.catalog.write_record(evolve(record, spec=evolve(record.spec, name=name)))
        try:
            house.catalog.release_name(old, container_id)
        except StoreError:  # it has its new name: only that the old one is free has to wait
            house.sweeper.later(lambda: house.catalog.release_name(old, container_id))
    house.tell("rename", house.catalog.record(container_id), oldName=f"/{old}")


def update(house: House, container_id: str, changes: Mapping[str, object]) -> tuple[str, ...]:
    """Put new limits and another restart policy in force, and write them down (row O32).

    Answers warnings.
    """
    house.enter()
    asked = dict(changes)
    given = asked.pop("restart", None)
    policy = None if given is None else read_restart(given)
    wanted = parse_resources(asked)
    warnings: tuple[str, ...] = ()
    with house.catalog.locked(container_id):
        record = house.catalog.record(container_id)
        spec = record.spec if policy is None else _with_policy(record.spec, *policy)
        resources = merged(record.spec.resources, wanted)
        check_host(resources, host_facts())
        if status_of(house, container_id) in (Status.RUNNING, Status.PAUSED):
            cgroup = cgroup_of(house, container_id)
            cgroup.update(resources)
            if cgroup.enforced.unenforced:
                from pyengine.containers import cautions

                cautions.warn(cgroup.enforced.unenforced)
            warnings = tuple(cgroup.enforced.notes)
            house.catalog.write_state(
                container_id, evolve(house.catalog.state(container_id), warnings=warnings)
            )
        house.catalog.write_record(evolve(record, spec=evolve(spec, resources=resources)))
        if spec.restart == "no":
            restarting.settle(house, container_id)
    house.tell("update", record)
    return warnings


def _with_policy(spec: ContainerSpec, policy: str, most: int) -> ContainerSpec:
    if spec.auto_remove and policy != "no":
        why = "Restart policy cannot be updated because AutoRemove is enabled for the container"
        raise InvalidRequest("restart", policy, why=why)
    return evolve(spec, restart=policy, restart_retries=most)
