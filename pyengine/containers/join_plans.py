"""What a program that is put into a running container has to do on its way (rows O12 to O14)."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

from attrs import evolve

from pyengine.containers.compile import has_home, is_alone, may_regroup, oom_score
from pyengine.containers.identity import Identity
from pyengine.containers.join_options import JoinOptions
from pyengine.containers.privilege_steps import (
    CONTROL,
    ENTER,
    privileges,
    rlimits,
    rlimits_raised,
    tie,
)
from pyengine.containers.running import Running
from pyengine.containers.seats import Seat
from pyengine.linux import plan as p
from pyengine.linux.capabilities import NAMES, held, last_cap, mask
from pyengine.linux.plan import Block, Plan, Step, encode
from pyengine.linux.seccomp import filter_for
from pyengine.model.record import ContainerRecord
from pyengine.model.spec import ContainerSpec

if TYPE_CHECKING:
    from pyengine.model.ids import IdMaps

_Kept = TypeVar("_Kept")
_SHARED = p.NEWNS | p.NEWUTS | p.NEWIPC | p.NEWNET | p.NEWCGROUP | p.NEWTIME


@lru_cache(maxsize=64)
def text_of(argv: tuple[str, ...]) -> str:
    """A command as events show it."""
    return " ".join(map(shlex.quote, argv))


def join_plan(
    record: ContainerRecord,
    options: JoinOptions,
    identity: Identity,
    seat: Seat,
    running: Running | None,
    ids: IdMaps | None = None,
) -> Plan:
    """All but its place: cgroup, target, and the fds, which are the owner's pidfd and those of
    the v1 ``tasks`` files of *seat*. The same wishes have the same plan: those of a container of
    ours are kept.

    *ids* are those of our user namespace, where we have one. Whoever is root there may join its
    pid namespace, but not come back: he has an usher. A container of another process is in one
    of its own, which is joined first of all, from outside; so is one that has users of its own.
    """
    spec, tasks = record.spec, len(seat.tasks)
    if options.privileged and running is not None:
        running.has_tracers = True
    first_id = record.first_id
    ushered = ids is not None or (not first_id and _needs_usher(spec, running))
    key = options, identity, tasks, ushered
    kept = running.join_plans.get(key) if running is not None else None
    if kept is None:
        steps = _steps(
            spec,
            options,
            identity,
            tasks,
            running,
            ids,
            first_id=first_id,
            ushered=ushered,
            marked=seat.is_nowhere,
        )
        kept = Plan(
            argv=options.argv,
            env=environment(spec, options, identity),
            parts=(steps,),
            joined=joined_namespaces(_shared(spec, ids, first_id), spec, ushered=ushered)
            | _of_others(running, ids),
            bounds=mask(NAMES if options.privileged else spec.security.capabilities),
        )
        kept = evolve(kept, laid=encode(kept))
        if running is not None and len(kept.laid) <= _LARGEST_KEPT:
            _keep(running.join_plans, key, kept)
    return kept


def _keep(kept: dict[object, _Kept], key: object, value: _Kept) -> None:
    if len(kept) >= _MOST_KEPT:
        kept.clear()
    kept[key] = value


def _steps(
    spec: ContainerSpec,
    options: JoinOptions,
    identity: Identity,
    tasks: int,
    running: Running | None,
    ids: IdMaps | None,
    *,
    first_id: int,
    ushered: bool,
    marked: bool,
) -> Block:
    """What another program of the same wishes has had to do."""
    key = (
        *(options.workdir, options.tty, options.console_size, options.open_stdin),
        *(options.privileged, identity, tasks, ushered),
    )
    steps = running.join_steps.get(key) if running is not None else None
    if steps is None:
        steps = compile_join(
            spec,
            options,
            identity,
            tasks=tasks,
            held=_gives(options, ids, first_id),
            ushered=ushered,
            entered=p.NEWUSER if first_id else _of_others(running, ids),
            first_id=first_id,
            raised=tuple(rlimits_raised(spec.ulimits)) if first_id else (),
            regroups=may_regroup(ids),
            pretends=is_alone(ids),
            shared=_shared(spec, ids, first_id),
            mark=_mark(spec) if marked else 0,
        )
        if running is not None:
            _keep(running.join_steps, key, steps)
    return steps


def _gives(options: JoinOptions, ids: IdMaps | None, first_id: int) -> int:
    """What a privileged program can be given: all there is, by who is root of a user namespace."""
    if not options.privileged:
        return 0
    return held() if ids is None and not first_id else mask(NAMES[: last_cap() + 1])


def _mark(spec: ContainerSpec) -> int:
    """The namespace that tells a program's descendants, where no cgroup does: linux/kin.py."""
    return p.NEWTIME if spec.namespaces.cgroup == "host" else p.NEWCGROUP


def _of_others(running: Running | None, ids: IdMaps | None) -> int:
    """CLONE_NEWUSER where the container is in another user namespace than our joiner."""
    return p.NEWUSER if running is None and ids is not None else 0


def _shared(spec: ContainerSpec, ids: IdMaps | None, first_id: int) -> int:
    """The namespaces to join: without root we are in those of the host, and may not enter them."""
    modes = spec.namespaces
    kinds = (
        *((modes.uts, p.NEWUTS), (modes.ipc, p.NEWIPC)),
        *((modes.network, p.NEWNET), (modes.cgroup, p.NEWCGROUP)),
    )
    if ids is None and not first_id:
        return _SHARED
    return _SHARED & ~sum(flag for mode, flag in kinds if mode == "host")


def joined_namespaces(shared: int, spec: ContainerSpec, *, ushered: bool) -> int:
    """The CLONE_NEW* flags of the namespaces that the joiner shares with *spec*'s."""
    inside = spec.namespaces.pid != "host" and not ushered
    return shared | (p.NEWPID if inside else 0)


def _needs_usher(spec: ContainerSpec, running: Running | None) -> bool:
    """Whether somebody inside may trace who is about to join: others never get at the joiner,
    which is not dumpable (ptrace(2)), and for them the way in is a process shorter. So it is
    where they have users of their own, whose root has no rights over memory of the host's.
    """
    if spec.namespaces.pid == "host":
        return False  # there the host's processes are seen anyway
    traces = "CAP_SYS_PTRACE" in spec.security.capabilities or spec.namespaces.pid != "private"
    return traces or running is None or running.has_tracers


_MOST_KEPT, _LARGEST_KEPT = 8, 1 << 14


def compile_join(
    spec: ContainerSpec,
    options: JoinOptions,
    identity: Identity,
    *,
    tasks: int,
    held: int,
    ushered: bool,
    entered: int = 0,
    first_id: int = 0,
    raised: tuple[Step, ...] = (),
    regroups: bool = True,
    pretends: bool = False,
    shared: int = _SHARED,
    mark: int = 0,
) -> Block:
    """Everything a child does between being cloned and running as one of *spec*'s programs.

    Its fds are the owner's pidfd and *tasks* v1 ``tasks`` files; *held* is the mask of what a
    privileged program can be given. *ushered*, it is born inside once all of the host is left
    behind, its root, these fds and what it may do too: its own are the last steps, which a
    filter has to allow. *shared* are the namespaces to join, *entered* is CLONE_NEWUSER where
    its user namespace is not ours yet, and *regroups* whether one may change groups in it. With
    *first_id*, what its root is outside, it gives away its streams before it enters, and raises
    limits (*raised*); it is that root from there on. *mark* is a CLONE_NEW* flag of a namespace
    that is to be its own, and its descendants'. Pure: the order is `compile_plan`'s.
    """
    seccomp = spec.security.seccomp
    shared |= entered | (p.NEWPID if ushered else 0)
    session = [Step("setsid")]
    if options.tty:
        rows, columns = options.console_size
        session.append(Step("tty", flags=rows << 16 | columns, doing="make its terminal"))
        session.append(CONTROL)
    workdir = options.workdir or spec.workdir
    rest = privileges(
        spec.security,
        identity,
        None if seccomp is None else filter_for(seccomp, spec.security.capabilities),
        owner=None if ushered else p.JOIN_FDS,
        own_stdio=options.tty or not first_id,
        capabilities=mask(NAMES) & held if options.privileged else None,
        regroups=regroups,
        pretends=pretends,
    )
    return Block(
        (
            *(
                Step("cgroup", fd=p.JOIN_FDS + 1 + index, doing="join the container's cgroup")
                for index in range(tasks)
            ),
            *oom_score(spec),
            *(_streams_of(options, first_id + identity.uid) if first_id else ()),
            *raised,
            Step("setns", fd=p.JOIN_TARGET, flags=shared, doing="join the container's namespaces"),
            *(_AS_ROOT_INSIDE if first_id else ()),
            *((Step("unshare", flags=mark, doing="mark its descendants"),) if mark else ()),
            *(() if ushered else session),
            *(() if options.tty or options.open_stdin else (_NULL_STDIN,)),
            Step("keyring", doing="join a session keyring of its own"),
            Step("chdir", workdir, doing=f"enter the working directory {workdir!r}"),
            Step("umask", flags=0o022),
            *rlimits(spec.ulimits),
            *rest.steps,
            *((ENTER, *session, tie(-1)) if ushered else ()),
        )
    )


def _streams_of(options: JoinOptions, owner: int) -> Iterator[Step]:
    """Who will have no right to give them away inside; our input may be all programs'."""
    if not options.tty:
        start = 0 if options.open_stdin else 1
        yield Step("own_stdio", flags=owner, fd=start, doing="give it its streams")


_AS_ROOT_INSIDE = (
    Step("groups", doing="leave the host's groups"),
    Step("ids", flags=0, fd=0, doing="become the container's root"),
)
_NULL_STDIN = Step("null_stdin", doing="give it an empty input")


def environment(spec: ContainerSpec, options: JoinOptions, identity: Identity) -> tuple[str, ...]:
    """The container's configured variables, not those its first process has made of them
    (pitfall 36), and what was asked for.
    """
    env = spec.env
    if options.env or options.tty:
        variables = dict(entry.partition("=")[::2] for entry in env)
        if options.tty:
            variables.setdefault("TERM", "xterm")
        for name, value in options.env:
            if value is None:
                variables.pop(name, None)
            else:
                variables[name] = value
        env = tuple(f"{name}={value}" for name, value in variables.items())
    return env if has_home(env) else (*env, f"HOME={identity.home}")
