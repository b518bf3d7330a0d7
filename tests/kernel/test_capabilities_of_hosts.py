"""A host that refuses one thing is told from one that refuses another, by trying."""

from __future__ import annotations

import json
import os
import sys

import pytest

import pyengine

pytestmark = pytest.mark.kernel

HOME = os.path.dirname(os.path.dirname(os.path.abspath(pyengine.__file__)))
DOCTOR = [sys.executable, "-m", "pyengine", "--root", "/doctor/root", "doctor", "--json"]
AS_USER = "chmod 755 /root && exec setpriv --reuid=1000 --regid=1000 --clear-groups"
"""Python may be in root's own directory; the container's is a view of that."""

OPEN = {"security_opt": ["seccomp=unconfined", "systempaths=unconfined"]}
"""What a container gets that shall be refused nothing but what a test takes away."""


@pytest.fixture
def examine(engine, tmp_path):
    """What the doctor says inside a container with these options, by name, and its tier."""
    place = tmp_path / "doctor"
    place.mkdir()
    place.chmod(0o777)

    def ask(argv=tuple(DOCTOR), *, user=False, **options):
        if user:
            argv = ["sh", "-c", f'{AS_USER} "$@"', "sh", *argv]
        env = {"PYTHONPATH": HOME, "PATH": os.environ["PATH"]}
        volumes = [f"{place}:/doctor"]
        result = engine.run("host:", list(argv), env=env, volumes=volumes, **options)
        assert result.exit_code in (0, 1), result.stderr
        told = json.loads(result.stdout)
        return told["tier"], {one["name"]: one for one in told["features"]}

    return ask


def causes(features, names):
    return {features[name]["why"] for name in names.split() if not features[name]["works"]}


def test_a_host_that_refuses_nothing_allows_everything_but_to_be_oneself(engine):
    found = engine.capabilities()
    assert (found.tier, {one.name for one in found.missing}) == ("root", {"keep-id", "nomap"})
    assert found is engine.capabilities()  # found out once
    assert json.loads(json.dumps(found.to_dict()))["tier"] == "root"


def test_trying_leaves_nothing(engine):
    engine.capabilities()
    (owner,) = [name for name in os.listdir(f"{engine.root}/owners") if name != "none"]
    assert [
        name
        for name in os.listdir(f"{engine.root}/owners/{owner}/.trash")
        if name.startswith("trial")
    ] == []


def test_root_without_capabilities_is_told_so(examine):
    tier, features = examine(**OPEN)
    assert tier == "none"
    assert causes(features, "pid mount uts ipc net proc overlay") == {
        "this process is root, but lacks CAP_SYS_ADMIN"
    }
    assert "--cap-add SYS_ADMIN" in features["mount"]["remedy"]


def test_a_user_without_a_filter_may_do_without_root(examine):
    tier, features = examine(user=True, **OPEN)
    assert (tier, causes(features, "userns pid mount proc overlay uts net mqueue")) == (
        "single",
        set(),
    )
    assert features["mknod"]["why"] == "only root of the host makes devices"
    assert "newuidmap" in features["subids"]["why"] or "subuid" in features["subids"]["why"]
    assert not features["memory"]["works"]


def test_docker_s_filter_is_named(examine):
    tier, features = examine(user=True, security_opt=["systempaths=unconfined"])
    assert tier == "none"
    (why,) = causes(features, "userns pid mount proc overlay")
    assert "seccomp filter" in why
    assert "seccomp=unconfined" in features["userns"]["remedy"]


def test_a_masked_proc_is_named(examine):
    tier, features = examine(user=True, security_opt=["seccomp=unconfined"])
    assert tier == "none"
    assert "parts of the /proc here are covered" in features["proc"]["why"]
    assert "systempaths=unconfined" in features["proc"]["remedy"]
    assert features["userns"]["works"]
    assert features["mount"]["works"]


def test_cgroups_that_are_read_only_are_named(examine):
    _, features = examine(cap_add=["ALL"], **OPEN)
    assert {why.partition(" (")[0] for why in causes(features, "memory pids cpu")} == {
        "the cgroups are mounted read-only"
    }
    assert features["mount"]["works"]


def test_no_user_namespaces_at_all_is_named(examine):
    # the sysctl is each user namespace's own: this one allows none below it
    forbid = "echo 0 > /proc/sys/user/max_user_namespaces && exec"
    words = ["unshare", "--user", "--map-root-user", "sh", "-c", f'{forbid} "$@"', "sh", *DOCTOR]
    _, features = examine(words, user=True, **OPEN)
    assert features["userns"]["why"] == "user.max_user_namespaces is 0"
    assert "max_user_namespaces=" in features["userns"]["remedy"]


def test_a_filter_that_forbids_user_namespaces_only_is_named(examine):
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {
                "names": ["unshare"],
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": 1,
                "args": [
                    {"index": 0, "value": 1 << 28, "valueTwo": 1 << 28, "op": "SCMP_CMP_MASKED_EQ"}
                ],
            }
        ],
    }
    options = [f"seccomp={json.dumps(profile)}", "systempaths=unconfined"]
    tier, features = examine(user=True, security_opt=options)
    assert tier == "none"
    assert causes(features, "userns mount") == {"a seccomp filter forbids user namespaces"}


IN_CHROOT = """
mkdir /c /c/proc
for path in /*; do
    case $path in
        /c|/proc) ;;
        *) if [ -L $path ]; then cp -P $path /c; fi
            if [ -d $path -a ! -L $path ]; then mkdir /c$path; mount --rbind $path /c$path; fi ;;
    esac
done
mount -t proc proc /c/proc
chmod 755 /c/root
exec chroot --userspec=1000:1000 /c "$@"
"""


def test_a_chroot_is_named(examine):
    words = ["sh", "-euc", IN_CHROOT, "sh", *DOCTOR]
    tier, features = examine(words, cap_add=["ALL"], **OPEN)
    assert tier == "none"
    assert causes(features, "userns pid mount") == {"this process is in a chroot"}


def test_what_is_required_and_refused_says_the_same(engine, tmp_path):
    with pytest.raises(pyengine.Unsupported, match="not built"):
        pyengine.Engine(root=tmp_path / "other", require={"networks"})
    with pyengine.Engine(root=tmp_path / "other", require={"userns", "memory"}) as other:
        assert "userns" in other.capabilities()
    with pytest.raises(pyengine.InvalidRequest, match="some of"):
        pyengine.Engine(root=tmp_path / "other", require={"magic"})


def test_what_the_engine_says_of_itself_agrees_with_what_was_tried(engine):
    found, told = engine.capabilities(), engine.info()
    lacking = {name for name in ("memory", "cpu", "cpuset", "pids") if name not in found}
    assert {line.split()[2] for line in told.warnings if "limit support" in line} == lacking
    assert told.rootless == (found.tier in ("subids", "single"))
    assert ("name=rootless" in told.security) == told.rootless


def test_without_cgroups_to_write_to_the_engine_says_the_same_of_itself(engine, tmp_path):
    script = """
import pyengine
with pyengine.Engine(root="/doctor/root") as engine:
    found, told = engine.capabilities(), engine.info()
print(sorted(name for name in ("memory", "cpu", "cpuset", "pids") if name not in found))
print(sorted(line.split()[2] for line in told.warnings if "limit support" in line))
"""
    (tmp_path / "doctor").mkdir()
    result = engine.run(
        "host:",
        [sys.executable, "-c", script],
        env={"PYTHONPATH": HOME, "PATH": os.environ["PATH"]},
        volumes=[f"{tmp_path / 'doctor'}:/doctor"],
        cap_add=["ALL"],
        **OPEN,
    )
    tried, said = result.stdout.splitlines()
    assert tried == said != "[]"
