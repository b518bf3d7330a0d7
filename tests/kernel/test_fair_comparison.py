"""A ratio is worth as much as the two do the same: the limit's container looks as ours does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))  # the benchmarks are no part of the package

import pyengine
from benchmarks.bench import bench
from benchmarks.contest import PROJECT
from benchmarks.ours import SLEEP

pytestmark = pytest.mark.kernel

PROBE = """
grep -E '^(Cap|NoNewPrivs|Seccomp|Groups|Uid|Gid|Sig(Blk|Ign))' /proc/self/status
cat /proc/self/limits
while read -r _ _ _ _ target flags rest
    do echo "mount $target $flags ${rest#*- }"
done </proc/self/mountinfo
for path in /dev/* /etc/hosts; do [ -e "$path" ] && echo "path $path"; done
for name in mnt pid uts ipc net cgroup time
    do echo "namespace $name $(readlink /proc/self/ns/$name)"
done
grep -c pids:/.*/ /proc/self/cgroup
cat /proc/sys/net/ipv4/ping_group_range /proc/sys/net/ipv4/ip_unprivileged_port_start
umask; pwd; echo "$HOME $PATH"; ls /proc/self/fd
"""
ARGV = ["/bin/sh", "-c", PROBE]


@pytest.fixture
def place():
    with bench() as made:
        for applet in ("grep", "readlink"):
            (made.rootfs / "bin" / applet).symlink_to("busybox")
        yield made


@pytest.fixture
def engine(place):
    with pyengine.Engine(root=place.directory / "engine") as made:
        yield made


def said_to(place, command, log):
    """What the program of a limit's container, or visit, has said."""
    with place.enter("limit", command) as contestant:
        contestant.once()
    return "".join(json.loads(line)["log"] for line in Path(log).read_text().splitlines())


def seen(text):
    """The probe's lines, without what differs between any two containers."""
    lines = set()
    for line in text.splitlines():
        if line.startswith("mount / "):
            line = line.partition("lowerdir")[0]
        if line.startswith("namespace "):
            line = line.partition("[")[0]
        lines.add(line.rstrip())
    return lines


def namespaces(text):
    return {line for line in text.splitlines() if line.startswith("namespace ")}


def test_what_the_limit_runs_sees_what_ours_sees(place, engine):
    ours = engine.run(f"rootfs:{place.rootfs}", ARGV, network=None).check().stdout
    log = str(place.directory / "limit.log")
    limit = said_to(place, place.limit().run(ARGV, "-L", log), log)
    assert seen(limit) == seen(ours)
    host = {f"namespace {path.name} {path.readlink()}" for path in Path("/proc/self/ns").iterdir()}
    assert len(namespaces(limit)) == 7
    assert not (namespaces(limit) | namespaces(ours)) & host


def test_what_the_limit_runs_without_root_sees_what_ours_sees(place):
    who = place.nobody()
    root = who.directory / "engine"
    code = f"""
import pyengine
with pyengine.Engine(root={str(root)!r}) as engine:
    told = engine.run({f"rootfs:{place.rootfs}"!r}, {ARGV!r}, network=None)
print(told.check().stdout, end="")
"""
    told = subprocess.run(
        who.command([who.python, "-c", code]),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    log = str(who.directory / "limit.log")
    limit = said_to(place, place.limit(who).run(ARGV, "-L", log), log)
    # ours has one filter more, which gives files away seemingly
    assert seen(limit) - {"Seccomp_filters:\t1"} == seen(told.stdout) - {"Seccomp_filters:\t2"}
    assert len(namespaces(limit)) == 7


def test_a_visit_of_the_limit_sees_what_one_of_ours_sees(place, engine):
    container = engine.start(f"rootfs:{place.rootfs}", SLEEP, network=None)
    ours = container.exec(ARGV).check().stdout
    log = str(place.directory / "limit.log")
    into = container.inspect().state.pid
    limit = said_to(place, place.limit().exec(into, ARGV, "-L", log), log)
    assert seen(limit) == seen(ours)
    assert namespaces(limit) == namespaces(ours)
