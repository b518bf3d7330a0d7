"""What a container cannot have, or has otherwise, where its engine is not root.

Pure: nothing is left out in silence, whoever asks for it is told what is missing, in the words
in which ``capabilities()`` announces it.
"""

from __future__ import annotations

from attrs import evolve

from pyengine.containers.identity import Identity
from pyengine.errors import InvalidRequest, Unsupported
from pyengine.linux.delegation import NOT_DELEGATED, REMEDY
from pyengine.linux.userns import MORE_IDS
from pyengine.model.ids import IdMaps
from pyengine.model.mounts import Mount, MountKind
from pyengine.model.spec import ContainerSpec

AS_ROOT = "run as root, or leave it out"
NO_HOST_PROC = "only root may mount a /proc of the host's processes"
NO_HOST_USERS = "only root has the users of the host"
NO_SCORE = "whom the kernel kills first is for root to say"
NO_RULES = "devices come from the host as they are, by their own modes"
NO_PROPAGATION = "only root's mounts go on to other mount namespaces"
NO_BARE = "the kernel lets only root leave out what is mounted below, which hides what it covers"
NO_BARE_REMEDY = "bind it with all that is mounted there, or run as root"
_ONE_ID = "this user has one id only, so there is nobody else inside"


def refuse_unmet(spec: ContainerSpec, *, has_cgroup: bool) -> None:
    """Raise `Unsupported` for the first wish of *spec* that takes the host's root.

    *has_cgroup*: whether a cgroup of ours holds its processes.
    """
    modes = spec.namespaces
    if modes.pid == "host":
        _refuse("pid='host'", NO_HOST_PROC)
    if modes.pid != "private" and not has_cgroup:  # it could not be ended as one
        raise Unsupported(f"pid={modes.pid!r}", NOT_DELEGATED, REMEDY)
    if spec.cgroup_parent and not has_cgroup:
        raise Unsupported(f"cgroup_parent={spec.cgroup_parent!r}", NOT_DELEGATED, REMEDY)
    security = spec.security
    if security.writable_cgroups and not security.privileged and not has_cgroup:
        raise Unsupported("writable-cgroups", NOT_DELEGATED, REMEDY)
    if spec.oom_score_adj:
        _refuse("oom_score_adj", NO_SCORE)
    if security.device_rules:
        _refuse("device_cgroup_rules", NO_RULES)
    for device in security.devices:
        if set(device.access) != set("rwm"):
            _refuse(f"device access {device.access!r}", NO_RULES)
    for mount in spec.mounts:
        _check_mount(mount)


def _check_mount(mount: Mount) -> None:
    if mount.kind is MountKind.BIND and mount.propagation.lstrip("r") != "private":
        _refuse(f"mount propagation {mount.propagation!r}", NO_PROPAGATION)


def _refuse(feature: str, missing: str) -> None:
    raise Unsupported(feature, missing, AS_ROOT)


def _one_id(ids: IdMaps) -> str:
    return f"there is nobody else: {ids.why_single}" if ids.why_single else _ONE_ID


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
            raise Unsupported(f"user {user!r}", _one_id(ids), MORE_IDS)
        why = f"{identity.uid}:{identity.gid} is not among the ids that this user has"
        raise InvalidRequest("user", user, why=why)
    if not ids.is_single:
        unknown = [group for group in identity.groups if not ids.has_group(group)]
        if unknown:
            raise InvalidRequest("group", unknown[0], why="it is not among the groups of this user")
        return identity
    if group_add and set(identity.groups) != {identity.gid}:
        raise Unsupported(f"group_add={list(group_add)}", _one_id(ids), MORE_IDS)
    return evolve(identity, groups=(identity.gid,))
