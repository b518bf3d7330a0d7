"""From a specification to a plan: everything a child does between being cloned and running.

Pure: it decides, `linux.native` acts. The order is what keeps a container tight, so it is
tested: join and slave, root, mounts, masks, leave the host's root, names, limits, then
privileges from the outside in, and the parent-death signal after the ids, whose change
would clear it (prctl(2)).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pyengine.containers.mount_steps import cover_block, file_steps, mount_block, root_steps
from pyengine.containers.privilege_steps import CONTROL, ENTER, NOBODY, privileges, rlimits, tie
from pyengine.containers.surroundings import Surroundings
from pyengine.linux import plan as p
from pyengine.linux.capabilities import mask
from pyengine.linux.plan import Block, Plan, Step
from pyengine.model.spec import ContainerSpec

if TYPE_CHECKING:
    from pyengine.model.ids import IdMaps


def compile_plan(spec: ContainerSpec, around: Surroundings) -> Plan:
    """Everything the child of *spec* does between being cloned and running.

    In the pid namespace of another container it is born last, when nothing of the host and no
    right is left that somebody there could take from it: see csrc/joiner.c.
    """
    unshare = namespaces_of(spec, around)
    joins = around.pid_target >= 0
    first = p.JOIN_FDS
    # a cgroup namespace shows what is below the cgroups its maker is in: the container's, not ours
    later = unshare & ~born_into(spec, time_namespace=around.time_namespace)
    session = (Step("setsid", doing="start a session"), *((CONTROL,) if spec.tty else ()))
    owner = None if joins else first if around.tied else NOBODY
    parts: tuple[Step | Block, ...] = (
        *(() if around.outside else oom_score(spec)),
        *_enter(around, later, first),
        *root_steps(around, first),
        mount_block(spec, around, first),
        *file_steps(spec, around),
        cover_block(spec.security.masked_paths, spec.security.readonly_paths),
        *(() if joins else session),
        *_leave_host(spec, around),
        *rlimits(spec.ulimits),
        privileges(
            spec.security,
            around.identity,
            around.filter,
            owner=owner,
            own_stdio=True,
            regroups=may_regroup(around.ids),
            pretends=is_alone(around.ids),
        ),
        *((ENTER, *session) if joins else ()),
        *((tie(-1),) if joins and around.tied else ()),
    )
    env = spec.env if has_home(spec.env) else (*spec.env, f"HOME={around.identity.home}")
    return Plan(
        argv=spec.argv,
        env=env,
        parts=parts,
        unshare=born_into(spec, time_namespace=around.time_namespace),
        fds=around.fds,
        cgroup=around.cgroup,
        init=spec.init,
        target=around.pid_target,
        bounds=mask(spec.security.capabilities),
    )


def may_regroup(ids: IdMaps | None) -> bool:
    """Whether a process among *ids* may change its groups: who has but one may not."""
    return ids is None or not ids.is_single


def is_alone(ids: IdMaps | None) -> bool:
    """Whether there is root among *ids*, and nobody else whom it could give a file to."""
    return ids is not None and ids.is_single and ids.has_user(0)


def has_home(env: tuple[str, ...]) -> bool:
    """Whether *env* says where HOME is; an empty HOME says nothing (row C04)."""
    return any(entry.startswith("HOME=") and len(entry) > 5 for entry in env)


def namespaces_of(spec: ContainerSpec, around: Surroundings) -> int:
    """The CLONE_NEW* flags of the namespaces that are made for *spec*."""
    wanted = spec.namespaces
    flags = p.NEWNS
    if wanted.pid == "private":
        flags |= p.NEWPID
    if wanted.ipc in ("private", "shareable", "none"):
        flags |= p.NEWIPC
    if wanted.uts == "private":
        flags |= p.NEWUTS
    if wanted.cgroup == "private":
        flags |= p.NEWCGROUP
    if wanted.network != "host" and around.network is None:
        flags |= p.NEWNET
    if around.time_namespace:
        flags |= p.NEWTIME
    return flags


def born_into(spec: ContainerSpec, *, time_namespace: bool) -> int:
    """The CLONE_NEW* flags of the namespaces of *spec* that it has to be born into.

    They are a pid namespace, and on older kernels a time namespace (setns(2)).
    """
    pid = p.NEWPID if spec.namespaces.pid == "private" else 0
    return pid | (p.NEWTIME if time_namespace else 0)


def _enter(around: Surroundings, unshare: int, first: int) -> Iterator[Step]:
    for index in range(around.tasks):
        yield Step("cgroup", fd=first + 1 + index, doing="join the container's cgroup")
    if unshare:
        yield Step("unshare", flags=unshare, doing="make the container's namespaces")
    if around.network is not None:
        yield Step("setns", fd=first + around.network, flags=p.NEWNET, doing="join the network")
    if around.ipc_target is not None:
        yield Step(
            "setns", fd=first + around.ipc_target, flags=p.NEWIPC, doing="share its ipc namespace"
        )
    if around.pid_target >= 0:
        yield Step("setns", fd=p.JOIN_TARGET, flags=p.NEWPID, doing="share its pid namespace")
    yield Step("umask", flags=0)
    yield Step("slave", doing="keep its mounts from the host")


def _leave_host(spec: ContainerSpec, around: Surroundings) -> Iterator[Step]:
    yield _PIVOT
    if spec.security.read_only:
        yield Step("readonly_root", doing="make its root read-only")
    if spec.namespaces.uts == "private":
        yield Step("hostname", source=spec.hostname, doing=f"set hostname {spec.hostname!r}")
        if spec.domainname:
            yield Step("domainname", source=spec.domainname)
    if spec.namespaces.network != "host" and around.network is None:
        yield _LOOPBACK
    yield _KEYRING
    yield Step(
        "chdir", spec.workdir, flags=1, doing=f"enter the working directory {spec.workdir!r}"
    )
    yield _UMASK


_PIVOT = Step("pivot", doing="leave the host's root")
_LOOPBACK = Step("loopback", doing="bring its loopback up")
_KEYRING = Step("keyring", doing="join a session keyring of its own")
_UMASK = Step("umask", flags=0o022)


def oom_score(spec: ContainerSpec) -> tuple[Step, ...]:
    """How soon it is killed when memory is short; through the host's procfs, so it comes first."""
    if not spec.oom_score_adj:
        return ()
    score = str(spec.oom_score_adj).encode()
    doing = f"set oom_score_adj to {spec.oom_score_adj}"
    return (Step("proc_write", "oom_score_adj", data=score, flags=len(score), doing=doing),)
