"""Children born straight through the C border, for tests that have no engine in between."""

from __future__ import annotations

import json
import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define, evolve, field

from pyengine.containers.compile import compile_plan
from pyengine.containers.identity import Identity
from pyengine.containers.surroundings import Root, Surroundings
from pyengine.linux import capabilities, native, native_joiner, seccomp
from pyengine.linux import plan as p
from pyengine.linux.plan import Plan, Step, texts
from pyengine.model.spec import ContainerSpec, Namespaces, Security

MASKED = (
    *("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys"),
    *("/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list"),
    *("/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware"),
)
READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
FRESH = p.NEWNS | p.NEWPID | p.NEWUTS | p.NEWIPC | p.NEWNET
ENV = ("PATH=/bin",)
PATIENCE = 20.0


@define
class Ran:
    """What became of a child: *failure* if it never was its program."""

    failure: native.Failure | None
    stdout: bytes
    stderr: bytes
    end: native.End

    @property
    def words(self) -> list[str]:
        """What it has said, in words."""
        return self.stdout.decode(errors="surrogateescape").split()

    @property
    def probe(self) -> Any:
        """What the probe tells: see support/probe.c."""
        assert self.failure is None, self.failure
        return json.loads(self.stdout)


@define
class House:
    """Directories for roots: *lower* is below them all, each container gets its own upper."""

    base: str
    lower: str
    _count: int = field(default=0, init=False)

    def directories(self) -> tuple[str, str, str]:
        """A new upper, a new work directory, and where to put roots."""
        self._count += 1
        home = f"{self.base}/{self._count}"
        for name in ("upper", "work", "mnt"):
            os.makedirs(f"{home}/{name}")
        return f"{home}/upper", f"{home}/work", f"{home}/mnt"

    def root(self, *lowers: str) -> tuple[Step, ...]:
        """Steps to a root that is not left for yet: `LEAVE` does that."""
        upper, work, mountpoint = self.directories()
        return (
            Step("slave"),
            Step(
                "overlay",
                source=texts((*lowers, self.lower)),
                data=os.fsencode(upper) + b"\0",
                kind=work,
                flags=p.OVERLAY_VOLATILE,
            ),
            Step("root", target=mountpoint),
        )

    def plan(self, *argv: str, steps: tuple[Step, ...] = (), **more: Any) -> Plan:
        """*argv* in a bare container: new namespaces, a root, /proc; *steps* before it leaves."""
        more.setdefault("unshare", FRESH)
        return Plan(argv, ENV, (*self.root(), PROC, *steps, *LEAVE), **more)

    def container(
        self,
        *argv: str,
        around: dict[str, Any] | None = None,
        lowers: tuple[str, ...] = (),
        **spec: Any,
    ) -> Plan:
        """*argv* in a container as an engine would make it, Docker's defaults and all."""
        upper, work, mountpoint = self.directories()
        security = spec.pop("security", Security())
        if not security.capabilities:
            security = evolve(security, capabilities=capabilities.DEFAULT)
        if not security.masked_paths:
            security = evolve(security, masked_paths=MASKED, readonly_paths=READONLY)
        whole = ContainerSpec(
            id="0" * 64,
            name="test",
            image="rootfs:/",
            argv=argv,
            env=ENV,
            hostname=spec.pop("hostname", "box"),
            security=security,
            namespaces=spec.pop("namespaces", Namespaces()),
            **spec,
        )
        extra = around or {}
        more = extra.pop("fds", ())
        profile = security.seccomp
        return compile_plan(
            whole,
            Surroundings(
                root=Root((*lowers, self.lower), upper, work, mountpoint),
                identity=extra.pop("identity", Identity()),
                filter=None
                if profile is None
                else seccomp.filter_for(profile, security.capabilities),
                fds=(native.own_pidfd(os.getpid()), *more),
                hosts="127.0.0.1\tlocalhost\n",
                resolv="nameserver 192.0.2.1\n",
                **extra,
            ),
        )


def mount(kind: str, target: str, *options: str, flags: int = 0) -> Step:
    """A step that mounts a file system; without a target it is the next steps' ``at``."""
    return Step("mount", target, kind=kind, flags=flags, data=texts(options).encode() + b"\0")


PROC = mount("proc", "/proc", flags=p.NOSUID | p.NODEV | p.NOEXEC)
LEAVE = (Step("pivot"),)


def run(plan: Plan, stdin: bytes = b"", *, joiner: native_joiner.Joiner | None = None) -> Ran:
    """Let *plan* be born, give it *stdin*, and wait for its end."""
    given, theirs = os.pipe()
    out, out_end = os.pipe()
    err, err_end = os.pipe()
    spawn = native.spawn if joiner is None else joiner.spawn
    try:
        child = spawn(plan, (given, out_end, err_end))
    except BaseException:
        for fd in (theirs, out, err):
            os.close(fd)
        raise
    finally:
        for fd in (given, out_end, err_end):
            os.close(fd)
    with os.fdopen(theirs, "wb") as file:
        file.write(stdin)
    failure = native.hear(child)
    with os.fdopen(out, "rb") as file:
        stdout = file.read()
    with os.fdopen(err, "rb") as file:
        stderr = file.read()
    if child.pidfd < 0:
        return Ran(failure, stdout, stderr, native.End(None, None, 0.0, 0.0, 0))
    end = native.wait(child.pidfd)
    os.close(child.pidfd)
    if child.terminal >= 0:
        os.close(child.terminal)
    assert end is not None
    return Ran(failure, stdout, stderr, end)


@contextmanager
def running(plan: Plan, *, joiner: native_joiner.Joiner | None = None) -> Iterator[native.Child]:
    """A child that lives as long as the block."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        spawn = native.spawn if joiner is None else joiner.spawn
        child = spawn(plan, (null, null, null))
    finally:
        os.close(null)
    failure = native.hear(child)
    try:
        assert failure is None, failure
        yield child
    finally:
        if child.pidfd >= 0:
            if select.select([child.pidfd], [], [], 0) == ([], [], []):
                signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
            native.wait(child.pidfd)
            os.close(child.pidfd)
        if child.terminal >= 0:
            os.close(child.terminal)


def joining(child: native.Child, *argv: str, steps: tuple[Step, ...] = (), **more: Any) -> Plan:
    """*argv* next to *child*, in every namespace of its."""
    shared = FRESH & ~p.NEWPID
    inside = Step("setns", fd=p.JOIN_TARGET, flags=shared, doing="join the namespaces")
    more.setdefault("fds", (native.own_pidfd(os.getpid()),))
    return Plan(
        argv,
        more.pop("env", ENV),
        (inside, *steps, Step("pdeathsig", flags=9, fd=p.JOIN_FDS)),
        target=child.pidfd,
        joined=FRESH,
        **more,
    )


def ends(pidfd: int, timeout: float = PATIENCE) -> bool:
    """Whether the process behind *pidfd* ends in time."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(max(timeout, 0) * 1000))
