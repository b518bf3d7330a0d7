"""Making a container: what was asked becomes a record, which is true after its last rename."""

from __future__ import annotations

import time

from attrs import evolve

from pyengine.containers.birth import check_source
from pyengine.containers.host import host_facts
from pyengine.containers.house import House
from pyengine.containers.naming import generate_name, new_id
from pyengine.containers.rootfs import resolve_image
from pyengine.containers.spec import resolve
from pyengine.containers.sweeper import remove
from pyengine.errors import AlreadyExists, InvalidRequest
from pyengine.model.mounts import MountKind
from pyengine.model.options import ContainerOptions
from pyengine.model.record import ContainerRecord
from pyengine.model.spec import ContainerSpec, Namespaces


def create(house: House, options: ContainerOptions) -> ContainerRecord:
    """Make a container that does not run yet.

    Raises `InvalidRequest`, `ImageNotFound`, `AlreadyExists` (its name), `StoreError`; then
    nothing of it is left.
    """
    house.enter()
    catalog = house.catalog
    root = resolve_image(options.image, house.layout)
    container_id = new_id()
    name = options.name or generate_name(catalog.is_taken)
    spec = resolve(
        options, root.config, id=container_id, name=name, created=time.time(), host=host_facts()
    )
    spec = _with_neighbours(house, spec)
    for mount in spec.mounts:
        if mount.kind in (MountKind.BIND, MountKind.OVERLAY):
            check_source(mount)
    record = ContainerRecord(spec, root.layers, root.lowers, root.nested)
    home = catalog.place(container_id, options.owner)
    try:
        record = _named(house, record, is_given=bool(options.name))
        catalog.write_record(record)
    except BaseException:
        catalog.release_name(record.spec.name, container_id)
        catalog.forget(container_id)
        remove(home.path)
        raise
    house.tell("create", record)
    return record


def _named(house: House, record: ContainerRecord, *, is_given: bool) -> ContainerRecord:
    """Claim its name; one that was generated is drawn again when somebody was quicker."""
    while True:
        try:
            house.catalog.claim_name(record.spec.name, record.spec.id)
        except AlreadyExists:
            if is_given:
                raise
            name = generate_name(house.catalog.is_taken)
            record = evolve(record, spec=evolve(record.spec, name=name))
        else:
            return record


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
        if kind == "ipc":
            _check_shareable(house.catalog.record(other).spec)
        changed[kind] = f"container:{other}"
    return evolve(spec, namespaces=evolve(modes, **changed)) if changed else spec


def _check_shareable(spec: ContainerSpec) -> None:
    if spec.namespaces.ipc not in ("shareable", "host"):
        why = f"non-shareable IPC (hint: use ipc='shareable' for the container {spec.name!r})"
        raise InvalidRequest("ipc", f"container:{spec.name}", why=why)
