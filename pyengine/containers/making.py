"""Making a container: what was asked becomes a record, which is true after its last rename."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from attrs import define, evolve

from pyengine.containers.host import host_facts
from pyengine.containers.house import House
from pyengine.containers.mount_sources import check_source
from pyengine.containers.naming import generate_name, new_id
from pyengine.containers.rootfs import Rootfs, host_root, is_of_the_host
from pyengine.containers.spec import resolve
from pyengine.containers.sweeper import remove
from pyengine.containers.userns_mode import give_users, refuse_users, take_users_back
from pyengine.errors import AlreadyExists, InvalidRequest
from pyengine.linux.seccomp import filter_for
from pyengine.model.mounts import MountKind
from pyengine.model.options import ContainerOptions
from pyengine.model.record import ContainerRecord
from pyengine.model.spec import ContainerSpec, Namespaces
from pyengine.model.state import ContainerState
from pyengine.store.layout import Home


@define
class Draft:
    """A container that has its place on disk, and is not true yet: nobody can find it.

    *held* keeps its image from being removed until then.
    """

    record: ContainerRecord
    home: Home
    has_name: bool  # whether its name is claimed
    held: ExitStack | None = None


def create(
    house: House, options: ContainerOptions, prepare: Callable[[Home], None] | None = None
) -> ContainerRecord:
    """Make a container that does not run yet; *prepare* its directory before that is true.

    Raises `InvalidRequest`, `ImageNotFound`, `AlreadyExists` (its name), `StoreError`; then
    nothing of it is left.
    """
    if options.stdin is not None:
        why = "whoever starts it feeds it"
        remedy = "stdin_open=True, and attach(stdin=True) before its start"
        raise InvalidRequest("stdin", options.stdin, why=why, expected=remedy)
    drafted = draft(house, options)
    try:
        if prepare is not None:
            prepare(drafted.home)
        return publish(house, drafted)
    except BaseException:
        withdraw(house, drafted)
        raise


def draft(house: House, options: ContainerOptions) -> Draft:
    """Everything of a new container but what makes it true; a name that was given is claimed."""
    house.enter()
    if is_of_the_host(options.image):
        return _draft(house, options, host_root(options.image, house.layout))
    from pyengine.containers.image_roots import image_root

    with ExitStack() as held:
        drafted = _draft(house, options, image_root(house, options, held))
        drafted.held = held.pop_all()
    return drafted


def _draft(house: House, options: ContainerOptions, root: Rootfs) -> Draft:
    catalog = house.catalog
    container_id = new_id()
    name = options.name or generate_name(catalog.is_taken)
    spec = resolve(
        options, root.config, id=container_id, name=name, created=time.time(), host=host_facts()
    )
    spec = _with_neighbours(house, spec)
    if spec.security.seccomp is not None:
        filter_for(spec.security.seccomp, spec.security.capabilities)  # a bad profile is told now
    for mount in spec.mounts:
        if mount.kind in (MountKind.BIND, MountKind.OVERLAY):
            check_source(mount)
    record = ContainerRecord(spec, root.layers, root.lowers, root.nested, image_id=root.image_id)
    if root.pieces:
        from pyengine.containers import farm

        record = evolve(record, farm=farm.farm_of(root.pieces, house.layout.root))
    if spec.security.userns not in ("", "host"):
        refuse_users(house, record)
    spare = house.spares.home() if options.owner == "process" else None
    drafted = Draft(record, catalog.place(container_id, options.owner, spare), False)
    try:
        if root.pieces:
            farm.lay_ground(root.pieces, drafted.home.upper)
        drafted.record = give_users(house, record, drafted.home)
        if options.name:
            catalog.claim_name(name, container_id)
            drafted.has_name = True
    except BaseException:
        withdraw(house, drafted)
        raise
    return drafted


def publish(house: House, drafted: Draft, born: ContainerState | None = None) -> ContainerRecord:
    """Make the container true. A generated name is drawn again if somebody was quicker.

    *born*: what it does already.
    """
    drafted.record = evolve(drafted.record, born=born)
    while True:
        try:
            drafted.home = house.catalog.write_record(drafted.record, _naming(house, drafted))
        except AlreadyExists:
            if drafted.has_name:
                raise
            spec = evolve(drafted.record.spec, name=generate_name(house.catalog.is_taken))
            drafted.record = evolve(drafted.record, spec=spec)
        else:
            _let_go(drafted)
            house.tell("create", drafted.record)
            return drafted.record


def _let_go(drafted: Draft) -> None:
    """Its record tells now what image it has, or it never will."""
    held, drafted.held = drafted.held, None
    if held is not None:
        held.close()


def _naming(house: House, drafted: Draft) -> Callable[[str], None] | None:
    """What claims the name with the whole record, before that is true; `None`: it is claimed."""
    if drafted.has_name:
        return None
    spec = drafted.record.spec

    def claim(record: str) -> None:
        house.catalog.claim_name(spec.name, spec.id, record)
        drafted.has_name = True

    return claim


def withdraw(house: House, drafted: Draft) -> None:
    """Take back a container that never was."""
    _let_go(drafted)
    spec = drafted.record.spec
    if drafted.has_name:
        house.catalog.release_name(spec.name, spec.id)
    house.catalog.forget(spec.id)
    remove(drafted.home.path)
    take_users_back(house, drafted.record)


_OWN_NAMESPACES = Namespaces()


def _with_neighbours(house: House, spec: ContainerSpec) -> ContainerSpec:
    """Namespaces of other containers are named by id from now on: names change (row C62)."""
    modes = spec.namespaces
    if modes is _OWN_NAMESPACES or modes == _OWN_NAMESPACES:
        return spec
    changed = {}
    for kind in ("pid", "ipc"):
        mode: str = getattr(modes, kind)
        if not mode.startswith("container:"):
            continue
        other = house.catalog.find(mode.removeprefix("container:"))
        neighbour = house.catalog.record(other)
        if neighbour.first_id:
            from pyengine.containers.own_users import refuse_sharing

            refuse_sharing(f"{kind}={mode!r}")
        if kind == "ipc":
            _check_shareable(neighbour.spec)
        changed[kind] = f"container:{other}"
    return evolve(spec, namespaces=evolve(modes, **changed)) if changed else spec


def _check_shareable(spec: ContainerSpec) -> None:
    if spec.namespaces.ipc not in ("shareable", "host"):
        why = f"non-shareable IPC (hint: use ipc='shareable' for the container {spec.name!r})"
        raise InvalidRequest("ipc", f"container:{spec.name}", why=why)
