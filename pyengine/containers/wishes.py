"""What only some engines can give: wishes that take root, or a cgroup, to be granted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from attrs import frozen

from pyengine.containers.diagnosis import Cause, diagnose_limit
from pyengine.containers.house import House
from pyengine.containers.rootless import (
    AS_ROOT,
    NO_BARE,
    NO_BARE_REMEDY,
    NO_HOST_PROC,
    NO_HOST_USERS,
    NO_PROPAGATION,
    NO_RULES,
    NO_SCORE,
)
from pyengine.containers.userns_mode import NO_USER
from pyengine.errors import EngineError, Unsupported
from pyengine.linux import plan as p
from pyengine.linux import trial
from pyengine.linux.cgroup import Cgroup
from pyengine.linux.device_filter import DevicePolicy
from pyengine.linux.plan import Step, texts
from pyengine.linux.trial import HostLimits
from pyengine.linux.userns import ids_for
from pyengine.model.capabilities import Feature
from pyengine.model.spec import Resources

_PRIVATE = Step("unshare", flags=p.NEWNS), Step("slave")
_WORKS: Cause = ("", "")
_STANDING_STILL = ("pause", "being paused as one", ("pause",))
_ENDED = ("kill", "a cgroup of its own to be ended as one with", ())
_COUNTED = ("stats", "being told what it uses", ("stats",))
_PLACED = (
    "cgroups",
    "a cgroup of its user's choice, and cgroups that it makes",
    ("cgroup_parent", "writable-cgroups"),
)
_SHARED = ("pid-shared", "the processes of another container", ("pid='container",))


def wishes(house: House, host: HostLimits) -> Iterator[Feature]:
    """Whether each can be granted by an engine that lives here, found out by trying it."""
    yield from _of_a_cgroup(house, host)
    for each in _OF_ROOT:
        why, remedy = each.cause(house, host)
        yield Feature(each.name, each.what, not why, why, remedy, options=each.options)


def _of_a_cgroup(house: House, host: HostLimits) -> Iterator[Feature]:
    found, tree = house.hierarchy.describe(), house.hierarchy
    has_cgroup = host.user == 0 or tree.v2 is not None
    for (name, what, options), works in (
        (_STANDING_STILL, found.can_freeze),
        (_ENDED, found.can_kill),
        (_COUNTED, tree.v2 is not None or bool(tree.v1)),
        (_PLACED, has_cgroup),
        (_SHARED, has_cgroup),
    ):
        cause = _WORKS if works else diagnose_limit("freezer", 0, host)
        yield Feature(name, what, works, *cause, options=options)


def _host_processes(house: House, host: HostLimits) -> Cause:
    data = texts(("source=proc",)).encode() + b"\0"
    steps = (*_PRIVATE, Step("mount", kind="proc", data=data, flags=p.NOSUID, doing="mount proc"))
    return _WORKS if trial.attempt(house.joiner, steps) is None else (NO_HOST_PROC, AS_ROOT)


def _score(house: House, host: HostLimits) -> Cause:
    step = Step("proc_write", "oom_score_adj", data=b"1000", flags=4, doing="raise it")
    return _WORKS if trial.attempt(house.joiner, (step,)) is None else (NO_SCORE, AS_ROOT)


def _device_rules(house: House, host: HostLimits) -> Cause:
    """Tried on a cgroup without processes, whose devices are none at all."""
    if host.user != 0:
        return NO_RULES, AS_ROOT
    name = f"trial-{os.urandom(6).hex()}"
    try:
        made = Cgroup.create(house.hierarchy, name, Resources(), devices=DevicePolicy(()))
    except EngineError as error:
        return str(error), "run where cgroups may be written to"
    try:
        return (
            (made.unfiltered, "use a kernel with CONFIG_CGROUP_BPF") if made.unfiltered else _WORKS
        )
    finally:
        made.remove(timeout=0)


def _propagation(house: House, host: HostLimits) -> Cause:
    """A mount that is made where others see it: without root all are copies, which lead nowhere."""
    return _WORKS if house.joiner.ids is None else (NO_PROPAGATION, AS_ROOT)


def _bare(house: House, host: HostLimits) -> Cause:
    """The host's root has mounts below it, if nothing else of the host has."""
    step = Step("bind", source="/", kind="private", doing="bind /")
    refused = trial.attempt(house.joiner, (*_PRIVATE, step))
    return _WORKS if refused is None else (NO_BARE, NO_BARE_REMEDY)


def _host_users(house: House, host: HostLimits) -> Cause:
    return _WORKS if house.joiner.ids is None else (NO_HOST_USERS, AS_ROOT)


def _own_user(house: House, host: HostLimits) -> Cause:
    return NO_USER if host.user == 0 else _WORKS


def _nobody(house: House, host: HostLimits) -> Cause:
    if host.user == 0:
        return NO_USER
    try:
        ids_for("nomap", why_single=house.joiners.why_single)
    except Unsupported as error:
        return error.missing, error.remedy
    return _WORKS


@frozen
class _Wish:
    """*options*, and what stands in the way of them, as *cause* finds out."""

    name: str
    what: str
    options: tuple[str, ...]
    cause: Callable[[House, HostLimits], Cause]


_OF_ROOT = (
    _Wish("pid-host", "the host's own processes", ("pid='host'",), _host_processes),
    _Wish("oom-score", "how soon memory shortage ends it", ("oom_score_adj",), _score),
    _Wish(
        "device-rules",
        "rules for its devices",
        ("device_cgroup_rules", "device access"),
        _device_rules,
    ),
    _Wish(
        "propagation",
        "mounts that go on to others after it has begun",
        ("mount propagation",),
        _propagation,
    ),
    _Wish("bare-binds", "directories without what is mounted below", ("recursive=False",), _bare),
    _Wish("host-users", "the host's own users", ("userns='host'",), _host_users),
    _Wish("keep-id", "being oneself inside", ("userns='keep-id",), _own_user),
    _Wish("nomap", "being nobody outside", ("userns='nomap'",), _nobody),
)

NAMES = frozenset(
    (
        *(each[0] for each in (_STANDING_STILL, _ENDED, _COUNTED, _PLACED, _SHARED)),
        *(each.name for each in _OF_ROOT),
    )
)
