"""What a container shares with its host and its neighbours, and what it may do: as asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from shells import said
from support.whoever import held_inside, make_node

from pyengine import InvalidRequest, Unsupported, WrongState
from pyengine.linux.capabilities import NAMES

pytestmark = [pytest.mark.kernel, pytest.mark.tiers]

KINDS = {"cgroup", "ipc", "mnt", "net", "pid", "time", "uts"}
NAMESPACES = f"for kind in {' '.join(KINDS)} user; do readlink /proc/self/ns/$kind; done"
CAPABILITIES = "grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status"


def namespaces(text):
    return dict(line.split(":", 1) for line in text.split())


def host_namespaces():
    return namespaces(" ".join(os.readlink(f"/proc/self/ns/{kind}") for kind in (*KINDS, "user")))


def shared_with_host(engine, image, **options):
    """The namespaces that are the host's own."""
    inside, outside = namespaces(said(engine, image, NAMESPACES, **options)), host_namespaces()
    return {kind for kind in inside if inside[kind] == outside[kind]} - {"user"}


# --- namespaces (C62 to C66, pitfall 40) ---


def test_a_container_shares_nothing_with_the_host_unless_asked(engine, image):
    # C62 to C66, pitfall 40: a time namespace too
    assert shared_with_host(engine, image) == set()


@pytest.mark.parametrize(
    ("option", "kind"),
    [("pid", "pid"), ("ipc", "ipc"), ("uts", "uts"), ("cgroupns", "cgroup"), ("network", "net")],
)
def test_what_is_asked_for_is_the_host_s_and_nothing_else(engine, image, option, kind):
    # C62, C63, C64, C65
    assert shared_with_host(engine, image, **{option: "host"}) == {kind}


def test_on_the_host_s_pids_a_container_still_ends_as_one(engine, image, survivors):
    # C62
    container = engine.start(image, ["sh", "-c", "sleep 4721 & exec sleep 4721"], pid="host")
    assert container.exec(["sh", "-c", "cat /proc/self/comm"]).stdout == "cat\n"
    pid = container.inspect().pid
    assert os.path.basename(os.readlink(f"/proc/{pid}/ns/pid")) == os.readlink("/proc/self/ns/pid")
    container.kill()
    assert survivors("sleep 4721") == []


def test_processes_can_be_shared_with_a_container(engine, image):
    # C62: the name is followed at once, so a rename later changes nothing
    first = engine.start(image, "sleep 4722", name="first")
    looking = ["sh", "-c", "ps; readlink /proc/self/ns/pid"]
    second = engine.create(image, looking, pid="container:first")
    first.rename("renamed")
    second.start()
    assert second.wait(timeout=10).exit_code == 0
    told = second.logs()
    assert "sleep 4722" in told
    assert told.split()[-1] == first.exec("readlink /proc/self/ns/pid").stdout.strip()
    first.kill()
    with pytest.raises(WrongState):
        second.start()


def test_memory_is_shared_only_with_who_offers_it(engine, image):
    # C63
    private = engine.start(image, "sleep 99", name="private")
    with pytest.raises(InvalidRequest, match="non-shareable IPC"):
        engine.create(image, ipc="container:private")
    open_one = engine.start(image, "sleep 99", ipc="shareable")
    open_one.exec(["sh", "-c", "echo for you > /dev/shm/word"]).check()
    script = "cat /dev/shm/word; readlink /proc/self/ns/ipc"
    told = said(engine, image, script, ipc=f"container:{open_one.id}")
    assert told == "for you\n" + open_one.exec("readlink /proc/self/ns/ipc").stdout
    assert private.exec(["ls", "/dev/shm"]).stdout == ""


def test_without_ipc_there_is_no_shared_memory_at_all(engine, image):
    # C63
    assert said(engine, image, "grep -c ' /dev/shm ' /proc/mounts || true", ipc="none") == "0\n"
    assert said(engine, image, "grep -c ' /dev/shm ' /proc/mounts") == "1\n"


def test_the_host_s_name_cannot_be_changed_from_a_shared_one(engine, image):
    # C64
    with pytest.raises(InvalidRequest, match="UTS"):
        engine.create(image, uts="host", hostname="other")
    assert said(engine, image, "hostname", uts="host").strip() == os.uname().nodename


def test_a_cgroup_namespace_hides_where_the_container_is(engine, image):
    # C65
    assert "pyengine" not in said(engine, image, "cat /proc/self/cgroup")
    container = engine.start(image, "sleep 99", cgroupns="host")
    told = container.exec("cat /proc/1/cgroup").stdout
    assert told == Path(f"/proc/{container.inspect().pid}/cgroup").read_text()
    assert ("pyengine" in told) == ("stats" in engine.capabilities())


@pytest.mark.parametrize(
    "options", [{"pid": "other"}, {"ipc": "container:"}, {"uts": "private:x"}, {"cgroupns": "none"}]
)
def test_a_namespace_that_cannot_be_is_refused(engine, image, options):
    with pytest.raises(InvalidRequest):
        engine.create(image, **options)


# --- kernel parameters (C67, pitfall 24) ---


def test_low_ports_and_pings_are_for_everybody_inside(engine, image):
    # C67, pitfall 24
    script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range"
    groups = said(engine, image, "cat /proc/self/gid_map").splitlines()
    last = sum(int(line.split()[2]) for line in groups) - 1  # of those there are
    assert said(engine, image, script).split() == ["0", "0", str(min(last, 2147483647))]
    host = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    before = host.read_text()
    listening = "nc -l -p 80 & usleep 1000; until nc -w1 127.0.0.1 80 </dev/null; do :; done; wait"
    assert engine.run(image, ["sh", "-c", listening], user="app").exit_code == 0
    assert host.read_text() == before


def test_a_parameter_of_its_own_namespaces_can_be_set(engine, image):
    # C67
    asked = {"net.core.somaxconn": "77", "kernel.shmmax": 1 << 20, "fs.mqueue.msg_max": "33"}
    script = "cd /proc/sys; cat net/core/somaxconn kernel/shmmax fs/mqueue/msg_max"
    assert said(engine, image, script, sysctls=asked).split() == ["77", str(1 << 20), "33"]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("kernel.panic", {}),
        ("vm.swappiness", {}),
        ("net.ipv4.conf.eth0.forwarding", {}),
        ("net.core.somaxconn", {"network": "host"}),
        ("kernel.shmmax", {"ipc": "host"}),
        ("net/../kernel/panic", {}),
    ],
)
def test_a_parameter_of_the_host_s_is_refused(engine, image, name, options):
    # C67
    with pytest.raises(InvalidRequest, match="sysctls"):
        engine.create(image, sysctls={name: "1"}, **options)


def test_a_value_that_the_kernel_refuses_is_named(engine, image):
    # C67
    with pytest.raises(InvalidRequest, match=r"net\.core\.somaxconn"):
        engine.run(image, "true", sysctls={"net.core.somaxconn": "many"})
    with pytest.raises(Unsupported, match="does not have it"):
        engine.run(image, "true", sysctls={"net.core.nothing_of_the_kind": "1"})


# --- capabilities (C51, pitfall 25) ---


def capability_sets(engine, image, **options):
    """The names in each of the five sets."""
    lines = said(engine, image, CAPABILITIES, **options).splitlines()
    found = {line.split()[0][3:6]: int(line.split()[1], 16) for line in lines}
    return {key: {n for i, n in enumerate(NAMES) if mask >> i & 1} for key, mask in found.items()}


def test_capabilities_are_added_and_dropped_by_any_spelling(engine, image):
    # C51, pitfall 25
    asked = {"cap_add": ["net_admin", "CAP_SYS_TIME"], "cap_drop": ["MKNOD", "cap_chown"]}
    default, sets = capability_sets(engine, image), capability_sets(engine, image, **asked)
    wanted = (default["Bnd"] | {"CAP_NET_ADMIN", "CAP_SYS_TIME"}) - {"CAP_MKNOD", "CAP_CHOWN"}
    assert sets == {"Inh": set(), "Prm": wanted, "Eff": wanted, "Bnd": wanted, "Amb": set()}


def test_all_capabilities_can_be_added_or_dropped(engine, image):
    # C51
    every = {name for number, name in enumerate(NAMES) if held_inside() >> number & 1}
    most = capability_sets(engine, image, cap_add=["ALL"], cap_drop=["KILL"])
    assert most["Eff"] == every - {"CAP_KILL"}
    least = capability_sets(engine, image, cap_drop=["ALL"], cap_add=["KILL"])
    assert least["Eff"] == least["Bnd"] == {"CAP_KILL"}
    with pytest.raises(InvalidRequest, match="CAP_NONE_SUCH"):
        engine.run(image, "true", cap_add=["NONE_SUCH"])


def test_another_user_than_root_has_no_capability(engine, image):
    # C51, pitfall 25: but those who are root again through a set-id program can have them
    sets = capability_sets(engine, image, user="app", cap_add=["NET_ADMIN"])
    assert sets["Eff"] == sets["Prm"] == sets["Inh"] == sets["Amb"] == set()
    assert "CAP_NET_ADMIN" in sets["Bnd"]


# --- what is hidden, read-only, lifted (C50, C53, C56 to C60, pitfall 8) ---


def test_masks_and_read_only_paths_are_what_was_asked(engine, image):
    # C58, C59, pitfall 8
    script = """
    cat /proc/keys | wc -c; cat /proc/version | wc -c
    for f in /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/ip_default_ttl
        do (: >>$f) 2>/dev/null && echo w || echo r; done
    """
    may = {"cap_add": ["NET_ADMIN"]}  # as root may without
    assert said(engine, image, script, **may).split()[0:4:2] == ["0", "r"]
    lifted = said(engine, image, script, masked_paths=[], readonly_paths=[], **may).split()
    assert (int(lifted[0]) > 0, lifted[2:]) == (True, ["w", "w"])
    other = said(engine, image, script, masked_paths=["/proc/version", "/none/such"]).split()
    assert (int(other[0]) > 0, other[1]) == (True, "0")
    option = said(
        engine, image, script, security_opt=["systempaths=unconfined"], **may
    ).split()  # C56
    assert (int(option[0]) > 0, option[2:]) == (True, ["w", "w"])


def test_a_read_only_root_takes_no_writes_and_its_mounts_do(engine, image):
    # C60
    script = """
    for f in /x /etc/hosts /etc/hostname /etc/resolv.conf /tmp/x /dev/shm/x
        do if (: >>$f) 2>/dev/null; then echo "$f"; fi; done; true
    """
    written = said(engine, image, script, read_only=True, tmpfs={"/tmp": ""}).split()
    assert written == ["/tmp/x", "/dev/shm/x"]
    assert len(said(engine, image, script).split()) == 6


def test_new_privileges_can_be_ruled_out(engine, image):
    # C53
    script = "grep NoNewPrivs /proc/self/status"
    for options in ({"no_new_privileges": True}, {"security_opt": ["no-new-privileges"]}):
        assert said(engine, image, script, **options).split()[1] == "1"
    assert said(engine, image, script).split()[1] == "0"


def test_cgroups_can_be_made_inside_where_that_is_allowed(engine, image):
    # C57
    script = "cd /sys/fs/cgroup && mkdir inner && rmdir inner"
    assert not engine.run(image, ["sh", "-c", script])
    assert engine.run(image, ["sh", "-c", script], security_opt=["writable-cgroups=true"]).check()


def test_the_privileged_may_do_what_the_host_may(engine, image):
    # C50
    script = f"""
    {CAPABILITIES} | sed -n 's/CapEff:.//p'; grep Seccomp: /proc/self/status
    cat /proc/keys | wc -c; mkdir /sys/fs/cgroup/inner && rmdir /sys/fs/cgroup/inner && echo cgroup
    mount -t tmpfs none /tmp && echo mounted; ls /dev | wc -l
    if (: >>/proc/sys/net/ipv4/ip_forward); then echo proc; fi
    """
    told = said(engine, image, script, privileged=True).split()
    assert int(told[0], 16) == held_inside()
    may_give_away = "subids" in engine.capabilities()  # else a filter answers chown(2)
    assert told[1:3] == ["Seccomp:", "0" if may_give_away else "2"]
    assert int(told[3]) > 0
    cgroup = {"cgroup"} if "cgroups" in engine.capabilities() else set()
    assert {*cgroup, "mounted", "proc"} <= set(told)
    assert shared_with_host(engine, image, privileged=True) == set()


# --- devices (C69, C70, C72, pitfall 40) ---


def test_a_device_that_is_given_is_there_and_may_be_used(engine, image):
    # C69
    script = "stat -c '%t:%T' /dev/mine && head -c 3 /dev/mine | wc -c; (: >/dev/mine) && echo w"
    given = said(engine, image, script, devices=["/dev/zero:/dev/mine:rwm"]).split()
    assert given == ["1:5", "3", "w"]
    reading = engine.run(image, ["sh", "-c", "stat /dev/kmsg >/dev/null && head -c1 /dev/kmsg"])
    assert not reading
    there = said(engine, image, "test -c /dev/kmsg && echo there", devices=["/dev/kmsg"])
    assert there == "there\n"


def test_access_to_a_device_is_what_was_given(engine, image):
    # C69, C70
    script = "(: </dev/mine) && echo r; (: >/dev/mine) && echo w; true"
    for access in ("r", "w", "rw", "rwm"):
        options = {"devices": [f"/dev/kmsg:/dev/mine:{access}"], "cap_add": ["SYSLOG"]}
        told = said(engine, image, script, **options)
        assert told.split() == [letter for letter in "rw" if letter in access]
    making = "mknod /dev/mine c 1 11 && (: >/dev/mine) && echo w; true"
    assert said(engine, image, making).split() == []
    assert said(engine, image, making, device_cgroup_rules=["c 1:11 rwm"]).split() == ["w"]


def test_a_directory_of_devices_is_every_device_below(engine, image, tmp_path):
    # C69
    (tmp_path / "devices/deep").mkdir(parents=True)
    make_node(tmp_path / "devices/a", 1, 11)
    make_node(tmp_path / "devices/deep/b", 1, 11)
    (tmp_path / "devices/file").write_text("no device")
    script = "cd /dev/many; find . -type c | sort; (: >deep/b) && echo w; test -e file || echo no"
    told = said(engine, image, script, devices=[f"{tmp_path}/devices:/dev/many:rw"]).split()
    assert told == ["./a", "./deep/b", "w", "no"]


def test_a_device_that_is_not_there_is_named(engine, image):
    # C69
    with pytest.raises(InvalidRequest, match="/dev/nonesuch"):
        engine.run(image, "true", devices=["/dev/nonesuch"])


def test_fuse_is_refused_though_its_node_can_be_made(engine, image):
    # C72, pitfall 40
    script = "mknod /dev/fuse c 10 229 && (: </dev/fuse) || echo refused"
    assert said(engine, image, script).strip() == "refused"
