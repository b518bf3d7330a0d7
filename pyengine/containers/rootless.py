"""What a container cannot have, or has otherwise, where its engine is not root.

Pure: nothing is left out in silence, whoever asks for it is told what is missing.
"""

from __future__ import annotations

from attrs import evolve

from pyengine.containers.identity import Identity
from pyengine.errors import InvalidRequest, Unsupported
from pyengine.linux.userns import MORE_IDS
from pyengine.model.ids import IdMaps
from pyengine.model.mounts import Mount, MountKind
from pyengine.model.spec import ContainerSpec

_AS_ROOT = "run as root, or leave it out"
_ONE_ID = "this user has one id only, so there is nobody else inside"


def refuse_unmet(spec: ContainerSpec, *, has_cgroup: bool) -> None:
    """Raise `Unsupported` for the first wish of *spec* that takes the host's root.

    *has_cgroup*: whether a cgroup of ours holds its processes.
    """
    modes = spec.namespaces
    if modes.pid == "host":
        _refuse("pid='host'", "only root may mount a /proc of the host's processes")
    if modes.pid != "private" and not has_cgroup:
        _refuse(f"pid={modes.pid!r}", "without a cgroup of its own it could not be ended as one")
    if spec.cgroup_parent and not has_cgroup:
        _refuse(f"cgroup_parent={spec.cgroup_parent!r}", "no cgroup tree is ours to write to")
    if spec.oom_score_adj:
        _refuse("oom_score_adj", "whom the kernel kills first is for root to say")
    if spec.security.device_rules:
        _refuse("device_cgroup_rules", "devices come from the host as they are, by their own modes")
    for device in spec.security.devices:
        if set(device.access) != set("rwm"):
            _refuse(f"device access {device.access!r}", "only root may filter what devices are for")
    for mount in spec.mounts:
        _check_mount(mount)


def _check_mount(mount: Mount) -> None:
    if mount.kind is MountKind.BIND and mount.propagation.lstrip("r") != "private":
        missing = "only root's mounts go on to other mount namespaces"
        _refuse(f"mount propagation {mount.propagation!r}", missing)


def _refuse(feature: str, missing: str) -> None:
    raise Unsupported(feature, missing, _AS_ROOT)


def mapped(
    identity: Identity, user: str, group_add: tuple[str, ...], ids: IdMaps | None
) -> Identity:
    """*identity*, which *user* and *group_add* mean, as far as it exists among *ids*.

    Who cannot change groups is in those of its image as little as in others. Raises
    `Unsupported` where there is but one id, and `InvalidRequest` for others that are not mapped.
    """
    if ids is None:
        return identity
    if not ids.has_user(identity.uid) or not ids.has_group(identity.gid):
        if ids.is_single:
            raise Unsupported(f"user {user!r}", _ONE_ID, MORE_IDS)
        why = f"{identity.uid}:{identity.gid} is not among the ids that this user has"
        raise InvalidRequest("user", user, why=why)
    if not ids.is_single:
        unknown = [group for group in identity.groups if not ids.has_group(group)]
        if unknown:
            raise InvalidRequest("group", unknown[0], why="it is not among the groups of this user")
        return identity
    if group_add and set(identity.groups) != {identity.gid}:
        raise Unsupported(f"group_add={list(group_add)}", _ONE_ID, MORE_IDS)
    return evolve(identity, groups=(identity.gid,))
