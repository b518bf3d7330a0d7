"""From what was asked, what the image says and what the host has, to what will run."""

from __future__ import annotations

from functools import lru_cache

from attrs import evolve, frozen

from pyengine.errors import InvalidRequest, Unsupported
from pyengine.linux.capabilities import DEFAULT, adjust, mask
from pyengine.model.architectures import architecture_of
from pyengine.model.config import ImageConfig
from pyengine.model.mounts import Mount, MountKind
from pyengine.model.options import ContainerOptions
from pyengine.model.options_network import expose
from pyengine.model.options_resources import parse_cpu_list
from pyengine.model.options_security import SecurityOptions
from pyengine.model.options_words import absolute_path
from pyengine.model.signals import SIGTERM, parse_signal
from pyengine.model.spec import (
    DEFAULT_PATH,
    DEFAULT_SHM_SIZE,
    DEFAULT_STOP_TIMEOUT,
    ContainerSpec,
    HealthCheck,
    LogConfig,
    Resources,
    Security,
)
from pyengine.model.tmpfs_options import complete_tmpfs_options

MASKED_PATHS = (
    *("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys"),
    *("/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list"),
    *("/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware"),
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

DEFAULT_LOG = LogConfig("json-file", (("max-file", "2"), ("max-size", "16m")))
"""Docker's default keeps everything for ever; here a flood of output ends in a ring."""


@frozen(cache_hash=True)
class HostFacts:
    """What a specification depends on of the host.

    *cpus* counts processors; *cpuset_cpus* and *cpuset_mems* are those our cgroup may use,
    such as ``0-3`` (empty: not known). *memory* is in bytes. *architecture* is uname's or an
    image's word. *held* is the mask of the capabilities we can hand on.
    *thermal_paths* are the existing ``…/cpuN/thermal_throttle`` directories,
    *security_modules* those that confine programs here (``apparmor``, ``selinux``).
    *user* and *group* are who we are.
    """

    cpus: int
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    memory: int = 0
    last_cap: int = 40
    held: int = -1
    architecture: str = "x86_64"
    cgroup_version: int = 2
    hostname: str = "localhost"
    thermal_paths: tuple[str, ...] = ()
    security_modules: tuple[str, ...] = ()
    user: int = 0
    group: int = 0


def resolve(
    options: ContainerOptions,
    config: ImageConfig,
    *,
    id: str,
    name: str,
    created: float,
    host: HostFacts,
) -> ContainerSpec:
    """What will run: *options*, over the image's *config*, over the defaults.

    *created* is in seconds since 1970. Raises `InvalidRequest` where the image, the host and
    the options do not fit together, and `Unsupported` for another platform than the host's.
    """
    entrypoint, command = program_of(options.entrypoint, options.command, config)
    namespaces = options.namespaces
    hosts_name = namespaces.uts == "host" or namespaces.network == "host"
    hostname = options.hostname or (host.hostname if hosts_name else id[:12])
    if options.resources is not _RESOURCES:
        check_host(options.resources, host)
    signal = options.stop_signal
    if signal is None:
        image_signal = config.stop_signal
        signal = parse_signal(image_signal, "stop signal of the image") if image_signal else SIGTERM
    timeout = options.stop_timeout
    return ContainerSpec(
        id=id,
        name=name,
        image=options.image,
        argv=entrypoint + command,
        env=environment_of(options.env, config.env, hostname, tty=options.tty),
        entrypoint=entrypoint,
        command=command,
        workdir=options.workdir or workdir_of(config),
        user=user_of(options, config, host),
        group_add=options.group_add,
        hostname=hostname,
        domainname=options.domainname,
        labels=labels_of(options.labels, config.labels),
        annotations=options.annotations,
        tty=options.tty,
        console_size=options.console_size,
        open_stdin=options.stdin_open or options.stdin is not None,
        stdin_once=options.stdin is not None,
        init=options.init and namespaces.pid == "private",  # elsewhere it would not be process 1
        stop_signal=signal,
        stop_timeout=DEFAULT_STOP_TIMEOUT if timeout is None else timeout,
        restart=options.restart[0],
        restart_retries=options.restart[1],
        auto_remove=options.auto_remove,
        health=health_of(options.health, config.health),
        log=DEFAULT_LOG if options.log is None else options.log,
        resources=options.resources,
        security=security_of(options.security, host),
        namespaces=namespaces,
        mounts=arrange_mounts(options.mounts) if options.mounts else (),
        shm_size=options.shm_size or DEFAULT_SHM_SIZE,
        ulimits=options.ulimits,
        oom_score_adj=options.oom_score_adj,
        cgroup_parent=options.cgroup_parent,
        extra_hosts=options.extra_hosts,
        dns=options.dns,
        dns_search=options.dns_search,
        dns_options=options.dns_options,
        exposed=exposed_of(options.exposed, config.exposed),
        platform=platform_of(options.platform, host.architecture),
        owner=options.owner,
        created=created,
    )


_RESOURCES = ContainerOptions("x").resources


def program_of(
    entrypoint: tuple[str, ...] | None, command: tuple[str, ...] | None, config: ImageConfig
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Entrypoint and command (rows C02 and C03, pitfall 9).

    The user's entrypoint drops the image's command; ``[""]`` stands for "no entrypoint".
    """
    words = command or ()
    if not entrypoint and not words:
        words = config.command
    if entrypoint is None:
        entrypoint = config.entrypoint
    if entrypoint == ("",):
        entrypoint = ()
    if not entrypoint and not words:
        raise InvalidRequest("command", command, why="no command specified")
    for word in entrypoint + words:
        if "\0" in word:  # the user's were read; an image's JSON may hold anything
            raise InvalidRequest("command of the image", word, why="it contains a NUL byte")
    return entrypoint, words


def environment_of(
    asked: tuple[tuple[str, str | None], ...], image: tuple[str, ...], hostname: str, *, tty: bool
) -> tuple[str, ...]:
    """``NAME=value`` texts: the engine's, then the image's, then the user's (row C04).

    A user's `None` takes a variable away. HOME is added when the program starts.
    """
    variables: dict[str, str] = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if tty:
        variables["TERM"] = "xterm"
    if image:
        variables.update(_image_variables(image))
    for name, value in asked:
        if value is None:
            variables.pop(name, None)
        else:
            variables[name] = value
    return tuple([f"{name}={value}" for name, value in variables.items()])


@lru_cache(maxsize=64)
def _image_variables(entries: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    found = []
    for entry in entries:
        if "\0" in entry:
            raise InvalidRequest("env of the image", entry, why="it contains a NUL byte")
        name, equals, value = entry.partition("=")
        # without '=' it would name a variable of the engine's own (CVE-2026-57231)
        if name and equals:
            found.append((name, value))
    return tuple(found)


def workdir_of(config: ImageConfig) -> str:
    """The image's working directory, clean; ``/`` if it has none."""
    workdir = config.workdir
    return absolute_path(workdir, "workdir of the image") if workdir else "/"


def labels_of(
    asked: tuple[tuple[str, str], ...], image: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    """The image's labels with the user's over them (row C14)."""
    return tuple({**dict(image), **dict(asked)}.items()) if asked or image else ()


def health_of(asked: HealthCheck | None, image: HealthCheck | None) -> HealthCheck | None:
    """The user's check, its test from the image where it has none (row C82)."""
    if asked is None:
        return image
    if not asked.test and image is not None:
        return evolve(asked, test=image.test)
    return asked


def exposed_of(asked: tuple[str, ...], image: tuple[str, ...]) -> tuple[str, ...]:
    """The ports of image and user, ``PORT/PROTOCOL`` each (row C98)."""
    if not image:
        return asked
    return tuple(dict.fromkeys((*_image_ports(image), *asked)))


@lru_cache(maxsize=16)
def _image_ports(entries: tuple[str, ...]) -> tuple[str, ...]:
    return expose(entries)


def platform_of(asked: str, machine: str) -> str:
    """``linux/ARCHITECTURE`` of the host; `Unsupported` if another is *asked* (row C24)."""
    architecture = architecture_of(machine)
    if not asked:
        return f"linux/{architecture}"
    system, _, rest = asked.partition("/")
    wanted = rest.partition("/")[0]
    if system != "linux" or architecture_of(wanted) not in ("", architecture):
        missing = f"this host is linux/{architecture}"
        raise Unsupported(f"platform {asked!r}", missing, "leave platform= out")
    return asked if wanted else f"linux/{architecture}"


def check_host(resources: Resources, host: HostFacts) -> None:
    """`InvalidRequest` for processors and memory nodes that the host does not have."""
    if resources.nano_cpus is not None and resources.nano_cpus > host.cpus * 1_000_000_000:
        why = f"Range of CPUs is from 0.01 to {host.cpus}.00, as there are only {host.cpus} CPUs"
        raise InvalidRequest("cpus", resources.nano_cpus / 1e9, why=f"{why} available")
    for what, asked, available in (
        ("cpuset", resources.cpuset_cpus, host.cpuset_cpus),
        ("cpuset_mems", resources.cpuset_mems, host.cpuset_mems),
    ):
        if asked and available and not parse_cpu_list(asked) <= parse_cpu_list(available):
            why = f"requested {asked} are not available"
            raise InvalidRequest(what, asked, expected=f"some of {available}", why=why)


def user_of(options: ContainerOptions, config: ImageConfig, host: HostFacts) -> str:
    """Who its program is; who keeps their own id is who they are, whatever the image says."""
    mode = options.security.userns
    if options.user or not mode.startswith("keep-id"):
        return options.user or config.user
    from pyengine.model.id_layouts import keep_id

    user, group = keep_id(mode)
    return f"{host.user if user is None else user}:{host.group if group is None else group}"


def users_of(asked: str, host: HostFacts) -> str:
    """Whose its users are: the host's for root, and for others some of theirs (no word for it)."""
    if host.user == 0:
        return asked or "host"
    if asked == "host":
        from pyengine.containers.rootless import AS_ROOT, NO_HOST_USERS

        raise Unsupported("userns='host'", NO_HOST_USERS, AS_ROOT)
    return "" if asked == "auto" else asked


@lru_cache(maxsize=64)
def security_of(asked: SecurityOptions, host: HostFacts) -> Security:
    """What the programs may do; *privileged* lifts what was not asked for by itself (row C50)."""
    is_host_s = asked.userns in ("", "host")
    held = host.held if is_host_s else -1  # all there are, in its own user namespace
    for name in asked.cap_add:
        if name != "ALL" and not held & mask((name,)):
            missing = "this process does not have it, so it cannot give it"
            raise Unsupported(f"capability {name}", missing, "run with it, or leave it out")
    for module in asked.unconfined:
        if module in host.security_modules:
            missing = f"{module} confines programs on this host, and profiles are not built yet"
            raise Unsupported(f"running without {module}", missing, "leave it out")
    privileged = asked.privileged
    seccomp: str | None = asked.seccomp or ("unconfined" if privileged else "default")
    masked, readonly = asked.masked_paths, asked.readonly_paths
    if masked is None:
        masked = () if privileged else (*MASKED_PATHS, *host.thermal_paths)
    if readonly is None:
        readonly = () if privileged else READONLY_PATHS
    capabilities = adjust(
        DEFAULT,
        asked.cap_add,
        asked.cap_drop,
        privileged=privileged,
        last_cap=host.last_cap,
    )
    return Security(
        privileged=privileged,
        capabilities=tuple(sorted(name for name in capabilities if held & mask((name,)))),
        seccomp=None if seccomp == "unconfined" else seccomp,
        no_new_privileges=asked.no_new_privileges,
        read_only=asked.read_only,
        masked_paths=masked,
        readonly_paths=readonly,
        sysctls=asked.sysctls,
        devices=asked.devices,
        device_rules=asked.device_rules,
        writable_cgroups=asked.writable_cgroups or privileged,
        userns=users_of(asked.userns, host),
    )


def arrange_mounts(mounts: tuple[Mount, ...]) -> tuple[Mount, ...]:
    """*mounts* with parents before children, no two of them on one target (rows V14, V15)."""
    seen: set[str] = set()
    found = []
    for mount in mounts:
        if mount.target in seen:
            why = f"Duplicate mount point: {mount.target}"
            raise InvalidRequest("mounts", mount.target, why=why)
        seen.add(mount.target)
        if mount.kind is MountKind.TMPFS:
            mount = evolve(mount, options=complete_tmpfs_options(mount.options))
        found.append(mount)
    return tuple(sorted(found, key=_depth))


def _depth(mount: Mount) -> int:
    return mount.target.count("/")
