import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.errors import InvalidRequest
from pyengine.model.options import ContainerOptions
from pyengine.model.spec import Device, DeviceRule


def security(**keywords):
    return ContainerOptions.from_keywords("host:", None, **keywords).security


@pytest.mark.parametrize(
    ("keyword", "bad"),
    [
        ("privileged", ["yes", 1]),
        ("read_only", [0]),
        ("no_new_privileges", ["true"]),
        ("cap_add", [["NET ADMIN"], [""], [5], {"a": 1}, ["NET_ADMIN,SYS_ADMIN"], "a\0b"]),
        ("cap_drop", [[None]]),
        ("seccomp", ["none", 5, "{", "{]", [1], {"a": {1}}, "/nowhere/profile.json", '{"a":1} x']),
        ("userns", ["private", "container:x", 5]),
        ("masked_paths", [["proc/x"], [5], {"a": 1}]),
        ("readonly_paths", ["x"]),
        (
            "device_cgroup_rules",
            ["c 1:3", "x 1:3 rwm", "c 1:3 rwx", "c 1:99999999999 r", "c -1:3 r"],
        ),
        ("devices", ["null", "/dev/a:b", "/dev/a:/dev/b:x", "/dev/a:/dev/b:rr", "/dev/a:/dev/b:"]),
        ("devices", [":/dev/a", "/dev/a:/dev/b:r:w", "/dev/a:/", "", 5]),
        (
            "sysctls",
            [{"kernel.core_pattern": "|/x"}, {"vm.swappiness": 1}, {"kernel.hostname": "x"}],
        ),
        (
            "sysctls",
            [{"net/../kernel/core_pattern": "x"}, {"net..x": "1"}, {"net": "1"}, ["net.x"]],
        ),
        ("sysctls", [{"net.ipv4.conf.eth0.forwarding": 1}, {"net.core.x": "1\nkernel.y=2"}]),
        ("sysctls", [{"net.core.x": ""}, {"net.core.x": True}, {"net.core.x\n": "1"}]),
        (
            "security_opt",
            ["x", "seccomp", "no-new-privileges=maybe", "systempaths=all", "apparmor"],
        ),
        ("security_opt", [["seccomp=default", "seccomp=unconfined"], "writable-cgroups=2", 5]),
    ],
)
def test_what_makes_no_sense_for_security_is_refused_with_a_reason(keyword, bad):
    for value in bad:
        with pytest.raises(InvalidRequest) as caught:
            security(**{keyword: value})
        assert caught.value.why or caught.value.expected, value


@settings(max_examples=60, deadline=None)
@given(st.from_regex(r"[A-Za-z_]{3,20}", fullmatch=True), st.sampled_from(["", "CAP_", "cap_"]))
def test_a_capability_has_one_name_however_it_is_written(name, prefix):
    (read,) = security(cap_add=[prefix + name]).cap_add
    if name.upper() not in ("ALL", "CAP_ALL"):
        assert read == (name.upper() if name.upper().startswith("CAP_") else f"CAP_{name.upper()}")
    assert security(cap_drop="all").cap_drop == ("ALL",)


def test_a_profile_is_taken_as_mapping_text_and_path(tmp_path):
    profile = {"defaultAction": "SCMP_ACT_ALLOW"}
    path = tmp_path / "profile.json"
    path.write_text(json.dumps(profile))
    for given_profile in (profile, json.dumps(profile), path, str(path)):
        assert json.loads(security(seccomp=given_profile).seccomp) == profile
    assert json.loads(security(security_opt=[f"seccomp={path}"]).seccomp) == profile
    assert security(seccomp="builtin").seccomp == "default"
    path.write_text("[]")
    with pytest.raises(InvalidRequest):
        security(seccomp=path)
    with pytest.raises(InvalidRequest):
        security(seccomp="{" + '"a":[' * 100_000)


def test_an_empty_list_of_paths_is_not_the_default():
    assert security(masked_paths=[]).masked_paths == ()
    assert security(read_only=True).masked_paths is None
    assert security(readonly_paths=["/proc//bus/"]).readonly_paths == ("/proc/bus",)


def test_security_options_are_the_same_as_the_keywords():
    words = ["no-new-privileges", "systempaths=unconfined", "seccomp=unconfined"]
    words += ["writable-cgroups=true"]
    by_words = security(security_opt=words)
    assert by_words.no_new_privileges
    assert by_words.writable_cgroups
    assert by_words.masked_paths == by_words.readonly_paths == ()
    assert by_words.seccomp == "unconfined"
    assert not security(security_opt="no-new-privileges:false").no_new_privileges
    assert security(security_opt=["no-new-privileges=true"], no_new_privileges=True)
    asked = security(security_opt=["apparmor=unconfined", "label:disable"])
    assert asked.unconfined == ("apparmor", "selinux")


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("/dev/fuse", Device("/dev/fuse", "/dev/fuse", "rwm")),
        ("/dev/fuse:/dev/x", Device("/dev/fuse", "/dev/x", "rwm")),
        ("/dev/fuse:/dev/x:r", Device("/dev/fuse", "/dev/x", "r")),
        ("/dev/fuse:rw", Device("/dev/fuse", "/dev/fuse", "rw")),
    ],
)
def test_a_device_reads_back(text, device):
    assert security(devices=[text]).devices == security(devices=[device]).devices == (device,)


numbers = st.one_of(st.none(), st.integers(0, (1 << 32) - 1))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from("abc"), numbers, numbers, st.sampled_from(["r", "rw", "rwm", "m"]))
def test_a_device_rule_reads_back(kind, major, minor, access):
    rule = DeviceRule(kind, major, minor, access)
    text = f"{kind} {'*' if major is None else major}:{'*' if minor is None else minor} {access}"
    assert security(device_cgroup_rules=[text]).device_rules == (rule,)
    assert security(device_cgroup_rules=[rule]).device_rules == (rule,)


def test_parameters_of_the_container_s_namespaces_are_allowed():
    asked = {
        "net.core.somaxconn": 1024,
        "net.ipv4.ip_local_port_range": "1024\t65000",
        "net/ipv4/conf/a.b/forwarding": "1",
        "kernel.shmmax": "1",
        "fs.mqueue.msg_max": "5",
    }
    assert dict(security(sysctls=asked).sysctls) == {k: str(v) for k, v in asked.items()}
    listed = [f"{name}={value}" for name, value in asked.items()]
    assert security(sysctls=listed) == security(sysctls=asked)
