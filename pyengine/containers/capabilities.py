"""What this host allows, found out by having children try it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from attrs import frozen

from pyengine.containers.diagnosis import diagnose, diagnose_limit
from pyengine.containers.house import House
from pyengine.containers.sweeper import remove
from pyengine.containers.wishes import NAMES as WISHES
from pyengine.containers.wishes import wishes
from pyengine.containers.writable import require_marks
from pyengine.errors import EngineError, InvalidRequest, StoreError, Unsupported
from pyengine.linux import plan as p
from pyengine.linux import seccomp, trial
from pyengine.linux.capabilities import DEFAULT
from pyengine.linux.native_joiner import Joiner
from pyengine.linux.plan import Step, texts
from pyengine.linux.trial import HostLimits, Refusal
from pyengine.model.capabilities import Capabilities, Feature
from pyengine.model.spec import DEFAULT_PIDS_LIMIT

_MEMORY = ("memory_swap", "memory_reservation", "memory_swappiness", "oom_kill_disable")
_CPU = ("cpu_shares", "cpu_period", "cpu_rt_period", "cpu_rt_runtime")
_IO = (
    *("blkio_weight", "blkio_weight_device", "device_read_bps", "device_write_bps"),
    *("device_read_iops", "device_write_iops"),
)
_ESSENTIAL = frozenset(("mount", "overlay", "pid", "proc"))
_LIMITS = {
    "memory": ("memory", "a limit of memory", ("memory", *_MEMORY)),
    "cpu": ("cpu", "a share, and a limit, of processor time", ("cpus", *_CPU)),
    "cpuset": ("cpuset", "processors of its own", ("cpuset", "cpuset_mems")),
    "pids": ("pids", f"a limit of processes: {DEFAULT_PIDS_LIMIT:,} if not asked", ("pids",)),
    "io": ("blkio", "limits of what it reads from and writes to disks", _IO),
}
"""Each one's controller, what it is for, and the options that need it."""

_UNBUILT = frozenset(("networks", "volumes", "images", "builds"))


@frozen
class Trial:
    """What a child does to find out whether *name* works: *steps*, born into *unshare*."""

    name: str
    what: str
    steps: tuple[Step, ...] = ()
    unshare: int = 0
    cost: str = ""


def _mount(kind: str, *options: str) -> Step:
    data = texts((f"source={kind}", *options)).encode() + b"\0"
    return Step("mount", kind=kind, data=data, flags=p.NOSUID, doing=f"mount {kind}")


def _unshare(flags: int) -> Step:
    return Step("unshare", flags=flags, doing="make namespaces")


_PRIVATE = (_unshare(p.NEWNS), Step("slave", doing="keep mounts from the host"))
_NULL_DEVICE = (0o20666 << 32) | 1 << 8 | 3


def _trials() -> Iterator[Trial]:
    yield Trial("pid", "processes of its own", unshare=p.NEWPID)
    yield Trial("mount", "a file system of its own", _PRIVATE)
    yield Trial("uts", "a host name of its own", (_unshare(p.NEWUTS),))
    yield Trial("ipc", "shared memory and queues of its own", (_unshare(p.NEWIPC),))
    yield Trial("net", "a network of its own", (_unshare(p.NEWNET),))
    yield Trial("cgroup", "a view of cgroups of its own", (_unshare(p.NEWCGROUP),))
    yield Trial("time", "a clock of its own", unshare=p.NEWTIME)
    yield Trial("proc", "a /proc of its own", (*_PRIVATE, _mount("proc")), p.NEWPID)
    sys = (_unshare(p.NEWNET), *_PRIVATE, _mount("sysfs", "ro"))
    yield Trial("sys", "a /sys of its own", sys)
    yield Trial("tmpfs", "file systems in memory", (*_PRIVATE, _mount("tmpfs", "size=64k")))
    queues = (_unshare(p.NEWIPC), *_PRIVATE, _mount("mqueue"))
    yield Trial("mqueue", "message queues as files", queues)
    terminals = (*_PRIVATE, _mount("devpts", "newinstance", "ptmxmode=0666"))
    yield Trial("terminals", "terminals of its own", terminals)
    node = (*_PRIVATE, _mount("tmpfs", "size=64k"), Step("mknod", "null", flags=_NULL_DEVICE))
    yield Trial("mknod", "devices made for it", node)
    yield Trial("keyring", "a session keyring of its own", (Step("keyring"),))
    judge = seccomp.filter_for("default", DEFAULT)
    assert judge is not None
    program, size = judge.program, len(judge.program) // 8
    install = Step("seccomp", data=program, fd=size, flags=judge.flags, doing="install a filter")
    yield Trial("seccomp", "a filter of its system calls", (Step("no_new_privs"), install))


NAMES = frozenset(
    (
        *(each.name for each in _trials()),
        *(*_LIMITS, *WISHES, "overlay", "own-ids", "subids", "userns"),
    )
)
"""Every feature there is."""


def capabilities(house: House) -> Capabilities:
    """What can be done here; found out once for each engine."""
    house.enter()
    if house.capabilities is None:
        house.capabilities = _probe(house)
    return house.capabilities


def require(house: House, features: tuple[str, ...]) -> None:
    """Raise `Unsupported` where one of *features* does not work.

    Raises `InvalidRequest` for one that nobody knows, before anything is tried.
    """
    for name in features:
        if name in _UNBUILT:
            raise Unsupported(name, "it is not built yet", "require less")
        if name not in NAMES:
            raise InvalidRequest("require", name, expected=f"some of {', '.join(sorted(NAMES))}")
    for name in features:
        found = capabilities(house)[name]
        if not found.works:
            raise Unsupported(name, found.why, found.remedy)


def _probe(house: House) -> Capabilities:
    host = trial.host_limits()
    features = (
        *_kernel_features(house, host),
        *_cgroup_features(house, host),
        _subids(house, host),
        _own_ids(house, host),
        *wishes(house, host),
    )
    if not all(feature.works for feature in features if feature.name in _ESSENTIAL):
        tier = "none"
    elif host.user == 0:
        tier = "root"
    else:
        tier = "single" if house.joiners.why_single else "subids"
    return Capabilities(tier, features)


def _kernel_features(house: House, host: HostLimits) -> Iterator[Feature]:
    outside = Joiner()
    try:
        users = trial.attempt(outside, (_unshare(p.NEWUSER),))
    finally:
        outside.close()
    yield _feature("userns", "users of its own", users, host)
    # without root nothing goes without users of our own: then that is the cause of all the rest
    cause = diagnose("userns", users, host) if users is not None and host.user != 0 else None
    with _overlay(house) as overlay:
        for each in (*_trials(), overlay):
            if cause is not None:
                yield Feature(each.name, each.what, False, *cause, cost=each.cost)
                continue
            refusal = trial.attempt(house.joiner, each.steps, each.unshare)
            if each is overlay:
                refusal = refusal or _no_marks(house)
            yield _feature(each.name, each.what, refusal, host, each.cost)


def _no_marks(house: House) -> Refusal | None:
    """Why layers would not do though they can be mounted."""
    if house.joiner.ids is None:
        return None
    try:
        require_marks(house.layout.owners)
    except StoreError as error:
        return Refusal("", 0, error.why, error.remedy)
    return None


def _feature(
    name: str, what: str, refusal: Refusal | None, host: HostLimits, cost: str = ""
) -> Feature:
    if refusal is None:
        return Feature(name, what, True, cost=cost)
    why, remedy = diagnose(name, refusal, host)
    return Feature(name, what, False, why, remedy, cost)


@contextmanager
def _overlay(house: House) -> Iterator[Trial]:
    """Layers, tried where our containers have theirs."""
    place = f"{house.catalog.trash}/trial-{os.urandom(6).hex()}"
    for name in ("lower", "upper", "work"):
        os.makedirs(f"{place}/{name}", 0o700)
    marks = 0 if house.joiner.ids is None else p.OVERLAY_USERXATTR
    step = Step(
        "overlay",
        source=texts((f"{place}/lower",)),
        data=os.fsencode(f"{place}/upper") + b"\0",
        kind=f"{place}/work",
        flags=p.OVERLAY_VOLATILE | marks,
        doing=f"mount an overlay below {house.layout.root}",
    )
    try:
        yield Trial("overlay", "layers below what it writes", (*_PRIVATE, step))
    finally:
        remove(place)


def _cgroup_features(house: House, host: HostLimits) -> Iterator[Feature]:
    found, delegation = house.hierarchy.describe(), house.hierarchy.delegation
    for name, (controller, what, options) in _LIMITS.items():
        is_there = controller in found.controllers or name in found.controllers
        number = _try_cgroup(house, controller) if is_there else 0
        if is_there and number == 0:
            yield Feature(name, what, True, options=options)
        else:
            given = None
            if delegation is not None and (host.user != 0 or delegation.directory is not None):
                given = delegation.why_not(name)
            why, remedy = diagnose_limit(name, number, host, given)
            yield Feature(name, what, False, why, remedy, options=options)


def _try_cgroup(house: House, controller: str) -> int:
    """The errno of making a cgroup where *controller* would limit one; 0 if it was made."""
    place = house.hierarchy.v1.get(controller) or house.hierarchy.v2
    if place is None:
        return errno.ENOENT
    path = f"{place}/pyengine-trial-{os.urandom(6).hex()}"
    try:
        os.mkdir(path, 0o755)
        os.rmdir(path)
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _subids(house: House, host: HostLimits) -> Feature:
    """Found out by having them mapped, which is done before anything is born."""
    what = "more than one user inside, where the engine is not root"
    why, remedy = house.joiners.cause
    cost = "" if why or host.user == 0 else "3 ms, once for an engine"
    return Feature("subids", what, not why, why, remedy, cost, ("user", "group_add"))


def _own_ids(house: House, host: HostLimits) -> Feature:
    """Whether ``userns="auto"`` can be had for files where the engine's own are."""
    name, what = "own-ids", "ids that nobody else has, over files that are shown with them"
    if host.user != 0:
        return Feature(name, what, False, "only root may give them", "run as root")
    options = ("userns='auto'",)
    try:
        house.ranges.check((house.layout.layers,))
    except Unsupported as error:
        return Feature(name, what, False, error.missing, error.remedy, options=options)
    except EngineError as error:
        return Feature(name, what, False, str(error), "", options=options)
    return Feature(name, what, True, cost="a tenth of a start", options=options)
