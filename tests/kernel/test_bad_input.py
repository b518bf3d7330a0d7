"""What cannot be is refused before anything is made, and with an error that says what to mend."""

from __future__ import annotations

import glob

import pytest
from hypothesis import HealthCheck as Check
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import assert_explained
from support.whoever import IS_ROOT

from pyengine import (
    Device,
    Engine,
    EngineError,
    ExecutableNotFound,
    HealthCheck,
    ImageNotFound,
    InvalidRequest,
    LogConfig,
    Ulimit,
    Unsupported,
    WrongState,
)
from pyengine.model.options import KEYWORDS

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]

REFUSED = (InvalidRequest, Unsupported)


def homes(engine) -> list[str]:
    """The directories of containers in the engine's root."""
    return sorted(glob.glob(f"{engine.root}/owners/*/{'?' * 64}"))


# --- options ---

# what Docker answers with status 400, and some it should
WRONG: dict[str, tuple[object, ...]] = {
    "entrypoint": (5, [5], "'", {"a": 1}),
    "name": ("", "a", "-a", "a b", "../a", "ä", "a" * 256, 5, "a/b", "a\n"),
    "hostname": ("-a", "a b", "a" * 65, "a\nb", 5, "a/b"),
    "domainname": ("-a", "a b", "a" * 65, "a\nb", 5),
    "env": (5, ["=a"], {"a=b": "c"}, {"": "a"}, ["a\0b"], [5], {"a": True}, {"a": ...}),
    "env_file": ("/no/such/file", "/", 5),
    "label_file": ("/no/such/file", "/", 5),
    "workdir": ("relative", 5, "a\0b", "/" + "a" * 5000),
    "user": ("a:b:c", "-1", "4294967295", 1.5, True, "a\nb", ["root"]),
    "group_add": ([""], ["-1"], [4294967295], ["a:b"], 1.5, ["a\nb"], [None]),
    "labels": (5, ["=a"], {"": "a"}, {"a": True}, {"a": b"\xff\0"}, [5]),
    "annotations": (5, ["=a"], {"": "a"}, {"a": []}),
    "tty": ("no", 1, 0, "false", []),
    "stdin_open": ("no", 1, []),
    "stdin": (1.5, -1, True, [b"a"], ...),
    "console_size": (5, (1,), (1, 2, 3), (-1, 5), (70000, 1), "24x80"),
    "init": ("no", 1, []),
    "stop_signal": ("SIGNOPE", 0, 65, -1, "", 1.5, True, [], "9x"),
    "stop_timeout": ("soon", [], True, "1y", float("nan")),
    "restart": ("sometimes", "always:3", "on-failure:-1", "on-failure:x", 5, []),
    "auto_remove": ("no", 1, []),
    "best_effort": ("no", 1, []),
    "health": (5, "true", HealthCheck(test=("PING", "x")), HealthCheck(test=(), retries=-1)),
    "log": (
        5,
        "nothing",
        LogConfig("json-file", (("max-size", "much"),)),
        LogConfig("", (("a", 1),)),
    ),
    "platform": ("linux amd64", "/", 5, "plan9/amd64", "linux/vax"),
    "pull": ("sometimes", 5, True),
    "progress": ("loud", 5, True),
    "owner": ("me", 5, ""),
    "shm_size": (-1, "big", 1.5, True, []),
    "ulimits": (5, ["nofile"], ["nope=1"], {"nofile": (5, 4)}, {"core": "x"}, ["nofile=1:2:3"]),
    "oom_score_adj": (-1001, 1001, "x", 1.5, True),
    "cgroup_parent": ("..", "a/../b", "a//b", "a\nb", 5, "/../x"),
    "dns": ("localhost", "1.2.3", 5, ["1.1.1.1\nnameserver 6.6.6.6"]),
    "dns_search": ("a b", "-a", 5, "a\nb"),
    "dns_options": ("a b", "", "a\nb", 5),
    "extra_hosts": ("host", "host:nowhere", "a b:1.1.1.1", 5, {"h": "x"}, "h:1.1.1.1\n6.6.6.6 g"),
    "expose": (0, 65536, "80/xyz", "90-80", "http", -1, 1.5),
    "memory": (1, "5m", "6291455", -1, "x", 1.5, True, "1e9"),
    "memory_swap": (-2, "x", "64m", True),
    "memory_reservation": (1, "x", -1),
    "memory_swappiness": (-2, 101, "x", 1.5),
    "oom_kill_disable": ("no", 1),
    "cpu_period": (999, 1_000_001, "x", -1),
    "cpu_quota": (999, -2, "x"),
    "cpu_shares": (-1, "x", 1.5),
    "cpu_rt_period": (-1, "x"),
    "cpu_rt_runtime": (-1, "x"),
    "cpuset_mems": ("x", "0-", "5-3", "99999", [-1], 1.5),
    "cpuset": ("x", "0-", "5-3", "99999", [-1], "0,,1", "8000"),
    "cpus": (0.001, -1, "x", 99999, float("nan"), float("inf"), True),
    "pids": (-2, "x", 1 << 23, 1.5),
    "blkio_weight": (9, 1001, "x", -1),
    "blkio_weight_device": (["/dev/sda"], ["/dev/sda:5"], ["sda:500"], 5),
    "device_read_bps": (["/dev/sda"], ["/dev/sda:x"], ["/etc:1"], 5, {"/dev/sda": -1}),
    "device_write_bps": (["/dev/sda"], ["/dev/sda:x"], 5),
    "device_read_iops": (["/dev/sda:-1"], ["/dev/sda:1m"], 5),
    "device_write_iops": (["/dev/sda:-1"], 5),
    "privileged": ("no", 1, []),
    "cap_add": ("CAP_NOPE", "NET ADMIN", 5, [""], ["net-admin"]),
    "cap_drop": ("CAP_NOPE", "NET ADMIN", 5, [""]),
    "seccomp": ("nothing", "{", "[]", "/no/such/file", 5, {"defaultAction": "SCMP_ACT_NOPE"}, {}),
    "no_new_privileges": ("no", 1),
    "read_only": ("no", 1),
    "userns": ("mine", 5, "nomap", "auto:size=1", "keep-id" if IS_ROOT else "host"),
    "masked_paths": (["relative"], 5, ["/a\0b"], [5]),
    "readonly_paths": (["relative"], 5, [""]),
    "sysctls": (
        *({"kernel.core_pattern": "|/x"}, {"vm.swappiness": 1}, {"net.core.somaxconn": "1\n2"}),
        *({"net/../kernel.core_pattern": "x"}, ["net.core.somaxconn"], {"kernel.hostname": "x"}, 5),
    ),
    "devices": ("a:b:c:d", "/dev/null:/x:q", "null", "/dev/null:/", 5, ["/dev/null:/x:rr"], ""),
    "security_opt": ("nope", "seccomp", "no-new-privileges=maybe", "systempaths=1", 5, "label=x"),
    "device_cgroup_rules": ("c 1:3", "x 1:3 r", "c 1:3 q", "c 99999999999:1 r", 5, "c 1:3 r\n"),
    "pid": ("mine", "container:", 5, "container"),
    "ipc": ("mine", "container:", 5),
    "uts": ("mine", "container:x", 5),
    "network": ("bridge", 5, "container:x", "a\0b"),
    "cgroupns": ("mine", 5),
    "mounts": (
        *(5, ["type=bind,src=/x"], ["type=nope,dst=/a"], ["type=tmpfs,dst=a"], ["type=tmpfs"]),
        *(["type=bind,src=/no/such/thing,dst=/a"], ["type=tmpfs,dst=/"], ["type=tmpfs,dst=/proc"]),
        ["type=tmpfs,dst=/a", "type=tmpfs,dst=/a"],
    ),
    "volumes": ("/tmp:a", "/tmp:/a:nope", "/tmp", "a:b:c:d", 5, "/tmp:/", "/tmp:/a:ro,rw", "::"),
    "tmpfs": ("a", {"/a": "size=x"}, {"/a": "nope"}, {"/": ""}, 5, {"/a": "size=1m,uid=x"}),
    "networks": ({"a": None}, 5),
    "ports": ({80: 8080}, ["80"], 80),
    "publish_all": (True, "no", 1),
    "aliases": (["a"], "a"),
    "ip": ("10.0.0.1", 5),
    "ip6": ("::1", 5),
    "mac_address": ("aa:bb:cc:dd:ee:ff", 5),
    "storage_size": ("1g", "x", -1),
    "volumes_from": (["other"], [":ro"], ["a:nope"], 5),
}


def test_each_option_that_there_is_has_wrong_values_here():
    assert WRONG.keys() == KEYWORDS


@pytest.mark.parametrize("keyword", sorted(WRONG))
def test_a_wrong_value_is_refused_by_name_before_anything_is_made(engine, image, keyword):
    for value in WRONG[keyword]:
        for make in (engine.create, engine.run, engine.start):
            with pytest.raises(REFUSED) as caught:
                make(image, ["true"], **{keyword: value})
            assert_explained(caught.value)
    assert engine.containers.list(all=True) == homes(engine) == []


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.sampled_from((Ulimit("nofile", 1, 2), Device("/dev/null", "/x"), ...)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)
# what is made with any of these would be real: a file of the host's, half its memory, its devices
harmless = sorted(KEYWORDS - {"env_file", "label_file", "seccomp", "volumes", "mounts", "stdin"})


def test_any_value_of_any_option_is_taken_or_refused_and_leaves_nothing(tmp_path, image):
    @given(st.dictionaries(st.sampled_from(harmless), anything, min_size=1, max_size=2))
    @settings(max_examples=150, deadline=None, suppress_health_check=[Check.too_slow])
    def attempt(options):
        try:
            made = engine.create(image, ["true"], **options)
        except REFUSED as error:
            assert_explained(error)
            assert homes(engine) == []
        else:
            made.remove()

    with Engine(tmp_path / "engine") as engine:
        attempt()
        assert engine.containers.list(all=True) == []


@pytest.mark.parametrize(
    "options",
    [
        {"auto_remove": True, "restart": "always"},
        {"uts": "host", "hostname": "a"},
        {"uts": "host", "domainname": "a"},
        {"network": "host", "sysctls": {"net.core.somaxconn": 1}},
        {"ipc": "host", "sysctls": {"kernel.msgmax": 1}},
        {"memory_swap": "1g"},
        {"memory": "64m", "memory_swap": "32m"},
        {"memory": "64m", "memory_reservation": "128m"},
        {"cpus": 1, "cpu_quota": 50_000},
        {"cpus": 1, "cpu_period": 50_000},
        {"cpu_rt_runtime": 2, "cpu_rt_period": 1},
        {"seccomp": "default", "security_opt": ["seccomp=unconfined"]},
        {"security_opt": ["no-new-privileges=true"], "no_new_privileges": False},
        {"tmpfs": ["/a"], "mounts": ["type=tmpfs,dst=/a"]},
        {"pid": "container:nobody"},
        {"ipc": "container:nobody"},
        {"no_such_option": 1},
        {"mem_limit": "64m"},
    ],
)
def test_options_that_contradict_each_other_make_nothing(engine, image, options):
    for make in (engine.create, engine.run, engine.start):
        with pytest.raises((*REFUSED, LookupError)) as caught:
            make(image, ["true"], **options)
        assert_explained(caught.value)
    assert engine.containers.list(all=True) == []


@pytest.mark.parametrize(
    ("image", "error"),
    [
        ("", InvalidRequest),
        (" host:", InvalidRequest),
        (5, InvalidRequest),
        ("UPPER", InvalidRequest),
        ("rootfs:relative", InvalidRequest),
        ("rootfs:/no/such/directory", ImageNotFound),
        ("rootfs:/etc/passwd", InvalidRequest),
        ("rootfs:/dev/null", InvalidRequest),
        ("rootfs:", InvalidRequest),
        ("oci:/x", ImageNotFound),
        ("docker-archive:/x.tar", ImageNotFound),
        ("a\0b", InvalidRequest),
        ("rootfs:" + "/a" * 3000, EngineError),
    ],
)
def test_an_image_that_is_none_makes_nothing(engine, image, error):
    for make in (engine.create, engine.run, engine.start):
        with pytest.raises(error) as caught:
            make(image, ["true"])
        assert_explained(caught.value)
    assert engine.containers.list(all=True) == []


@pytest.mark.parametrize("command", ["'", 5, [5], {"a": 1}, ["a\0b"], [None], b"true"])
def test_a_command_that_is_none_makes_nothing(engine, image, command):
    container = engine.start(image, ["sleep", "1000"])
    for run in (lambda: engine.run(image, command), lambda: container.exec(command)):
        with pytest.raises(InvalidRequest) as caught:
            run()
        assert_explained(caught.value)
    assert len(engine.containers.list(all=True)) == 1


def test_an_empty_command_is_refused_where_there_is_no_other(engine, image):
    container = engine.start(image, ["sleep", "1000"])
    for command in ([], "", [""]):
        with pytest.raises((InvalidRequest, ExecutableNotFound)):
            container.exec(command)
    with pytest.raises((InvalidRequest, ExecutableNotFound)):
        engine.run(image, [""], entrypoint="")


# --- what is asked of a container ---


def test_a_signal_that_is_none_is_refused(engine, image):
    container = engine.start(image, ["sleep", "1000"])
    for signal in ("SIGNOPE", 0, 65, -1, "", "9x", 1.5, None, True):
        for send in (container.kill, lambda signal: container.stop(signal=signal, timeout=0)):
            if signal is None and send != container.kill:
                continue
            with pytest.raises(InvalidRequest) as caught:
                send(signal)
            assert_explained(caught.value)
    assert str(container.status) == "running"


def test_arguments_of_every_other_call_are_looked_at_too(engine, image):
    container = engine.start(image, ["sleep", "1000"])
    for call in (
        lambda: container.wait("forever"),
        lambda: container.rename("a b"),
        lambda: container.rename(""),
        lambda: container.update(memory="1m"),
        lambda: container.update(hostname="x"),
        lambda: container.update(nonsense=1),
        lambda: container.exec("true", user="a:b:c"),
        lambda: container.exec("true", user="nobody-here"),
        lambda: container.exec("true", workdir="relative"),
        lambda: container.exec("true", env=["=x"]),
        lambda: container.exec("true", privileged="no"),
        lambda: container.popen("true", tty="yes"),
        lambda: container.logs(tail="x"),
        lambda: container.logs(since="yesterday-ish"),
        lambda: engine.containers.list(filters={"nope": "x"}),
        lambda: engine.containers.list(filters={"status": "nope"}),
        lambda: engine.containers.list(limit="x"),
        lambda: engine.containers.prune(filters={"name": "x"}),
        lambda: engine.events(since="x"),
        lambda: Engine(owner="me"),
        lambda: Engine(log_level="loud"),
    ):
        with pytest.raises(REFUSED) as caught:
            call()
        assert_explained(caught.value)
    assert str(container.status) == "running"
    assert container.exec(["echo", "fine"]).stdout == "fine\n"


def test_what_is_not_there_is_not_found(engine, image):
    container = engine.create(image, "true")
    container.remove()
    for call in (
        container.start,
        container.stop,
        container.kill,
        container.remove,
        container.inspect,
        lambda: container.exec("true"),
        lambda: container.wait(timeout=5),
        lambda: container.logs(),
        lambda: engine.containers.get("no-such-container"),
        lambda: engine.containers.get("../../etc"),
        lambda: engine.containers.get(""),
    ):
        with pytest.raises((LookupError, InvalidRequest)) as caught:
            call()
        assert_explained(caught.value)


def test_what_does_not_run_cannot_be_joined(engine, image):
    container = engine.create(image, "true")
    for call in (
        lambda: container.exec("true"),
        container.pause,
        container.unpause,
        container.kill,
    ):
        with pytest.raises(WrongState) as caught:
            call()
        assert_explained(caught.value)


def test_input_for_what_is_only_made_is_refused_for_nobody_would_give_it(engine, image):
    for content in (b"words", "", 0):
        with pytest.raises(InvalidRequest, match="stdin"):
            engine.create(image, "cat", stdin=content)
    assert engine.containers.list(all=True) == []
