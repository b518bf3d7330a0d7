import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.linux import capabilities
from pyengine.model.docker_host_config import DEFAULT_CAPABILITIES
from pyengine.model.docker_inspect import (
    NEVER,
    command_line,
    moment,
    status_text,
    to_docker,
    to_docker_summary,
)
from pyengine.model.info import ContainerInfo
from pyengine.model.moments import parse_time
from pyengine.model.mounts import Mount, MountKind, Recursion
from pyengine.model.spec import (
    ContainerSpec,
    Device,
    DeviceRule,
    HealthCheck,
    LogConfig,
    Namespaces,
    Resources,
    Security,
    Throttle,
    Ulimit,
)
from pyengine.model.state import ContainerState, Status

modest = settings(max_examples=100, deadline=None)

# the fields of API 1.56 (swagger, ContainerInspectResponse and what it names)
TOP = (
    "Id Created Path Args State Image ResolvConfPath HostnamePath HostsPath LogPath Name "
    "RestartCount Driver Platform MountLabel ProcessLabel AppArmorProfile ExecIDs HostConfig "
    "GraphDriver Mounts Config NetworkSettings"
)
STATE = "Status Running Paused Restarting OOMKilled Dead Pid ExitCode Error StartedAt FinishedAt"
CONFIG = (
    "Hostname Domainname User AttachStdin AttachStdout AttachStderr Tty OpenStdin StdinOnce Env "
    "Cmd Image Volumes WorkingDir Entrypoint OnBuild Labels StopSignal"
)
HOST_CONFIG = (
    "Binds ContainerIDFile LogConfig NetworkMode PortBindings RestartPolicy AutoRemove "
    "VolumeDriver VolumesFrom Mounts ConsoleSize Annotations CapAdd CapDrop CgroupnsMode Dns "
    "DnsOptions DnsSearch ExtraHosts GroupAdd IpcMode Cgroup Links OomScoreAdj PidMode Privileged "
    "PublishAllPorts ReadonlyRootfs SecurityOpt StorageOpt Tmpfs UTSMode UsernsMode ShmSize "
    "Sysctls Runtime Isolation MaskedPaths ReadonlyPaths CpuShares Memory CgroupParent "
    "BlkioWeight BlkioWeightDevice BlkioDeviceReadBps BlkioDeviceWriteBps BlkioDeviceReadIOps "
    "BlkioDeviceWriteIOps CpuPeriod CpuQuota CpuRealtimePeriod CpuRealtimeRuntime CpusetCpus "
    "CpusetMems Devices DeviceCgroupRules DeviceRequests MemoryReservation MemorySwap "
    "MemorySwappiness NanoCpus OomKillDisable Init PidsLimit Ulimits"
)

SPEC = ContainerSpec("a" * 64, "web", "host:", ("sleep", "60"), command=("sleep", "60"))


def told(state=None, **given):
    from attrs import evolve

    return to_docker(ContainerInfo(evolve(SPEC, **given), state or ContainerState(), root="/up"))


def host_config(**given):
    return told(**given)["HostConfig"]


def security(**given):
    return host_config(security=Security(**given))


def test_every_field_that_clients_may_look_for_is_there():
    found = told()
    assert set(TOP.split()) == set(found)
    assert set(STATE.split()) == set(found["State"])
    assert set(CONFIG.split()) == set(found["Config"])
    assert set(HOST_CONFIG.split()) == set(found["HostConfig"])
    assert json.loads(json.dumps(found)) == found


def test_a_name_begins_with_a_slash_and_a_program_is_path_and_arguments():
    found = told(argv=("/bin/sh", "-c", "x"), entrypoint=("/bin/sh",), command=("-c", "x"))
    assert (found["Name"], found["Path"], found["Args"]) == ("/web", "/bin/sh", ["-c", "x"])
    assert found["Config"]["Entrypoint"] == ["/bin/sh"]
    assert found["Config"]["Cmd"] == ["-c", "x"]


def test_what_was_not_asked_for_is_null_or_absent():
    found = told(command=())
    assert found["Config"]["Cmd"] is None
    assert found["Config"]["Entrypoint"] is None
    assert not {"ExposedPorts", "StopTimeout", "Healthcheck"} & set(found["Config"])
    assert "SizeRw" not in found
    assert host_config()["Init"] is None
    assert host_config()["Sysctls"] is None


def test_what_was_asked_for_is_told():
    found = told(
        exposed=("80/tcp",),
        stop_timeout=3.0,
        health=HealthCheck(("CMD", "x"), interval=1.5),
        labels=(("a", "b"),),
    )["Config"]
    assert found["ExposedPorts"] == {"80/tcp": {}}
    assert found["StopTimeout"] == 3
    assert found["Healthcheck"]["Interval"] == 1_500_000_000
    assert found["Labels"] == {"a": "b"}
    assert found["StopSignal"] == "SIGTERM"


def test_a_container_that_never_started_says_never():
    state = told()["State"]
    assert state["StartedAt"] == state["FinishedAt"] == NEVER
    assert not state["Running"]


@pytest.mark.parametrize(
    ("status", "running", "paused"),
    [
        (Status.CREATED, False, False),
        (Status.RUNNING, True, False),
        (Status.PAUSED, True, True),
        (Status.RESTARTING, True, False),
        (Status.EXITED, False, False),
    ],
)
def test_what_is_paused_or_restarting_runs_as_well(status, running, paused):
    state = told(ContainerState(status))["State"]
    assert (state["Status"], state["Running"], state["Paused"]) == (str(status), running, paused)


@modest
@given(st.integers(1, 4_000_000_000_000_000).map(lambda microseconds: microseconds / 1e6))
def test_a_moment_reads_back_to_the_microsecond(seconds):
    assert abs(parse_time(moment(seconds)) - seconds * 1e9) <= 1000


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (ContainerState(), "Created"),
        (ContainerState(Status.RUNNING, started=995.0), "Up 5 seconds"),
        (ContainerState(Status.PAUSED, started=820.0), "Up 3 minutes (Paused)"),
        (
            ContainerState(Status.RESTARTING, exit_code=1, finished=998.0),
            "Restarting (1) 2 seconds ago",
        ),
        (
            ContainerState(Status.EXITED, started=1.0, finished=999.9),
            "Exited (0) Less than a second ago",
        ),
        (
            ContainerState(Status.EXITED, exit_code=137, started=1.0, finished=880.0),
            "Exited (137) 2 minutes ago",
        ),
        (ContainerState(Status.EXITED, exit_code=127), "Created"),  # it never came to run
        (ContainerState(Status.REMOVING, started=1.0), "Removal In Progress"),
        (ContainerState(Status.DEAD, started=1.0), "Dead"),
    ],
)
def test_a_status_is_told_in_dockers_words(state, text):
    assert status_text(state, 1000.0) == text


def test_a_row_of_a_list_has_what_docker_lists():
    info = ContainerInfo(SPEC, ContainerState(), size=5)
    row = to_docker_summary(info, now=10.0)
    assert row["Names"] == ["/web"]
    assert row["Command"] == "sleep 60"
    assert row["State"] == "created"
    assert row["Status"] == "Created"
    assert row["SizeRw"] == 5
    assert row["HostConfig"] == {"NetworkMode": "none"}
    assert set(row["NetworkSettings"]["Networks"]) == {"none"}
    assert info.to_docker_summary(10.0) == row


def test_an_annotation_is_listed_too():
    info = ContainerInfo(
        ContainerSpec("a", "b", "c", (), annotations=(("k", "v"),)), ContainerState()
    )
    assert to_docker_summary(info)["HostConfig"]["Annotations"] == {"k": "v"}


def test_a_command_without_words_is_empty():
    assert command_line(()) == ""


def test_the_default_capabilities_are_those_a_container_gets():
    assert frozenset(capabilities.DEFAULT) == DEFAULT_CAPABILITIES


def test_capabilities_are_told_as_what_was_added_and_dropped():
    plain = security(capabilities=tuple(DEFAULT_CAPABILITIES))
    assert (plain["CapAdd"], plain["CapDrop"]) == (None, None)
    other = security(capabilities=(*(DEFAULT_CAPABILITIES - {"CAP_KILL"}), "CAP_BPF"))
    assert (other["CapAdd"], other["CapDrop"]) == (["CAP_BPF"], ["CAP_KILL"])
    everything = security(privileged=True, capabilities=capabilities.NAMES)
    assert (everything["CapAdd"], everything["CapDrop"]) == (None, None)


def test_security_options_are_told_as_they_are_written():
    assert security()["SecurityOpt"] is None
    assert security(privileged=True, seccomp=None, writable_cgroups=True)["SecurityOpt"] is None
    assert security(no_new_privileges=True, seccomp=None, writable_cgroups=True)["SecurityOpt"] == [
        "no-new-privileges",
        "seccomp=unconfined",
        "writable-cgroups=true",
    ]
    assert security(seccomp='{"x":1}')["SecurityOpt"] == ['seccomp={"x":1}']


def test_devices_and_their_rules_are_told():
    found = security(
        devices=(Device("/dev/a", "/dev/b", "rw"),),
        device_rules=(DeviceRule("c", 1, None, "rwm"),),
    )
    assert found["Devices"] == [
        {"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "rw"}
    ]
    assert found["DeviceCgroupRules"] == ["c 1:* rwm"]


def test_limits_are_numbers_and_swap_is_as_much_as_memory():
    limited = host_config(resources=Resources(memory=64, nano_cpus=5, pids=None))
    assert (limited["Memory"], limited["MemorySwap"], limited["NanoCpus"]) == (64, 128, 5)
    assert limited["PidsLimit"] is None
    free = host_config(resources=Resources())
    assert (free["Memory"], free["MemorySwap"], free["CpuShares"]) == (0, 0, 0)
    assert host_config(resources=Resources(memory=64, memory_swap=-1))["MemorySwap"] == -1


def test_limits_of_devices_and_processes_are_told():
    found = host_config(
        resources=Resources(
            blkio_weight_device=(Throttle("/dev/sda", 5),),
            device_read_bps=(Throttle("/dev/sda", 6),),
        ),
        ulimits=(Ulimit("nofile", 1, 2),),
    )
    assert found["BlkioWeightDevice"] == [{"Path": "/dev/sda", "Weight": 5}]
    assert found["BlkioDeviceReadBps"] == [{"Path": "/dev/sda", "Rate": 6}]
    assert found["Ulimits"] == [{"Name": "nofile", "Hard": 2, "Soft": 1}]


def test_each_kind_of_mount_is_told_in_its_place():
    mounts = (
        Mount(
            MountKind.BIND, "/a", "/srv", read_only=True, propagation="rslave", create_source=True
        ),
        Mount(MountKind.BIND, "/b", "/srv", create_source=True),
        Mount(MountKind.BIND, "/c", "/srv", recursive=Recursion.DISABLED),
        Mount(MountKind.TMPFS, "/t", read_only=True, options=("size=1m", "nosuid")),
        Mount(MountKind.OVERLAY, "/o", "/srv"),
    )
    found = told(mounts=mounts)
    assert found["HostConfig"]["Binds"] == ["/srv:/a:ro,rslave", "/srv:/b"]
    assert [mount["Target"] for mount in found["HostConfig"]["Mounts"]] == ["/c", "/o"]
    assert found["HostConfig"]["Mounts"][0]["BindOptions"]["NonRecursive"] is True
    assert found["HostConfig"]["Tmpfs"] == {"/t": "ro,size=1m,nosuid"}
    points = {point["Destination"]: point for point in found["Mounts"]}
    assert set(points) == {"/a", "/b", "/c", "/o"}
    assert (points["/a"]["RW"], points["/a"]["Mode"], points["/b"]["RW"]) == (False, "ro", True)


@pytest.mark.parametrize(
    ("recursive", "word"),
    [
        (Recursion.WRITABLE, "ReadOnlyNonRecursive"),
        (Recursion.READONLY, "ReadOnlyForceRecursive"),
    ],
)
def test_how_far_down_a_mount_is_read_only_is_told(recursive, word):
    mount = Mount(MountKind.BIND, "/c", "/srv", read_only=True, recursive=recursive)
    assert host_config(mounts=(mount,))["Mounts"][0]["BindOptions"][word] is True


def test_namespaces_are_told_as_modes():
    names = Namespaces(pid="host", uts="host", network="host", ipc="none")
    found = told(namespaces=names)
    assert found["HostConfig"]["PidMode"] == found["HostConfig"]["UTSMode"] == "host"
    assert found["HostConfig"]["IpcMode"] == "none"
    assert set(found["NetworkSettings"]["Networks"]) == {"host"}
    joined = told(namespaces=Namespaces(network="container:x"))
    assert joined["NetworkSettings"]["Networks"] == {}
    assert host_config()["PidMode"] == ""


def test_a_log_driver_is_told_by_its_docker_name():
    log = LogConfig("json-file", (("max-size", "1m"),))
    assert host_config(log=log)["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m"}}
