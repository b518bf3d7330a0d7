"""What a user asked for: every keyword of ``run``, ``start`` and ``create``, read and checked.

Text becomes a value here, at the door. Each family of keywords is read in a room of its own
(``options_*``); this module knows which keyword is read by whom, and which exclude each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

from pyengine.errors import InvalidRequest, Unsupported
from pyengine.model import options_lifecycle as lifecycle
from pyengine.model import options_network as net
from pyengine.model import options_program as program
from pyengine.model import options_resources as amounts
from pyengine.model import options_security as security
from pyengine.model.mount_text import parse_mount
from pyengine.model.mounting import check_mount, parse_tmpfs, parse_volumes, require_built
from pyengine.model.mounts import Mount
from pyengine.model.options_files import read_env_files, read_label_files
from pyengine.model.options_security import SecurityOptions
from pyengine.model.options_words import flag, integer, several, text
from pyengine.model.signals import parse_signal
from pyengine.model.spec import HealthCheck, LogConfig, Namespaces, Resources, Ulimit
from pyengine.model.units import parse_size

# values are frozen, so whoever asks for nothing special shares these
_RESOURCES = Resources()
_SECURITY = SecurityOptions()
_NAMESPACES = Namespaces()


@frozen
class ContainerOptions:
    """What was asked, before image and host have had their say.

    `None`, an empty text or an empty tuple: not asked. An *env* value of `None` takes the
    variable away; a *stop_timeout* below zero waits for ever; *shm_size* 0 is the default.
    """

    image: str
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    name: str = ""
    hostname: str = ""
    domainname: str = ""
    env: tuple[tuple[str, str | None], ...] = ()
    workdir: str = ""
    user: str = ""
    group_add: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    tty: bool = False
    stdin_open: bool = False
    stdin: object = field(default=None, eq=False, repr=False)  # bytes, a descriptor or a file
    console_size: tuple[int, int] = (0, 0)
    init: bool = False
    stop_signal: int | None = None
    stop_timeout: float | None = None
    restart: tuple[str, int] = ("no", 0)
    auto_remove: bool = False
    health: HealthCheck | None = None
    log: LogConfig | None = None
    platform: str = ""
    pull: str = "missing"
    progress: str | Callable[[Any], object] = field(default="auto", eq=False, repr=False)
    owner: str = "process"
    resources: Resources = _RESOURCES
    security: SecurityOptions = _SECURITY
    namespaces: Namespaces = _NAMESPACES
    mounts: tuple[Mount, ...] = ()
    shm_size: int = 0
    ulimits: tuple[Ulimit, ...] = ()
    oom_score_adj: int = 0
    cgroup_parent: str = ""
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()

    @classmethod
    def from_keywords(
        cls, image: str, command: object = None, **keywords: object
    ) -> ContainerOptions:
        """Read the keywords of ``engine.run``, ``start`` and ``create``; `None` is "not given".

        Raises `InvalidRequest` for an unknown keyword, a wrong value or a contradiction, and,
        if there is none of these, `Unsupported` for what is not built.

        >>> ContainerOptions.from_keywords("host:", "echo hi", memory="64m").resources.memory
        67108864
        """
        values: dict[str, object] = {"image": program.image_name(image)}
        if command is not None:
            values["command"] = program.command_words(command)
        if not keywords:
            return cls(**values)  # type: ignore[arg-type]
        groups: dict[str, dict[str, object]] = {"": values}
        later: Unsupported | None = None
        for keyword, given in keywords.items():
            if (entry := _TABLE.get(keyword)) is None:
                raise _unknown(keyword)
            if given is not None:
                group, name, read = entry
                try:
                    content = read(given)
                except Unsupported as error:
                    later = later or error  # what is wrong is told before what is not built
                    continue
                if group in groups:
                    groups[group][name] = content
                else:
                    groups[group] = {name: content}
        if len(groups) > 1:
            _gather(groups)
        options = cls(**values)  # type: ignore[arg-type]
        _check(options)
        if later is not None:
            raise later
        _require_built(options)
        return options


def parse_resources(keywords: Mapping[str, object]) -> dict[str, object]:
    """Read the keywords of an update: fields of `Resources`, only those that were given.

    Raises `InvalidRequest` for what is no limit, or has a wrong value.
    """
    found: dict[str, object] = {}
    for keyword, given in keywords.items():
        entry = _TABLE.get(keyword)
        if entry is None or entry[0] != "resources":
            known = sorted(name for name, (group, _, _) in _TABLE.items() if group == "resources")
            expected = f"restart, {', '.join(known)}"
            raise InvalidRequest("update", keyword, why="it is no limit", expected=expected)
        if given is not None:
            found[entry[1]] = entry[2](given)
    return found


def _gather(groups: dict[str, dict[str, object]]) -> None:
    """Make one value of each group, and of what may be asked with several keywords."""
    values = groups[""]
    if (amount := groups.get("resources")) is not None:
        values["resources"] = resources = Resources(**amount)  # type: ignore[arg-type]
        amounts.check_resources(resources)
    if (asked := groups.get("security")) is not None:
        values["security"] = SecurityOptions(**_with_security_opt(asked))  # type: ignore[arg-type]
    if (modes := groups.get("namespaces")) is not None:
        values["namespaces"] = Namespaces(**modes)  # type: ignore[arg-type]
    if (mounts := groups.get("mounts")) is not None:
        values["mounts"] = tuple(mount for some in mounts.values() for mount in some)  # type: ignore[attr-defined]
    for name in ("env", "labels"):
        if (read := groups.get(f"{name} files")) is not None:
            # what is said in the call itself comes later, and so it counts
            values[name] = (*read["files"], *values.get(name, ()))  # type: ignore[misc]


def _with_security_opt(asked: dict[str, object]) -> dict[str, object]:
    """*asked* with the fields its ``security_opt`` stands for, none of them asked twice."""
    words = asked.pop("security_opt", None)
    if not isinstance(words, dict):
        return asked
    for name, content in words.items():
        if asked.setdefault(name, content) != content:
            why = f"it contradicts {name}="
            raise InvalidRequest("security_opt", content, why=why)
    return asked


def _check(options: ContainerOptions) -> None:
    """`InvalidRequest` for keywords that exclude each other."""
    modes = options.namespaces
    if options.auto_remove and options.restart[0] != "no":
        why = "can't create 'AutoRemove' container with restart policy"
        raise InvalidRequest("restart", options.restart[0], why=why)
    if modes.uts == "host":
        for what in ("hostname", "domainname"):
            if getattr(options, what):
                why = "conflicting options: hostname and the UTS mode"
                raise InvalidRequest(what, getattr(options, what), why=why)
    if sysctls := options.security.sysctls:
        security.check_sysctls(sysctls, network=modes.network, ipc=modes.ipc)


def _require_built(options: ContainerOptions) -> None:
    """`Unsupported` for what was asked well, and comes later."""
    net.require_built_network(options.namespaces.network)
    for mount in options.mounts:
        require_built(mount)
    if options.log is not None:
        lifecycle.require_built_log(options.log)


def _unknown(keyword: str) -> InvalidRequest:
    import difflib

    if keyword in _OTHER_NAMES:
        expected = _OTHER_NAMES[keyword]
    else:
        expected = " or ".join(difflib.get_close_matches(keyword, _TABLE, 3, 0.6))
    return InvalidRequest("option", keyword, why="there is no such option", expected=expected)


def _mounts(given: object) -> tuple[Mount, ...]:
    items = (given,) if isinstance(given, Mount) else several(given, "mounts", "a list of mounts")
    return tuple(parse_mount(one) if isinstance(one, str) else check_mount(one) for one in items)


def _namespace(what: str, *words: str) -> Callable[[object], str]:
    """A reader of a namespace's mode: one of *words*, where ``container:`` takes a name."""

    def read(given: object) -> str:
        mode = text(given, what) or "private"
        kind, colon, name = mode.partition(":")
        if (f"{kind}:" if colon else kind) not in words or (colon and not name):
            expected = " or ".join(repr(f"{one}NAME" if one[-1] == ":" else one) for one in words)
            raise InvalidRequest(what, given, expected=expected)
        return mode

    return read


def _flag(what: str) -> Callable[[object], bool]:
    return lambda given: flag(given, what)


def _storage_size(given: object) -> None:
    if parse_size(given, "storage_size"):
        missing = "these roots have no quota"
        raise Unsupported("storage_size=", missing, "limit what you write with a sized tmpfs")


def _volumes_from(given: object) -> None:
    names = several(given, "volumes_from", "a list of containers' names")
    for one in names:
        name, colon, mode = text(one, "volumes_from").partition(":")
        if not name or (colon and mode not in ("ro", "rw", "z")):
            raise InvalidRequest("volumes_from", one, expected="'container[:ro|rw|z]'")
    if names:
        remedy = "give both containers the same mounts="
        raise Unsupported("volumes_from=", "volumes are not built yet", remedy)


_Reader = Callable[[object], object]
_Entry = tuple[str, str, _Reader]
_NETWORKED = ("networks", "ports", "publish_all", "aliases", "ip", "ip6", "mac_address")


def _entries(group: str, readers: dict[str, _Reader]) -> dict[str, _Entry]:
    return {keyword: (group, keyword, read) for keyword, read in readers.items()}


_TABLE: dict[str, _Entry] = {
    **_entries(
        "",
        {
            "entrypoint": program.entrypoint,
            "name": program.container_name,
            "hostname": program.hostname,
            "domainname": program.domainname,
            "env": program.environment,
            "workdir": program.workdir,
            "user": program.user,
            "group_add": program.group_add,
            "labels": program.labels,
            "annotations": program.annotation_pairs,
            "tty": _flag("tty"),
            "stdin_open": _flag("stdin_open"),
            "stdin": program.standard_input,
            "console_size": program.console_size,
            "init": _flag("init"),
            "stop_signal": lambda given: parse_signal(given, "stop_signal"),
            "stop_timeout": program.stop_timeout,
            "restart": lifecycle.restart,
            "auto_remove": _flag("auto_remove"),
            "health": lifecycle.health,
            "log": lifecycle.log,
            "platform": program.platform,
            "pull": program.one_of("pull", "missing", "always", "never"),
            "progress": program.progress,
            "owner": program.one_of("owner", "process", "none"),
            "shm_size": amounts.shm_size,
            "ulimits": amounts.ulimits,
            "oom_score_adj": lambda given: integer(given, "oom_score_adj", -1000, 1000),
            "cgroup_parent": amounts.cgroup_parent,
            "dns": net.dns,
            "dns_search": net.dns_search,
            "dns_options": net.dns_options,
            "extra_hosts": net.extra_hosts,
        },
    ),
    "expose": ("", "exposed", net.expose),
    "env_file": ("env files", "files", read_env_files),
    "label_file": ("labels files", "files", read_label_files),
    **_entries(
        "resources",
        {
            "memory": amounts.memory,
            "memory_swap": amounts.memory_swap,
            "memory_reservation": amounts.memory_reservation,
            "memory_swappiness": amounts.memory_swappiness,
            "oom_kill_disable": _flag("oom_kill_disable"),
            "best_effort": _flag("best_effort"),
            "cpu_period": amounts.cpu_period,
            "cpu_quota": amounts.cpu_quota,
            "cpu_shares": amounts.whole("cpu_shares", 1),
            "cpu_rt_period": amounts.whole("cpu_rt_period", 1),
            "cpu_rt_runtime": amounts.whole("cpu_rt_runtime", 1),
            "cpuset_mems": amounts.cpu_list("cpuset_mems"),
            "pids": amounts.pids,
            "blkio_weight": amounts.whole("blkio_weight", 10, 1000),
            "blkio_weight_device": amounts.throttles("blkio_weight_device", unit="weight"),
            "device_read_bps": amounts.throttles("device_read_bps", unit="bytes"),
            "device_write_bps": amounts.throttles("device_write_bps", unit="bytes"),
            "device_read_iops": amounts.throttles("device_read_iops", unit="operations"),
            "device_write_iops": amounts.throttles("device_write_iops", unit="operations"),
        },
    ),
    "cpus": ("resources", "nano_cpus", amounts.cpus),
    "cpuset": ("resources", "cpuset_cpus", amounts.cpu_list("cpuset")),
    **_entries(
        "security",
        {
            "privileged": _flag("privileged"),
            "cap_add": security.cap_add,
            "cap_drop": security.cap_drop,
            "seccomp": security.seccomp,
            "no_new_privileges": _flag("no_new_privileges"),
            "read_only": _flag("read_only"),
            "userns": security.userns,
            "masked_paths": security.masked_paths,
            "readonly_paths": security.readonly_paths,
            "sysctls": security.sysctls,
            "devices": security.devices,
            "security_opt": security.security_opt,
        },
    ),
    "device_cgroup_rules": ("security", "device_rules", security.device_rules),
    **_entries(
        "namespaces",
        {
            "pid": _namespace("pid", "private", "host", "container:"),
            "ipc": _namespace("ipc", "private", "shareable", "none", "host", "container:"),
            "uts": _namespace("uts", "private", "host"),
            "network": net.network,
        },
    ),
    "cgroupns": ("namespaces", "cgroup", _namespace("cgroupns", "private", "host")),
    **_entries("mounts", {"mounts": _mounts, "volumes": parse_volumes, "tmpfs": parse_tmpfs}),
    **_entries("nothing", {name: net.not_built(name) for name in _NETWORKED}),
    "storage_size": ("nothing", "storage_size", _storage_size),
    "volumes_from": ("nothing", "volumes_from", _volumes_from),
}
KEYWORDS = frozenset(_TABLE)
"""Every keyword that `ContainerOptions.from_keywords` reads."""

# what docker's command line and docker-py call them
_OTHER_NAMES = {
    "environment": "env",
    "working_dir": "workdir",
    "mem_limit": "memory",
    "memswap_limit": "memory_swap",
    "mem_reservation": "memory_reservation",
    "mem_swappiness": "memory_swappiness",
    "nano_cpus": "cpus (in processors, not billionths)",
    "cpuset_cpus": "cpuset",
    "pids_limit": "pids",
    "network_mode": "network",
    "pid_mode": "pid",
    "ipc_mode": "ipc",
    "uts_mode": "uts",
    "userns_mode": "userns",
    "restart_policy": "restart",
    "healthcheck": "health",
    "log_config": "log",
    "dns_opt": "dns_options",
    "publish": "ports",
    "publish_all_ports": "publish_all",
    "detach": "engine.start(…), which does not wait",
    "remove": "auto_remove",
    "rm": "auto_remove",
    "storage_opt": "storage_size",
    "device_requests": "devices",
    "links": "network",
}
