import pytest

from pyengine import HealthCheck, LogConfig
from pyengine.cli.container_flags import RUN_FLAGS
from pyengine.cli.flags import parse
from pyengine.cli.request import environment, read_request
from pyengine.errors import InvalidRequest, Unsupported
from pyengine.model.options import ContainerOptions


def read(*words):
    given = parse(words, RUN_FLAGS, command="pyengine run", interspersed=False)
    return read_request(given)


def options(*words):
    return read(*words, "host:").options


def test_image_and_command_are_what_follows_the_flags():
    assert read("host:", "echo", "-n", "--rm").command == ("echo", "-n", "--rm")
    assert read("host:").command is None


def test_one_pair_of_dashes_after_the_image_is_dropped():
    assert read("host:", "--", "echo", "--").command == ("echo", "--")
    assert read("--rm", "--", "host:", "--", "--").command == ("--",)


def test_the_entrypoint_is_one_program_whatever_its_name():
    assert options("--entrypoint", "/a b/c")["entrypoint"] == ["/a b/c"]
    assert options("--entrypoint=")["entrypoint"] == [""]


def test_a_variable_without_a_value_has_the_one_it_has_here(monkeypatch):
    monkeypatch.setenv("PE_THERE", "x=y")
    monkeypatch.delenv("PE_NOT_THERE", raising=False)
    assert environment(["PE_THERE", "PE_NOT_THERE", "A=", "B"]) == [
        "PE_THERE=x=y",
        "PE_NOT_THERE",
        "A=",
        "B",
    ]


def test_the_environment_names_a_platform_unless_a_flag_does(monkeypatch):
    monkeypatch.setenv("DOCKER_DEFAULT_PLATFORM", "linux/arm64")
    assert options()["platform"] == "linux/arm64"
    assert options("--platform=linux/amd64")["platform"] == "linux/amd64"


def test_old_names_of_flags_mean_the_same():
    assert options("--net", "host") == options("--network", "host") == {"network": "host"}
    assert options("--net-alias", "a") == options("--network-alias=a") == {"aliases": ("a",)}
    assert options("--dns-opt", "ndots:1") == options("--dns-option", "ndots:1")


def test_several_networks_and_their_endpoints_reach_the_engine():
    assert options("--network", "a", "--network", "name=b,alias=c,ip=10.0.0.2") == {
        "networks": {"a": {}, "b": {"alias": "c", "ip": "10.0.0.2"}}
    }


@pytest.mark.parametrize("text", ["alias=x", "name=", "name=a,name=b", "name=a,ip="])
def test_a_network_without_a_name_or_with_two_is_refused(text):
    with pytest.raises(InvalidRequest):
        options("--network", text)


def test_a_log_driver_and_its_options_are_one_value():
    asked = options("--log-driver", "json-file", "--log-opt", "max-size=1m", "--log-opt=tag=x=y")
    assert asked["log"] == LogConfig("json-file", (("max-size", "1m"), ("tag", "x=y")))
    assert options("--log-opt", "max-size=1m")["log"].driver == "json-file"


def test_a_log_option_without_a_value_is_refused():
    with pytest.raises(InvalidRequest):
        options("--log-opt", "max-size")


def test_the_parts_of_a_health_check_are_one_value():
    asked = options("--health-cmd", "test -e /x", "--health-interval=5s", "--health-retries=2")
    assert asked["health"] == HealthCheck(
        test=("CMD-SHELL", "test -e /x"),
        interval="5s",  # type: ignore[arg-type]
        retries=2,
    )
    assert options("--no-healthcheck")["health"].test == ("NONE",)


def test_no_health_check_and_one_at_once_is_refused():
    with pytest.raises(InvalidRequest, match="conflicts"):
        options("--no-healthcheck", "--health-cmd", "true")


def test_a_size_of_the_writable_layer_is_the_only_storage_option():
    assert options("--storage-opt", "size=1g")["storage_size"] == "1g"
    with pytest.raises(InvalidRequest):
        options("--storage-opt", "inodes=1")


@pytest.mark.parametrize(
    "words",
    [
        ("--gpus", "all"),
        ("--runtime", "crun"),
        ("--link", "db"),
        ("--link-local-ip", "169.254.1.1"),
        ("--isolation", "hyperv"),
        ("--cpu-count", "2"),
        ("--use-api-socket",),
        ("--volume-driver", "x"),
    ],
)
def test_what_no_option_stands_for_is_refused_with_the_reason(words):
    with pytest.raises(Unsupported) as caught:
        options(*words)
    assert caught.value.remedy


def test_what_changes_nothing_may_be_said():
    assert options("--isolation=default", "--cpu-count=0", "--use-api-socket=false") == {}


def test_the_engine_reads_what_a_long_command_line_asks():
    words = (
        *("--name", "web", "-h", "box", "-e", "A=1", "-l", "x=y", "-u", "1:2", "-w", "/tmp"),
        *("-it", "--init", "-m", "64m", "--cpus", "0.5", "--pids-limit", "9", "-c", "512"),
        *("--cap-add", "NET_ADMIN", "--cap-drop", "ALL", "--read-only", "--tmpfs", "/t:size=1m"),
        *("-v", "/srv:/data:ro", "--mount", "type=tmpfs,target=/x", "--ulimit", "nofile=5:6"),
        *("--security-opt", "no-new-privileges", "--sysctl", "net.core.somaxconn=9"),
        *("--stop-signal", "INT", "--stop-timeout", "3", "--add-host", "a:1.2.3.4"),
        *("--dns", "1.1.1.1", "--expose", "80", "--group-add", "5", "--shm-size", "1m"),
        *("--device-cgroup-rule", "c 1:3 rwm", "--oom-score-adj=-5", "--network", "none"),
        *("--annotation", "k=v", "--memory-swappiness=-1", "--restart=no", "--pull", "never"),
    )
    request = read(*words, "host:", "sleep", "1")
    asked = ContainerOptions.from_keywords(request.image, request.command, **request.options)
    assert (asked.name, asked.hostname, asked.user, asked.workdir) == ("web", "box", "1:2", "/tmp")
    assert asked.env == (("A", "1"),)
    assert asked.tty
    assert asked.stdin_open
    assert asked.resources.memory == 64 << 20
    assert asked.resources.pids == 9
    assert asked.security.cap_add == ("CAP_NET_ADMIN",)
    assert asked.security.no_new_privileges
    assert {mount.target for mount in asked.mounts} == {"/t", "/data", "/x"}
    assert asked.stop_timeout == 3
    assert asked.annotations == (("k", "v"),)
