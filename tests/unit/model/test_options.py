import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyengine.errors import InvalidRequest, Unsupported
from pyengine.model import mounting
from pyengine.model.options import KEYWORDS, ContainerOptions
from pyengine.model.spec import HealthCheck, LogConfig, Mount, Namespaces, Resources, Ulimit

modest = settings(max_examples=60, deadline=None)


def ask(**keywords):
    return ContainerOptions.from_keywords("host:", None, **keywords)


def refused(**keywords):
    with pytest.raises(InvalidRequest) as caught:
        ask(**keywords)
    assert caught.value.why or caught.value.expected, "the reason is not named"
    return str(caught.value)


def test_asking_for_nothing_is_the_same_as_giving_none_everywhere():
    assert ask(**dict.fromkeys(KEYWORDS)) == ask() == ContainerOptions("host:")


def test_who_asks_for_nothing_shares_the_default_values():
    assert ask().resources is ask(name="web").resources
    assert ask().security is ask(env={"A": "1"}).security


def test_an_unknown_keyword_is_named_with_its_neighbours():
    assert "memory" in refused(memry="1g")
    assert "env" in refused(environment={})
    assert "no such option" in refused(zzzzzz=1)


@pytest.mark.parametrize("image", ["", " alpine", None, 5, "a\0b"])
def test_an_image_is_named(image):
    with pytest.raises(InvalidRequest):
        ContainerOptions.from_keywords(image)


@modest
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), max_size=5))
def test_a_command_given_as_a_list_stays_word_for_word(words):
    assert ContainerOptions.from_keywords("host:", words).command == tuple(words)


@modest
@given(st.lists(st.text("ab \"'\\$\n", max_size=6), min_size=1, max_size=4))
def test_a_command_given_as_a_text_is_split_as_a_shell_splits(words):
    import shlex

    text = shlex.join(words)
    assert ContainerOptions.from_keywords("host:", text).command == tuple(words)


@pytest.mark.parametrize("bad", ["a 'b", [1], ["a\0"], 5, {"a": 1}, b"ls", ["\ud800"], "a\0b"])
def test_a_command_that_cannot_be_run_is_refused(bad):
    with pytest.raises(InvalidRequest):
        ContainerOptions.from_keywords("host:", bad)


def test_an_empty_entrypoint_text_resets_and_an_empty_list_does_not_say_so():
    assert ask(entrypoint="").entrypoint == ("",)
    assert ask(entrypoint=[""]).entrypoint == ("",)
    assert ask(entrypoint=[]).entrypoint == ()
    assert ask(entrypoint="sh -c").entrypoint == ("sh", "-c")


variables = st.dictionaries(
    st.text(st.characters(codec="ascii", exclude_characters="=\0\n"), min_size=1, max_size=8),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
    max_size=5,
)


@modest
@given(variables)
def test_a_mapping_and_a_list_of_variables_mean_the_same(mapping):
    listed = [f"{name}={value}" for name, value in mapping.items()]
    assert ask(env=mapping).env == ask(env=listed).env == tuple(mapping.items())


def test_a_variable_without_a_value_is_to_be_taken_away():
    assert ask(env=["A"]).env == ask(env={"A": None}).env == (("A", None),)
    assert ask(env={"A": 5}).env == (("A", "5"),)


@pytest.mark.parametrize(
    "bad", [["=x"], {"": "x"}, {"A=B": "x"}, {"A\nB": "x"}, ["A=\0"], {"A": True}, {"A": []}, 5]
)
def test_a_variable_that_cannot_be_is_refused(bad):
    refused(env=bad)


def test_files_of_variables_come_before_what_the_call_says(tmp_path, monkeypatch):
    monkeypatch.setenv("HANDED_ON", "from outside")
    monkeypatch.delenv("NOT_THERE", raising=False)
    file = tmp_path / "env"
    file.write_bytes(b"\xef\xbb\xbf# comment\n\n  A=1 \r\nB='x'\nHANDED_ON\nNOT_THERE\n")
    asked = ask(env={"A": "2"}, env_file=file).env
    assert asked == (("A", "1 "), ("B", "'x'"), ("HANDED_ON", "from outside"), ("A", "2"))
    assert ask(label_file=[file], labels=["B=y"]).labels[-1] == ("B", "y")


@pytest.mark.parametrize("content", [b"=x", b"A B=1", b"\xff=1", b"A=\0", b"#" * (1 << 20) + b"#"])
def test_a_file_of_variables_that_makes_no_sense_is_refused(tmp_path, content):
    file = tmp_path / "env"
    file.write_bytes(content)
    refused(env_file=str(file))
    refused(label_file=[str(file)])


def test_a_file_that_is_not_there_is_refused(tmp_path):
    assert "No such file" in refused(env_file=tmp_path / "none")
    refused(env_file=tmp_path)


@pytest.mark.parametrize(
    ("keyword", "good", "bad"),
    [
        ("name", ["web", "/web", "a.b-c_1"], ["a", "-web", "we b", "", "x" * 256, "a/b", "aä"]),
        ("hostname", ["web", "a.b", "x" * 64], ["x" * 65, "a b", "a\n1.2.3.4 b", "-a", "ä", 5]),
        ("domainname", ["example.org"], ["x" * 65, "a b"]),
        ("workdir", ["/a", ""], ["a", "../a", "/a\0", "/" + "x" * 5000, 5]),
        (
            "user",
            ["", "app", "0", "1000:50", ":staff", 1000],
            ["-1", "4294967295", "a:b:c", "a\nb"],
        ),
        ("user", ["4294967294"], [-1, 2**32, "0:-1", "9" * 40, "+1", "\u0661", True, 1.5]),
        ("group_add", [["a", 5], "a", 5], [[-1], [""], ["a:b"], [2**32], [True], 1.5]),
        ("tty", [True, False], ["yes", 1, 0]),
        ("init", [True], ["true"]),
        ("stop_signal", ["SIGINT", 9], ["SIGWRONG", 0, 65]),
        ("stop_timeout", [0, -1, 2.5, "1m"], ["soon", True, float("nan")]),
        ("console_size", [(24, 80)], [(24,), (1, 2, 3), (-1, 0), (70000, 1), "24x80", 5]),
        ("labels", [{"a": "b"}, ["a=b", "c"]], [["=x"], {"": "x"}, {"a": True}, {"a\0": "b"}]),
        ("annotations", [{"a": "b"}], [{"": "x"}]),
        ("pull", ["missing", "always", "never"], ["sometimes", True]),
        ("platform", [], ["linux/amd64/v8/x", "Linux", "linux//"]),
        ("pid", ["private", "host", "container:web"], ["container:", "shareable", "Host", 5]),
        ("ipc", ["private", "shareable", "none", "host", "container:x"], ["public"]),
        ("uts", ["private", "host"], ["container:x"]),
        ("cgroupns", ["private", "host"], ["none"]),
        ("network", ["none", "host", ""], [5, ["none"]]),
        ("dns", [["1.1.1.1", "::1"]], [["one.one"], "x", ["1.1.1"]]),
        ("dns_search", [["example.org", "."]], [["a b"], ["a\nnameserver x"]]),
        ("dns_options", [["ndots:2"]], [["a b"], [""], ["a\nb"]]),
        (
            "extra_hosts",
            [{"db": "10.0.0.1"}, ["db:10.0.0.1", "db=::1", "db:[::1]"]],
            [["db"], ["db:x"], {"a b": "10.0.0.1"}, ["db\n1:1.1.1.1"]],
        ),
        ("expose", [80, ["53/udp", "8000-8010"]], [0, 65536, "x", "9-8", "80/icmp", True]),
        ("oom_score_adj", [-1000, 1000, "5"], [-1001, 1001, 1.5]),
        ("cgroup_parent", ["", "/a/b", "a"], ["../a", "a//b", "a/./b", "a\n"]),
        ("shm_size", [0, "64m"], [-1, "x"]),
        ("stdin", [b"x", "x", 0], [1.5, True, ["x"]]),
        ("restart", ["no", ""], ["sometimes", "always:3", "on-failure:x", "on-failure:-1", 5]),
        ("owner", ["process"], ["me"]),
        ("log", ["json-file", "none", ""], ["paper", 5]),
        ("health", [HealthCheck(test=("NONE",)), HealthCheck()], ["curl x", ["CMD", "x"]]),
    ],
)
def test_each_keyword_takes_its_values_and_refuses_others_with_a_reason(keyword, good, bad):
    for value in good:
        ask(**{keyword: value})
    for value in bad:
        refused(**{keyword: value})


def test_texts_become_values():
    asked = ask(
        name="/web",
        workdir="//a/./b/../c/",
        stop_signal="term",
        user=1000,
        expose=[80, "81-82/UDP"],
        extra_hosts=["db=10.0.0.1", "six:[::1]"],
        dns=["::0001"],
        stdin="ä",
    )
    assert asked.name == "web"
    assert asked.workdir == "/a/c"
    assert asked.stop_signal == 15
    assert asked.user == "1000"
    assert asked.exposed == ("80/tcp", "81/udp", "82/udp")
    assert asked.extra_hosts == ("db:10.0.0.1", "six:::1")
    assert asked.dns == ("::1",)
    assert asked.stdin == "ä".encode()


def test_namespaces_of_containers_stay_texts():
    asked = ask(pid="container:web", ipc="shareable", uts="host", cgroupns="host", network="host")
    assert asked.namespaces == Namespaces("container:web", "shareable", "host", "host", "host")


def test_mounts_come_together_from_all_three_keywords():
    asked = ask(
        mounts=[mounting.bind("/a", "/b"), "type=bind,source=/a,target=/c"],
        volumes=["/a:/d:ro"],
        tmpfs={"/e": "size=1m"},
    )
    assert {mount.target for mount in asked.mounts} == {"/b", "/c", "/d", "/e"}
    assert ask(mounts=mounting.bind("/a", "/b")).mounts == (mounting.bind("/a", "/b"),)
    refused(mounts=[Mount(mounting.MountKind.BIND, "/", "/a")])
    refused(mounts=[("a", "b")])


@pytest.mark.parametrize(
    "keywords",
    [
        {"auto_remove": True, "restart": "always"},
        {"uts": "host", "hostname": "web"},
        {"uts": "host", "domainname": "web"},
        {"network": "host", "sysctls": {"net.core.somaxconn": 5}},
        {"ipc": "host", "sysctls": {"kernel.shmmax": 5}},
        {"memory_swap": "1g"},
        {"memory": "1g", "memory_swap": "512m"},
        {"memory": "1g", "memory_reservation": "2g"},
        {"cpus": 1, "cpu_quota": 50000},
        {"cpus": 1, "cpu_period": 50000},
        {"cpu_rt_period": 1000, "cpu_rt_runtime": 2000},
        {"read_only": True, "seccomp": "default", "security_opt": ["seccomp=unconfined"]},
        {"masked_paths": ["/proc/x"], "security_opt": ["systempaths=unconfined"]},
    ],
)
def test_options_that_contradict_each_other_are_refused(keywords):
    refused(**keywords)


@pytest.mark.parametrize(
    "keywords",
    [
        {"network": "bridge"},
        {"network": "container:web"},
        {"ports": {80: 8080}},
        {"ports": ["80:80"]},
        {"publish_all": True},
        {"networks": {"a": None}},
        {"aliases": ["db"]},
        {"ip": "10.0.0.1"},
        {"mac_address": "02:00:00:00:00:01"},
        {"volumes": ["data:/x"]},
        {"volumes": ["/x"]},
        {"volumes_from": ["web:ro"]},
        {"mounts": [mounting.image_mount("alpine", "/x")]},
        {"log": LogConfig("journald")},
        {"storage_size": "1g"},
        {"devices": ["nvidia.com/gpu=all"]},
        {"security_opt": ["apparmor=mine"]},
        {"security_opt": ["label=type:x"]},
        {"extra_hosts": {"host": "host-gateway"}},
    ],
)
def test_what_is_not_built_is_unsupported_with_a_remedy(keywords):
    with pytest.raises(Unsupported) as caught:
        ask(**keywords)
    assert caught.value.missing
    assert caught.value.remedy


@pytest.mark.parametrize(
    "keywords",
    [
        {"ports": {}},
        {"ports": []},
        {"publish_all": False},
        {"aliases": ()},
        {"ip": ""},
        {"volumes": []},
        {"volumes_from": []},
        {"storage_size": 0},
        {"userns": ""},
    ],
)
def test_asking_for_none_of_what_is_not_built_is_fine(keywords):
    assert ask(**keywords) == ask()


def test_a_wrong_value_is_told_before_what_is_not_built():
    refused(ports={80: 80}, memory="lots")
    refused(restart="always", auto_remove=True)
    refused(devices=["nvidia.com/gpu=all"], memory="lots")
    refused(ports={80: 80}, uts="host", hostname="web")


@pytest.mark.parametrize(
    ("driver", "options", "reason"),
    [
        ("json-file", {"max-size": "0"}, "more than 0"),
        ("json-file", {"max-size": "x"}, "number of bytes"),
        ("json-file", {"max-file": "0"}, "1 to"),
        ("json-file", {"colour": "red"}, "unknown log opt"),
        ("json-file", {"compress": "true"}, "max-size"),
        ("json-file", {"compress": "maybe"}, "true"),
        ("json-file", {"mode": "fast"}, "blocking"),
        ("json-file", {"max-buffer-size": "1m"}, "non-blocking"),
        ("json-file", {"env-regex": "("}, "unterminated"),
        ("none", {"max-size": "1m"}, "no options"),
        ("paper", {}, "no log driver"),
    ],
)
def test_log_options_that_docker_refuses_are_refused(driver, options, reason):
    assert reason in refused(log=LogConfig(driver, tuple(options.items())))


def test_log_options_are_texts_in_order_whatever_form_they_came_in():
    wanted = LogConfig("json-file", (("max-file", "3"), ("max-size", "10m")))
    assert ask(log=LogConfig("json-file", {"max-size": "10m", "max-file": 3})).log == wanted
    assert ask(log=wanted).log == wanted
    assert ask(log=LogConfig("", ("max-size=10m", "max-file=3"))).log == wanted


@pytest.mark.parametrize(
    "check",
    [
        HealthCheck(test=("curl", "x")),
        HealthCheck(test=("CMD",)),
        HealthCheck(test=("CMD-SHELL", "a", "b")),
        HealthCheck(test=("NONE", "x")),
        HealthCheck(test=("CMD", "x"), interval=0.0001),
        HealthCheck(test=("CMD", "x"), timeout=-1),
        HealthCheck(test=("CMD", "x"), retries=-1),
        HealthCheck(test=("CMD", "x"), start_period="soon"),
    ],
)
def test_a_health_check_that_docker_refuses_is_refused(check):
    refused(health=check)


def test_resources_and_limits_are_gathered():
    asked = ask(memory="64m", cpus="1.5", pids=-1, ulimits={"nofile": (1024, 2048)})
    assert asked.resources == Resources(memory=64 << 20, nano_cpus=1_500_000_000, pids=None)
    assert asked.ulimits == (Ulimit("nofile", 1024, 2048),)


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=4),
    st.lists(st.text(max_size=8), max_size=2),
    st.dictionaries(st.text(max_size=6), st.one_of(st.none(), st.text(max_size=6)), max_size=2),
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(KEYWORDS - {"env_file", "label_file"})), anything)
def test_any_value_for_any_keyword_is_taken_or_refused_by_name(keyword, value):
    try:
        ask(**{keyword: value})
    except (InvalidRequest, Unsupported) as error:
        assert str(error)  # noqa: PT017
