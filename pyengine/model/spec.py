"""What will run: a container's specification after every default has been filled in."""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen

from pyengine.model.mounts import Mount

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHM_SIZE = 64 << 20
DEFAULT_STOP_TIMEOUT = 10.0
DEFAULT_PIDS_LIMIT = 4096


@frozen
class Device:
    """A device node: *host* appears as *target*, with *access* (some of ``rwm``)."""

    host: str
    target: str
    access: str = "rwm"


@frozen
class DeviceRule:
    """One rule of the device controller; ``None`` stands for every number."""

    kind: str  # a, b, c
    major: int | None
    minor: int | None
    access: str


@frozen
class Throttle:
    """A limit for one block device of the host, in bytes or operations per second."""

    device: str
    rate: int


@frozen
class Ulimit:
    """A resource limit of setrlimit(2): -1 is unlimited."""

    name: str
    soft: int
    hard: int


@frozen
class Resources:
    """What the kernel lets the container have; ``None`` or empty: no limit of its own.

    Sizes are bytes, times microseconds, *nano_cpus* billionths of a processor. *best_effort*:
    what the host cannot enforce is a warning.
    """

    memory: int | None = None
    memory_swap: int | None = None  # memory and swap together; -1: unlimited swap
    memory_reservation: int | None = None
    memory_swappiness: int | None = None
    oom_kill_disable: bool = False
    nano_cpus: int | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpu_shares: int | None = None
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    cpu_rt_period: int | None = None
    cpu_rt_runtime: int | None = None
    pids: int | None = DEFAULT_PIDS_LIMIT  # None: unlimited
    blkio_weight: int | None = None
    blkio_weight_device: tuple[Throttle, ...] = ()
    device_read_bps: tuple[Throttle, ...] = ()
    device_write_bps: tuple[Throttle, ...] = ()
    device_read_iops: tuple[Throttle, ...] = ()
    device_write_iops: tuple[Throttle, ...] = ()
    best_effort: bool = False


@frozen(cache_hash=True)
class Security:
    """What the container's programs may do; most containers share one."""

    is_shared: ClassVar[bool] = True

    privileged: bool = False
    capabilities: tuple[str, ...] = ()  # the bounding set, sorted, names with CAP_
    seccomp: str | None = "default"  # "default", JSON text of a profile, or None: unconfined
    no_new_privileges: bool = False
    read_only: bool = False
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    sysctls: tuple[tuple[str, str], ...] = ()
    devices: tuple[Device, ...] = ()
    device_rules: tuple[DeviceRule, ...] = ()
    writable_cgroups: bool = False
    userns: str = "host"


@frozen(cache_hash=True)
class Namespaces:
    """``private``, ``host``, ``none``, ``shareable`` or ``container:ID`` for each."""

    pid: str = "private"
    ipc: str = "private"
    uts: str = "private"
    cgroup: str = "private"
    network: str = "none"


@frozen
class LogConfig:
    """Where output is kept: *driver* and its *options* (rows C85, C86)."""

    driver: str = "json-file"
    options: tuple[tuple[str, str], ...] = ()


@frozen
class HealthCheck:
    """How to ask a container whether it is well (rows C82 to C84); seconds."""

    test: tuple[str, ...] = ()
    interval: float = 30.0
    timeout: float = 30.0
    start_period: float = 0.0
    start_interval: float = 5.0
    retries: int = 3


@frozen
class ContainerSpec:
    """What will run, all defaults filled in; made by `containers.spec.resolve`.

    *env* is complete but for HOME, which depends on the container's /etc/passwd.
    *user* is as asked (``""``: root); ids are looked up when a program starts.
    *stop_timeout* below zero waits for ever.
    """

    id: str
    name: str
    image: str  # as the user wrote it
    argv: tuple[str, ...]
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    workdir: str = "/"
    user: str = ""
    group_add: tuple[str, ...] = ()
    hostname: str = ""
    domainname: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    tty: bool = False
    console_size: tuple[int, int] = (0, 0)  # rows, columns
    open_stdin: bool = False
    stdin_once: bool = False
    init: bool = False
    stop_signal: int = 15
    stop_timeout: float = DEFAULT_STOP_TIMEOUT
    restart: str = "no"
    restart_retries: int = 0
    auto_remove: bool = False
    health: HealthCheck | None = None
    log: LogConfig = LogConfig()
    resources: Resources = Resources()
    security: Security = Security()
    namespaces: Namespaces = Namespaces()
    mounts: tuple[Mount, ...] = ()  # parents before children
    shm_size: int = DEFAULT_SHM_SIZE
    ulimits: tuple[Ulimit, ...] = ()
    oom_score_adj: int = 0
    cgroup_parent: str = ""
    storage_size: int | None = None
    extra_hosts: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    platform: str = ""
    owner: str = "process"  # or "none"
    created: float = 0.0  # seconds since 1970
