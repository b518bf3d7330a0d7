import json
from pathlib import Path

import pytest

import pyengine
from benchmarks.bundle import config, kernel_version, oci_seccomp
from pyengine.linux.capabilities import DEFAULT

PROFILE = json.loads((Path(pyengine.__file__).parent / "data/seccomp.json").read_text())
RELEASE = "6.18.1-arch"


def profile(**circumstances):
    rule = {"names": ["reboot"], "action": "SCMP_ACT_ALLOW", **circumstances}
    return {**PROFILE, "syscalls": [rule]}


def names(found):
    return [name for rule in found["syscalls"] for name in rule["names"]]


@pytest.mark.parametrize(
    ("circumstances", "applies"),
    [
        ({}, True),
        ({"includes": {"caps": ["CAP_CHOWN"]}}, True),
        ({"includes": {"caps": ["CAP_SYS_BOOT"]}}, False),
        ({"excludes": {"caps": ["CAP_SYS_BOOT"]}}, True),
        ({"excludes": {"caps": ["CAP_CHOWN"]}}, False),
        ({"includes": {"arches": ["amd64", "x32"]}}, True),
        ({"includes": {"arches": ["arm64"]}}, False),
        ({"excludes": {"arches": ["arm64"]}}, True),
        ({"excludes": {"arches": ["amd64"]}}, False),
        ({"includes": {"minKernel": "4.8"}}, True),
        ({"includes": {"minKernel": "6.19"}}, False),
        ({"includes": None, "excludes": None}, True),
    ],
)
def test_a_rule_stays_where_its_circumstances_are_given(circumstances, applies):
    found = oci_seccomp(profile(**circumstances), DEFAULT, "x86_64", RELEASE)
    assert names(found) == (["reboot"] if applies else [])


def test_what_only_docker_understands_is_gone():
    found = oci_seccomp(PROFILE, DEFAULT, "x86_64", RELEASE)
    keys = {key for rule in found["syscalls"] for key in rule}
    assert keys <= {"names", "action", "errnoRet", "args"}
    assert "archMap" not in found


def test_each_architecture_names_its_own():
    for machine, expected in (("x86_64", "SCMP_ARCH_X86_64"), ("aarch64", "SCMP_ARCH_AARCH64")):
        found = oci_seccomp(PROFILE, DEFAULT, machine, RELEASE)
        assert found["architectures"][0] == expected
        assert len(found["architectures"]) > 1


def test_no_condition_is_wider_than_a_32_bit_program_has():
    found = oci_seccomp(PROFILE, DEFAULT, "x86_64", RELEASE)
    conditions = [one for rule in found["syscalls"] for one in rule.get("args", ())]
    assert conditions
    assert all(condition["value"] < 1 << 32 for condition in conditions)


def test_a_release_is_read_whatever_follows():
    assert kernel_version("6.18.44-fc-v595") == (6, 18)
    assert kernel_version("5.4-generic".replace("-", ".")) == (5, 4)


def test_the_other_runtime_gets_docker_s_container():
    found = config(["true"], "/r", "/f", "/c/x", {"defaultAction": "SCMP_ACT_ERRNO"})
    assert json.loads(json.dumps(found)) == found
    linux, process = found["linux"], found["process"]
    assert process["capabilities"]["effective"] == list(DEFAULT)
    assert "inheritable" not in process["capabilities"]
    assert {one["type"] for one in linux["namespaces"]} == {
        *("pid", "network", "ipc", "uts", "mount", "cgroup")
    }
    targets = [mount["destination"] for mount in found["mounts"]]
    assert {"/proc", "/dev", "/sys", "/etc/resolv.conf"} <= set(targets)
    assert linux["resources"]["devices"][0] == {"allow": False, "access": "rwm"}
