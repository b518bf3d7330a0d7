"""The flags of ``run`` and ``create``, and the option of the engine that each one is.

What names a keyword is handed to the engine as it was written: the engine reads it, and says
so when it is wrong or not built yet.
"""

from __future__ import annotations

from pyengine.cli.flags import Flag

PROGRAM_FLAGS = (
    Flag("annotation", "map", "Annotate the container, for a runtime to read", "", "annotations"),
    Flag("domainname", "string", "NIS domain name inside the container", "", "domainname"),
    Flag("entrypoint", "string", "Program to run instead of the image's entrypoint"),
    Flag("env", "list", "Set a variable; a name alone hands on yours", "e", "env"),
    Flag("env-file", "list", "Set the variables that a file lists", "", "env_file"),
    Flag("group-add", "list", "Give the program another group", "", "group_add"),
    Flag("hostname", "string", "Host name inside the container", "h", "hostname"),
    Flag("init", "bool", "Run a tiny init that reaps and passes signals on", "", "init"),
    Flag("interactive", "bool", "Keep standard input open", "i", "stdin_open"),
    Flag("label", "list", "Label the container", "l", "labels"),
    Flag("label-file", "list", "Label it with what a file lists", "", "label_file"),
    Flag("name", "string", "Name of the container", "", "name"),
    Flag(
        "oom-score-adj",
        "int",
        "How readily the kernel kills it, -1000 to 1000",
        "",
        "oom_score_adj",
    ),
    Flag("platform", "string", "System and processor the image is for", "", "platform"),
    Flag("stop-signal", "string", "Signal that asks it to stop", "", "stop_signal"),
    Flag("stop-timeout", "int", "Seconds it then has before it is killed", "", "stop_timeout"),
    Flag("tty", "bool", "Give the program a terminal", "t", "tty"),
    Flag("user", "string", "Run as name|uid[:group|gid]", "u", "user"),
    Flag("workdir", "string", "Working directory inside the container", "w", "workdir"),
)

LIFE_FLAGS = (
    Flag("attach", "list", "Attach to stdin, stdout or stderr", "a"),
    Flag("cidfile", "string", "Write the container's id to a new file"),
    Flag("health-cmd", "string", "Command that tells whether it is well"),
    Flag("health-interval", "duration", "Time between two health checks", default="0s"),
    Flag("health-retries", "int", "Failures in a row that make it unhealthy"),
    Flag("health-start-interval", "duration", "Time between checks while starting", default="0s"),
    Flag("health-start-period", "duration", "Time in which failures do not count", default="0s"),
    Flag("health-timeout", "duration", "Longest that one check may take", default="0s"),
    Flag("log-driver", "string", "What keeps the output"),
    Flag("log-opt", "list", "Option of the log driver, name=value"),
    Flag("no-healthcheck", "bool", "Do not run the image's health check"),
    Flag("pull", "string", "Pull the image: always, missing or never", "", "pull", "missing"),
    Flag("quiet", "bool", "Do not show the progress of a pull", "q"),
    Flag("restart", "string", "When it shall be started again", "", "restart", "no"),
    Flag("rm", "bool", "Remove the container when its program has ended", "", "auto_remove"),
    Flag("runtime", "string", "Another runtime than the engine's own"),
)

RESOURCE_FLAGS = (
    Flag(
        "blkio-weight", "uint16", "Weight of its disk traffic, 10 to 1000", "", "blkio_weight", "0"
    ),
    Flag("blkio-weight-device", "list", "The same for one device", "", "blkio_weight_device"),
    Flag("cgroup-parent", "string", "Control group to be put below", "", "cgroup_parent"),
    Flag("cpu-count", "int", "Processors (on Windows)", hidden=True),
    Flag("cpu-percent", "int", "Share of the processors (on Windows)", hidden=True),
    Flag("cpu-period", "int", "Period of the processor quota, microseconds", "", "cpu_period"),
    Flag("cpu-quota", "int", "Processor time per period, microseconds", "", "cpu_quota"),
    Flag("cpu-rt-period", "int", "Period of real-time scheduling", "", "cpu_rt_period"),
    Flag("cpu-rt-runtime", "int", "Real-time share of that period", "", "cpu_rt_runtime"),
    Flag("cpu-shares", "int", "Weight among those who want a processor", "c", "cpu_shares"),
    Flag("cpus", "decimal", "Number of processors, such as 1.5", "", "cpus"),
    Flag("cpuset-cpus", "string", "Processors it may use, such as 0-3,8", "", "cpuset"),
    Flag("cpuset-mems", "string", "Memory nodes it may use", "", "cpuset_mems"),
    Flag("device-read-bps", "list", "Bytes per second from DEVICE:RATE", "", "device_read_bps"),
    Flag("device-read-iops", "list", "Reads per second from DEVICE:RATE", "", "device_read_iops"),
    Flag("device-write-bps", "list", "Bytes per second to DEVICE:RATE", "", "device_write_bps"),
    Flag("device-write-iops", "list", "Writes per second to DEVICE:RATE", "", "device_write_iops"),
    Flag("io-maxbandwidth", "bytes", "Disk bandwidth (on Windows)", hidden=True),
    Flag("io-maxiops", "uint64", "Disk operations (on Windows)", hidden=True),
    Flag("memory", "bytes", "Memory it may use", "m", "memory", "0"),
    Flag(
        "memory-reservation",
        "bytes",
        "Memory it keeps when memory is short",
        "",
        "memory_reservation",
        "0",
    ),
    Flag("memory-swap", "bytes", "Memory and swap together; -1: any swap", "", "memory_swap", "0"),
    Flag(
        "memory-swappiness",
        "int",
        "How readily its memory is swapped, 0 to 100",
        "",
        "memory_swappiness",
        "-1",
    ),
    Flag(
        "oom-kill-disable", "bool", "Let it wait where it would be killed", "", "oom_kill_disable"
    ),
    Flag("pids-limit", "int", "Processes and threads it may have; -1: any number", "", "pids"),
    Flag("shm-size", "bytes", "Size of /dev/shm", "", "shm_size", "0"),
    Flag("storage-opt", "list", "Limit of its writable layer, size=N"),
    Flag("ulimit", "ulimit", "Resource limit, name=soft[:hard]", "", "ulimits"),
)

SECURITY_FLAGS = (
    Flag("cap-add", "list", "Capability to have", "", "cap_add"),
    Flag("cap-drop", "list", "Capability to go without", "", "cap_drop"),
    Flag("cgroupns", "string", "Control group namespace: host or private", "", "cgroupns"),
    Flag("device", "list", "Device of the host, SOURCE[:TARGET[:rwm]]", "", "devices"),
    Flag(
        "device-cgroup-rule",
        "list",
        "Devices that may be used, such as 'c 1:3 rwm'",
        "",
        "device_cgroup_rules",
    ),
    Flag("gpus", "gpu-request", "Graphics processors to have"),
    Flag("ipc", "string", "IPC namespace", "", "ipc"),
    Flag("isolation", "string", "Kind of isolation (on Windows)"),
    Flag("pid", "string", "Process namespace: host or container:NAME", "", "pid"),
    Flag("privileged", "bool", "Lift nearly every restriction", "", "privileged"),
    Flag("read-only", "bool", "Mount the root file system read-only", "", "read_only"),
    Flag("security-opt", "list", "Security option, such as no-new-privileges", "", "security_opt"),
    Flag("sysctl", "map", "Kernel parameter of its namespaces", "", "sysctls"),
    Flag("use-api-socket", "bool", "Hand the engine's socket and logins in"),
    Flag("userns", "string", "User namespace", "", "userns"),
    Flag("uts", "string", "UTS namespace: host", "", "uts"),
)

FILE_FLAGS = (
    Flag("mount", "mount", "Mount, as type=bind,source=/srv,target=/data", "", "mounts"),
    Flag("tmpfs", "list", "File system in memory, /path[:options]", "", "tmpfs"),
    Flag("volume", "list", "Mount, as /host/path:/path[:ro]", "v", "volumes"),
    Flag("volume-driver", "string", "Driver of its volumes"),
    Flag("volumes-from", "list", "Mount what another container has mounted", "", "volumes_from"),
)

NETWORK_FLAGS = (
    Flag("add-host", "list", "Line for /etc/hosts, name:address", "", "extra_hosts"),
    Flag("dns", "list", "Address of a name server", "", "dns"),
    Flag("dns-opt", "list", "As --dns-option", hidden=True),
    Flag("dns-option", "list", "Word for the options of resolv.conf", "", "dns_options"),
    Flag("dns-search", "list", "Domain to look names up in", "", "dns_search"),
    Flag("expose", "list", "Port that the program listens on", "", "expose"),
    Flag("ip", "ip", "IPv4 address", "", "ip"),
    Flag("ip6", "ip", "IPv6 address", "", "ip6"),
    Flag("link", "list", "Container to be reached by its name"),
    Flag("link-local-ip", "list", "Link-local address"),
    Flag("mac-address", "string", "MAC address", "", "mac_address"),
    Flag("net", "network", "As --network", hidden=True),
    Flag("net-alias", "list", "As --network-alias", hidden=True),
    Flag("network", "network", "Network to be in: none, host, or a name"),
    Flag("network-alias", "list", "Another name in its network"),
    Flag("publish", "list", "Publish a port, [host:]port[/protocol]", "p", "ports"),
    Flag("publish-all", "bool", "Publish every exposed port", "P", "publish_all"),
)

CREATE_FLAGS = (
    *PROGRAM_FLAGS,
    *LIFE_FLAGS,
    *RESOURCE_FLAGS,
    *SECURITY_FLAGS,
    *FILE_FLAGS,
    *NETWORK_FLAGS,
)

RUN_FLAGS = (
    *CREATE_FLAGS,
    Flag("detach", "bool", "Leave it running in the background", "d"),
    Flag("detach-keys", "string", "Keys that let go of the container", default="ctrl-p,ctrl-q"),
    Flag("sig-proxy", "bool", "Pass signals on to the program", default="true"),
)

_UPDATABLE = frozenset(
    (
        *("blkio-weight", "cpu-period", "cpu-quota", "cpu-rt-period", "cpu-rt-runtime"),
        *("cpu-shares", "cpus", "cpuset-cpus", "cpuset-mems", "memory", "memory-reservation"),
        *("memory-swap", "pids-limit", "restart"),
    )
)

UPDATE_FLAGS = tuple(flag for flag in CREATE_FLAGS if flag.name in _UPDATABLE)
