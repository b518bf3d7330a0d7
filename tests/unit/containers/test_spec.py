import sys

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.containers.spec import (
    DEFAULT_LOG,
    MASKED_PATHS,
    READONLY_PATHS,
    HostFacts,
    resolve,
)
from pyengine.errors import InvalidRequest, Unsupported
from pyengine.linux.capabilities import DEFAULT
from pyengine.model import mounting
from pyengine.model.config import FROM_NOTHING, ImageConfig
from pyengine.model.options import ContainerOptions
from pyengine.model.spec import DEFAULT_PATH, HealthCheck, Namespaces, Resources

ID = "0123456789abcdef" * 4
HOST = HostFacts(cpus=4, cpuset_cpus="0-3", cpuset_mems="0", hostname="the-host", last_cap=40)
IMAGE = ImageConfig(
    entrypoint=("/entry",),
    command=("serve",),
    env=("PATH=/image", "A=image", "KEY_ONLY", "=nameless"),
    user="app",
    workdir="/srv//app/",
    labels=(("a", "image"), ("b", "image")),
    exposed=("80/tcp",),
    stop_signal="SIGINT",
    health=HealthCheck(test=("CMD", "true"), interval=5.0),
)

modest = settings(max_examples=60, deadline=None)


def spec(command=None, *, image=FROM_NOTHING, host=HOST, **keywords):
    options = ContainerOptions.from_keywords("host:", command, **keywords)
    return resolve(options, image, id=ID, name="web", created=5.0, host=host)


def test_nothing_asked_of_nothing_is_a_shell_with_every_default():
    made = spec()
    assert made.argv == ("/bin/sh",)
    assert made.env == (f"PATH={DEFAULT_PATH}", "HOSTNAME=0123456789ab")
    assert (made.id, made.name, made.image, made.created) == (ID, "web", "host:", 5.0)
    assert (made.workdir, made.user, made.hostname) == ("/", "", "0123456789ab")
    assert (made.stop_signal, made.stop_timeout, made.shm_size) == (15, 10.0, 64 << 20)
    assert made.namespaces == Namespaces("private", "private", "private", "private", "none")
    assert made.resources == Resources()
    assert made.log == DEFAULT_LOG
    assert made.security.capabilities == tuple(sorted(DEFAULT))
    assert made.security.masked_paths == MASKED_PATHS
    assert made.security.readonly_paths == READONLY_PATHS
    assert made.security.seccomp == "default"
    assert made.platform == "linux/amd64"
    assert made.mounts == ()


@pytest.mark.parametrize(
    ("keywords", "argv"),
    [
        ({}, ("/entry", "serve")),
        ({"command": ["x"]}, ("/entry", "x")),
        ({"command": []}, ("/entry", "serve")),
        ({"entrypoint": ["/mine"]}, ("/mine",)),
        ({"entrypoint": ["/mine"], "command": ["x"]}, ("/mine", "x")),
        ({"entrypoint": [""], "command": ["x"]}, ("x",)),
        ({"entrypoint": []}, ("serve",)),
    ],
)
def test_entrypoint_and_command_replace_the_image_s_as_docker_does(keywords, argv):
    assert spec(keywords.pop("command", None), image=IMAGE, **keywords).argv == argv


def test_no_program_at_all_is_refused():
    for keywords, image in (({}, ImageConfig()), ({"entrypoint": ""}, IMAGE)):
        with pytest.raises(InvalidRequest) as caught:
            spec(image=image, **keywords)
        assert "no command specified" in str(caught.value)


def test_image_variables_without_a_value_or_a_name_never_come_in(monkeypatch):
    monkeypatch.setenv("KEY_ONLY", "secret of the host")
    made = spec(image=IMAGE)
    assert made.env == ("PATH=/image", "HOSTNAME=0123456789ab", "A=image")


def test_a_variable_named_alone_is_taken_away_from_wherever_it_came():
    made = spec(image=IMAGE, env=["PATH", "HOSTNAME", "A", "B=1"], tty=True)
    assert made.env == ("TERM=xterm", "B=1")


names = st.sampled_from(["PATH", "HOSTNAME", "TERM", "HOME", "A", "B"])
values = st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=4)


@modest
@given(
    st.lists(st.tuples(names, st.one_of(st.none(), values)), max_size=6),
    st.lists(st.tuples(names, values), max_size=6),
    st.booleans(),
)
def test_the_user_s_variables_win_over_the_image_s_and_these_over_ours(asked, image, tty):
    config = ImageConfig(command=("x",), env=tuple(f"{n}={v}" for n, v in image))
    listed = [name if value is None else f"{name}={value}" for name, value in asked]
    made = spec(image=config, env=listed, tty=tty)
    expected = {"PATH": DEFAULT_PATH, "HOSTNAME": ID[:12]}
    expected |= {"TERM": "xterm"} if tty else {}
    expected |= dict(image) | dict(asked)
    pairs = [entry.partition("=")[::2] for entry in made.env]
    assert dict(pairs) == {name: value for name, value in expected.items() if value is not None}
    assert len(dict(pairs)) == len(pairs)


def test_the_image_fills_in_what_was_not_asked():
    made = spec(image=IMAGE, labels={"b": "user", "c": "user"}, expose=["80", "81"])
    assert (made.user, made.workdir, made.stop_signal) == ("app", "/srv/app", 2)
    assert made.labels == (("a", "image"), ("b", "user"), ("c", "user"))
    assert made.exposed == ("80/tcp", "81/tcp")
    assert made.health == IMAGE.health
    over = spec(image=IMAGE, user="0", workdir="/x", stop_signal=9, stop_timeout=-1)
    assert (over.user, over.workdir, over.stop_signal, over.stop_timeout) == ("0", "/x", 9, -1.0)


def test_a_health_check_without_a_test_takes_the_image_s():
    made = spec(image=IMAGE, health=HealthCheck(interval=9.0))
    assert made.health == HealthCheck(test=("CMD", "true"), interval=9.0)
    assert spec(image=IMAGE, health=HealthCheck(test=("NONE",))).health.test == ("NONE",)


@pytest.mark.parametrize(
    "bad",
    [
        {"workdir": "relative"},
        {"workdir": "/a\0"},
        {"env": ("A=\0",)},
        {"command": ("a\0b",)},
        {"stop_signal": "SIGWRONG"},
        {"exposed": ("eighty",)},
    ],
)
def test_an_image_that_makes_no_sense_is_refused(bad):
    with pytest.raises(InvalidRequest):
        spec(image=evolve(FROM_NOTHING, **bad))


def test_who_shares_the_host_s_network_or_name_has_its_name():
    assert spec(network="host").hostname == "the-host"
    assert spec(uts="host").hostname == "the-host"
    assert spec(network="host", hostname="web").hostname == "web"
    assert "HOSTNAME=the-host" in spec(network="host").env


def test_an_init_is_only_for_who_has_process_1():
    assert spec(init=True).init
    assert not spec(init=True, pid="host").init


def test_standard_input_given_is_open_once():
    made = spec(stdin=b"x")
    assert made.open_stdin
    assert made.stdin_once
    assert spec(stdin_open=True).open_stdin
    assert not spec().open_stdin


capabilities = st.lists(st.sampled_from(["NET_ADMIN", "sys_ptrace", "CAP_KILL", "CHOWN", "SYSLOG"]))


@modest
@given(capabilities, capabilities, st.booleans())
def test_no_capability_gets_through_that_was_not_asked(add, drop, everything):
    drop = [*drop, "ALL"] if everything else drop
    got = set(spec(cap_add=add, cap_drop=drop).security.capabilities)
    asked = {f"CAP_{name.upper().removeprefix('CAP_')}" for name in add}
    assert got <= (asked if everything else asked | set(DEFAULT))


def test_unknown_capabilities_are_refused():
    for keywords in ({"cap_add": ["NET_ADMIM"]}, {"cap_drop": ["FLY"]}):
        with pytest.raises(InvalidRequest):
            spec(**keywords)


def test_privileged_lifts_what_was_not_asked_for_by_itself():
    security = spec(privileged=True).security
    assert len(security.capabilities) == 41
    assert security.seccomp is None
    assert security.masked_paths == security.readonly_paths == ()
    assert security.writable_cgroups
    own = spec(privileged=True, seccomp="default", masked_paths=["/proc/kcore"]).security
    assert own.seccomp == "default"
    assert own.masked_paths == ("/proc/kcore",)


def test_no_paths_are_not_the_default_paths():
    security = spec(masked_paths=[], readonly_paths=[]).security
    assert security.masked_paths == security.readonly_paths == ()
    hot = evolve(HOST, thermal_paths=("/sys/devices/system/cpu/cpu0/thermal_throttle",))
    assert spec(host=hot).security.masked_paths == MASKED_PATHS + hot.thermal_paths
    assert spec(seccomp="unconfined").security.seccomp is None


def test_a_security_module_of_the_host_is_not_pretended_away():
    words = ["apparmor=unconfined", "label=disable"]
    assert spec(security_opt=words)
    with pytest.raises(Unsupported):
        spec(security_opt=words, host=evolve(HOST, security_modules=("apparmor",)))


@pytest.mark.parametrize(
    "keywords", [{"cpus": 4.5}, {"cpuset": "0-4"}, {"cpuset": "3,7"}, {"cpuset_mems": "1"}]
)
def test_processors_that_the_host_does_not_have_are_refused(keywords):
    with pytest.raises(InvalidRequest):
        spec(**keywords)


def test_processors_that_the_host_has_are_taken():
    assert spec(cpus=4, cpuset="1-3", cpuset_mems=0).resources.cpuset_cpus == "1-3"


def test_another_platform_is_unsupported_and_ours_is_fine():
    for ours in ("linux", "linux/amd64", "linux/x86_64", "linux/amd64/v2"):
        assert spec(platform=ours).platform.startswith("linux/")
    for other in ("linux/arm64", "windows/amd64", "plan9"):
        with pytest.raises(Unsupported) as caught:
            spec(platform=other)
        assert caught.value.remedy
    arm = evolve(HOST, architecture="aarch64")
    assert spec(host=arm).platform == "linux/arm64"


targets = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(lambda p: "/" + "/".join(p))


@modest
@given(st.lists(targets, max_size=6))
def test_mounts_come_parents_first_and_never_twice(asked):
    mounts = [mounting.bind("/src", target) for target in asked]
    if len(set(asked)) < len(asked):
        with pytest.raises(InvalidRequest) as caught:
            spec(mounts=mounts)
        assert "Duplicate mount point: /" in str(caught.value)
        return
    got = [mount.target for mount in spec(mounts=mounts).mounts]
    assert sorted(got) == sorted(asked)
    for position, target in enumerate(got):
        assert not any(target.startswith(f"{later}/") for later in got[position:])


def test_one_target_by_two_names_or_two_keywords_is_still_one():
    with pytest.raises(InvalidRequest):
        spec(mounts=[mounting.tmpfs("/a/../b")], volumes=["/src:/b/"])


def test_a_tmpfs_is_mounted_with_docker_s_own_words():
    def options(**words):
        return spec(tmpfs=words["tmpfs"]).mounts[0].options

    assert options(tmpfs={"/t": ""}) == ("noexec", "nosuid", "nodev")
    assert options(tmpfs=["/t:exec,size=64m"]) == ("nosuid", "nodev", "size=64m")


def test_resolving_defaults_stays_within_its_share_of_a_run():
    options = ContainerOptions.from_keywords("host:", ["true"], network=None)
    calls = 0

    def count(frame, event, _):
        nonlocal calls
        calls += event == "call"

    def both():
        ContainerOptions.from_keywords("host:", ["true"], network=None)
        resolve(options, FROM_NOTHING, id=ID, name="web", created=5.0, host=HOST)

    both()
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        both()
    finally:
        sys.setprofile(before)
    assert calls < 40, calls
